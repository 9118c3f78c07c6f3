"""Random parts of photos: ellipses, polygons, and clouds of low-pass noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcncodec.forensics.operations.operation import opencv

Mask = NDArray[np.bool_]
Generator = np.random.Generator

SHARES = (0.01, 0.30)
"""Of a photo's area, the smallest and the largest part; drawn evenly by its logarithm."""
MARGIN = 0.6
"""A shape that was drawn has at least so much of the wanted area, or it is drawn again."""
ATTEMPTS = 8
CORNERS = (5, 12)


def random_mask(height: int, width: int, generator: Generator) -> Mask:
    """A random part of a photo.

    Args:
        height, width: of the photo in pixels, at least 16.
        generator: of all choices.

    Returns:
        bool (height, width), some pixels inside and some outside.
    """
    low, high = np.log(SHARES)
    share = float(np.exp(generator.uniform(low, high)))
    draw = (_ellipse, _polygon, _cloud)[generator.integers(3)]
    best = np.zeros((height, width), bool)
    # Shapes that the border cuts may lose most of their area.
    for _ in range(ATTEMPTS):
        mask = draw(height, width, share, generator)
        if mask.sum() > best.sum() and not mask.all():
            best = mask
        if MARGIN * share <= best.mean():
            return best
    if not best.any():
        best[height // 4 : height // 2, width // 4 : width // 2] = True
    return best


def _ellipse(height: int, width: int, share: float, generator: Generator) -> Mask:
    aspect = np.exp(generator.uniform(-0.8, 0.8))
    radius = np.sqrt(share * height * width / np.pi)
    axes = (max(1, round(radius * aspect)), max(1, round(radius / aspect)))
    mask = np.zeros((height, width), np.uint8)
    angle = float(generator.uniform(0, 180))
    opencv().ellipse(mask, _centre(height, width, generator), axes, angle, 0, 360, 1, -1)
    return mask > 0


def _polygon(height: int, width: int, share: float, generator: Generator) -> Mask:
    count = int(generator.integers(*CORNERS))
    angles = np.sort(generator.uniform(0, 2 * np.pi, count))
    # A star's area is about three quarters of that of the circle through its mean corner.
    radius = np.sqrt(share * height * width / np.pi / 0.75)
    radii = radius * generator.uniform(0.6, 1.4, count)
    corners = _centre(height, width, generator) + np.stack(
        [radii * np.cos(angles), radii * np.sin(angles)], 1
    )
    mask = np.zeros((height, width), np.uint8)
    opencv().fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
    return mask > 0


def _cloud(height: int, width: int, share: float, generator: Generator) -> Mask:
    noise = generator.normal(size=(height, width)).astype(np.float32)
    # Bumps of about a sixth of the photo; outside of one half of it they get rarer.
    smooth = opencv().GaussianBlur(noise, (0, 0), min(height, width) / 12)
    smooth /= smooth.std()
    x, y = _centre(height, width, generator)
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot((rows - y) / height, (columns - x) / width)
    smooth -= 2 * distance
    mask: Mask = smooth > np.quantile(smooth, 1 - share)
    return mask


def _centre(height: int, width: int, generator: Generator) -> tuple[int, int]:
    """Column and row, away from the border by a tenth of the photo."""
    return (
        int(generator.integers(width // 10, width - width // 10)),
        int(generator.integers(height // 10, height - height // 10)),
    )
