"""Tiles of a picture that are stored exactly: a palette and indices (SPEC.md, section 17).

For text, line art and flat colours, which networks for photos spend many bits on. The latents
around such tiles, and under them, are coded as everywhere; what synthesis makes of those under them
is replaced. Importing this module does not import numpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dcncodec.errors import FormatError
from dcncodec.formats.geometry import MAX_SIDE, STRIDE
from dcncodec.formats.packed import ZSTD_MAGIC, expand, load_zstd
from dcncodec.formats.sections import Buffer, pack_varint, read_varint
from dcncodec.records import record
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dcncodec.formats.header import Header

    Pixels = NDArray[np.uint8]
    Colours = NDArray[np.uint32]
    """65536 R + 256 G + B, or the value of a grey picture."""
    Mask = NDArray[np.bool_]

MAX_COLOURS = 2**16
"""Of a block's palette."""
INDEX_BITS = {1: 0, 2: 1, 2**8: 8, MAX_COLOURS: 16}
"""Of an index, by how many colours there are at most."""
COLUMNS, STORED = 1, 2
"""Bits of an area's form: indices go column by column; the content is not compressed."""
LEVEL = 19
"""Of zstandard. Drawings are small: the best level takes a part of the networks' time."""
ORDER_LEVEL = 6
"""Of zstandard, to choose between rows and columns: lower ones choose wrongly."""
CONTENT = "palette area"


@record
class Palette:
    """The PALT section.

    Attributes:
        areas: what ``pack_area`` gives for each block; empty for a block without such tiles.

    Raises:
        FormatError: all are empty.
    """

    areas: Sequence[Buffer]

    def __post_init__(self) -> None:
        if not any(map(len, self.areas)):
            raise FormatError("PALT section without an area")


