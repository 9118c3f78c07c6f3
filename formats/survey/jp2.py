"""JPEG 2000 files: which are read, and what is in them (ISO/IEC 15444-1, annexes A and I)."""

from __future__ import annotations

import io
import struct
from typing import IO

from dcncodec.formats.survey.boxes import Box, boxes, content
from dcncodec.formats.survey.facts import CheckSize, DamagedError, Survey, UnsupportedError

_CODESTREAM = b"\xff\x4f\xff\x51"
_EXIF_UUID = b"JpgTiffExif->JP2"
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_SPACES = {16: "sRGB", 17: "grey", 18: "sYCC", 12: "CMYK"}
_END = b"\xff\xd9"


def survey(file: IO[bytes], check_size: CheckSize) -> Survey:
    """Check the kind of samples, take the metadata, and look for the end of the data.

    Raises:
        DamagedError: the codestream has no end; OpenJPEG leaves missing tiles black.
        UnsupportedError: samples or colours that Pillow reads wrongly.
    """
    facts = Survey()
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if file.read(4) == _CODESTREAM:
        _check_stream(file, Box(b"jp2c", 0, size), facts, check_size, bare=True)
    else:
        stream: Box | None = None
        header = _Header(file, facts)
        dropped: list[str] = []
        for box in boxes(file, 0, size):
            if box.kind == b"jp2c":
                if stream:
                    facts.say("frames", "further codestreams are left out; the first is kept")
                stream = stream or box
            elif box.kind == b"jp2h":
                header.read(box)
            elif box.kind == b"uuid":
                _take_uuid(content(file, box), facts, dropped)
            elif box.kind in {b"xml ", b"uinf", b"jumb", b"asoc"}:
                dropped.append(f"box {box.kind.decode().strip()!r}")
        facts.say_dropped(dropped)
        if stream is None:
            raise DamagedError("its codestream is missing or cut short")
        _check_stream(file, stream, facts, check_size, bare=False)
    return facts


def _take_uuid(data: bytes, facts: Survey, dropped: list[str]) -> None:
    name, block = data[:16], data[16:]
    if name == _EXIF_UUID:
        facts.exif = block.removeprefix(b"Exif\0\0")
    elif name == _XMP_UUID:
        facts.xmp = block or None
    else:
        dropped.append("box 'uuid'")


class _Header:
    """The box jp2h."""

    def __init__(self, file: IO[bytes], facts: Survey) -> None:
        self.file, self.facts = file, facts
        self.coloured = False

    def read(self, outer: Box) -> None:
        for box in boxes(self.file, outer.start, outer.end):
            data = content(self.file, box)
            if box.kind == b"colr" and len(data) >= 3 and not self.coloured:
                self._colour(data)
            elif box.kind == b"cdef":
                self._channels(data)
            elif box.kind == b"res ":
                for inner in boxes(self.file, box.start, box.end):
                    self._resolution(content(self.file, inner))

    def _colour(self, data: bytes) -> None:
        method = data[0]
        if method == 1 and len(data) >= 7:
            (space,) = struct.unpack_from(">I", data, 3)
            if space not in _SPACES:
                raise UnsupportedError(
                    f"JPEG 2000 files of colour space {space} are not supported; convert it"
                )
        elif method in {2, 3}:
            self.facts.icc = data[3:] or None
        else:
            self.facts.say("colour", "its colour space is not known; taken as sRGB")
        self.coloured = True

    def _channels(self, data: bytes) -> None:
        (count,) = struct.unpack_from(">H", data.ljust(2, b"\0"))
        for i in range(min(count, (len(data) - 2) // 6)):
            channel, kind, association = struct.unpack_from(">HHH", data, 2 + 6 * i)
            if kind == 0 and association != channel + 1:
                raise UnsupportedError(
                    "JPEG 2000 files with channels in another order are not supported"
                )
            if kind == 2:
                raise UnsupportedError(
                    "JPEG 2000 files with premultiplied alpha are not supported; convert it"
                )

    def _resolution(self, data: bytes) -> None:
        if len(data) < 10:
            return
        up_y, down_y, up_x, down_x, y, x = struct.unpack_from(">HHHHbb", data)
        if down_x and down_y:
            per_metre = up_x / down_x * 10.0**x, up_y / down_y * 10.0**y
            self.facts.density = (per_metre[0] / 100, per_metre[1] / 100, 3)


def _check_stream(
    file: IO[bytes], stream: Box, facts: Survey, check_size: CheckSize, *, bare: bool
) -> None:
    file.seek(stream.start)
    head = file.read(4 + 38 + 3 * 16)
    if head[:4] != _CODESTREAM or len(head) < 4 + 38 + 3:
        raise DamagedError("its codestream has no header")
    x, y, left, top = struct.unpack_from(">4I", head, 8)
    (count,) = struct.unpack_from(">H", head, 40)
    check_size(max(x - left, 0), max(y - top, 0))
    parts = [head[i : i + 3] for i in range(42, min(42 + 3 * count, len(head) - 2), 3)]
    if any(part[0] & 0x80 for part in parts):
        raise UnsupportedError(
            "signed samples are not supported, they have no defined white; "
            "convert them to unsigned 8 bits"
        )
    depths = {(part[0] & 0x7F) + 1 for part in parts}
    depth = facts.bits = max(depths)
    if len(parts) == 1 and 10 <= depth <= 16:
        # Pillow moves the bits to the upper end.
        facts.white = (2**depth - 1) << (16 - depth)
    elif depths != {8}:
        raise UnsupportedError(
            f"JPEG 2000 files of {depth} bits a sample are not supported; convert it to 8 bits"
        )
    if bare and any(part[1:] != b"\1\1" for part in parts):
        raise UnsupportedError("subsampled JPEG 2000 codestreams are not supported; convert it")
    file.seek(max(stream.end - 2, 0))
    if file.read(2) != _END:
        raise DamagedError("the end of the JPEG 2000 codestream is missing")
