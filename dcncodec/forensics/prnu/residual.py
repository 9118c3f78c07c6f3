"""Noise residuals: what a wavelet denoiser takes out of a photo (Mihcak et al. 1999).

Also the two filters that make residuals and fingerprints comparable (Chen et al. 2008): zero means
of the Bayer filter's four sub-lattices, and Wiener filtering in the Fourier domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import ImageError, MissingLibraryError

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Block = tuple[slice, slice]

SIGMA = 3.0
"""Standard deviation of the noise that is taken out, grey levels."""
WAVELET, LEVELS = "db4", 4
WINDOWS = (3, 5, 7, 9)
"""Sides of the windows over which local variances are estimated; the smallest estimate counts."""
SMALLEST = 128
"""Pixels that a photo has in either direction, at least: four levels of filters of eight taps."""
BLOCK = 1024
"""Side of the blocks in which large photos are filtered, a multiple of 2 ** LEVELS."""
HALO = 176
"""Pixels around a block on which its residual depends, a multiple of 2 ** LEVELS: analysis and
synthesis reach 7 * 15 pixels together, the largest window 4 * 16."""
GREY = (0.2989, 0.5870, 0.1140)
"""Weights of R, G and B."""


def residual(pixels: Pixels, sigma: float = SIGMA) -> Floats:
    """The noise of a photo, I - F(I), colour by colour.

    Args:
        pixels: uint8 (H, W, 3).
        sigma: of the noise, grey levels.

    Returns:
        float32 (H, W, 3), grey levels.

    Raises:
        ImageError: the photo is smaller than ``SMALLEST``.
        MissingLibraryError: PyWavelets or scipy is not installed.
    """
    noise = np.empty(pixels.shape, np.float32)
    for place, part in residual_blocks(pixels, sigma):
        noise[place] = part
    return noise


def residual_blocks(pixels: Pixels, sigma: float = SIGMA) -> Iterator[tuple[Block, Floats]]:
    """``residual`` in blocks that partition the photo: their rows and columns, and their noise.

    Large photos take the memory of one block, and their blocks are as of the whole.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST:
        raise ImageError(
            f"{width} x {height} pixels are too few to find noise in; at least "
            f"{SMALLEST} x {SMALLEST} are needed"
        )
    for inner_place, outer_place, within in blocks(height, width):
        outer = pixels[outer_place]
        planes = [_noise(outer[..., i].astype(np.float32), sigma)[within] for i in range(3)]
        yield inner_place, np.stack(planes, axis=-1)


def blocks(height: int, width: int) -> Iterator[tuple[Block, Block, Block]]:
    """Blocks that partition a photo.

    Yields:
        Rows and columns of a block, of the same with ``HALO`` pixels around it, and of the first
        within the second.
    """
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            inside, outside, within = [], [], []
            for first, side in ((top, height), (left, width)):
                last = min(first + BLOCK, side)
                begin = max(first - HALO, 0)
                inside.append(slice(first, last))
                outside.append(slice(begin, min(last + HALO, side)))
                within.append(slice(first - begin, last - begin))
            yield (inside[0], inside[1]), (outside[0], outside[1]), (within[0], within[1])


def to_grey(planes: Pixels | Floats) -> Floats:
    """(H, W, 3) to float32 (H, W), weighted by ``GREY``."""
    return np.asarray(planes @ np.array(GREY, np.float32), np.float32)


def inner(first: Floats, second: Floats) -> float:
    """The sum of the products of two planes (H, W), each row in float32, all rows in float64."""
    return float(np.einsum("ij,ij->i", first, second).sum(dtype=np.float64))


def zero_mean(plane: Floats) -> Floats:
    """Without the means of rows and columns in each of the four sub-lattices of a Bayer filter.

    Removes what demosaicing and the sensor's rows and columns leave alike in every camera.

    Args:
        plane: float32 (H, W).

    Returns:
        A new one.
    """
    centred = plane.copy()
    for row in (0, 1):
        for column in (0, 1):
            part = centred[row::2, column::2]
            part -= part.mean(1, dtype=np.float64, keepdims=True).astype(np.float32)
            part -= part.mean(0, dtype=np.float64, keepdims=True).astype(np.float32)
    return centred


def wiener(plane: Floats) -> Floats:
    """Only what looks like white noise: peaks of the spectrum (blocks, patterns) are shrunk.

    Args:
        plane: float32 (H, W), of mean 0.

    Returns:
        A new one, of mean 0.
    """
    from scipy.fft import irfft2, rfft2

    variance = inner(plane, plane) / plane.size
    spectrum = rfft2(plane)
    power = np.abs(spectrum)
    np.square(power, out=power)
    power /= np.float32(plane.size)
    spectrum *= _noise_share(power, variance)
    spectrum[0, 0] = 0
    filtered: Floats = irfft2(spectrum, plane.shape, overwrite_x=True)
    return filtered


def wavelet_details(plane: Floats, levels: int) -> Floats:
    """A plane (H, W) without what is coarser than so many levels of the wavelet transform."""
    pywt = wavelets()
    approximation, *bands = pywt.wavedec2(plane, WAVELET, level=levels)
    details: Floats = pywt.waverec2([np.zeros_like(approximation), *bands], WAVELET)
    return details[: plane.shape[0], : plane.shape[1]]


def _noise(plane: Floats, sigma: float) -> Floats:
    """The noise in one colour, (H, W)."""
    pywt = wavelets()
    approximation, *bands = pywt.wavedec2(plane, WAVELET, level=LEVELS)
    noisy = [
        tuple(band * _noise_share(np.square(band), sigma**2) for band in level) for level in bands
    ]
    noise: Floats = pywt.waverec2([np.zeros_like(approximation), *noisy], WAVELET)
    return noise[: plane.shape[0], : plane.shape[1]]


def _noise_share(power: Floats, variance: float) -> Floats:
    """Of coefficients with local power = signal + noise: the Wiener weight of the noise, (0, 1]."""
    from scipy.ndimage import uniform_filter

    local = uniform_filter(power, WINDOWS[0])
    for side in WINDOWS[1:]:
        np.minimum(local, uniform_filter(power, side), out=local)
    # variance / (max(0, local - variance) + variance), and 0 where both are 0
    np.maximum(local, max(np.float32(variance), np.finfo(np.float32).tiny), out=local)
    np.divide(np.float32(variance), local, out=local)
    share: Floats = local
    return share


def wavelets() -> ModuleType:
    """PyWavelets; MissingLibraryError where it or scipy is not installed."""
    try:
        import pywt
        import scipy.ndimage  # noqa: F401
    except ImportError:
        raise MissingLibraryError(
            "sensor fingerprints need PyWavelets and scipy", extras=("forensics", "train")
        ) from None
    library: ModuleType = pywt
    return library
