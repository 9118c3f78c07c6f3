"""Scaling. The generators are not used; a photo keeps its size.

A scale below 1 goes down and back; a scale above 1 goes up, and of the larger photo the middle is
taken.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from dcncodec.forensics.operations.operation import Pixels, ndimage, opencv, skimage, to_pixels

Generator = np.random.Generator
Size = tuple[int, int]
"""Rows and columns."""

OPENCV = {
    "area": "INTER_AREA",
    "bicubic": "INTER_CUBIC",
    "lanczos": "INTER_LANCZOS4",
    "bilinear": "INTER_LINEAR",
    "nearest": "INTER_NEAREST",
}
PILLOW = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "hamming": Image.Resampling.HAMMING,
}


def opencv_resize(pixels: Pixels, _: Generator, kernel: str, scale: float) -> Pixels:
    """By a kernel of ``OPENCV``, without a filter against aliasing but for ``area``."""
    cv2 = opencv()

    def resize(part: Pixels, size: Size) -> Pixels:
        resized: Pixels = cv2.resize(part, size[::-1], interpolation=getattr(cv2, OPENCV[kernel]))
        return resized

    return _scaled(pixels, scale, resize)


def pillow_resize(pixels: Pixels, _: Generator, kernel: str, scale: float) -> Pixels:
    """By a kernel of ``PILLOW``, which widens when it scales down."""

    def resize(part: Pixels, size: Size) -> Pixels:
        return np.array(Image.fromarray(part).resize(size[::-1], PILLOW[kernel]))

    return _scaled(pixels, scale, resize)


def skimage_resize(pixels: Pixels, _: Generator, order: int, scale: float) -> Pixels:
    """By splines of an order, after a Gaussian against aliasing."""
    transform = skimage().transform

    def resize(part: Pixels, size: Size) -> Pixels:
        values = transform.resize(part, size, order=order, anti_aliasing=True, preserve_range=True)
        return to_pixels(values)

    return _scaled(pixels, scale, resize)


def scipy_zoom(pixels: Pixels, _: Generator, order: int, scale: float) -> Pixels:
    """By splines of an order, without a filter against aliasing."""
    zoom = ndimage().zoom

    def resize(part: Pixels, size: Size) -> Pixels:
        factors = (size[0] / part.shape[0], size[1] / part.shape[1], 1)
        return to_pixels(zoom(part.astype(np.float32), factors, order=order, mode="nearest"))

    return _scaled(pixels, scale, resize)


def _scaled(pixels: Pixels, scale: float, resize: Callable[[Pixels, Size], Pixels]) -> Pixels:
    height, width = pixels.shape[:2]
    scaled = resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))
    if scale < 1:
        return resize(scaled, (height, width))
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return scaled[top : top + height, left : left + width]
