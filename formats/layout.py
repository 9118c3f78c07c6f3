"""Where the parts of a .dcn file lie, and that each of them may stand there.

The structure is parsed at once, with the checksums of HEAD, the index and unknown sections; those
of metadata, alpha and blocks are compared when their bytes are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dcncodec.errors import FormatError
from dcncodec.formats import bitstream, sections
from dcncodec.formats.coding import MAX_CODED_BYTES, Coding, parse_coding
from dcncodec.formats.header import MAX_HEAD_BYTES, Header, check_pixels, parse_header
from dcncodec.formats.sections import Buffer, Section
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import IO

INDEX_ENTRY = 4
"""Bytes of an index entry; a block section has at most MAX_CODED_BYTES + 9 < 2**32."""
MAX_START = len(sections.SIGNATURE) + sections.section_bytes(MAX_HEAD_BYTES)
"""Signature and the longest HEAD section."""


@contextmanager
def in_block(number: int) -> Iterator[None]:
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
    with in_block(number):
        height, width, found, _ = bitstream.block_shape(block)
    _, _, rows, columns = header.block_area(number)
    if (height, width) != (rows, columns):
        raise FormatError(
            f"block {number} has {width} x {height} latents, {columns} x {rows} belong there"
        )
    if channels and found != channels:
        raise FormatError(f"block {number} has {found} channels, the others have {channels}")
    return found


class Layout:
    """The sections of a file.

    Args:
        data: the whole file.
        max_pixels: refuse pictures with more pixels; None for no limit.

    Attributes:
        data: the same.
        header: size, model and so on.
        coding: how the blocks are coded, if not as the bit-stream says.
        sections: all of them in their order.
        blocks: those of the coded blocks.

    Raises:
        FormatError: the structure is damaged, cut short or needs a newer dcn.
        LimitError: the picture has more than ``max_pixels``.
    """

    def __init__(self, data: Buffer, max_pixels: int | None) -> None:
        self.data = memoryview(data).cast("B")
        self.header, head = _head(self.data)
        check_pixels(self.header.width, self.header.height, max_pixels)
        self.sections: list[Section] = []
        self._known: dict[int, Section] = {}
        self.blocks: list[Section] = []
        for section in sections.walk(self.data):
            self._admit(section)
            self.sections.append(section)
        assert self.sections[0] == head
        coding = self.payload(sections.CODING)
        self.coding: Coding | None = None if coding is None else parse_coding(coding)
        self._check_complete()

    def payload(self, kind: int) -> memoryview | None:
        """What a section of a known kind holds, its checksum compared; None without one.

        Raises:
            FormatError: it is damaged.
        """
        section = self._known.get(kind)
        return None if section is None else section.payload(self.data)

    def _admit(self, section: Section) -> None:
        """Take a section if it may stand here."""
        kind, count = section.kind, self.header.block_count
        if kind == sections.BLOCK:
            number = len(self.blocks)
            if sections.INDEX in self._known:
                raise FormatError("a block follows the index")
            if number == count:
                raise FormatError(f"more blocks than the {count} that cover the picture")
            own = sections.CODING in self._known
            longest = MAX_CODED_BYTES if own else bitstream.MAX_BLOCK_BYTES
            if section.payload_end - section.payload_start > longest:
                raise FormatError(f"block {number} is longer than any block can be")
            self.blocks.append(section)
            return
        if kind in self._known:
            raise FormatError(f"a second {section.name} section")
        if self.blocks and kind not in {sections.INDEX, sections.END}:
            raise FormatError(f"section {section.name} follows a block")
        if kind in sections.NAMES:
            self._known[kind] = section

    def _check_complete(self) -> None:
        header, found = self.header, len(self.blocks)
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
        for number, section in enumerate(self.blocks):
            start = number * INDEX_ENTRY
            stated = int.from_bytes(index[start : start + INDEX_ENTRY], "little")
            if stated != section.end - section.start:
                raise FormatError(
                    f"index states {stated} bytes for block {number}, "
                    f"it has {section.end - section.start}"
                )


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
