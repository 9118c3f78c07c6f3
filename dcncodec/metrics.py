"""Distortion metrics of tensors: PSNR, SSIM as scikit-image computes it by default, and MS-SSIM.

For losses, and whatever else works with torch; ``likeness`` has those of pictures. A test holds
SSIM to scikit-image's value, and another one MS-SSIM to published ones.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dcncodec.likeness import (
    GAUSSIAN,
    SCALE_WEIGHTS,
    SIGMA,
    SSIM_K1,
    SSIM_K2,
    SSIM_WINDOW,
    STRIP_PIXELS,
)


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


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 (..., H, W, 3) to float32 (..., 3, H, W) in [0, 1]."""
    return pixels.movedim(-1, -3).float() / 255


def to_bytes(pixels: Tensor) -> Tensor:
    """Float (..., 3, H, W) to uint8 (..., H, W, 3): clipped to [0, 1], rounded to the nearest."""
    return (pixels.float().clamp(0, 1) * 255).round().to(torch.uint8).movedim(-3, -1)
