"""JPEG files, segment by segment, and their entropy-coded data (ITU-T T.81, JFIF, Exif)."""

from __future__ import annotations

import io
import re
import struct
from functools import cache
from typing import IO, Any

from dcncodec.errors import MissingLibraryError
from dcncodec.formats.survey.facts import CheckSize, DamagedError, Survey, UnsupportedError

_MISSING = 0.1
"""Share of the blocks from which on a picture with an end marker counts as cut off."""
_ALONE = {0x01, *range(0xD0, 0xD9)}
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_KINDS = (
    dict.fromkeys((0xC3, 0xCB), "lossless JPEG files")
    | dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical JPEG files")
    | dict.fromkeys((0xC9, 0xCA), "arithmetic-coded JPEG files")
    | {0xF7: "JPEG-LS files"}
)
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_GAIN_MAP = re.compile(rb"hdrgm:|urn:iso:std:iso:ts:21496|HDRGainMap")
_HEAD = 1 << 20
"""Bytes behind a picture in which a gain map says what it is."""


@cache
def _extension() -> Any:
    try:
        from dcncodec import _jpeg
    except ImportError as error:
        raise MissingLibraryError(
            f"the walk through JPEG data is not built ({error}); install dcncodec with pip, which "
            "needs a C compiler"
        ) from None
    return _jpeg


def survey(file: IO[bytes], check_size: CheckSize) -> Survey:
    """Read the segments, walk through the data, and say what is in the file.

    Raises:
        DamagedError: pixels are missing, or the header contradicts itself.
        UnsupportedError: a kind of JPEG that is not read here.
    """
    data = file.read()
    facts = Survey()
    segments = _Segments(data, facts, check_size)
    _check_data(data, facts, segments)
    return facts


class _Segments:
    """The segments up to the first scan, and what they say."""

    def __init__(self, data: bytes, facts: Survey, check_size: CheckSize) -> None:
        self.facts, self.check_size = facts, check_size
        self.dropped: list[str] = []
        self.gain_map = False
        self.adobe = False
        self.components = 0
        place = 2
        while place + 4 <= len(data):
            if data[place] != 0xFF or data[place + 1] in {0xFF, 0}:
                place += 1
                continue
            marker = data[place + 1]
            if marker in _ALONE:
                place += 2
                continue
            if marker in {0xD9, 0xDA}:
                break
            (length,) = struct.unpack_from(">H", data, place + 2)
            self._segment(marker, data[place + 4 : place + 2 + length])
            place += 2 + max(length, 2)
        if self.components == 4 and not self.adobe:
            facts.say("colour", "CMYK without Adobe's marker: may be inverted")

    def _segment(self, marker: int, content: bytes) -> None:
        if marker in _FRAMES and len(content) >= 6:
            self._frame(marker, content)
        elif marker == 0xFE:
            self.dropped.append("comment")
        elif marker == 0xE0 and content[:5] == b"JFIF\0" and len(content) >= 12:
            unit, x, y = struct.unpack_from(">BHH", content, 7)
            # 1:1 without a unit says nothing.
            if x and y and unit <= 2 and (unit or x != y):
                self.facts.density = (float(x), float(y), unit + 1)
        elif marker == 0xE1:
            if content.startswith(_EXTENDED_XMP):
                self.dropped.append("extended XMP")
            elif content.startswith(_XMP) and _GAIN_MAP.search(content):
                self.gain_map = True
        elif marker == 0xE2 and content.startswith(b"urn:iso:std:iso:ts:21496"):
            self.gain_map = True
        elif marker == 0xEB and content[:2] == b"JP":
            self.dropped.append("JUMBF boxes (C2PA or JPEG XT)")
        elif marker == 0xED and content.startswith(b"Photoshop 3.0\0"):
            self.dropped.append("IPTC and Photoshop data")
        elif marker == 0xEE and content[:5] == b"Adobe":
            self.adobe = True
        elif marker in {0xE2, 0xE1}:
            known = (b"ICC_PROFILE\0", b"MPF\0", b"Exif\0", _XMP, b"FPXR\0")
            if not content.startswith(known):
                self.dropped.append(_application(marker, content))
        elif 0xE3 <= marker <= 0xEF and content:
            self.dropped.append(_application(marker, content))

    def _frame(self, marker: int, content: bytes) -> None:
        depth, height, width, self.components = struct.unpack_from(">BHHB", content)
        if marker in _KINDS:
            raise UnsupportedError(f"{_KINDS[marker]} are not supported; convert it")
        if depth != 8:
            raise UnsupportedError(
                f"JPEG files of {depth} bits a sample are not supported; convert it"
            )
        self.check_size(width, height)


def _application(marker: int, content: bytes) -> str:
    name = content.split(b"\0", 1)[0][:24]
    text = name.decode("latin-1") if name.isascii() and name else ""
    return f"segment APP{marker - 0xE0}" + (f" {text!r}" if text.isprintable() and text else "")


def _check_data(data: bytes, facts: Survey, segments: _Segments) -> None:
    ffi, lib = _extension().ffi, _extension().lib
    report = ffi.new("dcn_jpeg_report *")
    status = lib.dcn_jpeg_walk(ffi.from_buffer(data), len(data), report)
    if status == lib.DCN_JPEG_NO_MEMORY:
        raise MemoryError
    if status == lib.DCN_JPEG_TOO_MANY_SCANS:
        raise UnsupportedError("a JPEG file of more than 256 scans; convert it")
    if status == lib.DCN_JPEG_OK and not report.scans:
        raise DamagedError("the picture itself is missing")
    if status == lib.DCN_JPEG_OK:
        _judge(data, facts, report)
        _say_trailing(data[report.end :], facts, segments)
    else:
        facts.say("damage", "its header contradicts itself; parts of the picture may be wrong")
        facts.say_dropped(segments.dropped)


def _judge(data: bytes, facts: Survey, report: Any) -> None:
    lib = _extension().lib
    share = report.missing / max(report.expected, 1)
    ended = not report.faults & lib.DCN_JPEG_NO_END
    if report.missing and (share >= _MISSING or not ended):
        raise DamagedError(f"{max(share, 0.001):.1%} of the picture is missing")
    if not ended and report.faults & lib.DCN_JPEG_COARSE:
        raise DamagedError("scans with its finer details are missing")
    if not ended:
        facts.say("damage", "its end marker is missing")
        facts.sound = io.BytesIO(data + b"\xff\xd9")
    if report.faults & lib.DCN_JPEG_COARSE:
        facts.say("damage", "scans with its finer details are missing")
    if report.faults & ~(lib.DCN_JPEG_NO_END | lib.DCN_JPEG_COARSE):
        facts.say("damage", "its data is damaged; parts of the picture may be wrong")


def _say_trailing(trailing: bytes, facts: Survey, segments: _Segments) -> None:
    """What stands behind the picture: further pictures, gain maps, videos."""
    if segments.gain_map or (trailing and _GAIN_MAP.search(trailing[:_HEAD])):
        facts.say("frames", "its gain map is left out: the picture will not show in HDR")
    elif b"\xff\xd8\xff" in trailing[:_HEAD]:
        facts.say("frames", "further pictures in the file are left out; only the first is kept")
    elif trailing.strip(b"\0"):
        facts.say("metadata", f"{len(trailing)} bytes behind the picture are left out")
    facts.say_dropped(segments.dropped)
