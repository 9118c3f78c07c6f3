"""TIFF files: which layouts are read, the checksums of their strips, and what is in them.

Pillow reads some layouts wrongly without a word. Those that are let through here were compared
with a second reader (tests/world); everything else is refused by name.
"""

from __future__ import annotations

import zlib
from typing import IO

from dcncodec.formats import exif
from dcncodec.formats.ifd import Directory, DirectoryError, ReadAt, Structure
from dcncodec.formats.profiles import Colorimetry
from dcncodec.formats.survey.facts import CheckSize, DamagedError, Survey, UnsupportedError

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 0x0100, 0x0101, 0x0102, 0x0103, 0x0106
SUBFILE, STRIPS, STRIP_BYTES, SAMPLES, PLANAR = 0x00FE, 0x0111, 0x0117, 0x0115, 0x011C
PREDICTOR, WHITE_POINT, PRIMARIES, CURVE = 0x013D, 0x013E, 0x013F, 0x012D
TILES, TILE_BYTES, SUB_IFDS, INK_SET, EXTRA, FORMAT = 0x0144, 0x0145, 0x014A, 0x014C, 0x0152, 0x0153
XMP, IPTC, PHOTOSHOP, ICC = 0x02BC, 0x83BB, 0x8649, 0x8773
CFA, DNG_VERSION = 0x828E, 0xC612

WHITE_IS_ZERO, GREY, RGB, PALETTE, MASK, SEPARATED, YCBCR, LAB = 0, 1, 2, 3, 4, 5, 6, 8
_PHOTOMETRICS = {
    9: "ICC L*a*b*", 10: "ITU L*a*b*", 32803: "colour filter array (RAW)", 32844: "LogL",
    32845: "LogLuv", 34892: "linear RAW", MASK: "transparency mask",
}  # fmt: skip
RAW_COMPRESSION, DEFLATE, OLD_DEFLATE = 1, 8, 32946
LZW, LZMA, ZSTD = 5, 34925, 50000
_PREDICTED = {LZW, DEFLATE, OLD_DEFLATE, LZMA, ZSTD}
"""Compressions for which libtiff undoes differences."""
_COMPRESSIONS = _PREDICTED | {RAW_COMPRESSION, 2, 3, 4, 7, 32773}
_FORMATS = {2: "signed", 3: "floating point", 4: "undefined", 5: "complex", 6: "complex"}
_WRONG_COLOURS = "convert it with a program that shows its colours right"
_MAX_PAGES = 10_000
_BUDGET = 1 << 28
_PIECE = 1 << 18


def survey(file: IO[bytes], check_size: CheckSize) -> Survey:
    """Check the layout of the first page and the checksums of its data.

    Raises:
        DamagedError: the directory or a checksum is damaged.
        UnsupportedError: a layout that is not read here.
    """

    def read_at(place: int, size: int) -> bytes:
        file.seek(min(place, 2**62))
        return file.read(size)

    try:
        structure = Structure.opened(read_at, _BUDGET)
        first, following = structure.directory(structure.first)
    except (DirectoryError, OSError, OverflowError) as error:
        raise DamagedError(str(error)) from None
    page = _Page(structure, first)
    page.check_layout()
    check_size(page.number(WIDTH), page.number(HEIGHT))
    facts = Survey()
    page.report(facts)
    facts.say_frames(1 + _further(structure, following), "pages")
    if page.number(COMPRESSION, 1) in {DEFLATE, OLD_DEFLATE}:
        page.check_deflate(read_at)
    return facts


def _further(structure: Structure, place: int) -> int:
    """The number of directories from a place on."""
    seen: set[int] = set()
    while place and place not in seen and len(seen) < _MAX_PAGES:
        try:
            _, following = structure.directory(place)
        except DirectoryError:
            break
        seen.add(place)
        place = following
    return len(seen)


