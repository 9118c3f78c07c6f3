"""Colours and contrast. The generators are not used."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from dcncodec.forensics.operations.operation import Pixels, opencv, skimage

Generator = np.random.Generator

TILES = (8, 8)
"""Parts of a photo, down and across, whose histograms are equalised each for itself."""


def quantise(pixels: Pixels, _: Generator, colours: int) -> Pixels:
    """A palette of the photo's own colours, without dithering (Pillow, median cut)."""
    image = Image.fromarray(pixels).quantize(colours, dither=Image.Dither.NONE)
    return np.array(image.convert("RGB"))


def dither(pixels: Pixels, _: Generator) -> Pixels:
    """The 216 colours of the web, dithered (Pillow, Floyd and Steinberg)."""
    return np.array(Image.fromarray(pixels).convert("P").convert("RGB"))


def autocontrast(pixels: Pixels, _: Generator, cutoff: int) -> Pixels:
    """Each colour stretched to 0..255 without its outermost percents (Pillow)."""
    return np.array(ImageOps.autocontrast(Image.fromarray(pixels), cutoff))


def equalise(pixels: Pixels, _: Generator, limit: float) -> Pixels:
    """Adaptive equalisation of the lightness's histogram with limited contrast (OpenCV)."""
    cv2 = opencv()
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab)
    lab[..., 0] = cv2.createCLAHE(limit, TILES).apply(lab[..., 0])
    equalised: Pixels = cv2.cvtColor(lab, cv2.COLOR_Lab2RGB)
    return equalised


def gamma_skimage(pixels: Pixels, _: Generator, exponent: float) -> Pixels:
    """Colours in [0, 1] to the power of ``exponent``."""
    changed: Pixels = skimage().exposure.adjust_gamma(pixels, exponent)
    return changed


def gamma_opencv(pixels: Pixels, _: Generator, exponent: float) -> Pixels:
    """The same by a table."""
    changed: Pixels = opencv().LUT(pixels, _power(exponent))
    return changed


def gamma_pillow(pixels: Pixels, _: Generator, exponent: float) -> Pixels:
    """The same by a table."""
    return np.array(Image.fromarray(pixels).point(3 * _power(exponent).tolist()))


def _power(exponent: float) -> Pixels:
    return np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
