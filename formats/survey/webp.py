"""WebP files, chunk by chunk (RFC 9649)."""

from __future__ import annotations

import io
import struct
from typing import IO

from dcncodec.formats.survey.facts import CheckSize, Survey

_KNOWN = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "}


def survey(file: IO[bytes], check_size: CheckSize) -> Survey:
    """Count the frames, say what else is there. Pillow knows the size before it decodes."""
    del check_size
    facts = Survey()
    head = file.read(12)
    end = 8 + int.from_bytes(head[4:8], "little")
    size = file.seek(0, io.SEEK_END)
    place, frames, dropped = 12, 0, []
    while place + 8 <= min(end, size):
        file.seek(place)
        kind, length = struct.unpack("<4sI", file.read(8))
        frames += kind == b"ANMF"
        if kind not in _KNOWN:
            dropped.append(f"chunk {kind.decode('latin-1')!r}")
        place += 8 + length + length % 2
    if size > end:
        facts.say("metadata", f"{size - end} bytes behind the picture are left out")
    facts.say_frames(frames)
    facts.say_dropped(dropped)
    return facts
