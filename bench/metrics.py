"""Distortion metrics of the benchmark, on 8-bit pixels (DCN paper, section 3.5).

PSNR over R, G and B together; SSIM as scikit-image computes it by default; MS-SSIM with the
weights and windows of Wang et al. (2003), as pytorch_msssim computes it. Both similarities are
means over R, G and B. SSIMULACRA 2 comes from the package of that name and takes a second an
image, so it is only computed on request.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from dcncodec.errors import MissingLibraryError
from dcncodec.metrics import SSIM_WINDOW, psnr, ssim, to_unit

Pixels = NDArray[np.uint8]

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03
MS_SSIM_SIDE = (WINDOW - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1
"""The smallest side of an image (161 pixels) whose coarsest scale still holds a window."""

METRICS = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "msssim": "MS-SSIM, dB",
    "ssimulacra2": "SSIMULACRA 2",
}
"""Every metric and how axes call it."""
IN_DECIBEL = ("ssim", "msssim")
"""Metrics with the maximum 1, whose BD-rates are computed over -10 log10(1 - x)."""


@dataclass(frozen=True)
class Distortion:
    """All metrics of one decoded image.

    Attributes:
        psnr: dB; None for identical pixels.
        ssim: at most 1; None below 7 x 7 pixels.
        msssim: at most 1; None where a side is below ``MS_SSIM_SIDE``.
        ssimulacra2: at most 100; None unless asked for.
    """

    psnr: float | None
    ssim: float | None
    msssim: float | None
    ssimulacra2: float | None = None


def measure(original: Pixels, decoded: Pixels, *, perceptual: bool = False) -> Distortion:
    """Compare two images of shape (H, W, 3).

    Raises:
        MissingLibraryError: ``perceptual`` without the ssimulacra2 package.
        ValueError: the shapes differ.
    """
    if original.shape != decoded.shape:
        raise ValueError(f"pixels of {original.shape} and of {decoded.shape}")
    reference, distorted = (
        to_unit(torch.from_numpy(np.require(p, requirements=["C", "W"])))[None]
        for p in (original, decoded)
    )
    decibel = float(psnr(reference, distorted))
    side = min(original.shape[:2])
    return Distortion(
        psnr=None if math.isinf(decibel) else decibel,
        ssim=float(ssim(reference, distorted)) if side >= SSIM_WINDOW else None,
        msssim=float(ms_ssim(reference, distorted)) if side >= MS_SSIM_SIDE else None,
        ssimulacra2=_ssimulacra2(original, decoded) if perceptual else None,
    )


def ms_ssim(reference: Tensor, distorted: Tensor) -> Tensor:
    """Multi-scale SSIM per image: (B, C, H, W) in [0, 1], sides at least 161, to (B,)."""
    x, y = reference.double(), distorted.double()
    product = torch.ones(x.shape[:2], dtype=torch.float64)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        luminance, structure = _similarity(x, y)
        last = scale == len(SCALE_WEIGHTS) - 1
        value = luminance * structure if last else structure
        product *= value.mean((2, 3)).clamp(min=0) ** weight
        if not last:
            padding = (x.shape[2] % 2, x.shape[3] % 2)
            x = functional.avg_pool2d(x, 2, padding=padding)
            y = functional.avg_pool2d(y, 2, padding=padding)
    return product.mean(1)


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance and contrast-structure maps for a Gaussian window."""
    c1, c2 = K1**2, K2**2
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x * mean_x
    var_y = _blur(y * y) - mean_y * mean_y
    cov = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    return luminance, (2 * cov + c2) / (var_x + var_y + c2)


def _blur(images: Tensor) -> Tensor:
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    window = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    window /= window.sum()
    # Sums of shifted images: twenty times as fast as conv2d with its single channel.
    for axis in (2, 3):
        length = images.shape[axis] - WINDOW + 1
        blurred = images.narrow(axis, 0, length) * window[0]
        for offset in range(1, WINDOW):
            part = images.narrow(axis, offset, length)
            blurred.add_(part, alpha=float(window[offset]))
        images = blurred
    return images


def check_perceptual() -> None:
    """Tell whether SSIMULACRA 2 can be computed.

    Raises:
        MissingLibraryError: the package is missing.
    """
    try:
        import ssimulacra2  # noqa: F401
    except ImportError:
        raise MissingLibraryError(
            "SSIMULACRA 2 needs ssimulacra2; install it with: pip install 'dcncodec[bench]'"
        ) from None


def _ssimulacra2(original: Pixels, decoded: Pixels) -> float:
    check_perceptual()
    from ssimulacra2 import compute_ssimulacra2

    files = []
    for pixels in (original, decoded):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "BMP")
        files.append(file)
    return float(compute_ssimulacra2(*files))


def decibel(value: float) -> float:
    """A similarity of at most 1 as -10 log10(1 - x), dB; 100 dB from 1 - 1e-10 on."""
    return -10 * math.log10(max(1 - value, 1e-10))


def from_scale(metric: str, value: float) -> float:
    """A metric from its value on the scale of BD-rates, where similarities are in dB."""
    return 1 - 10 ** (-value / 10) if metric in IN_DECIBEL else value