@record
class Tiling:
    """A block's pixels in tiles, which begin at its top left and end with it.

    Attributes:
        height, width: of the block in pixels, inside the picture.
        side: of a tile in latents, 1..255.
        grey: whether the picture is grey.

    Raises:
        FormatError: the side is out of range.
    """

    height: int
    width: int
    side: int
    grey: bool

    def __post_init__(self) -> None:
        if not 1 <= self.side <= MAX_SIDE:
            raise FormatError(f"palette tiles of {self.side} latents, not 1 to {MAX_SIDE}")

    @classmethod
    def of(cls, header: Header, number: int, side: int) -> Tiling:
        """That of a block with tiles of so many latents."""
        height, width = header.pixels(header.block(number))
        return cls(height, width, side, header.grey)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        step = self.side * STRIDE
        return -(-self.height // step), -(-self.width // step)

    @property
    def map_bytes(self) -> int:
        """Of the map of tiles."""
        rows, columns = self.shape
        return -(-rows * columns // 8)

    @property
    def samples(self) -> int:
        """Of a colour."""
        return 1 if self.grey else 3

    @property
    def most_bytes(self) -> int:
        """Of an area before compression."""
        pixels = self.height * self.width
        return self.map_bytes + 2 + min(pixels, MAX_COLOURS) * self.samples + 2 * pixels

    def pixels(self, tiles: bytes) -> int:
        """How many pixels a map of tiles marks.

        Raises:
            FormatError: it marks none, or tiles that there are not.
        """
        rows, columns = self.shape
        marked = int.from_bytes(tiles, "little")
        if marked >> rows * columns:
            raise FormatError(f"{CONTENT} marks tiles that there are not")
        if not marked:
            raise FormatError(f"{CONTENT} marks no tile")
        step = self.side * STRIDE
        return sum(
            min(step, self.height - row * step) * min(step, self.width - column * step)
            for row in range(rows)
            for column in range(columns)
            if marked >> row * columns + column & 1
        )


def pack_palette(palette: Palette) -> bytes:
    """The payload of the section."""
    sizes = b"".join(pack_varint(len(area)) for area in palette.areas)
    return b"".join((sizes, *palette.areas))


def parse_palette(payload: memoryview, blocks: int) -> Palette:
    """The content of the section, whose checksum has been verified; areas are not looked into.

    Raises:
        FormatError: it is malformed.
    """
    sizes, offset = [], 0
    for number in range(blocks):
        size, offset = read_varint(payload, offset, f"size of palette area {number}")
        sizes.append(size)
    if sum(sizes) != len(payload) - offset:
        raise FormatError(
            f"palette areas have {len(payload) - offset} bytes, {sum(sizes)} are announced"
        )
    areas = []
    for size in sizes:
        areas.append(payload[offset : offset + size])
        offset += size
    return Palette(areas)


def index_bits(colours: int) -> int:
    """Of an index into so many colours."""
    return next(bits for most, bits in INDEX_BITS.items() if colours <= most)


def pack_area(colours: Colours, tiles: Mask, tiling: Tiling) -> bytes:
    """The exact tiles of a block, their indices in the order that takes fewer bytes.

    Args:
        colours: uint32 (height, width) of the block.
        tiles: bool (rows, columns) of ``tiling.shape``; at least one is true.
        tiling: of the block.

    Raises:
        ValueError: they have more than ``MAX_COLOURS`` colours.
    """
    import numpy as np

    zstd = load_zstd()
    exact = spread(tiles, tiling)
    palette = np.unique(colours[exact])
    if len(palette) > MAX_COLOURS:
        raise ValueError(f"{len(palette)} colours, a palette has at most {MAX_COLOURS}")
    samples = palette.astype(">u4").view(np.uint8).reshape(-1, 4)[:, 4 - tiling.samples :]
    differences = np.diff(samples, axis=0, prepend=np.zeros((1, tiling.samples), np.uint8))
    start = b"".join(
        (
            np.packbits(tiles.ravel(), bitorder="little").tobytes(),
            (len(palette) - 1).to_bytes(2, "little"),
            differences.tobytes(),
        )
    )
    indices = np.searchsorted(palette, colours).astype(np.uint16)
    bits = index_bits(len(palette))
    orders = [_packed_indices(by[at], bits) for by, at in ((indices, exact), (indices.T, exact.T))]
    by_rows, by_columns = (len(zstd.compress(order, level=ORDER_LEVEL)) for order in orders)
    form = COLUMNS if by_columns < by_rows else 0
    content = start + orders[form]
    parameter = zstd.CompressionParameter
    options = {parameter.compression_level: LEVEL, parameter.content_size_flag: 0}
    frame: bytes = zstd.compress(content, options=options).removeprefix(ZSTD_MAGIC)
    compressed = pack_varint(len(content)) + frame
    if len(content) <= len(compressed):
        return bytes((tiling.side, form | STORED)) + content
    return bytes((tiling.side, form)) + compressed


def _packed_indices(indices: NDArray[np.uint16], bits: int) -> bytes:
    """Indices, one after the other, in so many bits each."""
    import numpy as np

    if bits == 0:
        return b""
    if bits == 1:
        return np.packbits(indices.astype(np.uint8), bitorder="little").tobytes()
    return indices.astype(np.uint8 if bits == 8 else "<u2").tobytes()


def unpack_area(area: memoryview, tiling: Tiling) -> tuple[Pixels, Mask]:
    """Pixels of a block, uint8 (height, width, 3), and where they are meant, bool (height, width).

    Elsewhere they are 0. Those of grey pictures have three equal samples.

    Raises:
        FormatError: the area is malformed.
    """
    import numpy as np

    content = memoryview(b"".join(_expanded(area, tiling)))
    start = tiling.map_bytes
    count = int.from_bytes(content[start : start + 2], "little") + 1
    marked = tiling.pixels(bytes(content[:start]))
    bits = index_bits(count)
    needed = start + 2 + count * tiling.samples + -(-marked * bits // 8)
    if len(content) != needed:
        raise FormatError(
            f"{CONTENT} has {len(content)} bytes, its tiles and colours need {needed}"
        )
    start += 2
    differences = np.frombuffer(content, np.uint8, count * tiling.samples, start)
    samples = np.add.accumulate(differences.reshape(count, -1), dtype=np.uint8)
    numbers = to_colours(samples, tiling.grey)
    if not (numbers[1:] > numbers[:-1]).all():
        raise FormatError(f"colours of the {CONTENT} are not in order")
    indices = _unpacked_indices(content[start + count * tiling.samples :], marked, bits)
    if indices.max() >= count:
        raise FormatError(f"{CONTENT} holds index {indices.max()}, it has {count} colours")
    tiles = np.unpackbits(
        np.frombuffer(content, np.uint8, tiling.map_bytes),
        count=tiling.shape[0] * tiling.shape[1],
        bitorder="little",
    )
    exact = spread(tiles.astype(bool).reshape(tiling.shape), tiling)
    pixels = np.zeros((*exact.shape, 3), np.uint8)
    by_columns = area[1] & COLUMNS
    lines, masks = (pixels.swapaxes(0, 1), exact.T) if by_columns else (pixels, exact)
    start = 0
    # Line by line, because NumPy's numbers of pixels take several times the memory of the pixels.
    for line, mask in zip(lines, masks, strict=True):
        stop = start + int(np.count_nonzero(mask))
        line[mask] = samples[indices[start:stop]]
        start = stop
    return pixels, exact


def _unpacked_indices(data: memoryview, count: int, bits: int) -> NDArray[np.uint8 | np.uint16]:
    """The indices of so many pixels.

    Raises:
        FormatError: bits follow the last one.
    """
    import numpy as np

    if bits == 0:
        return np.zeros(count, np.uint8)
    if bits == 1:
        indices = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        if indices[count:].any():
            raise FormatError(f"bits follow the indices of the {CONTENT}")
        return indices[:count]
    return np.frombuffer(data, np.uint8 if bits == 8 else "<u2")


def exact_pixels(area: memoryview, tiling: Tiling) -> int:
    """How many pixels of a block are exact; only the map is expanded.

    Raises:
        FormatError: the area is malformed before its end.
    """
    content = bytearray()
    for piece in _expanded(area, tiling):
        content += piece
        if len(content) >= tiling.map_bytes:
            break
    return tiling.pixels(bytes(content[: tiling.map_bytes]))


def _expanded(area: memoryview, tiling: Tiling) -> Iterator[bytes]:
    """The content of an area, piece by piece."""
    if len(area) < 2:
        raise FormatError(f"form of the {CONTENT} is cut short")
    form, offset = area[1], 2
    if form & ~(COLUMNS | STORED):
        raise FormatError(f"{CONTENT} has the form {form}, there are 0 to {COLUMNS | STORED}")
    if form & STORED:
        length = len(area) - offset
    else:
        length, offset = read_varint(area, offset, f"length of the {CONTENT}")
    least, most = tiling.map_bytes + 2 + tiling.samples, tiling.most_bytes
    if not least <= length <= most:
        raise FormatError(f"{CONTENT} of {length} bytes is not in {least}..{most}")
    if form & STORED:
        return iter((bytes(area[offset:]),))
    return expand(area[offset:], length, CONTENT, start=ZSTD_MAGIC)


def spread(tiles: Mask, tiling: Tiling) -> Mask:
    """Whether each pixel of a block, or (height, width) of it, lies in a tile that is marked."""
    step = tiling.side * STRIDE
    pixels: Mask = tiles.repeat(step, 0).repeat(step, 1)[: tiling.height, : tiling.width]
    return pixels


def to_colours(pixels: Pixels, grey: bool) -> Colours:
    """Samples (..., 3), or at least the first one of grey pictures, as single numbers, uint32."""
    import numpy as np

    colours = pixels[..., 0].astype(np.uint32)
    for channel in () if grey else (1, 2):
        colours <<= 8
        colours |= pixels[..., channel]
    return colours
