"""Boxes of JPEG 2000 and ISO base media files (ISO/IEC 15444-1, annex I; 14496-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

MAX_BOXES = 10_000


@dataclass(frozen=True)
class Box:
    """Where the content of a box lies."""

    kind: bytes
    start: int
    end: int


def boxes(file: IO[bytes], start: int, end: int) -> Iterator[Box]:
    """The boxes between two offsets; they end at the first one that is no box."""
    for _ in range(MAX_BOXES):
        file.seek(start)
        head = file.read(8)
        if start + 8 > end or len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        content = start + 8
        if length == 1:
            wide = file.read(8)
            length, content = int.from_bytes(wide, "big"), start + 16
        stop = start + length if length else end
        if stop < content or stop > end:
            return
        yield Box(kind, content, stop)
        start = stop


def content(file: IO[bytes], box: Box, most: int = 1 << 26) -> bytes:
    """The bytes of a box, up to a bound."""
    file.seek(box.start)
    return file.read(min(box.end - box.start, most))
