"""ICC profiles for colours that files state by numbers: CICP code points, chromaticities, gamma.

    Colorimetry.of_cicp(12, 13).profile()        # Display P3

Profiles are of the matrix kind with parametric curves (ICC.1:2010, version 4.3): exact, less than
600 bytes, and the same bytes for the same colours.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
"""Chromaticity x, y."""
Primaries = tuple[Point, Point, Point, Point]
"""White, red, green, blue."""
Curve = tuple[float, ...]
"""Exponent g alone, or g, a, b, c, d: (a v + b)^g for v >= d, else c v."""

_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
_SRGB_PRIMARIES: Primaries = (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_PRIMARIES: Primaries = (_D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_CURVE: Curve = (563 / 256,)
"""Adobe RGB (1998), section 4.3.4.2; DCF 2.0 calls it the optional colour space."""
_SMPTE_C: Primaries = (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))

# ITU-T H.273, table 2; 2 is "unspecified".
_PRIMARIES: dict[int, Primaries] = {
    1: _SRGB_PRIMARIES,
    2: _SRGB_PRIMARIES,
    4: (_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: _SMPTE_C,
    7: _SMPTE_C,
    8: (_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: (_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: (_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
_SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE: Curve = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
# Table 3.
_CURVES: dict[int, Curve] = {
    1: _BT709_CURVE,
    2: _SRGB_CURVE,
    4: (2.2,),
    5: (2.8,),
    6: _BT709_CURVE,
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0913),
    8: (1.0,),
    11: _BT709_CURVE,
    13: _SRGB_CURVE,
    14: _BT709_CURVE,
    15: _BT709_CURVE,
    17: (2.6,),
}
HDR_CURVES = {16: "PQ", 18: "HLG"}
"""Transfer characteristics whose white is not the display's; an ICC matrix profile has none."""

# The illuminant of ICC profiles as they store it, and Bradford's cone responses (annex E.3).
_D50 = np.array([0xF6D6, 0x10000, 0xD32D]) / 65536
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_CLOSE = 0.0015
"""By how much chromaticities differ that mean the same; files round them to three places."""


@dataclass(frozen=True)
class Colorimetry:
    """What RGB samples mean.

    Attributes:
        primaries: chromaticities of white, red, green and blue.
        curve: from samples in [0, 1] to light.
    """

    primaries: Primaries = _SRGB_PRIMARIES
    curve: Curve = _SRGB_CURVE

    @classmethod
    def of_cicp(cls, primaries: int, transfer: int) -> Colorimetry | None:
        """Colours by their code points; None for such as have no matrix profile, or no meaning."""
        if primaries not in _PRIMARIES or transfer not in _CURVES:
            return None
        return cls(_PRIMARIES[primaries], _CURVES[transfer])

    @property
    def is_srgb(self) -> bool:
        return self.curve == _SRGB_CURVE and bool(
            np.allclose(self.primaries, _SRGB_PRIMARIES, rtol=0, atol=_CLOSE)
        )

    def profile(self, *, grey: bool = False) -> bytes | None:
        """The profile, for RGB or for grey samples; None where it would be sRGB's, or where the
        primaries span no triangle around the white."""
        if self.is_srgb or (grey and self.curve == _SRGB_CURVE):
            return None
        if not all(y > 0 and 0 <= x <= 1 and y <= 1 for x, y in self.primaries):
            return None
        if not 0.1 <= self.curve[0] <= 10:
            return None
        curve = _tag(b"para", struct.pack(">HH", 0 if len(self.curve) == 1 else 3, 0))
        curve += b"".join(_fixed(v) for v in self.curve)
        tags = {b"desc": _text("dcn: colours of the file"), b"cprt": _text("No copyright")}
        tags[b"wtpt"] = _xyz(_D50)
        if grey:
            return _packed(b"GRAY", tags | {b"kTRC": curve})
        white = _to_xyz(self.primaries[0])
        columns = np.stack([_to_xyz(point) for point in self.primaries[1:]], axis=1)
        if abs(np.linalg.det(columns)) < 1e-4:
            return None
        scale = np.linalg.solve(columns, white)
        if scale.min() <= 0:
            return None
        cones = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
        adapt = np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD
        red, green, blue = (adapt @ columns * scale).T
        tags[b"chad"] = _tag(b"sf32", b"".join(_fixed(v) for v in adapt.flat))
        tags |= {b"rXYZ": _xyz(red), b"gXYZ": _xyz(green), b"bXYZ": _xyz(blue)}
        return _packed(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def colour_space(icc: bytes) -> str:
    """What a profile describes, by its header: "RGB", "GRAY", "CMYK", ...; "" if it is none."""
    if len(icc) < 132 or icc[36:40] != b"acsp":
        return ""
    return icc[16:20].decode("ascii", "replace").strip()


def _to_xyz(point: Point) -> NDArray[np.float64]:
    x, y = point
    return np.array([x / y, 1, (1 - x - y) / y])


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _tag(kind: bytes, content: bytes) -> bytes:
    return kind + bytes(4) + content


def _xyz(value: NDArray[np.float64]) -> bytes:
    return _tag(b"XYZ ", b"".join(_fixed(v) for v in value))


def _text(text: str) -> bytes:
    coded = text.encode("utf-16-be")
    return _tag(b"mluc", struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(coded), 28) + coded)


def _packed(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    offset = 128 + 4 + 12 * len(tags)
    index, body = struct.pack(">I", len(tags)), b""
    places: dict[bytes, int] = {}
    for name, content in tags.items():
        if content not in places:
            places[content] = offset + len(body)
            body += content + bytes(-len(content) % 4)
        index += name + struct.pack(">II", places[content], len(content))
    head = struct.pack(
        ">I4sI4s4s4s", offset + len(body), bytes(4), 0x0430_0000, b"mntr", space, b"XYZ "
    )
    # The date has no place here: equal colours give equal bytes.
    head += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    head += b"".join(_fixed(v) for v in _D50)
    return head.ljust(128, b"\0") + index + body
