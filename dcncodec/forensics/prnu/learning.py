"""The residual of photos as networks can learn by it: ``residual.residual`` in torch, with a
gradient, and its correlation with the pattern that a sensor left in a photo."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.forensics.prnu.residual import GREY, LEVELS, SIGMA, WAVELET, WINDOWS, wavelets

MULTIPLE = 2**LEVELS
"""Sides in pixels are multiples of this."""
SMALLEST = 64
"""Side in pixels below which the filters of the last level would wrap around more than once."""


class NoiseResidual(nn.Module):
    """Noise as the wavelet denoiser of ``residual`` finds it; pictures go on periodically.

    Raises:
        MissingLibraryError: PyWavelets is not installed.
    """

    kernels: Tensor
    grey: Tensor

    def __init__(self) -> None:
        super().__init__()
        wavelet = wavelets().Wavelet(WAVELET)
        low, high = (torch.tensor(taps) for taps in (wavelet.rec_lo, wavelet.rec_hi))
        pairs = [(low, low), (low, high), (high, low), (high, high)]
        kernels = torch.stack([rows[:, None] * columns for rows, columns in pairs])[:, None]
        self.register_buffer("kernels", kernels, persistent=False)
        self.register_buffer("grey", torch.tensor(GREY), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """RGB (B, 3, H, W) in [0, 1] to grey (B, H, W), in grey levels.

        H and W are multiples of ``MULTIPLE``, and ``SMALLEST`` at least.
        """
        rough = pixels.float().flatten(0, 1)[:, None] * 255
        noises = []
        for _ in range(LEVELS):
            bands = self._split(rough)
            rough = bands[:, :1]
            noises.append(bands[:, 1:] * noise_share(bands[:, 1:]))
        noise = torch.zeros_like(rough)
        for details in reversed(noises):
            noise = self._join(torch.cat([noise, details], 1))
        planes = noise.view(pixels.shape) * self.grey[:, None, None]
        return planes.sum(1)

    def _split(self, plane: Tensor) -> Tensor:
        """(n, 1, h, w) to its four bands (n, 4, h/2, w/2)."""
        reach = self.kernels.shape[-1] - 2
        # Where those of PyWavelets begin: the transform is another one for other parities.
        around = functional.pad(plane, (reach, 0, reach, 0), mode="circular")
        return functional.conv2d(around, self.kernels, stride=2)

    def _join(self, bands: Tensor) -> Tensor:
        """What ``_split`` took apart: its transpose, as the wavelets are orthogonal."""
        taps = self.kernels.shape[-1]
        around = functional.pad(bands, (taps // 2,) * 4, mode="circular")
        plane = functional.conv_transpose2d(around, self.kernels, stride=2)
        return plane[..., 2 * taps - 2 : -taps, 2 * taps - 2 : -taps]


def noise_share(bands: Tensor, sigma: float = SIGMA) -> Tensor:
    """Wiener weight of the noise in wavelet coefficients (n, c, h, w), as of ``residual``."""
    power = bands.square()
    local = torch.stack(
        [
            functional.avg_pool2d(power, side, 1, side // 2, count_include_pad=False)
            for side in WINDOWS
        ]
    ).amin(0)
    return sigma**2 / local.clamp_min(sigma**2)


def correlation(residuals: Tensor, patterns: Tensor) -> Tensor:
    """Normalised correlation of each residual with a pattern: (B, H, W) twice to (B,) in -1..1."""
    first = residuals.flatten(1)
    second = patterns.flatten(1)
    return functional.cosine_similarity(first, second - second.mean(1, keepdim=True))
