"""PNM files: whether pictures follow the first one."""

from __future__ import annotations

import io
import re
from typing import IO

from dcncodec.formats.survey.facts import CheckSize, Survey

_FIELD = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])+(\d{1,10})")


def survey(file: IO[bytes], check_size: CheckSize) -> Survey:
    """Compare the size of a file of binary samples with what its header says."""
    facts = Survey()
    head = file.read(4096)
    kind = head[:2]
    numbers, place = [], 2
    for _ in range(2 if kind in {b"P1", b"P4"} else 3):
        found = _FIELD.match(head, place)
        if found is None:
            return facts  # Pillow says what is wrong with the header
        numbers.append(int(found[1]))
        place = found.end()
    width, height = numbers[:2]
    check_size(width, height)
    if len(numbers) == 3:
        facts.bits = numbers[2].bit_length()
    if kind in {b"P4", b"P5", b"P6"}:
        row = -(-width // 8) if kind == b"P4" else width * (3 if kind == b"P6" else 1)
        wide = 2 if len(numbers) == 3 and numbers[2] > 255 else 1
        size = file.seek(0, io.SEEK_END)
        file.seek(place + 1 + row * wide * height)
        following = file.read(2)
        if following[:1] == b"P" and following[1:].isdigit():
            facts.say("frames", "further pictures in the file are left out; only the first is kept")
        elif size > place + 1 + row * wide * height + 2:
            facts.say("metadata", "bytes behind the picture are left out")
    return facts
