"""The HEAD section of a .dcn file and the partition of the latent plane (SPEC.md, section 4)."""

from __future__ import annotations

from collections.abc import Iterator

from dcncodec.errors import FormatError, LimitError, UsageError
from dcncodec.formats.geometry import (
    HASH_BYTES,
    MAX_DIMENSION,
    MAX_NAME,
    MAX_SIDE,
    NAME,
    NAME_RULE,
    STRIDE,
    Area,
)
from dcncodec.formats.sections import Buffer, pack_varint, read_varint
from dcncodec.records import record

VERSION = 1
MIN_BLOCK, MAX_BLOCK = 16, MAX_SIDE
"""Latents per side of a block in a file of several. The upper limit is the bit-stream's uint8;
the lower keeps the number of sections below pixels / (16 * 8)**2."""

MAX_HEAD_BYTES = 2 + 4 + 4 + HASH_BYTES + 2 + MAX_NAME

_GREY, _ALPHA, _SEVERAL = 0x01, 0x02, 0x04
_QUALITY_SHIFT, _QUALITY_MASK = 3, 0x18
_RESERVED = 0xE0
QUALITIES = ("", "low", "medium", "high")
"""Quality tags, by their number in the file; the first stands for none."""

BlockArea = tuple[int, int, int, int]
"""Top, left, rows and columns of a block, in latents."""


def check_pixels(width: int, height: int, max_pixels: int | None) -> None:
    """Raise LimitError if an image has more than `max_pixels` pixels (None: no limit)."""
    if max_pixels is not None and width * height > max_pixels:
        raise LimitError(
            f"{width} x {height} pixels are more than the limit of {max_pixels}; "
            "raise it with --max-pixels"
        )


