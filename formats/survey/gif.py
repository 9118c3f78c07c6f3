"""GIF files, block by block (GIF89a specification)."""

from __future__ import annotations

import io
import struct
from typing import IO

from dcncodec.formats.survey.facts import CheckSize, DamagedError, Survey

_XMP, _ICC = b"XMP DataXMP", b"ICCRGBG1012"
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_MAX_BLOCK = 1 << 26


def survey(file: IO[bytes], check_size: CheckSize) -> Survey:
    """Count the frames and take the metadata.

    Raises:
        DamagedError: the file ends before its first frame does.
    """
    facts = Survey()
    head = file.read(13)
    if len(head) < 13:
        raise DamagedError("cut short in its header")
    width, height, flags, _, aspect = struct.unpack("<HHBBB", head[6:])
    check_size(width, height)
    if aspect and aspect != 49:
        facts.density = (64.0, float(aspect + 15), 1)
    _skip_palette(file, flags)
    frames, ended = 0, False
    dropped: list[str] = []
    while not ended and (kind := file.read(1)):
        if kind == b"!":
            _extension(file, facts, dropped)
        elif kind == b",":
            # Nine bytes of place and size, the palette, and how long codes are at first.
            place = file.read(9)
            _skip_palette(file, place[8] if len(place) == 9 else 0)
            file.read(1)
            if not _blocks(file, 0)[1] and not frames:
                raise DamagedError("cut short in its first frame")
            frames += 1
        elif kind == b";":
            ended = True
        else:
            break
    if not frames:
        raise DamagedError("holds no picture")
    if not ended:
        facts.say("damage", "its end is missing")
    elif trailing := file.read(_MAX_BLOCK).strip(b"\0"):
        facts.say("metadata", f"{len(trailing)} bytes behind the picture are left out")
    facts.say_frames(frames)
    facts.say_dropped(dropped)
    return facts


def _skip_palette(file: IO[bytes], flags: int) -> None:
    if flags & 0x80:
        file.seek(3 * (2 << (flags & 7)), io.SEEK_CUR)


def _blocks(file: IO[bytes], most: int) -> tuple[bytes, bool]:
    """The data of a list of blocks, up to so many bytes, and whether the list has its end."""
    data = bytearray()
    while size := file.read(1):
        if size == b"\0":
            return bytes(data), True
        block = file.read(size[0])
        if len(data) < most:
            data += block
        if len(block) < size[0]:
            break
    return bytes(data), False


def _extension(file: IO[bytes], facts: Survey, dropped: list[str]) -> None:
    label = file.read(1)
    if label == b"\xff":
        name = file.read((file.read(1) or b"\0")[0])
        if name == _XMP:
            facts.xmp = _xmp(file)
        elif name == _ICC:
            facts.icc = _blocks(file, _MAX_BLOCK)[0]
        else:
            _blocks(file, 0)
            if name not in _LOOPS:
                dropped.append(f"application data {name.decode('latin-1')!r}")
        return
    _blocks(file, 0)
    if label == b"\xfe":
        dropped.append("comment")
    elif label == b"\x01":
        dropped.append("plain text")


def _xmp(file: IO[bytes]) -> bytes | None:
    """XMP stands there as it is; 256 bytes 0x01, 0xFF, 0xFE ... end it for readers of blocks."""
    begin = file.tell()
    _blocks(file, 0)
    end = file.tell()
    file.seek(begin)
    content = file.read(min(end - begin, _MAX_BLOCK))
    # Some writers put the packet into blocks as other data, without the trailer.
    packet, trailer, _ = content.partition(b"\x01\xff\xfe\xfd")
    if trailer and b"<" in packet[:64]:
        return packet or None
    file.seek(begin)
    return _blocks(file, _MAX_BLOCK)[0] or None
