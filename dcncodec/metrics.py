"""Distortion metrics: PSNR, SSIM as scikit-image computes it by default, and MS-SSIM.

Written in torch, so that training and ``dcn encode`` need no further library; a test holds SSIM to
scikit-image's value, and another one MS-SSIM to published ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from dcncodec.formats.image import Picture
from dcncodec.notices import Notice

SSIM_WINDOW = 7
POOR_PSNR = 20.0
"""Photos have more than 24 dB with the models for low quality."""
SSIM_K1, SSIM_K2 = 0.01, 0.03
BAND_ROWS = 2040
"""Rows that are decoded at a time to be compared: with those that SSIM needs below, two windows."""
STRIP_PIXELS = 2**16
"""Of a strip in which pictures are compared: about 20 MB in double precision."""
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
GAUSSIAN, SIGMA = 11, 1.5
MS_SSIM_SIDE = (GAUSSIAN - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1
"""The smallest side of an image (161 pixels) whose coarsest scale still holds a window."""


def psnr(reference: Tensor, distorted: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB per image: (B, C, H, W) in [0, 1] to (B,).

    Identical images give infinity.
    """
    mse = (reference.double() - distorted.double()).square().flatten(1).mean(1)
    return -10 * mse.log10()


def ssim(reference: Tensor, distorted: Tensor) -> Tensor:
    """Structural similarity per image: (B, C, H, W) in [0, 1], H and W at least 7, to (B,).

    A uniform 7x7 window, sample covariance, data range 1, mean over the windows that lie inside
    the image and over the channels (DCN paper, section 3.5).

    Raises:
        ValueError: the images are smaller than the window.
    """
    if min(reference.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs images of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels")
    x, y = reference.double(), distorted.double()
    mean_x, mean_y = _mean(x), _mean(y)
    count = SSIM_WINDOW**2
    sample = count / (count - 1)
    var_x = sample * (_mean(x * x) - mean_x * mean_x)
    var_y = sample * (_mean(y * y) - mean_y * mean_y)
    cov = sample * (_mean(x * y) - mean_x * mean_y)
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    structure = (2 * cov + c2) / (var_x + var_y + c2)
    return (luminance * structure).flatten(1).mean(1)


def _mean(images: Tensor) -> Tensor:
    # Along one side after the other, 14 samples a window instead of 49: this is in the loss, too.
    columns = functional.avg_pool2d(images, (SSIM_WINDOW, 1), stride=1)
    return functional.avg_pool2d(columns, (1, SSIM_WINDOW), stride=1)


def ms_ssim(reference: Tensor, distorted: Tensor) -> Tensor:
    """Multi-scale SSIM per image: (B, C, H, W) in [0, 1], sides at least 161, to (B,).

    With the weights and windows of Wang et al. (2003), as pytorch_msssim computes it.
    """
    x, y = reference.double(), distorted.double()
    product = torch.ones(x.shape[:2], dtype=torch.float64)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        last = scale == len(SCALE_WEIGHTS) - 1
        product *= _mean_similarity(x, y, last).clamp(min=0) ** weight
        if not last:
            padding = (x.shape[2] % 2, x.shape[3] % 2)
            x = functional.avg_pool2d(x, 2, padding=padding)
            y = functional.avg_pool2d(y, 2, padding=padding)
    return product.mean(1)


def _mean_similarity(x: Tensor, y: Tensor, luminance: bool) -> Tensor:
    """Contrast and structure, with luminance or without, for a Gaussian window: means (B, C)."""
    rows, columns = (side - GAUSSIAN + 1 for side in x.shape[2:])
    step = max(1, STRIP_PIXELS // columns)
    total = torch.zeros(x.shape[:2], dtype=torch.float64)
    for top in range(0, rows, step):
        bottom = min(top + step, rows) + GAUSSIAN - 1
        total += _similarity(x[:, :, top:bottom], y[:, :, top:bottom], luminance).sum((2, 3))
    return total / (rows * columns)


def _similarity(x: Tensor, y: Tensor, luminance: bool) -> Tensor:
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x * mean_x
    var_y = _blur(y * y) - mean_y * mean_y
    cov = _blur(x * y) - mean_x * mean_y
    similarity = (2 * cov + c2) / (var_x + var_y + c2)
    if luminance:
        similarity *= (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    return similarity


def _blur(images: Tensor) -> Tensor:
    offsets = torch.arange(GAUSSIAN, dtype=torch.float64) - GAUSSIAN // 2
    window = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    window /= window.sum()
    # Sums of shifted images: twenty times as fast as conv2d with its single channel.
    for axis in (2, 3):
        length = images.shape[axis] - GAUSSIAN + 1
        blurred = images.narrow(axis, 0, length) * window[0]
        for offset in range(1, GAUSSIAN):
            part = images.narrow(axis, offset, length)
            blurred.add_(part, alpha=float(window[offset]))
        images = blurred
    return images


def decibel(value: float) -> float:
    """A similarity of at most 1 as -10 log10(1 - x), dB; 100 dB from 1 - 1e-10 on."""
    return -10 * math.log10(max(1 - value, 1e-10))


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 (..., H, W, 3) to float32 (..., 3, H, W) in [0, 1]."""
    return pixels.movedim(-1, -3).float() / 255


def to_bytes(pixels: Tensor) -> Tensor:
    """Float (..., 3, H, W) to uint8 (..., H, W, 3): clipped to [0, 1], rounded to the nearest."""
    return (pixels.float().clamp(0, 1) * 255).round().to(torch.uint8).movedim(-3, -1)


def poor_quality(figures: dict[str, float | None], source: str = "") -> Notice | None:
    """A notice if ``quality_of`` gave a PSNR that no photo gets: of patterns, mostly."""
    psnr = figures["psnr"]
    if psnr is None or psnr >= POOR_PSNR:
        return None
    text = f"only {psnr:.1f} dB: the model was made for photos, and this is unlike any"
    return Notice("quality", text, source)


def quality_of(
    original: Picture, decoded: Picture | Callable[[int, int], Picture]
) -> dict[str, float | None]:
    """PSNR in dB and SSIM of a decoded picture, which may be padded at its right and bottom.

    None stands for a PSNR without any error and for the SSIM of an image below 7 x 7 pixels. The
    pictures are compared strip by strip, or double precision would take far more than they do.

    Args:
        original: the picture before.
        decoded: the one after, or what gives its rows from the first number to before the second,
            so that it is never there as a whole.
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
                _strip(p, width)
                for p in (original.pixels[top:bottom], band[top - first : bottom - first])
            )
            squares += float((x - y)[..., :own, :].double().square().sum())
            windows = bottom - top - SSIM_WINDOW + 1
            if windows > 0 and not small:
                similarity += float(ssim(x, y)) * windows
    error = squares / (height * width * 3)
    return {
        "psnr": -10 * math.log10(error) if error else None,
        "ssim": None if small else similarity / (height - SSIM_WINDOW + 1),
    }


def measure_likeness(
    metric: Literal["psnr", "ssim", "msssim"], original: Picture, decoded: Picture
) -> float | None:
    """One metric of a decoded picture of the same size: dB, or a similarity of at most 1.

    None stands for a PSNR without any error, and for a similarity of pictures that are too small.
    """
    if metric == "psnr":
        error = _mean_square(original.pixels, decoded.pixels)
        return -10 * math.log10(error / 255**2) if error else None
    if metric == "ssim":
        return quality_of(original, decoded)["ssim"]
    if min(original.pixels.shape[:2]) < MS_SSIM_SIDE:
        return None
    x, y = (_strip(picture.pixels, original.width) for picture in (original, decoded))
    return float(ms_ssim(x, y))


def _mean_square(x: NDArray[np.uint8], y: NDArray[np.uint8]) -> float:
    rows = max(1, STRIP_PIXELS // x.shape[1])
    total = 0
    for top in range(0, len(x), rows):
        difference = x[top : top + rows].astype(np.int32) - y[top : top + rows]
        total += int(np.square(difference).sum(dtype=np.int64))
    return total / x.size


def _strip(pixels: NDArray[np.uint8], width: int) -> Tensor:
    # torch refuses read-only arrays, such as those of Pillow.
    writable = np.require(pixels[:, :width], requirements=["C", "W"])
    return to_unit(torch.from_numpy(writable))[None]