class _Page:
    def __init__(self, structure: Structure, entries: Directory) -> None:
        self.structure, self.entries = structure, entries

    def numbers(self, tag: int) -> tuple[int, ...]:
        entry = self.entries.get(tag)
        return tuple(map(int, entry.numbers(self.structure.order))) if entry else ()

    def number(self, tag: int, default: int = 0) -> int:
        return (self.numbers(tag) or (default,))[0]

    def check_layout(self) -> None:
        """Raise UnsupportedError for what Pillow refuses, or reads wrongly."""
        if DNG_VERSION in self.entries or CFA in self.entries:
            raise UnsupportedError(
                "a camera's RAW file is not supported here; develop it with dcn develop"
            )
        if self.number(SUBFILE) & 1 and SUB_IFDS in self.entries:
            raise UnsupportedError(
                "files that begin with a preview (as cameras' RAW files do) are not supported; "
                "develop it with dcn develop"
            )
        kind = self.number(PHOTOMETRIC, -1)
        samples = self.number(SAMPLES, 1)
        bits = self.numbers(BITS) or (1,)
        if len(set(bits)) > 1:
            raise UnsupportedError("TIFF files of samples of different depths are not supported")
        depth = bits[0]
        self._check_format(depth)
        if kind in _PHOTOMETRICS or kind not in {
            WHITE_IS_ZERO, GREY, RGB, PALETTE, SEPARATED, YCBCR, LAB
        }:  # fmt: skip
            named = _PHOTOMETRICS.get(kind, f"photometric interpretation {kind}")
            raise UnsupportedError(f"TIFF files of {named} are not supported; {_WRONG_COLOURS}")
        compression = self.number(COMPRESSION, 1)
        if compression not in _COMPRESSIONS:
            raise UnsupportedError(
                f"TIFF files of compression {compression} are not supported; convert it"
            )
        predictor = self.number(PREDICTOR, 1)
        if predictor != 1 and not (predictor == 2 and compression in _PREDICTED):
            raise UnsupportedError(
                f"TIFF files of predictor {predictor} with compression {compression} are not "
                "supported; convert it"
            )
        self._check_samples(kind, samples, depth)

    def _check_format(self, depth: int) -> None:
        for value in self.numbers(FORMAT):
            if value != 1:
                named = _FORMATS.get(value, f"format {value}")
                raise UnsupportedError(
                    f"{named} samples are not supported, they have no defined white; "
                    "convert them to unsigned 8 or 16 bits"
                )
        if depth > 16:
            raise UnsupportedError(
                f"samples of floating point or {depth} bits are not supported, they have no "
                "defined white; convert them to 8 or 16 bits"
            )

    def _check_samples(self, kind: int, samples: int, depth: int) -> None:
        colours = {RGB: 3, YCBCR: 3, LAB: 3, SEPARATED: 4}.get(kind, 1)
        extra = samples - colours
        planar = self.number(PLANAR, 1) == 2 and samples > 1
        if kind == SEPARATED and self.number(INK_SET, 1) != 1:
            raise UnsupportedError("TIFF files of other inks than CMYK are not supported")
        wrong = (
            extra < 0
            or depth not in {1, 2, 4, 8, 12, 16}
            or (depth == 12 and (kind not in {GREY} or planar))
            or (kind == PALETTE and (extra or depth > 8))
            or (kind == SEPARATED and (extra or depth not in {8, 16}))
            or (kind in {YCBCR, LAB} and (extra or depth != 8 or planar))
            or (colours == 1 and extra and (extra > 1 or depth != 8))
            or (kind == RGB and (extra > 1 or depth not in {8, 16}))
            or (colours == 1 and kind != PALETTE and extra and planar)
            or (planar and depth == 16)
            or (planar and kind == SEPARATED)
        )
        if wrong:
            layout = ", planes apart" if planar else ""
            raise UnsupportedError(
                f"TIFF files of {samples} samples of {depth} bits{layout} and photometric "
                f"interpretation {kind} are not supported; convert it"
            )

    def report(self, facts: Survey) -> None:
        """What Pillow does not say about the page."""
        facts.bits = self.number(BITS, 1)
        if icc := self.entries.get(ICC):
            facts.icc = icc.value
        if xmp := self.entries.get(XMP):
            facts.xmp = xmp.value
        try:
            facts.exif = exif.packed(self.structure, self.entries)
        except DirectoryError:
            facts.say("metadata", "its EXIF data cannot be read and is left out")
        names = {IPTC: "IPTC", PHOTOSHOP: "Photoshop data"}
        facts.say_dropped([name for tag, name in names.items() if tag in self.entries])
        colours = {RGB: 3, YCBCR: 3, LAB: 3, SEPARATED: 4}.get(self.number(PHOTOMETRIC), 1)
        if self.number(SAMPLES, 1) > colours and self.number(EXTRA) not in {1, 2}:
            facts.say("alpha", "its further sample is not declared as alpha and left out")
        if self.number(EXTRA) == 1 and self.number(BITS) == 16:
            text = "16-bit colours, multiplied by alpha, lose precision where alpha is low"
            facts.say("depth", text)
        self._colour(facts)

    def _colour(self, facts: Survey) -> None:
        white, points = (
            self.entries[tag].numbers(self.structure.order) if tag in self.entries else ()
            for tag in (WHITE_POINT, PRIMARIES)
        )
        if CURVE in self.entries and ICC not in self.entries:
            facts.say("colour", "states a transfer function; taken with that of sRGB")
        if ICC in self.entries or len(points) != 6 or self.number(PHOTOMETRIC) not in {RGB, YCBCR}:
            return
        given = Colorimetry()
        middle = (white[0], white[1]) if len(white) == 2 else given.primaries[0]
        red, green, blue = ((points[i], points[i + 1]) for i in (0, 2, 4))
        facts.colour = Colorimetry((middle, red, green, blue))
        if not facts.colour.is_srgb and CURVE not in self.entries:
            facts.say("colour", "states primaries without a curve; taken with that of sRGB")

    def check_deflate(self, read_at: ReadAt) -> None:
        """Decompress every strip or tile for its checksum, which libtiff does not look at."""
        # Two bytes a sample, and tiles that reach beyond the picture; more is a bomb.
        pixels = (self.number(WIDTH) + 4096) * (self.number(HEIGHT) + 4096)
        room = 2 * pixels * self.number(SAMPLES, 1)
        tiled = TILES in self.entries
        places = self.numbers(TILES if tiled else STRIPS)
        sizes = self.numbers(TILE_BYTES if tiled else STRIP_BYTES)
        for place, size in zip(places, sizes, strict=False):
            inflater = zlib.decompressobj()
            for start in range(0, size, _PIECE):
                piece = read_at(place + start, min(_PIECE, size - start))
                try:
                    while piece and not inflater.eof:
                        room -= len(inflater.decompress(piece, _PIECE))
                        if room < 0:
                            return
                        piece = inflater.unconsumed_tail
                except zlib.error as error:
                    raise DamagedError(f"compressed data: {error}") from None
