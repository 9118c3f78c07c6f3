"""BMP files: colours and profiles of the headers BITMAPV4HEADER and BITMAPV5HEADER."""

from __future__ import annotations

import struct
from typing import IO

from dcncodec.formats.profiles import Colorimetry
from dcncodec.formats.survey.facts import CheckSize, Survey, UnsupportedError

_CALIBRATED = 0
_EMBEDDED, _LINKED = b"DEBM", b"KNIL"
_EMBEDDED_FILES = {4: "JPEG", 5: "PNG"}
_MAX_PROFILE = 1 << 26
_PIECE = 1 << 20


def survey(file: IO[bytes], check_size: CheckSize) -> Survey:
    """Take what the header says about colours.

    Raises:
        UnsupportedError: the file is a wrapper around another one.
    """
    facts = Survey()
    head = file.read(14 + 124)
    if len(head) < 30:
        return facts
    (size,) = struct.unpack_from("<I", head, 14)
    if size < 40:
        return facts  # OS/2: sizes alone
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", head, 18)
    check_size(width, abs(height))
    x, y = struct.unpack_from("<ii", head, 38) if len(head) >= 46 else (0, 0)
    if x > 0 and y > 0:
        facts.density = (x / 100, y / 100, 3)
    if bits == 32 and compression == 0:
        _fourth_bytes(file, head, 4 * width * abs(height), facts)
    if compression in _EMBEDDED_FILES and bits == 0:
        raise UnsupportedError(
            f"BMP files around a {_EMBEDDED_FILES[compression]} file are not supported"
        )
    if size < 108 or len(head) < 14 + 108:
        return facts
    space = head[70:74]
    if int.from_bytes(space, "little") == _CALIBRATED:
        _calibrated(head, facts)
    elif space == _EMBEDDED and size >= 124 and len(head) == 138:
        place, length = struct.unpack_from("<II", head, 14 + 112)
        file.seek(14 + place)
        facts.icc = file.read(min(length, _MAX_PROFILE)) or None
    elif space == _LINKED:
        facts.say("colour", "its colour profile is in another file; taken as sRGB")
    return facts


def _fourth_bytes(file: IO[bytes], head: bytes, left: int, facts: Survey) -> None:
    """Say that bytes which are not declared as alpha are left out, unless they are all alike."""
    file.seek(int.from_bytes(head[10:14], "little"))
    found = set()
    while left > 0 and (piece := file.read(min(left, _PIECE))):
        found |= set(piece[3::4])
        left -= len(piece)
    if found - {0} and found - {255}:
        facts.say("alpha", "its fourth bytes are not declared as alpha and left out")


def _calibrated(head: bytes, facts: Survey) -> None:
    """End points as X, Y, Z (2.30 fixed point) and gamma (16.16); all 0 says nothing."""
    ends = struct.unpack_from("<9I", head, 74)
    gammas = [value / 65536 for value in struct.unpack_from("<3I", head, 110)]
    points = [ends[i : i + 3] for i in range(0, 9, 3)]
    if not all(sum(point) for point in points) or not all(gammas):
        return
    if max(gammas) - min(gammas) > 0.01:
        facts.say("colour", "a gamma of its own for each colour; taken as sRGB")
        return
    red, green, blue = ((x / (x + y + z), y / (x + y + z)) for x, y, z in points)
    total = [sum(point[i] for point in points) for i in range(3)]
    white = total[0] / sum(total), total[1] / sum(total)
    given = Colorimetry((white, red, green, blue))
    if not (given.is_srgb and abs(gammas[0] - 2.2) < 0.01):
        facts.colour = Colorimetry(given.primaries, (gammas[0],))
