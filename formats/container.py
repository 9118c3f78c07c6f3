"""The .dcn container: what the bare bit-stream cannot say (SPEC.md, sections 3 to 8).

    data = write(Container(header, metadata, alpha, blocks))

    with Writer(file, header, metadata, alpha) as writer:    # block by block
        for area in header.block_areas():
            writer.add(encode_block(...))

    reader = read(data)            # bytes, or a memoryview of a mapped file
    reader.header, reader.metadata, reader.alpha
    reader.decode_block(0)

A reader parses the structure at once and everything else when it is asked for: checksums of HEAD
and unknown sections when the file is opened, those of metadata, alpha and blocks when they are
used. `Reader.verify` checks all of them. Importing this module does not import numpy.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, TYPE_CHECKING

from dcncodec.errors import FormatError
from dcncodec.formats import packed, sections
from dcncodec.formats.coding import Coding, pack_coding
from dcncodec.formats.geometry import MAX_DIMENSION, MAX_PIXELS
from dcncodec.formats.header import (
    MAX_BLOCK,
    MIN_BLOCK,
    QUALITIES,
    VERSION,
    Header,
    blocks_for_region,
    check_pixels,
    pack_header,
)
from dcncodec.formats.layout import INDEX_ENTRY, check_block, read_header
from dcncodec.formats.means import Means, pack_means, regions
from dcncodec.formats.packed import METADATA, Metadata
from dcncodec.formats.palette import Palette, pack_palette
from dcncodec.formats.reader import Reader, read
from dcncodec.formats.sections import Buffer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.uint8]

__all__ = [
    "MAX_BLOCK",
    "MAX_DIMENSION",
    "MAX_PIXELS",
    "MIN_BLOCK",
    "QUALITIES",
    "VERSION",
    "Coding",
    "Container",
    "Header",
    "Means",
    "Metadata",
    "Palette",
    "Reader",
    "Writer",
    "blocks_for_region",
    "check_pixels",
    "read",
    "read_header",
    "write",
]


@dataclass(frozen=True)
class Container:
    """Everything in a .dcn file.

    Attributes:
        header: size, model and so on; its `alpha` says whether there is a plane.
        metadata: ICC, EXIF and XMP.
        alpha: uint8 (height, width), straight, 0 is transparent; or as `Reader.packed_alpha` of
            a file of the same size gives it; or None.
        blocks: coded blocks (`bitstream.encode_block`) in the order of `header.block_areas`.
        coding: how they are coded, if not as the bit-stream says.
        palette: tiles of the blocks that are stored exactly.
        means: what regions have beside their latents, with a coding only.
    """

    header: Header
    metadata: Metadata = field(default_factory=Metadata)
    alpha: Plane | memoryview | None = None
    blocks: Sequence[Buffer] = ()
    coding: Coding | None = None
    palette: Palette | None = None
    means: Means | None = None


class Writer:
    """Writes a file section by section; the file object need not be seekable.

    Used as a context manager it finishes the file when the block ends without an exception.

    Args:
        file: a binary file, at its beginning.
        header, metadata, alpha, coding, palette, means: as for `Container`.

    Raises:
        LimitError: a metadata block is empty or too long.
        ValueError: alpha, palette or means do not fit the header.
    """

    def __init__(
        self,
        file: IO[bytes],
        header: Header,
        metadata: Metadata | None = None,
        alpha: Plane | memoryview | None = None,
        coding: Coding | None = None,
        palette: Palette | None = None,
        means: Means | None = None,
    ) -> None:
        if (alpha is not None) != header.alpha:
            raise ValueError("the header and the alpha plane contradict each other")
        plane = None if isinstance(alpha, memoryview) else alpha
        if plane is not None and plane.shape != (header.height, header.width):
            raise ValueError(f"alpha plane of shape {plane.shape} for another size of image")
        if palette is not None and len(palette.areas) != header.block_count:
            raise ValueError(f"{len(palette.areas)} palette areas, not {header.block_count}")
        if means is not None and (
            coding is None or (means.rows, means.columns) != regions(header.plane)
        ):
            raise ValueError("means of other regions, or of blocks that have no coding")
        self._file, self._header, self._coding = file, header, coding
        self._sizes: list[int] = []
        self._channels = 0
        file.write(sections.SIGNATURE)
        self._section(sections.HEAD, pack_header(header))
        if coding is not None:
            self._section(sections.CODING, pack_coding(coding))
        for kind, name in METADATA.items():
            block = getattr(metadata, name, None)
            if block is not None:
                self._section(kind, packed.pack_metadata(block, sections.NAMES[kind]))
        if isinstance(alpha, memoryview):
            self._section(sections.ALPHA, alpha)
        elif alpha is not None:
            self._section(sections.ALPHA, packed.pack_alpha(alpha))
        if palette is not None:
            self._section(sections.PALETTE, pack_palette(palette))
        if means is not None:
            self._section(sections.MEANS, pack_means(means))

    def _section(self, kind: int, payload: Buffer) -> int:
        section = sections.pack_section(kind, payload)
        self._file.write(section)
        return len(section)

    def add(self, block: Buffer) -> None:
        """Append the next coded block.

        Raises:
            FormatError: its shape is not that of `header.block_area` for its number, or its
                number of channels differs from that of the blocks before.
        """
        number = len(self._sizes)
        if number == self._header.block_count:
            raise FormatError(f"the picture has {number} blocks, there is no further one")
        self._channels = check_block(block, number, self._header, self._channels, self._coding)
        self._sizes.append(self._section(sections.BLOCK, block))

    def close(self) -> None:
        """Write the index and the end marker; the file object stays open.

        Raises:
            FormatError: blocks are missing.
        """
        if len(self._sizes) != self._header.block_count:
            raise FormatError(
                f"{len(self._sizes)} of {self._header.block_count} blocks were written"
            )
        if self._header.block_count > 1:
            index = b"".join(size.to_bytes(INDEX_ENTRY, "little") for size in self._sizes)
            self._section(sections.INDEX, index)
        self._file.write(bytes((sections.END,)))

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()


def write(container: Container) -> bytes:
    """The bytes of a file.

    Raises:
        FormatError: the blocks do not fit the header.
        LimitError: a metadata block is empty or too long.
        ValueError: alpha, palette or means do not fit the header.
    """
    file, c = io.BytesIO(), container
    with Writer(file, c.header, c.metadata, c.alpha, c.coding, c.palette, c.means) as writer:
        for block in container.blocks:
            writer.add(block)
    return file.getvalue()
