"""Reading .dcn files; `formats.container` is the way in.

The structure is parsed at once and everything else when it is asked for: checksums of HEAD, the
index and unknown sections when the file is opened, those of metadata, alpha and blocks when they
are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import IO, TYPE_CHECKING, overload

from dcncodec.errors import FormatError, UsageError
from dcncodec.formats import bitstream, packed, sections
from dcncodec.formats.coding import MAX_CODED_BYTES, Coding, parse_coding
from dcncodec.formats.geometry import MAX_PIXELS
from dcncodec.formats.header import MAX_HEAD_BYTES, Header, check_pixels, parse_header
from dcncodec.formats.packed import METADATA, Metadata
from dcncodec.formats.palette import Palette, Tiling, exact_pixels, parse_palette, unpack_area
from dcncodec.formats.sections import Buffer, Section

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dcncodec.formats.coder import Coder, Latents

    Indices = NDArray[np.uint8]
    Plane = NDArray[np.uint8]
    Pixels = NDArray[np.uint8]
    Mask = NDArray[np.bool_]

INDEX_ENTRY = 4
"""Bytes of an index entry; a block section has at most MAX_CODED_BYTES + 9 < 2**32."""
MAX_START = len(sections.SIGNATURE) + sections.section_bytes(MAX_HEAD_BYTES)
"""Signature and the longest HEAD section."""


@contextmanager
def _in_block(number: int) -> Iterator[None]:
    """Errors with the number of the block that they are in."""
    try:
        yield
    except FormatError as error:
        raise FormatError(f"block {number}: {error}") from error


def check_block(
    block: Buffer, number: int, header: Header, channels: int, coding: Coding | None = None
) -> int:
    """Compare a block's shape with the header's, and its channels with those before (0: none).

    A block with a coding has no shape of its own, and the channels of that.
    """
    if coding is not None:
        return coding.channels
    with _in_block(number):
        height, width, found, _ = bitstream.block_shape(block)
    _, _, rows, columns = header.block_area(number)
    if (height, width) != (rows, columns):
        raise FormatError(
            f"block {number} has {width} x {height} latents, {columns} x {rows} belong there"
        )
    if channels and found != channels:
        raise FormatError(f"block {number} has {found} channels, the others have {channels}")
    return found


class _Blocks(Sequence[memoryview]):
    """The coded blocks of a reader, verified when accessed."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __len__(self) -> int:
        return self._reader.header.block_count

    @overload
    def __getitem__(self, number: int) -> memoryview: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[memoryview]: ...
    def __getitem__(self, number: int | slice) -> memoryview | Sequence[memoryview]:
        numbers = range(len(self))[number]
        if isinstance(numbers, range):
            return [self._reader.block(n) for n in numbers]
        return self._reader.block(numbers)


