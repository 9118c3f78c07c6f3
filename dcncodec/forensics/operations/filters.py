"""Blurring, denoising and sharpening. The generators are not used."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from dcncodec.forensics.operations.operation import (
    Pixels,
    denoise_wavelet,
    ndimage,
    opencv,
    skimage,
    to_pixels,
)

Generator = np.random.Generator

LAPLACIAN_SHARPENER = ((0, -1, 0), (-1, 5, -1), (0, -1, 0))


def box(pixels: Pixels, _: Generator, side: int) -> Pixels:
    """Mean of a square window (OpenCV)."""
    blurred: Pixels = opencv().blur(pixels, (side, side))
    return blurred


def gaussian_window(pixels: Pixels, _: Generator, side: int) -> Pixels:
    """Gaussian over a square window, of the deviation that OpenCV finds fitting."""
    blurred: Pixels = opencv().GaussianBlur(pixels, (side, side), 0)
    return blurred


def gaussian_opencv(pixels: Pixels, _: Generator, sigma: float) -> Pixels:
    """Gaussian with a standard deviation in pixels."""
    blurred: Pixels = opencv().GaussianBlur(pixels, (0, 0), sigma)
    return blurred


def gaussian_scipy(pixels: Pixels, _: Generator, sigma: float) -> Pixels:
    """Gaussian with a standard deviation in pixels."""
    return to_pixels(ndimage().gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0)))


def gaussian_skimage(pixels: Pixels, _: Generator, sigma: float) -> Pixels:
    """Gaussian with a standard deviation in pixels."""
    values = pixels.astype(np.float32)
    return to_pixels(skimage().filters.gaussian(values, sigma, channel_axis=-1))


def gaussian_pillow(pixels: Pixels, _: Generator, sigma: float) -> Pixels:
    """What Pillow calls Gaussian: box filters one after the other."""
    return np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def median_opencv(pixels: Pixels, _: Generator, side: int) -> Pixels:
    """Median of a square window, colour by colour."""
    filtered: Pixels = opencv().medianBlur(np.ascontiguousarray(pixels), side)
    return filtered


def median_scipy(pixels: Pixels, _: Generator, side: int) -> Pixels:
    """Median of a square window, colour by colour."""
    filtered: Pixels = ndimage().median_filter(pixels, (side, side, 1))
    return filtered


def median_pillow(pixels: Pixels, _: Generator, side: int) -> Pixels:
    """Median of a square window, colour by colour."""
    return np.array(Image.fromarray(pixels).filter(ImageFilter.MedianFilter(side)))


def median_disk(pixels: Pixels, _: Generator, radius: int) -> Pixels:
    """Median of a round window, colour by colour (scikit-image)."""
    footprint = skimage().morphology.disk(radius)[..., None]
    filtered: Pixels = skimage().filters.median(pixels, footprint)
    return filtered


def wavelet(pixels: Pixels, _: Generator, sigma: float) -> Pixels:
    """Wavelet denoising of noise with a deviation in grey levels (scikit-image, BayesShrink)."""
    denoised = denoise_wavelet()(
        pixels.astype(np.float32) / 255, sigma=sigma / 255, channel_axis=-1
    )
    return to_pixels(255 * denoised)


def unsharp_pillow(pixels: Pixels, _: Generator, radius: float, percent: int) -> Pixels:
    """Unsharp masking."""
    mask = ImageFilter.UnsharpMask(radius, percent, 0)
    return np.array(Image.fromarray(pixels).filter(mask))


def unsharp_opencv(pixels: Pixels, _: Generator, sigma: float, amount: float) -> Pixels:
    """Unsharp masking, put together of a Gaussian and a weighted sum."""
    cv2 = opencv()
    blurred = cv2.GaussianBlur(pixels, (0, 0), sigma)
    sharp: Pixels = cv2.addWeighted(pixels, 1 + amount, blurred, -amount, 0)
    return sharp


def unsharp_skimage(pixels: Pixels, _: Generator, radius: float, amount: float) -> Pixels:
    """Unsharp masking. Of an axis counted from the end the library sharpens three rows only, and
    leaves the others as the memory was."""
    sharp = skimage().filters.unsharp_mask(pixels, radius, amount, channel_axis=2)
    return to_pixels(255 * sharp)


def laplacian(pixels: Pixels, _: Generator) -> Pixels:
    """The 3x3 sharpening kernel of textbooks (OpenCV)."""
    sharp: Pixels = opencv().filter2D(pixels, -1, np.array(LAPLACIAN_SHARPENER, np.float32))
    return sharp


def enhance(pixels: Pixels, _: Generator, factor: float) -> Pixels:
    """Pillow's sharpness, 1 for the photo as it is."""
    return np.array(ImageEnhance.Sharpness(Image.fromarray(pixels)).enhance(factor))
