"""SSIM and MS-SSIM as part of a loss: both from one pyramid, in single precision.

The SSIM here has MS-SSIM's Gaussian windows, where ``metrics.ssim`` has uniform ones; what the two
reward is the same.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dcncodec.likeness import (
    GAUSSIAN,
    MS_SSIM_SIDE,
    SCALE_WEIGHTS,
    SIGMA,
    SSIM_K1,
    SSIM_K2,
)

WINDOW_STEP, COARSE = 2, 64
"""Every second window will do in each direction, where a side has so many pixels: they overlap."""
LEAST = 1e-4
"""Mean similarities below it count as it: their power has no bound to its gradient."""


def similarities(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor | None]:
    """SSIM and MS-SSIM of each image.

    Args:
        x, y: (B, C, H, W) in [0, 1], float32, sides at least 11 pixels.

    Returns:
        Both (B,); None for the MS-SSIM of images with sides below 161 pixels.
    """
    full, contrast = _similarity(x, y)
    ssim = full.mean(1)
    if min(x.shape[2:]) < MS_SSIM_SIDE:
        return ssim, None
    product = contrast.clamp_min(LEAST) ** SCALE_WEIGHTS[0]
    for weight in SCALE_WEIGHTS[1:]:
        padding = (x.shape[2] % 2, x.shape[3] % 2)
        x, y = (functional.avg_pool2d(z, 2, padding=padding) for z in (x, y))
        full, contrast = _similarity(x, y)
        last = weight == SCALE_WEIGHTS[-1]
        product = product * (full if last else contrast).clamp_min(LEAST) ** weight
    return ssim, product.mean(1)


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Means (B, C) of the similarity with luminance and without."""
    maps = _blur(torch.cat([x, y, x * x, y * y, x * y], 1))
    mean_x, mean_y, square_x, square_y, product = maps.chunk(5, 1)
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    both = mean_x * mean_y
    squares = mean_x * mean_x + mean_y * mean_y
    contrast = (2 * (product - both) + c2) / (square_x + square_y - squares + c2)
    full = contrast * (2 * both + c1) / (squares + c1)
    return full.mean((2, 3)), contrast.mean((2, 3))


def _blur(images: Tensor) -> Tensor:
    """Means over windows along both sides, as products with a band of the window's weights."""
    height, width = images.shape[2:]
    across = _band(width, images.device)
    down = across if height == width else _band(height, images.device)
    return down @ (images.contiguous() @ across.T)


def _band(side: int, device: torch.device) -> Tensor:
    """(windows, side): the weights of each window along a side of so many pixels."""
    step = WINDOW_STEP if side >= COARSE else 1
    first = torch.arange(0, side - GAUSSIAN + 1, step, device=device)[:, None]
    place = torch.arange(side, device=device) - first
    centre = GAUSSIAN // 2
    weights = torch.exp(-((place - centre).float() ** 2) / (2 * SIGMA**2))
    weights = torch.where((place >= 0) & (place < GAUSSIAN), weights, 0.0)
    return weights / weights.sum(1, keepdim=True)
