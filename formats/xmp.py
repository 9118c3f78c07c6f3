"""XMP packets: what depends on the pixels is read and kept right, every other byte stays."""

from __future__ import annotations

import re

_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)([1-8])")
_SIZES = (
    re.compile(rb"((?:tiff:ImageWidth|exif:PixelXDimension)\s*(?:=\s*[\"']|>)\s*)\d+"),
    re.compile(rb"((?:tiff:ImageLength|exif:PixelYDimension)\s*(?:=\s*[\"']|>)\s*)\d+"),
)
_GAIN_MAP = re.compile(
    rb"\s+(?:xmlns:)?hdrgm(?::\w+)?\s*=\s*(?:\"[^\"]*\"|'[^']*')"
    rb"|<hdrgm:(\w+)(?:\s[^>]*)?(?:/>|>.*?</hdrgm:\1>)"
    rb"|<Container:Directory>.*?</Container:Directory>",
    re.DOTALL,
)


def orientation(packet: bytes) -> int | None:
    """The orientation, 1 to 8; None without one."""
    found = _ORIENTATION.search(packet)
    return int(found[2]) if found else None


def upright(packet: bytes) -> bytes:
    """The packet with an orientation of 1, where it has one."""
    return _ORIENTATION.sub(rb"\g<1>1", packet)


def with_size(packet: bytes, width: int, height: int) -> bytes:
    """The packet with the numbers of columns and rows, where it states them."""
    for pattern, size in zip(_SIZES, (width, height), strict=True):
        packet = pattern.sub(rb"\g<1>%d" % size, packet)
    return packet


def without_gain_map(packet: bytes) -> bytes:
    """The packet without what describes a gain map (Adobe's hdrgm, the directory of its items)."""
    return _GAIN_MAP.sub(b"", packet) if b"hdrgm" in packet else packet
