"""dJPEG: JPEG compression that gradients pass through (arXiv:1902.10707, section 3.3).

The steps are libjpeg's: JFIF colours, chroma halved by 2x2 means, 8x8 DCT, the standard
quantisation tables scaled by quality, and back with triangular chroma up-sampling. Only the
rounding of the coefficients stands in the way of gradients; four versions of it are offered::

    hard        round(x); its gradient is zero
    sinusoidal  x - sin(2 pi x) / (2 pi)
    harmonic    the sinusoidal series of round(x), cut after ``HARMONICS`` terms
    soft        hard forwards, sinusoidal backwards

``hard`` and ``soft`` round samples and colours to bytes where libjpeg does.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.errors import UsageError

Rounding = Literal["hard", "sinusoidal", "harmonic", "soft"]
Subsampling = Literal["444", "420"]

EXACT = ("hard", "soft")
BLOCK = 8
GAIN = math.sqrt(BLOCK)
"""Of an integer DCT in one direction, which leaves out the orthonormal one's scale."""
HARMONICS = 5

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
"""ITU-T T.81, tables K.1 and K.2."""

TO_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


def quantisation_tables(quality: int) -> Tensor:
    """libjpeg's tables for a quality of 1..100: (2, 64), luminance and chrominance."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    tables = torch.tensor((LUMINANCE, CHROMINANCE)).flatten(1)
    return ((tables * scale + 50) // 100).clamp(1, 255).float()


def round_approximately(values: Tensor, rounding: Rounding) -> Tensor:
    """Rounding to integers, or an approximation of it; see the module. Any shape, to the same."""
    if rounding == "hard":
        return _nearest(values)
    if rounding == "harmonic":
        smooth = values
        for k in range(1, HARMONICS + 1):
            sign = 1 if k % 2 else -1
            smooth = smooth - sign * torch.sin(2 * math.pi * k * values) / (k * math.pi)
        return smooth
    smooth = values - torch.sin(2 * math.pi * values) / (2 * math.pi)
    if rounding == "sinusoidal":
        return smooth
    return _replace(smooth, _nearest(values))


def _nearest(values: Tensor) -> Tensor:
    """Integers, ties away from zero as in libjpeg."""
    return values.sign() * (values.abs() + 0.5).floor()


class DJPEG(nn.Module):
    """JPEG compression and decompression.

    Args:
        quality: 1..100, libjpeg's.
        subsampling: of chroma.
        rounding: of the coefficients; see the module.

    Raises:
        UsageError: the quality is out of range.
    """

    tables: Tensor
    dct: Tensor
    to_ycbcr: Tensor
    to_rgb: Tensor

    def __init__(
        self, quality: int, subsampling: Subsampling = "444", rounding: Rounding = "soft"
    ) -> None:
        super().__init__()
        if not 1 <= quality <= 100:
            raise UsageError(f"JPEG quality {quality}: choose 1 to 100")
        self.quality, self.subsampling, self.rounding = quality, subsampling, rounding
        self.register_buffer("tables", quantisation_tables(quality), persistent=False)
        self.register_buffer("dct", _dct(), persistent=False)
        self.register_buffer("to_ycbcr", torch.tensor(TO_YCBCR), persistent=False)
        self.register_buffer("to_rgb", torch.tensor(TO_RGB), persistent=False)

    def forward(self, pixels: Tensor, tables: Tensor | None = None) -> Tensor:
        """What a decoder shows.

        Args:
            pixels: RGB (B, 3, H, W) in [0, 1].
            tables: (B, 2, 64), as of ``quantisation_tables``, of each picture; None for those of
                the quality.

        Returns:
            Float32, the same shape and range.
        """
        height, width = pixels.shape[-2:]
        unit = BLOCK * (2 if self.subsampling == "420" else 1)
        # libjpeg fills incomplete blocks with the border's samples, too.
        extra = (0, -width % unit, 0, -height % unit)
        padded = functional.pad(pixels.float(), extra, mode="replicate")
        samples = _mix(self.to_ycbcr, self._to_bytes(padded * 255))
        offset = samples.new_tensor((0.0, 128.0, 128.0)).view(3, 1, 1)
        samples = self._to_bytes(samples + offset) - 128
        luminance, chrominance = samples[:, :1], samples[:, 1:]
        if self.subsampling == "420":
            chrominance = self._halve(chrominance)
        tables = self.tables if tables is None else tables
        luminance = self._code(luminance, tables[..., 0, :])
        chrominance = self._code(chrominance, tables[..., 1, :])
        if self.subsampling == "420":
            chrominance = self._double(chrominance)
        restored = _mix(self.to_rgb, torch.cat([luminance + 128, chrominance], 1))
        restored = self._to_bytes(restored)[..., :height, :width] / 255
        return restored.clamp(0, 1)

    def _to_bytes(self, samples: Tensor, offset: float = 0) -> Tensor:
        """Samples as bytes hold them, where the rounding asks for that; the gradient passes."""
        if self.rounding not in EXACT:
            return samples
        exact = (samples + offset).round().clamp(0, 255) - offset
        return _replace(samples, exact)

    def _halve(self, samples: Tensor) -> Tensor:
        """2x2 means."""
        means = functional.avg_pool2d(samples, 2)
        if self.rounding not in EXACT:
            return means
        # Remainders of a half go down and up by turns, so that no brightness is lost.
        bias = samples.new_tensor((0.25, 0.5)).repeat(means.shape[-1] // 2)
        return _replace(means, (means + bias).floor())

    def _double(self, samples: Tensor) -> Tensor:
        """libjpeg's "fancy up-sampling": weights of 3/4 and 1/4 in either direction."""
        wide = functional.interpolate(samples, scale_factor=2, mode="bilinear", align_corners=False)
        if self.rounding not in EXACT:
            return wide
        bias = samples.new_tensor((8 / 16, 7 / 16)).repeat(samples.shape[-1])
        return _replace(wide, (wide + bias).floor())

    def _code(self, plane: Tensor, table: Tensor) -> Tensor:
        """Quantise the 8x8 DCT of samples (B, C, H, W) around 0 by (64,) or (B, 64), and back."""
        count, channels, height, width = plane.shape
        shape = (count, channels, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
        blocks = plane.reshape(shape).transpose(3, 4)
        dct, table = self.dct, table.reshape(-1, 1, 1, 1, BLOCK, BLOCK)
        coefficients = dct @ blocks @ dct.T
        if self.rounding in EXACT:
            # libjpeg's transforms work in integers: with two fractional bits after the first
            # pass, three after the second, and none where the samples come out.
            rows = _grid(blocks @ dct.T, 4 * GAIN)
            coefficients = _replace(coefficients, _grid(dct @ rows, 8))
        coefficients = round_approximately(coefficients / table, self.rounding) * table
        blocks = dct.T @ coefficients @ dct
        if self.rounding in EXACT:
            columns = _grid(dct.T @ coefficients, 4 * GAIN)
            blocks = _replace(blocks, _grid(columns @ dct, 1).clamp(-128, 127))
        return blocks.transpose(3, 4).reshape(plane.shape)


def _grid(values: Tensor, steps: float) -> Tensor:
    """Values rounded to multiples of 1 / steps, ties upwards, without gradient."""
    return (values.detach() * steps + 0.5).floor() / steps


def _replace(values: Tensor, exact: Tensor) -> Tensor:
    """The values ``exact`` with the gradient of ``values``."""
    return values + (exact - values).detach()


def _mix(matrix: Tensor, images: Tensor) -> Tensor:
    """A colour matrix (3, 3) applied to images (B, 3, H, W)."""
    return torch.einsum("oc,bchw->bohw", matrix, images)


def _dct() -> Tensor:
    """The orthonormal 8-point DCT-II as a matrix (8, 8): coefficients from samples."""
    place = torch.arange(BLOCK, dtype=torch.float64)
    matrix = torch.cos((2 * place + 1) * place.unsqueeze(1) * math.pi / (2 * BLOCK)) / 2
    matrix[0] /= math.sqrt(2)
    return matrix.float()
