"""AVIF files: colours by number, and what is left out (ISO/IEC 14496-12, 23008-12)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import IO

from dcncodec.formats.survey.boxes import Box, boxes, content
from dcncodec.formats.survey.facts import CheckSize, Survey

_TRACKS = (b"trak", b"mdia", b"minf", b"stbl", b"stsz")
_DEEP = 0x40
"""The flag high_bitdepth in the first three bytes of av1C."""


def survey(file: IO[bytes], check_size: CheckSize) -> Survey:
    """Take the colours of the main picture. Pillow knows its size before it decodes.

    Raises:
        UnsupportedError: the picture is HDR.
    """
    del check_size
    facts = Survey()
    size = file.seek(0, io.SEEK_END)
    for box in boxes(file, 0, size):
        if box.kind == b"meta":
            _Meta(file, facts).read(Box(box.kind, box.start + 4, box.end))
        elif box.kind == b"moov":
            facts.say_frames(max(_samples(file, box, _TRACKS), default=0))
    return facts


def _samples(file: IO[bytes], outer: Box, path: tuple[bytes, ...]) -> Iterator[int]:
    """The number of pictures in each track of a sequence."""
    for box in boxes(file, outer.start, outer.end):
        if box.kind == path[0]:
            if len(path) > 1:
                yield from _samples(file, box, path[1:])
            else:
                yield int.from_bytes(content(file, box, 12)[8:12], "big")


class _Meta:
    def __init__(self, file: IO[bytes], facts: Survey) -> None:
        self.file, self.facts = file, facts
        self.main = 0
        self.properties: list[Box] = []
        self.used: dict[int, list[int]] = {}
        self.items: dict[int, bytes] = {}

    def read(self, meta: Box) -> None:
        for box in boxes(self.file, meta.start, meta.end):
            data = content(self.file, box)
            if box.kind == b"pitm" and len(data) >= 6:
                self.main = int.from_bytes(data[4:6] if data[0] == 0 else data[4:8], "big")
            elif box.kind == b"iinf" and len(data) >= 6:
                self._items(box, data)
            elif box.kind == b"iprp":
                self._properties(box)
        if any(kind == b"tmap" for kind in self.items.values()):
            self.facts.say("frames", "its gain map is left out: the picture will not show in HDR")
        self._colour()

    def _items(self, box: Box, data: bytes) -> None:
        start = box.start + (6 if data[0] == 0 else 8)
        for entry in boxes(self.file, start, box.end):
            head = content(self.file, entry, 16)
            if len(head) >= 12 and head[0] in {2, 3}:
                wide = 2 if head[0] == 2 else 4
                number = int.from_bytes(head[4 : 4 + wide], "big")
                self.items[number] = head[6 + wide : 10 + wide]

    def _properties(self, outer: Box) -> None:
        for box in boxes(self.file, outer.start, outer.end):
            if box.kind == b"ipco":
                self.properties = list(boxes(self.file, box.start, box.end))
            elif box.kind == b"ipma":
                self._associations(content(self.file, box))

    def _associations(self, data: bytes) -> None:
        try:
            version, flags = data[0], int.from_bytes(data[1:4], "big")
            (count,) = struct.unpack_from(">I", data, 4)
            place = 8
            for _ in range(min(count, len(data))):
                item, number = struct.unpack_from(">HB" if version == 0 else ">IB", data, place)
                place += 3 if version == 0 else 5
                code, mask = (">H", 0x7FFF) if flags & 1 else (">B", 0x7F)
                step = struct.calcsize(code)
                self.used[item] = [
                    struct.unpack_from(code, data, place + step * i)[0] & mask
                    for i in range(number)
                ]
                place += step * number
        except (struct.error, IndexError):
            return  # libavif says what is wrong with it

    def _colour(self) -> None:
        """A profile, which Pillow hands out, before nclx."""
        mine = [
            self.properties[number - 1]
            for number in self.used.get(self.main, [])
            if 0 < number <= len(self.properties)
        ]
        stated = None
        for box in mine:
            if box.kind == b"clap":
                self.facts.say("colour", "states a crop that is not applied")
            if box.kind == b"av1C" and int.from_bytes(content(self.file, box, 3), "big") & _DEEP:
                self.facts.say("depth", "more than 8 bits a sample; rounded before colours are")
            if box.kind != b"colr":
                continue
            data = content(self.file, box)
            if data[:4] == b"nclx" and len(data) >= 10:
                stated = struct.unpack_from(">HH", data, 4)
            elif data[:4] in {b"prof", b"rICC"}:
                return
        if stated:
            self.facts.take_cicp(*stated)