@record
class Header:
    """What a file says about its picture.

    Attributes:
        width, height: pixels, 1..MAX_DIMENSION.
        model: name of the model that decodes it, `[a-z0-9][a-z0-9._-]{0,31}`.
        model_hash: first 8 bytes of the SHA-256 of the model's weight file.
        grey: the picture has one colour channel.
        alpha: the file has an alpha plane.
        quality: one of QUALITIES; informative.
        block_height, block_width: latents per block, all but those of the last row and column.
            0 gives the fewest blocks of about equal size. A picture that fits one block has
            the size of its latent plane here.

    Raises:
        FormatError: a value is out of range.
    """

    width: int
    height: int
    model: str
    model_hash: bytes
    grey: bool = False
    alpha: bool = False
    quality: str = ""
    block_height: int = 0
    block_width: int = 0

    def __post_init__(self) -> None:
        for name, value in (("width", self.width), ("height", self.height)):
            if not 1 <= value <= MAX_DIMENSION:
                raise FormatError(f"image {name} {value} is not in 1..{MAX_DIMENSION}")
        if not NAME.fullmatch(self.model):
            raise FormatError(f"model name {self.model!r} is not {NAME_RULE}")
        if len(self.model_hash) != HASH_BYTES:
            raise FormatError(f"model hash has {len(self.model_hash)} bytes, not {HASH_BYTES}")
        if self.quality not in QUALITIES:
            raise FormatError(f"quality {self.quality!r} is none of {', '.join(QUALITIES[1:])}")
        rows = self.block_height or _even(self.latent_height)
        columns = self.block_width or _even(self.latent_width)
        if MAX_BLOCK >= self.latent_height <= rows and MAX_BLOCK >= self.latent_width <= columns:
            rows, columns = self.latent_height, self.latent_width
        else:
            _check_blocks(rows, columns)
        # Frozen for everybody else; equal pictures should have equal headers.
        object.__setattr__(self, "block_height", rows)
        object.__setattr__(self, "block_width", columns)

    @property
    def latent_height(self) -> int:
        """Rows of the latent plane."""
        return -(-self.height // STRIDE)

    @property
    def latent_width(self) -> int:
        """Columns of the latent plane."""
        return -(-self.width // STRIDE)

    @property
    def block_rows(self) -> int:
        """Rows of blocks."""
        return -(-self.latent_height // self.block_height)

    @property
    def block_columns(self) -> int:
        """Columns of blocks."""
        return -(-self.latent_width // self.block_width)

    @property
    def block_count(self) -> int:
        """Blocks in the file."""
        return self.block_rows * self.block_columns

    def block_area(self, number: int) -> BlockArea:
        """Top, left, rows and columns of a block, in latents; blocks count row by row from 0."""
        row, column = divmod(number, self.block_columns)
        top, left = row * self.block_height, column * self.block_width
        return (
            top,
            left,
            min(self.block_height, self.latent_height - top),
            min(self.block_width, self.latent_width - left),
        )

    @property
    def plane(self) -> Area:
        """The whole latent plane."""
        return Area(0, 0, self.latent_height, self.latent_width)

    def block(self, number: int) -> Area:
        """`block_area` as an area of the plane."""
        top, left, rows, columns = self.block_area(number)
        return Area(top, left, top + rows, left + columns)

    def region(self, x0: int, y0: int, x1: int, y1: int) -> Area:
        """The latents under a region of the picture.

        Args:
            x0, y0, x1, y1: left, top, right and bottom in pixels, half-open.

        Raises:
            UsageError: the region is empty or not inside the picture.
        """
        if not (0 <= x0 < x1 <= self.width and 0 <= y0 < y1 <= self.height):
            raise UsageError(
                f"region {x0},{y0},{x1},{y1} does not lie inside the picture of "
                f"{self.width} x {self.height} pixels"
            )
        return Area(y0 // STRIDE, x0 // STRIDE, -(-y1 // STRIDE), -(-x1 // STRIDE))

    def blocks_in(self, area: Area) -> list[int]:
        """Numbers of the blocks that hold an area of the plane, in the order of the file."""
        rows = range(area.top // self.block_height, -(-area.bottom // self.block_height))
        columns = range(area.left // self.block_width, -(-area.right // self.block_width))
        return [row * self.block_columns + column for row in rows for column in columns]

    def pixels(self, area: Area) -> tuple[int, int]:
        """Rows and columns of pixels of an area of the plane: those inside the picture."""
        return (
            min(area.bottom * STRIDE, self.height) - area.top * STRIDE,
            min(area.right * STRIDE, self.width) - area.left * STRIDE,
        )

    def block_areas(self) -> Iterator[BlockArea]:
        """`block_area` of every block, in the order of the file."""
        return map(self.block_area, range(self.block_count))


def _check_blocks(rows: int, columns: int) -> None:
    for name, value in (("height", rows), ("width", columns)):
        if not MIN_BLOCK <= value <= MAX_BLOCK:
            raise FormatError(f"block {name} {value} is not in {MIN_BLOCK}..{MAX_BLOCK}")


def _even(size: int) -> int:
    """The side of the fewest blocks that cover `size` latents, as even as possible."""
    side = -(-size // -(-size // MAX_BLOCK))
    return max(side, MIN_BLOCK)


def blocks_for_region(
    header: Header, x0: int, y0: int, x1: int, y1: int, *, halo: int = 0
) -> list[int]:
    """Numbers of the blocks that hold the latents of a region, in the order of the file.

    Args:
        x0, y0, x1, y1: left, top, right and bottom in pixels, half-open, inside the picture.
        halo: latents around the region that its pixels depend on (5 for the DCN models).

    Raises:
        UsageError: the region is empty or not inside the picture.
    """
    area = header.region(x0, y0, x1, y1)
    return header.blocks_in(area.grown(halo, header.plane))


def pack_header(header: Header) -> bytes:
    """The payload of the HEAD section."""
    several = header.block_count > 1
    flags = (
        _GREY * header.grey
        | _ALPHA * header.alpha
        | _SEVERAL * several
        | QUALITIES.index(header.quality) << _QUALITY_SHIFT
    )
    blocks = bytes((header.block_height, header.block_width)) if several else b""
    return b"".join(
        (
            bytes((VERSION, flags)),
            pack_varint(header.width),
            pack_varint(header.height),
            header.model_hash,
            blocks,
            header.model.encode("ascii"),
        )
    )


def parse_header(payload: Buffer) -> Header:
    """The header in the payload of a HEAD section, whose checksum has been verified.

    Raises:
        FormatError: a field is malformed, or the format is a newer one.
    """
    if not payload:
        raise FormatError("header is cut short")
    version = payload[0]
    if version > VERSION:
        raise FormatError(
            f"needs a newer dcn (format version {version}, this one reads {VERSION}); upgrade dcn"
        )
    if version == 0:
        raise FormatError("format version 0 does not exist")
    if len(payload) < 2:
        raise FormatError("header is cut short")
    flags = payload[1]
    if flags & _RESERVED:
        raise FormatError(f"reserved flags 0x{flags & _RESERVED:02x} are set")
    width, offset = read_varint(payload, 2, "image width")
    height, offset = read_varint(payload, offset, "image height")
    several = bool(flags & _SEVERAL)
    fixed = HASH_BYTES + 2 * several
    if len(payload) < offset + fixed:
        raise FormatError("header is cut short")
    model_hash = bytes(payload[offset : offset + HASH_BYTES])
    block_height, block_width = payload[offset + HASH_BYTES : offset + fixed] if several else (0, 0)
    if several:
        _check_blocks(block_height, block_width)
    name = bytes(payload[offset + fixed :]).decode("ascii", "backslashreplace")
    if not NAME.fullmatch(name):
        raise FormatError(f"model name {name[: MAX_NAME + 1]!r} is not {NAME_RULE}")
    header = Header(
        width=width,
        height=height,
        model=name,
        model_hash=model_hash,
        grey=bool(flags & _GREY),
        alpha=bool(flags & _ALPHA),
        quality=QUALITIES[(flags & _QUALITY_MASK) >> _QUALITY_SHIFT],
        block_height=block_height,
        block_width=block_width,
    )
    if several and header.block_count == 1:
        raise FormatError("announces several blocks, but one covers the picture")
    if not several and header.block_count > 1:
        raise FormatError(
            f"announces one block, but {header.latent_width} x {header.latent_height} latents "
            f"exceed {MAX_BLOCK} x {MAX_BLOCK}"
        )
    return header
