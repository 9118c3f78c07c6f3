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

from dcncodec.errors import MissingLibraryError
from dcncodec.likeness import MS_SSIM_SIDE, SSIM_WINDOW, ms_ssim
from dcncodec.metrics import psnr, ssim, to_unit

Pixels = NDArray[np.uint8]

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
    peak_ratio = float(psnr(reference, distorted))
    side = min(original.shape[:2])
    return Distortion(
        psnr=None if math.isinf(peak_ratio) else peak_ratio,
        ssim=float(ssim(reference, distorted)) if side >= SSIM_WINDOW else None,
        msssim=ms_ssim(original / 255, decoded / 255) if side >= MS_SSIM_SIDE else None,
        ssimulacra2=_ssimulacra2(original, decoded) if perceptual else None,
    )


def check_perceptual() -> None:
    """Tell whether SSIMULACRA 2 can be computed.

    Raises:
        MissingLibraryError: the package is missing.
    """
    try:
        import ssimulacra2  # noqa: F401
    except ImportError:
        raise MissingLibraryError(
            "SSIMULACRA 2 needs ssimulacra2: pip install ssimulacra2"
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


def from_scale(metric: str, value: float) -> float:
    """A metric from its value on the scale of BD-rates, where similarities are in dB."""
    return 1 - 10 ** (-value / 10) if metric in IN_DECIBEL else value
