"""How alike pictures are: PSNR, SSIM as scikit-image computes it by default, and MS-SSIM.

Written in NumPy and C (``csrc/ssim``), so that ``dcn encode`` needs no further library; tests hold
the similarities to those of ``metrics``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import MissingLibraryError
from dcncodec.notices import Notice

if TYPE_CHECKING:
    from dcncodec.formats.picture import Picture

Image = NDArray[np.floating[Any]]
"""(H, W, 3) in [0, 1]."""

SSIM_WINDOW = 7
POOR_PSNR, LEAST_PSNR = 28.0, 20.0
"""Photos of Kodak have 29 dB and more at ``GOOD_RATE``, and 21 dB and more at all rates."""
GOOD_RATE = 97
SSIM_K1, SSIM_K2 = 0.01, 0.03
BAND_ROWS = 2040
"""Rows that are decoded at a time to be compared: with those that SSIM needs below, two windows."""
STRIP_PIXELS = 2**16
"""Of a strip in which pictures are compared: about 20 MB in double precision."""
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
GAUSSIAN, SIGMA = 11, 1.5
MS_SSIM_SIDE = (GAUSSIAN - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1
"""The smallest side of an image (161 pixels) whose coarsest scale still holds a window."""

UNIFORM = (1 / SSIM_WINDOW,) * SSIM_WINDOW
_bell = np.exp(-((np.arange(GAUSSIAN) - GAUSSIAN // 2) ** 2) / (2 * SIGMA**2))
BELL = tuple((_bell / _bell.sum()).tolist())


def ssim(x: Image, y: Image) -> float:
    """Structural similarity of images with sides of at least 7.

    The mean over the windows that lie inside the image and over the channels (DCN paper, section
    3.5).
    """
    return float(similarities(x, y).mean())


def similarities(x: Image, y: Image) -> Image:
    """Structural similarity of every window inside the images, and channel.

    A uniform 7x7 window, sample covariance, data range 1.

    Raises:
        ValueError: the images are smaller than a window, or not of one size.
    """
    count = SSIM_WINDOW**2
    return _similarities(x, y, UNIFORM, count / (count - 1), with_luminance=True)


def ms_ssim(x: Image, y: Image) -> float:
    """Multi-scale SSIM of images with sides of at least 161.

    With the weights and windows of Wang et al. (2003), as pytorch_msssim computes it.

    Raises:
        ValueError: the images are smaller, or not of one size.
    """
    _check_sizes(x, y, MS_SSIM_SIDE)
    product = np.ones(3)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        last = scale == len(SCALE_WEIGHTS) - 1
        product *= _mean_similarity(x, y, last).clip(min=0) ** weight
        x, y = _halved(x), _halved(y)
    return float(product.mean())


def contrasts(x: Image, y: Image, scales: int) -> Iterator[Image]:
    """Contrast with structure of every window inside the images and channel, at the first scales of
    ``ms_ssim``, each half as large as the one before."""
    for _ in range(scales):
        yield _similarities(x, y, BELL, with_luminance=False)
        x, y = _halved(x), _halved(y)


def _mean_similarity(x: Image, y: Image, with_luminance: bool) -> NDArray[np.float64]:
    """Contrast and structure, with luminance or without: means of the channels, (3,)."""
    rows, columns = (side - GAUSSIAN + 1 for side in x.shape[:2])
    step = max(1, STRIP_PIXELS // columns)
    total = np.zeros(3)
    for top in range(0, rows, step):
        part = slice(top, min(top + step, rows) + GAUSSIAN - 1)
        similar = _similarities(x[part], y[part], BELL, with_luminance=with_luminance)
        # Rows first, which are added up several numbers at a time.
        total += similar.sum(0, dtype=np.float64).sum(0)
    mean: NDArray[np.float64] = total / (rows * columns)
    return mean


def _similarities(
    x: Image, y: Image, window: Sequence[float], sample: float = 1.0, *, with_luminance: bool
) -> Image:
    """Contrast with structure, with luminance or without, of every window inside the images.

    Args:
        x, y: the images, both in single precision or taken in double.
        window: weights along a side of it.
        sample: factor of variances and covariances.
        with_luminance: whether it counts.
    """
    _check_sizes(x, y, len(window))  # The core takes them at their word.
    core = _extension()
    single = x.dtype == np.float32
    precision: type[np.floating[Any]] = np.float32 if single else np.float64
    function = core.lib.dcn_ssim_f32 if single else core.lib.dcn_ssim_f64

    def buffer(array: NDArray[Any] | None) -> Any:
        kind = "float[]" if single else "double[]"
        return core.ffi.NULL if array is None else core.ffi.from_buffer(kind, array)

    x, y = (np.ascontiguousarray(image, precision) for image in (x, y))
    rows, columns, channels = x.shape
    shape = rows - len(window) + 1, columns - len(window) + 1, channels
    contrast = np.empty(shape, precision)
    luminance = np.empty(shape, precision) if with_luminance else None
    levels, weights = (np.array(values, precision) for values in ((x.mean(), y.mean()), window))
    work = np.empty((core.lib.DCN_SSIM_WORK, columns, channels), precision)
    images = map(buffer, (contrast, luminance, x, y, levels))
    function(*images, *x.shape, buffer(weights), len(window), sample, buffer(work))
    return contrast if luminance is None else contrast * luminance


def _check_sizes(x: Image, y: Image, side: int) -> None:
    if x.shape != y.shape or min(x.shape[:2]) < side:
        shapes = " and ".join("x".join(map(str, image.shape)) for image in (x, y))
        raise ValueError(f"two images of one size, {side} x {side} or more, are needed: {shapes}")


@cache
def _extension() -> Any:
    try:
        from dcncodec import _ssim
    except ImportError as error:
        raise MissingLibraryError(
            f"SSIM's C core is not built ({error}); install dcncodec with pip, which needs a C "
            "compiler"
        ) from None
    return _ssim


def _halved(image: Image) -> Image:
    """Means of 2 x 2 pixels; along odd sides from one before the first, which is black, on."""
    odd = [(side % 2, side % 2) for side in image.shape[:2]]
    padded = np.pad(image, (*odd, (0, 0))) if any(map(any, odd)) else image
    rows, columns = (side // 2 * 2 for side in padded.shape[:2])
    padded = padded[:rows, :columns]
    pairs = padded[::2] + padded[1::2]
    halved: Image = (pairs[:, ::2] + pairs[:, 1::2]) / 4
    return halved


def decibel(value: float) -> float:
    """A similarity of at most 1 as -10 log10(1 - x), dB; 100 dB from 1 - 1e-10 on."""
    return -10 * math.log10(max(1 - value, 1e-10))


def poor_quality(
    figures: dict[str, float | None], source: str = "", rate: int = 0
) -> Notice | None:
    """A notice if ``quality_of`` gave a PSNR that no photo gets: of text and patterns, mostly.

    Args:
        figures: of a decoded picture.
        source: of the picture.
        rate: of its file; 0 for models of one rate.
    """
    psnr = figures["psnr"]
    if psnr is None or psnr >= (POOR_PSNR if rate >= GOOD_RATE else LEAST_PSNR):
        return None
    text = f"only {psnr:.1f} dB: the model was made for photos, and this is unlike any"
    return Notice("quality", text, source)


def quality_of(
    original: Picture,
    decoded: Picture | Callable[[int, int], Picture],
    precision: type[np.floating[Any]] = np.float64,
) -> dict[str, float | None]:
    """PSNR in dB and SSIM of a decoded picture, which may be padded at its right and bottom.

    None stands for a PSNR without any error and for the SSIM of an image below 7 x 7 pixels. The
    pictures are compared strip by strip, or double precision would take far more than they do.

    Args:
        original: the picture before.
        decoded: the one after, or what gives its rows from the first number to before the second,
            so that it is never there as a whole.
        precision: in which they are compared.
    """
    height, width = original.pixels.shape[:2]
    small = min(height, width) < SSIM_WINDOW
    rows = max(1, STRIP_PIXELS // width)
    squares = similarity = 0.0
    for first in range(0, height, BAND_ROWS):
        # SSIM's windows that begin in these rows reach further down.
        last = min(first + BAND_ROWS + SSIM_WINDOW - 1, height)
        band = decoded(first, last).pixels if callable(decoded) else decoded.pixels[first:last]
        for top in range(first, min(first + BAND_ROWS, height), rows):
            bottom = min(top + rows + SSIM_WINDOW - 1, last)
            own = min(rows, first + BAND_ROWS - top)
            x, y = (
                _to_unit(pixels[:, :width], precision)
                for pixels in (original.pixels[top:bottom], band[top - first : bottom - first])
            )
            squares += float(np.square(x[:own] - y[:own]).sum())
            windows = bottom - top - SSIM_WINDOW + 1
            if windows > 0 and not small:
                similarity += ssim(x, y) * windows
    error = squares / (height * width * 3)
    return {
        "psnr": -10 * math.log10(error) if error else None,
        "ssim": None if small else similarity / (height - SSIM_WINDOW + 1),
    }


def measure_likeness(
    metric: Literal["psnr", "ssim", "msssim"], original: Picture, decoded: Picture
) -> float | None:
    """One metric of a decoded picture of the same size: dB, or a similarity of at most 1.

    Similarities are computed in single precision, which takes half the time and is off by 1e-5 at
    most where they are 0.9 and more.
    None stands for a PSNR without any error, and for a similarity of pictures that are too small.
    """
    if metric == "psnr":
        error = _mean_square(original.pixels, decoded.pixels)
        return -10 * math.log10(error / 255**2) if error else None
    if metric == "ssim":
        return quality_of(original, decoded, np.float32)["ssim"]
    if min(original.pixels.shape[:2]) < MS_SSIM_SIDE:
        return None
    return ms_ssim(*(_to_unit(picture.pixels, np.float32) for picture in (original, decoded)))


def _mean_square(x: NDArray[np.uint8], y: NDArray[np.uint8]) -> float:
    rows = max(1, STRIP_PIXELS // x.shape[1])
    total = 0
    for top in range(0, len(x), rows):
        difference = x[top : top + rows].astype(np.int32) - y[top : top + rows]
        total += int(np.square(difference).sum(dtype=np.int64))
    return total / x.size


def _to_unit(pixels: NDArray[np.uint8], precision: type[np.floating[Any]]) -> Image:
    return pixels / precision(255)
