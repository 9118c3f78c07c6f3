"""Distortion metrics of tensors: PSNR, and SSIM as scikit-image computes it by default.

For losses, and whatever else works with torch; ``likeness`` has those of pictures, and MS-SSIM. A
test holds SSIM to scikit-image's value.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dcncodec.likeness import SSIM_K1, SSIM_K2, SSIM_WINDOW


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


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 (..., H, W, 3) to float32 (..., 3, H, W) in [0, 1]."""
    return pixels.movedim(-1, -3).float() / 255


def to_bytes(pixels: Tensor) -> Tensor:
    """Float (..., 3, H, W) to uint8 (..., H, W, 3): clipped to [0, 1], rounded to the nearest."""
    return (pixels.float().clamp(0, 1) * 255).round().to(torch.uint8).movedim(-3, -1)
