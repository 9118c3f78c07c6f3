"""Bits, Exp-Golomb codes and NAL units of HEVC (ITU-T H.265, sections 7.2, 9.2 and annex B).

Nothing here knows what the fields mean: `formats.hevc_sets` does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dcncodec.errors import FormatError

VPS, SPS, PPS = 32, 33, 34
"""nal_unit_type of the parameter sets (table 7-1)."""
START_CODE = b"\x00\x00\x00\x01"
MAX_GOLOMB_ZEROS = 31
"""Leading zeros of the longest ue(v) code: values below 2**32 (section 9.2)."""

_ANY_START_CODE = re.compile(rb"\x00?\x00\x00\x01")
_EMULATED = re.compile(rb"\x00\x00(?=[\x00-\x03])")
_ESCAPED = re.compile(rb"\x00\x00\x03")


class BitReader:
    """Fields of a byte string, most significant bit first.

    Args:
        data: bytes without emulation prevention.
        what: names the bytes in errors.
    """

    def __init__(self, data: bytes, what: str) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)
        self._what = what

    @property
    def left(self) -> int:
        """Bits not read yet."""
        return self._left

    def u(self, count: int) -> int:
        """The next `count` bits as an unsigned number.

        Raises:
            FormatError: fewer bits are left.
        """
        if count > self._left:
            raise FormatError(f"{self._what} is cut short")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        """The next bit."""
        return self.u(1) == 1

    def ue(self) -> int:
        """The next unsigned Exp-Golomb code, 0..2**32 - 2.

        Raises:
            FormatError: it is cut short or longer than 63 bits.
        """
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > MAX_GOLOMB_ZEROS:
                raise FormatError(f"{self._what}: a number is out of range")
        return (1 << zeros) - 1 + self.u(zeros)


class BitWriter:
    """Fields into a byte string, most significant bit first."""

    def __init__(self) -> None:
        self._value = 0
        self._count = 0

    def u(self, count: int, value: int) -> None:
        """Append `value`, 0..2**count - 1, as `count` bits."""
        if not 0 <= value < 1 << count:
            raise ValueError(f"{value} does not fit {count} bits")
        self._value = self._value << count | value
        self._count += count

    def ue(self, *values: int) -> None:
        """Append unsigned Exp-Golomb codes."""
        for value in values:
            self.u(2 * (value + 1).bit_length() - 1, value + 1)

    def aligned(self) -> bytes:
        """The bytes so far, the last one filled up with zeros."""
        fill = -self._count % 8
        return (self._value << fill).to_bytes((self._count + fill) // 8, "big")

    def rbsp(self) -> bytes:
        """The bytes so far with rbsp_trailing_bits() (section 7.3.2.11): a one, then zeros."""
        self.u(1, 1)
        return self.aligned()


@dataclass(frozen=True)
class Nal:
    """One NAL unit.

    Attributes:
        kind: nal_unit_type, 0..63.
        layer: nuh_layer_id, 0..63.
        first_slice: it begins a picture (first_slice_segment_in_pic_flag of a slice).
        data: the unit with its two header bytes, without start code, emulation prevention kept.
    """

    kind: int
    layer: int
    first_slice: bool
    data: bytes

    def payload(self) -> bytes:
        """The bytes behind the header, without emulation prevention (section 7.3.1.1)."""
        return _ESCAPED.sub(b"\x00\x00", self.data[2:])


def split_nals(data: bytes) -> list[Nal]:
    """The NAL units of a byte stream (annex B); the first start code may be missing.

    Raises:
        FormatError: a unit is shorter than its header, or its first bit is not zero.
    """
    nals: list[Nal] = []
    for unit in _ANY_START_CODE.split(data):
        if not unit and not nals:
            continue
        if len(unit) < 3 or unit[0] & 0x80:
            raise FormatError("the HEVC data hold a damaged NAL unit")
        kind = unit[0] >> 1
        layer = (unit[0] & 1) << 5 | unit[1] >> 3
        nals.append(Nal(kind, layer, kind < VPS and unit[2] >= 0x80, unit))
    return nals


def nal_unit(kind: int, payload: bytes) -> bytes:
    """A NAL unit of layer 0 with start code and emulation prevention."""
    return START_CODE + bytes((kind << 1, 1)) + _EMULATED.sub(b"\x00\x00\x03", payload)
