"""Traces that convolutions cannot see: whether a pixel's whole grey levels are exactly some others.

Decoders of JPEG and WebP, and programs that work on lightness, round a photo in another colour
space and then in RGB. Of RGB's 16.7 million colours they make a quarter and less, so that the
colours of what they wrote are on a lattice, and those of what was changed afterwards, or of another
photo, are not (compare Neelamani et al., JPEG compression history estimation for color images, IEEE
TIP 2006). Filters of ranks and scaling by nearest neighbours repeat pixels. Any lossy file of the
photo as a whole removes all of that: then its colours are on the file's lattice everywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LATTICES = 3
"""Of JPEG, of WebP and of Lab."""
EXACT = LATTICES + 2 + LATTICES
"""Maps of cells: shares of pixels on each lattice, shares equal to the pixel after and below, and
whether nearly all are on each lattice."""
NEARLY_ALL = 4
"""The power of a share that says so: by chance about half of the pixels may be on a lattice."""

JPEG = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""To Y, Cb and Cr of JFIF, without the 128."""
WEBP = (
    (0.256788, 0.504129, 0.097906),
    (-0.148223, -0.290993, 0.439216),
    (0.439216, -0.367788, -0.071427),
)
"""To Y, U and V of BT.601 from 16 to 235, without the 16 and 128."""
XYZ = (
    (0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754),
)
"""From linear sRGB, by the white of D65."""
LINEAR = 216 / 24389
"""Of XYZ, below which lightness is linear."""


def exact_traces(pixels: Tensor, cell: int) -> Tensor:
    """What is exact in squares of some pixels, those at the end cut off.

    Args:
        pixels: (B, 3, H + 1, W + 1) in [0, 1], as ``exact_pixels``.
        cell: their side in pixels.

    Returns:
        float32 (B, ``EXACT``, h, w) in [0, 1].
    """
    shares = functional.avg_pool2d(exact_pixels(pixels), cell, ceil_mode=True)
    return torch.cat([shares, shares[:, :LATTICES] ** NEARLY_ALL], 1)


def exact_pixels(pixels: Tensor) -> Tensor:
    """Whether each pixel is exactly some other colour, where there is one.

    Args:
        pixels: (B, 3, H + 1, W + 1) in [0, 1], whole grey levels; the last row and column are only
            compared with.

    Returns:
        float32 (B, ``LATTICES`` + 2, H, W), 0 or 1.
    """
    levels = (255 * pixels.float()).round()
    own = levels[..., :-1, :-1]
    # A colour of bfloat16 would be another one.
    with torch.autocast(pixels.device.type, enabled=False):
        maps = [
            (own == there_and_back(own)).all(1)
            for there_and_back in (through_jpeg, through_webp, through_lab)
        ]
    maps += [(own == levels[..., :-1, 1:]).all(1), (own == levels[..., 1:, :-1]).all(1)]
    return torch.stack(maps, 1).float()


def through_jpeg(levels: Tensor) -> Tensor:
    """Grey levels, whole (B, 3, H, W) from 0 to 255, by libjpeg's arithmetic."""
    y, cb, cr = _coloured(levels, JPEG).round().unbind(1)
    red = y + (1.402 * cr).round()
    green = y - (0.344136 * cb + 0.714136 * cr).round()
    blue = y + (1.772 * cb).round()
    return torch.stack([red, green, blue], 1).clamp(0, 255)


def through_webp(levels: Tensor) -> Tensor:
    """As ``through_jpeg``, by libwebp's whole numbers."""
    y, u, v = _coloured(levels, WEBP).round().unbind(1)
    y, u, v = y + 16, u + 128, v + 128
    luma = _high(y, 19077)
    red = luma + _high(v, 26149) - 14234
    green = luma - _high(u, 6419) - _high(v, 13320) + 8708
    blue = luma + _high(u, 33050) - 17685
    return (torch.stack([red, green, blue], 1) / 64).floor().clamp(0, 255)


def through_lab(levels: Tensor) -> Tensor:
    """As ``through_jpeg``, by CIE L*a*b* of 8 bits each."""
    unit = levels / 255
    linear = torch.where(unit > 0.04045, ((unit + 0.055) / 1.055) ** 2.4, unit / 12.92)
    xyz = _coloured(linear, XYZ)
    f = torch.where(xyz > LINEAR, xyz.clamp_min(LINEAR) ** (1 / 3), (24389 / 27 * xyz + 16) / 116)
    x, y, z = f.unbind(1)
    lightness = (2.55 * (116 * y - 16)).round() / 2.55
    a, b = (500 * (x - y)).round(), (200 * (y - z)).round()
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], 1)
    xyz = torch.where(f > LINEAR ** (1 / 3), f**3, (116 * f - 16) * 27 / 24389)
    linear = functional.conv2d(xyz, torch.linalg.inv(_matrix(XYZ, xyz))[..., None, None])
    linear = linear.clamp(0, 1)
    unit = torch.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return (255 * unit).round()


def _high(values: Tensor, factor: int) -> Tensor:
    return (values * factor / 256).floor()


def _matrix(rows: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    return torch.tensor(rows, device=like.device)


def _coloured(colours: Tensor, rows: tuple[tuple[float, ...], ...]) -> Tensor:
    """Other coordinates of colours, (B, 3, H, W)."""
    return functional.conv2d(colours, _matrix(rows, colours)[..., None, None])
