"""The colour conversions of BPG: RGB to YCbCr and back, with libbpg's fixed-point rounding.

Both directions give the same integers as bpgenc and bpgdec, so that figures can be compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcncodec.formats.peers.hevc_av import Plane

YCBCR_601, RGB, YCGCO, YCBCR_709, YCBCR_2020 = range(5)
"""color_space (BPG specification 0.9.5, section 3.2); RGB is stored as G, B, R."""
COLOUR_SPACES = 5

_RED_AND_BLUE = {
    YCBCR_601: (0.299, 0.114),
    YCBCR_709: (0.2126, 0.0722),
    YCBCR_2020: (0.2627, 0.0593),
}
_ENCODE_SHIFT, _DECODE_SHIFT = 23, 22
"""Fraction bits: what 31-bit arithmetic leaves above 8 bits in bpgenc, 30-bit in bpgdec."""
_HALF_WAY = (-1, 4, -10, 57, 18, -6, 2)
"""Chroma interpolation a quarter of a chroma sample right of the middle tap; in 1/64."""
_BETWEEN = (-1, 4, -11, 40, 40, -11, 4, -1)
"""Chroma interpolation half a chroma sample right of the fourth tap; in 1/64."""
_TAP_BITS = 6
_BAND = 1 << 20
"""Pixels converted at a time: intermediate results are 8 bytes wide."""


def to_ycbcr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Full-range BT.601 Y, Cb and Cr, uint8 (3, H, W), of RGB pixels, uint8 (H, W, 3)."""
    red, blue = _RED_AND_BLUE[YCBCR_601]
    green = 1 - red - blue
    to_cb, to_cr = 0.5 / (1 - blue), 0.5 / (1 - red)
    matrix = np.array(
        [
            [red, green, blue],
            [-red * to_cb, -green * to_cb, 0.5],
            [0.5, -green * to_cr, -blue * to_cr],
        ]
    )
    scaled = np.rint(matrix * (1 << _ENCODE_SHIFT)).astype(np.int64)
    planes = np.empty((3, *pixels.shape[:2]), np.uint8)
    for rows in _bands(*pixels.shape[:2]):
        r, g, b = np.moveaxis(pixels[rows].astype(np.int64), -1, 0)
        for index, (c0, c1, c2) in enumerate(scaled):
            value = c0 * r + c1 * g + c2 * b + (1 << _ENCODE_SHIFT - 1) >> _ENCODE_SHIFT
            planes[index, rows] = np.clip(value + (128 if index else 0), 0, 255)
    return planes


def to_rgb(
    planes: list[Plane], bit_depth: int, colour_space: int, limited_range: bool
) -> NDArray[np.uint8]:
    """RGB pixels, uint8 (H, W, 3), of one grey plane or three planes of equal size.

    Args:
        planes: (H, W) each, values 0..2**`bit_depth` - 1, in the order in which they are stored.
        colour_space: one of the constants above; ignored for one plane.
        limited_range: black is 16 and white 235 (chroma: 16..240), times 2**(`bit_depth` - 8).
    """
    height, width = planes[0].shape
    pixels = np.empty((height, width, 3), np.uint8)
    one = 255 * (1 << _DECODE_SHIFT)
    white = 219 << bit_depth - 8 if limited_range else (1 << bit_depth) - 1
    chroma = 224 << bit_depth - 8 if limited_range else white
    luma_gain = round(one / white)
    offset = (1 << _DECODE_SHIFT - 1) - luma_gain * (16 << bit_depth - 8) * limited_range
    for rows in _bands(height, width):
        band = [plane[rows].astype(np.int64) for plane in planes]
        if len(band) == 3 and colour_space != RGB:
            band[1:] = [plane - (1 << bit_depth - 1) for plane in band[1:]]
        for channel, value in enumerate(_mixed(band, colour_space, luma_gain, one / chroma)):
            pixels[rows, :, channel] = np.clip(value + offset >> _DECODE_SHIFT, 0, 255)
    return pixels


def _mixed(
    band: list[NDArray[np.int64]], colour_space: int, luma_gain: int, chroma_gain: float
) -> list[NDArray[np.int64]]:
    """Scaled red, green and blue of planes whose chroma is centred on zero."""
    if len(band) == 1:
        return [band[0] * luma_gain] * 3
    y, cb, cr = band
    if colour_space == RGB:
        return [plane * luma_gain for plane in (cr, y, cb)]
    if colour_space == YCGCO:
        return [value * luma_gain for value in (y - cb + cr, y + cb, y - cb - cr)]
    red, blue = _RED_AND_BLUE[colour_space]
    green = 1 - red - blue
    y = y * luma_gain
    return [
        y + round(2 * (1 - red) * chroma_gain) * cr,
        y
        - round(2 * blue * (1 - blue) / green * chroma_gain) * cb
        - round(2 * red * (1 - red) / green * chroma_gain) * cr,
        y + round(2 * (1 - blue) * chroma_gain) * cb,
    ]


def upsample(
    plane: Plane, height: int, width: int, vertical: bool, centred: bool, bit_depth: int
) -> Plane:
    """A chroma plane at the resolution of luma, interpolated as bpgdec does.

    Args:
        plane: (ceil(`height` / 2) if `vertical` else `height`, ceil(`width` / 2)).
        vertical: 4:2:0; vertically the samples lie half-way between those of luma.
        centred: horizontally they do, too (JPEG); else on every second one (MPEG-2).
    """
    values = plane.astype(np.int64)
    fraction = 0
    if vertical:
        # bpgdec keeps 14 bits between the two directions.
        fraction = 14 - bit_depth
        shift = _TAP_BITS - fraction
        rounding = 1 << shift >> 1
        values = _doubled(values.T, height, 1 << _TAP_BITS, True).T + rounding >> shift
    unit = 1 << _TAP_BITS
    total = _doubled(values, width, unit, centred)
    shift = _TAP_BITS + fraction
    result = total + (1 << shift - 1) >> shift
    samples: Plane = np.clip(result, 0, (1 << bit_depth) - 1).astype(plane.dtype)
    return samples


def _doubled(lines: NDArray[np.int64], length: int, unit: int, centred: bool) -> NDArray[np.int64]:
    """Lines (n, ceil(`length` / 2)) interpolated to (n, `length`), times `unit`."""
    size = lines.shape[1]
    edged = np.pad(lines, ((0, 0), (3, 4)), "edge")

    def filtered(taps: tuple[int, ...]) -> NDArray[np.int64]:
        total = np.zeros_like(lines)
        for index, tap in enumerate(taps):
            total += tap * edged[:, index : index + size]
        return total

    result = np.empty((len(lines), 2 * size), np.int64)
    if centred:
        result[:, 0::2], result[:, 1::2] = filtered(_HALF_WAY[::-1]), filtered(_HALF_WAY)
    else:
        result[:, 0::2], result[:, 1::2] = lines * unit, filtered(_BETWEEN)
    return result[:, :length]


def _bands(height: int, width: int) -> list[slice]:
    step = max(1, _BAND // width)
    return [slice(top, top + step) for top in range(0, height, step)]
