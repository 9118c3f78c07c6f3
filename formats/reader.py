"""Reading .dcn files; `formats.container` is the way in.

The structure is parsed at once (`formats.layout`) and everything else when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from dcncodec.errors import FormatError, UsageError
from dcncodec.formats import bitstream, packed, sections
from dcncodec.formats.geometry import MAX_PIXELS
from dcncodec.formats.layout import Layout, check_block, in_block
from dcncodec.formats.means import Means, parse_means
from dcncodec.formats.packed import METADATA, Metadata
from dcncodec.formats.palette import Palette, Tiling, exact_pixels, parse_palette, unpack_area
from dcncodec.formats.sections import Buffer, Section
from dcncodec.typed import TYPE_CHECKING, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dcncodec.formats.coder import Coder, Latents

    Indices = NDArray[np.uint8]
    Plane = NDArray[np.uint8]
    Pixels = NDArray[np.uint8]
    Mask = NDArray[np.bool_]


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
        data: the whole file.
        header: size, model and so on.
        coding: how the blocks are coded, if not as the bit-stream says.
        sections: all sections in their order.
        blocks: the coded blocks; an access verifies the block.
    """

    def __init__(self, data: Buffer, max_pixels: int | None) -> None:
        self._layout = layout = Layout(data, max_pixels)
        self.data, self.header, self.coding = layout.data, layout.header, layout.coding
        self.sections: Sequence[Section] = layout.sections
        self.blocks: Sequence[memoryview] = _Blocks(self)
        self._channels = 0 if self.coding is None else self.coding.channels
        self._exact_pixels: dict[int, int] = {}

    def block(self, number: int) -> memoryview:
        """The coded block `number`, 0..block_count - 1; checksum and shape are verified.

        Of blocks with different numbers of channels, those accessed later are at fault.

        Raises:
            FormatError: the block is damaged.
        """
        payload = self._layout.blocks[number].payload(self.data, f"block {number}")
        self._channels = check_block(payload, number, self.header, self._channels, self.coding)
        return payload

    def block_section(self, number: int) -> Section:
        """Where block `number` lies in the file."""
        return self._layout.blocks[number]

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
        with in_block(number):
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
        with in_block(number):
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
        with in_block(number):
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
            name: packed.unpack_metadata(payload, sections.NAMES[kind])
            for kind, name in METADATA.items()
            if (payload := self._layout.payload(kind)) is not None
        }
        return Metadata(**found)

    def metadata_lengths(self) -> dict[str, int]:
        """Bytes of each metadata block that the file has, from its declaration.

        Raises:
            FormatError: one of them is damaged.
        """
        return {
            name: packed.metadata_length(payload, sections.NAMES[kind])[0]
            for kind, name in METADATA.items()
            if (payload := self._layout.payload(kind)) is not None
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
        if (payload := self._layout.payload(sections.ALPHA)) is None:
            return None
        return packed.unpack_alpha(payload, self.header.width, top, bottom, self.header.height)

    @cached_property
    def palette(self) -> Palette | None:
        """Tiles that are stored exactly, packed; None without any.

        Raises:
            FormatError: the section is damaged.
        """
        payload = self._layout.payload(sections.PALETTE)
        return None if payload is None else parse_palette(payload, self.header.block_count)

    def exact(self, number: int) -> tuple[Pixels, Mask] | None:
        """The exact tiles of a block: its pixels, uint8 (height, width, 3), and where they are
        exact, bool (height, width); None without any.

        Raises:
            FormatError: they are damaged.
        """
        if not (area := self._area(number)):
            return None
        with in_block(number):
            return unpack_area(area, Tiling.of(self.header, number, area[0]))

    def exact_pixels(self, number: int) -> int:
        """How many pixels of a block are exact; little is expanded for it, and once only.

        Raises:
            FormatError: they are damaged.
        """
        if not (area := self._area(number)):
            return 0
        if number not in self._exact_pixels:
            with in_block(number):
                tiling = Tiling.of(self.header, number, area[0])
                self._exact_pixels[number] = exact_pixels(area, tiling)
        return self._exact_pixels[number]

    def _area(self, number: int) -> memoryview:
        return memoryview(b"" if self.palette is None else self.palette.areas[number])

    @cached_property
    def means(self) -> Means | None:
        """What regions have beside their latents; None without any.

        Raises:
            FormatError: the section is damaged, or blocks have no coding.
        """
        payload = self._layout.payload(sections.MEANS)
        if payload is None:
            return None
        if self.coding is None:
            raise FormatError("MEAN section without a CODR section")
        return parse_means(payload, self.header.plane)

    @property
    def means_bytes(self) -> int:
        """Of the means as they lie in the file, found intact; 0 without any.

        Raises:
            FormatError: the section is damaged.
        """
        return len(self._layout.payload(sections.MEANS) or b"")

    @property
    def packed_alpha(self) -> memoryview | None:
        """The alpha plane as it lies in the file, found intact; None without one.

        Raises:
            FormatError: it is damaged.
        """
        # Expands all of it and keeps no row.
        self.alpha_rows(self.header.height, self.header.height)
        return self._layout.payload(sections.ALPHA)

    def verify(self, coder: Coder | None = None) -> None:
        """Check all checksums, decompress metadata and alpha, and decode means and every block
        with its exact tiles.

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
        _ = self.means
        for number in range(self.header.block_count):
            self.exact(number)
            if coder is None:
                self.decode_block(number)
            else:
                self.latents(number, coder)


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
