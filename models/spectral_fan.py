"""A FAN that judges spectra; its own, of no paper.

Filters, scaling, noise and lossy files change how strong each frequency of a photo is, and how
much that varies from place to place. That is hard to learn for the layers of the DCN paper's FAN,
which see single edges, and easy to see in the logarithm of local spectra: their means and spreads
over a patch go through three dense layers.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.models.families.fan import SPECTRAL
from dcncodec.models.fan import FAN, STEP

WINDOW, HOP = 16, 8
"""Pixels along a side of a window of the spectrum, and from one to the next."""
MARGIN = (WINDOW - HOP) // 2
"""Pixels that windows reach beyond the cells in whose middle they lie."""
COLOURS = ((0.299, 0.587, 0.114), (0.0, -1.0, 1.0), (1.0, -1.0, 0.0))
"""Luminance, and how blue and red differ from green."""
FLOOR = 0.01
"""Power, in squared grey levels, added to all of them, so that flat areas have a logarithm: little
beside the 1 / 12 by which 8-bit samples are off."""
FREQUENCIES = WINDOW * (WINDOW // 2 + 1)
LEVEL, LEVEL_SCALE = 0.5, 2.2
SPREAD, SPREAD_SCALE = 1.6, 0.5
"""What the logarithms of photos' powers and their standard deviations over a patch come to, and
how much these differ from photo to photo; roughly, so that the first layer begins well."""
LEAST_VARIANCE = 1e-4
DENSE = (256, 128)


class SpectralFAN(FAN):
    """Judges means and standard deviations of local log-spectra in three colours. See ``FAN``.

    Every window of 16 pixels, at every 8th one, is weighted by Hann's function without its mean and
    transformed to 144 frequencies. Features of a cell are the logarithms of their powers, and the
    squares of those, as means over the four windows in its middle. 255,751 parameters for seven
    classes.
    """

    NETWORK = SPECTRAL
    LEARNS_TRACES = False

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.head = nn.Sequential(
            _Spectrum(),
            nn.Linear(2 * len(COLOURS) * FREQUENCIES, DENSE[0]),
            nn.LayerNorm(DENSE[0]),
            nn.GELU(),
            nn.Linear(DENSE[0], DENSE[1]),
            nn.GELU(),
            nn.Linear(DENSE[1], classes),
        )

    def traces(self, pixels: Tensor) -> Tensor:
        """See ``FAN``; 864 features, float32. The border is reflected."""
        with torch.autocast(pixels.device.type, enabled=False):
            colours, basis = _constants(pixels.device)
            planes = torch.einsum("cd,bdhw->bchw", colours, pixels.float())
            rows, columns = (side // HOP for side in pixels.shape[2:])
            padded = functional.pad(planes, (MARGIN,) * 4, mode="reflect")
            # A convolution with so few channels and such a step has a slow gradient.
            windows = functional.unfold(padded.flatten(0, 1).unsqueeze(1), WINDOW, stride=HOP)
            waves = basis @ windows
            parts = waves.view(len(pixels), len(COLOURS), 2, FREQUENCIES, rows, columns)
            logs = (parts.square().sum(2) + FLOOR).log()
            features = torch.cat([logs, logs.square()], 2).flatten(1, 2)
            return functional.avg_pool2d(features, STEP // HOP)


class _Spectrum(nn.Module):
    """Means of logarithms and of their squares, (N, 864), to levels and spreads near 0 and 1."""

    def forward(self, means: Tensor) -> Tensor:
        level, square = means.view(-1, len(COLOURS), 2, FREQUENCIES).unbind(2)
        spread = (square - level.square()).clamp_min(LEAST_VARIANCE).sqrt()
        parts = (level - LEVEL) / LEVEL_SCALE, (spread - SPREAD) / SPREAD_SCALE
        return torch.cat(parts, 1).flatten(1)


@cache
def _constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """From RGB in [0, 1] to colours in grey levels, (3, 3), and what windows are multiplied by,
    (2 ``FREQUENCIES``, 256): real parts, then imaginary ones. On a device."""
    with torch.inference_mode(False):  # Gradients may pass them, whoever needs them first.
        colours = torch.tensor(COLOURS) * 255
        hann = torch.hann_window(WINDOW, periodic=True, dtype=torch.float64)
        window = torch.outer(hann, hann)
        impulses = torch.eye(WINDOW**2, dtype=torch.float64).view(-1, WINDOW, WINDOW)
        waves = torch.fft.rfft2(impulses * window).flatten(1).T / window.square().sum().sqrt()
        waves = waves - waves.mean(1, keepdim=True)
        basis = torch.cat([waves.real, waves.imag]).float()
        return colours.to(device), basis.to(device)