class Reader:
    """A parsed file; see `read`.

    Attributes:
        header: size, model and so on.
        coding: how the blocks are coded, if not as the bit-stream says.
        sections: all sections in their order.
        blocks: the coded blocks; an access verifies the block.
    """

    def __init__(self, data: Buffer, max_pixels: int | None) -> None:
        self.data = memoryview(data).cast("B")
        self.header, head = _head(self.data)
        check_pixels(self.header.width, self.header.height, max_pixels)
        self._channels = 0
        self._exact_pixels: dict[int, int] = {}
        self.sections: list[Section] = []
        self._known: dict[int, Section] = {}
        self._block_sections: list[Section] = []
        for section in sections.walk(self.data):
            self._admit(section)
            self.sections.append(section)
        assert self.sections[0] == head
        self.coding = self._coding()
        if self.coding is not None:
            self._channels = self.coding.channels
        self._check_complete()
        self.blocks: Sequence[memoryview] = _Blocks(self)

    def _admit(self, section: Section) -> None:
        """Take a section if it may stand here."""
        kind, count = section.kind, self.header.block_count
        if kind == sections.BLOCK:
            number = len(self._block_sections)
            if sections.INDEX in self._known:
                raise FormatError("a block follows the index")
            if number == count:
                raise FormatError(f"more blocks than the {count} that cover the picture")
            own = sections.CODING in self._known
            longest = MAX_CODED_BYTES if own else bitstream.MAX_BLOCK_BYTES
            if section.payload_end - section.payload_start > longest:
                raise FormatError(f"block {number} is longer than any block can be")
            self._block_sections.append(section)
            return
        if kind in self._known:
            raise FormatError(f"a second {section.name} section")
        if self._block_sections and kind not in {sections.INDEX, sections.END}:
            raise FormatError(f"section {section.name} follows a block")
        if kind in sections.NAMES:
            self._known[kind] = section

    def _coding(self) -> Coding | None:
        section = self._known.get(sections.CODING)
        return None if section is None else parse_coding(section.payload(self.data))

    def _check_complete(self) -> None:
        header, found = self.header, len(self._block_sections)
        if found != header.block_count:
            raise FormatError(f"holds {found} of {header.block_count} blocks")
        if header.alpha != (sections.ALPHA in self._known):
            has = "has none" if header.alpha else "has one"
            says = "an" if header.alpha else "no"
            raise FormatError(f"header announces {says} alpha plane, but the file {has}")
        index = self._known.get(sections.INDEX)
        if (index is not None) != (header.block_count > 1):
            raise FormatError(
                "has an index, but only one block" if index else "index of the blocks is missing"
            )
        if index is not None:
            self._check_index(index.payload(self.data, "index"))

    def _check_index(self, index: memoryview) -> None:
        if len(index) != INDEX_ENTRY * self.header.block_count:
            raise FormatError(
                f"index has {len(index)} bytes, {self.header.block_count} blocks need "
                f"{INDEX_ENTRY * self.header.block_count}"
            )
        for number, section in enumerate(self._block_sections):
            start = number * INDEX_ENTRY
            stated = int.from_bytes(index[start : start + INDEX_ENTRY], "little")
            if stated != section.end - section.start:
                raise FormatError(
                    f"index states {stated} bytes for block {number}, "
                    f"it has {section.end - section.start}"
                )

    def block(self, number: int) -> memoryview:
        """The coded block `number`, 0..block_count - 1; checksum and shape are verified.

        Of blocks with different numbers of channels, those accessed later are at fault.

        Raises:
            FormatError: the block is damaged.
        """
        payload = self._block_sections[number].payload(self.data, f"block {number}")
        self._channels = check_block(payload, number, self.header, self._channels, self.coding)
        return payload

    def block_section(self, number: int) -> Section:
        """Where block `number` lies in the file."""
        return self._block_sections[number]

    @property
    def latent_channels(self) -> int:
        """N, the channels of every block.

        Raises:
            FormatError: no block has been accessed yet, and the first one is damaged.
        """
        if not self._channels:
            self.block(0)
        return self._channels

    @property
    def rate(self) -> int:
        """At which the file was encoded; 0 where its model has one rate."""
        return 0 if self.coding is None else self.coding.rate

    def latents(self, number: int, coder: Coder) -> Latents:
        """The code words of a block, int16 (N, rows, columns).

        Args:
            number: of the block.
            coder: that of the file's blocks.

        Raises:
            FormatError: the block is damaged.
        """
        block = self.block(number)
        with _in_block(number):
            found = coder.decode(block, self.header.block(number), self.rate)
        if len(found) != self._channels:
            raise FormatError(
                f"CODR section states {self._channels} channels, its context model has {len(found)}"
            )
        return found

    def decode_block(self, number: int, threads: int = 1) -> Indices:
        """The codebook indices of a block of the bit-stream, uint8 (N, rows, columns), 0..31.

        Raises:
            FormatError: the block is damaged.
            UsageError: the blocks are not of the bit-stream.
        """
        self._check_bitstream()
        block = self.block(number)
        with _in_block(number):
            return bitstream.decode_block(block, threads)

    def _check_bitstream(self) -> None:
        if self.coding is not None:
            raise UsageError("its channels depend on each other; only its model can decode them")

    def decode_channels(self, number: int, channels: Sequence[int]) -> Indices:
        """Some channels of a block, uint8 (len(channels), rows, columns), 0..31.

        Raises:
            FormatError: the block is damaged.
            UsageError: there is no such channel, or the blocks are not of the bit-stream.
        """
        self._check_bitstream()
        block = self.block(number)
        with _in_block(number):
            return bitstream.decode_channels(block, channels)

    @cached_property
    def metadata(self) -> Metadata:
        """ICC, EXIF and XMP; orientations are reset to 1, because pixels are stored upright.

        Raises:
            FormatError: one of them is damaged.
        """
        stored = self._stored_metadata
        if stored == Metadata(stored.icc):
            return stored
        # Most files have neither block, and are to be decoded at once.
        from dcncodec.formats import exif, xmp

        return Metadata(
            stored.icc,
            exif.upright(stored.exif) if stored.exif else None,
            xmp.upright(stored.xmp) if stored.xmp else None,
        )

    @property
    def wrong_orientation(self) -> int | None:
        """An orientation other than 1 that the metadata states; None if all is well.

        Raises:
            FormatError: EXIF or XMP is damaged.
        """
        stored = self._stored_metadata
        if stored == Metadata(stored.icc):
            return None
        from dcncodec.formats import exif, xmp

        found = (
            exif.orientation(stored.exif) if stored.exif else None,
            xmp.orientation(stored.xmp) if stored.xmp else None,
        )
        return next((value for value in found if value not in {None, 1}), None)

    @cached_property
    def _stored_metadata(self) -> Metadata:
        found = {
            name: packed.unpack_metadata(self._known[kind].payload(self.data), sections.NAMES[kind])
            for kind, name in METADATA.items()
            if kind in self._known
        }
        return Metadata(**found)

    def metadata_lengths(self) -> dict[str, int]:
        """Bytes of each metadata block that the file has, from its declaration.

        Raises:
            FormatError: one of them is damaged.
        """
        return {
            name: packed.metadata_length(
                self._known[kind].payload(self.data), sections.NAMES[kind]
            )[0]
            for kind, name in METADATA.items()
            if kind in self._known
        }

    @cached_property
    def alpha(self) -> Plane | None:
        """The alpha plane, uint8 (height, width); None without one.

        Raises:
            FormatError: it is damaged.
        """
        return self.alpha_rows(0, self.header.height)

    def alpha_rows(self, top: int, bottom: int) -> Plane | None:
        """Rows top..bottom of the alpha plane, uint8 (bottom - top, width); None without one.

        Raises:
            FormatError: it is damaged.
        """
        if sections.ALPHA not in self._known:
            return None
        payload = self._known[sections.ALPHA].payload(self.data)
        return packed.unpack_alpha(payload, self.header.width, top, bottom, self.header.height)

    @cached_property
    def palette(self) -> Palette | None:
        """Tiles that are stored exactly, packed; None without any.

        Raises:
            FormatError: the section is damaged.
        """
        section = self._known.get(sections.PALETTE)
        if section is None:
            return None
        return parse_palette(section.payload(self.data), self.header.block_count)

    def exact(self, number: int) -> tuple[Pixels, Mask] | None:
        """The exact tiles of a block: its pixels, uint8 (height, width, 3), and where they are
        exact, bool (height, width); None without any.

        Raises:
            FormatError: they are damaged.
        """
        if not (area := self._area(number)):
            return None
        with _in_block(number):
            return unpack_area(area, Tiling.of(self.header, number, area[0]))

    def exact_pixels(self, number: int) -> int:
        """How many pixels of a block are exact; little is expanded for it, and once only.

        Raises:
            FormatError: they are damaged.
        """
        if not (area := self._area(number)):
            return 0
        if number not in self._exact_pixels:
            with _in_block(number):
                tiling = Tiling.of(self.header, number, area[0])
                self._exact_pixels[number] = exact_pixels(area, tiling)
        return self._exact_pixels[number]

    def _area(self, number: int) -> memoryview:
        return memoryview(b"" if self.palette is None else self.palette.areas[number])

    @property
    def packed_alpha(self) -> memoryview | None:
        """The alpha plane as it lies in the file, found intact; None without one.

        Raises:
            FormatError: it is damaged.
        """
        if sections.ALPHA not in self._known:
            return None
        # Expands all of it and keeps no row.
        self.alpha_rows(self.header.height, self.header.height)
        return self._known[sections.ALPHA].payload(self.data)

    def verify(self, coder: Coder | None = None) -> None:
        """Check all checksums, decompress metadata and alpha, and decode every block and its exact
        tiles.

        Args:
            coder: of blocks with a `coding`; the bit-stream's needs none.

        Raises:
            FormatError: the first thing found damaged.
            UsageError: the coder is missing.
        """
        for section in self.sections:
            if section.kind != sections.BLOCK:
                section.payload(self.data)
        if (orientation := self.wrong_orientation) is not None:
            raise FormatError(f"orientation {orientation} in metadata: pixels are stored upright")
        self.alpha_rows(self.header.height, self.header.height)
        for number in range(self.header.block_count):
            self.exact(number)
            if coder is None:
                self.decode_block(number)
            else:
                self.latents(number, coder)


def _head(data: memoryview) -> tuple[Header, Section]:
    sections.check_signature(data)
    section = sections.read_section(data, len(sections.SIGNATURE))
    if section.kind != sections.HEAD:
        raise FormatError(f"first section is {section.name}, not HEAD")
    return parse_header(section.payload(data, "header")), section


def read_header(source: Buffer | IO[bytes]) -> Header:
    """The header of a file, from its bytes or from a binary file at its beginning.

    Of a file, MAX_START bytes are read.

    Raises:
        FormatError: it is not a .dcn file, or the header is damaged.
    """
    if not isinstance(source, bytes | bytearray | memoryview):
        source = source.read(MAX_START)
    return _head(memoryview(source).cast("B"))[0]


def read(data: Buffer, *, max_pixels: int | None = MAX_PIXELS) -> Reader:
    """Parse a file; see `Reader`.

    Args:
        data: the whole file: bytes, or a memoryview of a mapped file, which must stay open.
        max_pixels: refuse pictures with more pixels; None for no limit.

    Raises:
        FormatError: the file is damaged, cut short or needs a newer dcn.
        LimitError: the picture has more than `max_pixels`.
    """
    return Reader(data, max_pixels)
