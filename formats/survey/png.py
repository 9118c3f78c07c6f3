"""PNG files, chunk by chunk (W3C PNG, third edition)."""

from __future__ import annotations

import io
import struct
import zlib
from typing import IO

from dcncodec.formats.profiles import Colorimetry
from dcncodec.formats.survey.facts import CheckSize, DamagedError, Survey, UnsupportedError

_SIGNATURE = 8
_PIECE = 1 << 18
_XMP = b"XML:com.adobe.xmp"
# Chunks whose content is used or without consequence for a single picture.
_HANDLED = {
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM",
    b"pHYs", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"sBIT", b"bKGD", b"hIST", b"sPLT",
}  # fmt: skip
_NAMES = {
    b"tIME": "time of the last change",
    b"caBX": "content credentials (C2PA)",
    b"mDCV": "mastering display",
    b"cLLI": "light level",
    b"oFFs": "offset",
    b"sTER": "stereo layout",
}


def survey(file: IO[bytes], check_size: CheckSize) -> Survey:
    """Check every chunk and say what is in the file.

    Raises:
        DamagedError: a critical chunk is damaged or missing.
        UnsupportedError: the picture is HDR.
    """
    return _Chunks(file, check_size).facts


class _Chunks:
    def __init__(self, file: IO[bytes], check_size: CheckSize) -> None:
        self.file, self.check_size = file, check_size
        self.facts = Survey()
        self.held: dict[bytes, bytes] = {}
        self.dropped: list[str] = []
        self.bad: list[tuple[int, int]] = []
        self.inflater: zlib._Decompress | None = zlib.decompressobj()
        self.room = 0
        size = file.seek(0, io.SEEK_END)
        place, ended = _SIGNATURE, False
        while not ended and place + 8 <= size:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            end = place + 12 + length
            if end > size:
                break
            ended = kind == b"IEND"
            self._chunk(kind, place, length)
            place = end
        self._finish(ended, size - place if ended else 0)

    def _chunk(self, kind: bytes, place: int, length: int) -> None:
        crc = zlib.crc32(kind)
        content = b""
        for start in range(0, length, _PIECE):
            piece = self.file.read(min(_PIECE, length - start))
            crc = zlib.crc32(piece, crc)
            if kind == b"IDAT":
                self._inflate(piece)
            elif kind not in {b"fdAT"}:
                content += piece
        if crc != int.from_bytes(self.file.read(4), "big"):
            name = kind.decode("latin-1")
            if not kind[0] & 0x20:
                raise DamagedError(f"checksum of chunk {name} is wrong")
            self.bad.append((place, place + 12 + length))
            self.facts.say("damage", f"chunk {name} is damaged and left out")
            return
        self.held.setdefault(kind, content)
        if kind == b"IHDR" and len(content) == 13:
            width, height = struct.unpack_from(">II", content)
            self.check_size(width, height)
            # Four samples of two bytes, and a filter for each row of seven passes, at most.
            self.room = 8 * width * height + 14 * (width + height)
            self.facts.bits = content[8]
        if kind in {b"tEXt", b"zTXt", b"iTXt"}:
            keyword = content.split(b"\0", 1)[0]
            if keyword not in {_XMP, b"Raw profile type exif"}:
                self.dropped.append(f"text {keyword[:79].decode('latin-1')!r}")
        elif kind not in _HANDLED:
            self.dropped.append(_NAMES.get(kind, f"chunk {kind.decode('latin-1')}"))

    def _inflate(self, piece: bytes) -> None:
        """Check the Adler-32 of the pixels, which Pillow does not."""
        while piece and self.inflater and not self.inflater.eof:
            try:
                self.room -= len(self.inflater.decompress(piece, _PIECE))
            except zlib.error as error:
                if "incorrect data check" in str(error):
                    raise DamagedError("checksum of the pixels is wrong") from None
                self.inflater = None  # Pillow says what is wrong with the data
                return
            piece = self.inflater.unconsumed_tail
            if self.room < 0:
                self.inflater = None  # a bomb; Pillow stops at the last row

    def _finish(self, ended: bool, trailing: int) -> None:
        facts, held = self.facts, self.held
        if not ended:
            facts.say("damage", "its end is missing")
        if trailing:
            facts.say("metadata", f"{trailing} bytes behind the end of the picture are left out")
        if self.bad:
            facts.sound = _without(self.file, self.bad)
        if b"acTL" in held and len(held[b"acTL"]) >= 4:
            facts.say_frames(int.from_bytes(held[b"acTL"][:4], "big"))
        facts.say_dropped(self.dropped)
        if len(physical := held.get(b"pHYs", b"")) == 9:
            x, y, unit = struct.unpack(">IIB", physical)
            if x and y:
                per_metre = unit == 1
                facts.density = (x / 100, y / 100, 3) if per_metre else (float(x), float(y), 1)
        self._colour()

    def _colour(self) -> None:
        """Section 13.16: cICP before iCCP before sRGB before gAMA and cHRM."""
        facts, held = self.facts, self.held
        if len(code := held.get(b"cICP", b"")) == 4:
            primaries, transfer, matrix, full = code
            if matrix or full != 1:
                raise UnsupportedError(
                    "PNG files with YCbCr or narrow-range samples (cICP) are not supported"
                )
            facts.ignore_icc = True
            facts.take_cicp(primaries, transfer)
            return
        if profile := held.get(b"iCCP"):
            if _opens(profile):
                return
            facts.say("colour", "its colour profile is damaged and left out")
        if b"sRGB" in held:
            facts.ignore_icc = True
            return
        gamma = int.from_bytes(held.get(b"gAMA", b""), "big")
        points = held.get(b"cHRM", b"")
        facts.colour = stated_colour(
            gamma / 100_000, [v / 100_000 for v in struct.unpack(">8I", points)]
            if len(points) == 32 else None
        )  # fmt: skip


def stated_colour(gamma: float, points: list[float] | None) -> Colorimetry | None:
    """Colours by the exponent of encoding (0 for none) and x, y of white, red, green, blue.

    1/2.2 with the primaries of sRGB, or none, is how files say sRGB to readers that know only
    these numbers.
    """
    if not gamma and points is None:
        return None
    given = Colorimetry()
    if points is not None:
        white, red, green, blue = ((points[i], points[i + 1]) for i in range(0, 8, 2))
        given = Colorimetry((white, red, green, blue))
    if gamma and not (given.is_srgb and abs(gamma - 0.45455) < 0.0005):
        given = Colorimetry(given.primaries, (1 / gamma,))
    return given


def _opens(profile: bytes) -> bool:
    """Whether a chunk iCCP holds a profile that can be decompressed, within Pillow's bound."""
    packed = profile.partition(b"\0")[2][1:]
    try:
        inflater = zlib.decompressobj()
        return bool(inflater.decompress(packed, 1 << 20)) and (
            inflater.eof or bool(inflater.unconsumed_tail)
        )
    except zlib.error:
        return False


def _without(file: IO[bytes], parts: list[tuple[int, int]]) -> IO[bytes]:
    file.seek(0)
    data = file.read()
    sound, place = io.BytesIO(), 0
    for start, end in parts:
        sound.write(data[place:start])
        place = end
    sound.write(data[place:])
    sound.seek(0)
    return sound
