"""The coded payload of one latent block (DCN paper, Table A.1; SPEC.md, section 2).

    data = encode_block(indices)               # uint8 (N, H, W), 0..31
    indices = decode_block(data)
    some = decode_channels(data, [0, 5])       # without decoding the others
    layout = block_layout(data)                # sizes, offsets and coding of the channels

Two entropy modes exist. `channel` is the paper's: every channel by itself. `global` codes all
channels as one sequence, which is smaller for tiny images (Table A.2); its mark is a size table
of length 0, which Table A.1 never has. A bare stream is always in mode `channel`.

Importing this module does not import numpy, and neither does `block_shape`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from dcncodec.errors import FormatError, UsageError
from dcncodec.formats.geometry import CODEBOOK_SIZE, MAX_SIDE
from dcncodec.formats.sections import Buffer
from dcncodec.records import record
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    import numpy as np
    from numpy.typing import NDArray

    Indices = NDArray[np.uint8]

    Mode = Literal["channel", "global"]

    Coding = Literal["fse", "rle", "raw"]


_HEADER = struct.Struct("<BBBH")
HEADER_BYTES = _HEADER.size
MAX_BLOCK_BYTES = HEADER_BYTES + 2 * MAX_SIDE + MAX_SIDE**3
"""Header, raw size table, all channels raw: 16,581,890 bytes, below 2**24.

A channel has at most 255 * 255 = 65,025 bytes, which a uint16 of the size table holds."""

_SIZE_BYTES = 2
_RLE_BYTES = 3
_GLOBAL_RLE_BYTES = 1
_GLOBAL = 0


@record
class ChannelLayout:
    """Where a coded sequence lies in its block, and how it is coded."""

    offset: int
    size: int
    coding: Coding


@record
class BlockLayout:
    """The parts of a block.

    Attributes:
        height, width, channels: shape of the block, each 1..255.
        mode: how its channels are coded.
        table: the size table; None in mode `global`.
        coded: one entry per channel; in mode `global` one for all channels.
    """

    height: int
    width: int
    channels: int
    mode: Mode
    table: ChannelLayout | None
    coded: tuple[ChannelLayout, ...]


def encode_block(
    indices: Indices, mode: Literal["channel", "global", "auto"] = "channel", threads: int = 1
) -> bytes:
    """Code the codebook indices of one block.

    Args:
        indices: uint8 (N, H, W), 0..31, all sides 1..255.
        mode: entropy mode; `auto` gives the smaller of both, `channel` if they are equal.
        threads: channels are coded on so many threads.

    Raises:
        UsageError: an unknown mode.
        ValueError: indices of another shape, type or range.
    """
    import numpy as np

    if mode not in {"channel", "global", "auto"}:
        raise UsageError(f"entropy mode {mode}: choose channel, global or auto")
    if indices.dtype != np.uint8 or indices.ndim != 3 or not indices.size:
        raise ValueError(f"indices are {indices.dtype} {indices.shape}, not uint8 (N, H, W)")
    if max(indices.shape) > MAX_SIDE:
        raise ValueError(f"indices of shape {indices.shape} exceed {MAX_SIDE} in a direction")
    if int(indices.max()) >= CODEBOOK_SIZE:
        raise ValueError(f"index {int(indices.max())} is above {CODEBOOK_SIZE - 1}")
    indices = np.ascontiguousarray(indices)
    if mode == "global":
        return _encode_global(indices)
    coded = _encode_channels(indices, threads)
    # One table for all channels rarely pays in large blocks; coding them again costs more than
    # seeing that. The margin covers that FSE may beat the entropy by a hair.
    if mode == "auto" and _entropy_bytes(indices) * 0.99 < len(coded):
        together = _encode_global(indices)
        return together if len(together) < len(coded) else coded
    return coded


def _encode_channels(indices: Indices, threads: int) -> bytes:
    from dcncodec.formats import fse

    channels, height, width = indices.shape
    payload, sizes = fse.encode_planes(indices.reshape(channels, height * width), threads)
    raw = sizes.astype("<u2").tobytes()
    table = fse.compress(raw)
    if table is None or not 0 < len(table) < len(raw):
        table = raw
    return _HEADER.pack(height, width, channels, len(table)) + table + bytes(payload)


def _encode_global(indices: Indices) -> bytes:
    from dcncodec.formats import fse

    channels, height, width = indices.shape
    raw = indices.tobytes()
    coded = fse.compress(raw)
    if raw.count(raw[0]) == len(raw):
        coded = raw[:_GLOBAL_RLE_BYTES]
    elif coded is None or not _GLOBAL_RLE_BYTES < len(coded) < len(raw):
        coded = raw
    return _HEADER.pack(height, width, channels, _GLOBAL) + coded


def _entropy_bytes(indices: Indices) -> float:
    """Bytes that an ideal coder with one table for all channels needs (Shannon)."""
    import numpy as np

    counts = np.zeros(CODEBOOK_SIZE, np.int64)
    for plane in indices:  # bincount widens its input to 8 bytes per index
        counts += np.bincount(plane.ravel(), minlength=CODEBOOK_SIZE)
    shares = counts[counts > 0] / indices.size
    return float(-(shares * np.log2(shares)).sum() * indices.size / 8)


def block_shape(data: Buffer) -> tuple[int, int, int, Mode]:
    """Height, width, channels and entropy mode of a block, from its first 5 bytes.

    Raises:
        FormatError: the header is cut short or a side is 0.
    """
    if len(data) < HEADER_BYTES:
        raise FormatError(f"latent block is cut short ({len(data)} bytes)")
    height, width, channels, table = _HEADER.unpack_from(data)
    for name, value in (("height", height), ("width", width), ("channel count", channels)):
        if value == 0:
            raise FormatError(f"latent block has a {name} of 0")
    return height, width, channels, "global" if table == _GLOBAL else "channel"


def block_layout(data: Buffer) -> BlockLayout:
    """Sizes, offsets and coding of a block's parts; channels are not decoded.

    Raises:
        FormatError: the header, the size table or a size is malformed.
    """
    height, width, channels, mode = block_shape(data)
    count = height * width
    if mode == "global":
        size = len(data) - HEADER_BYTES
        coding = _coding(size, channels * count, _GLOBAL_RLE_BYTES, "latent block")
        whole = ChannelLayout(HEADER_BYTES, size, coding)
        return BlockLayout(height, width, channels, mode, None, (whole,))
    sizes, table = _size_table(data, channels)
    offset = HEADER_BYTES + table.size
    coded = []
    for number, size in enumerate(sizes):
        coding = _coding(size, count, _RLE_BYTES, f"channel {number}")
        coded.append(ChannelLayout(offset, size, coding))
        offset += size
    if offset != len(data):
        which = "cut short" if offset > len(data) else "followed by other bytes"
        raise FormatError(
            f"latent block is {which}: {len(data)} bytes, its size table says {offset}"
        )
    return BlockLayout(height, width, channels, mode, table, tuple(coded))


def _size_table(data: Buffer, channels: int) -> tuple[Sequence[int], ChannelLayout]:
    size = _HEADER.unpack_from(data)[3]
    raw = _SIZE_BYTES * channels
    if size > raw:
        raise FormatError(f"size table has {size} bytes, at most {raw} for {channels} channels")
    table = data[HEADER_BYTES : HEADER_BYTES + size]
    if len(table) < size:
        raise FormatError("size table is cut short")
    coding: Coding = "raw"
    if size < raw:
        from dcncodec.formats import fse

        coding = "fse"
        try:
            table = fse.decompress(bytes(table), raw)
        except FormatError as error:
            raise FormatError(f"size table: {error}") from error
    return struct.unpack(f"<{channels}H", table), ChannelLayout(HEADER_BYTES, size, coding)


def _coding(size: int, count: int, rle: int, what: str) -> Coding:
    """How a sequence of `count` indices is coded, told from its size alone."""
    if not 1 <= size <= count:
        raise FormatError(f"{what} has {size} coded bytes, not 1 to {count}")
    if size == count:
        return "raw"
    return "rle" if size == rle else "fse"


def decode_block(data: Buffer, threads: int = 1, *, bare: bool = False) -> Indices:
    """The codebook indices of a block.

    Args:
        data: the whole block and nothing else.
        threads: channels are decoded on so many threads.
        bare: accept mode `channel` alone, as a bare stream has it.

    Returns:
        uint8 (N, H, W), 0..31.

    Raises:
        FormatError: the block is malformed.
    """
    import numpy as np

    from dcncodec.formats import fse

    layout = block_layout(data)
    if layout.mode == "channel":
        return _decode_planes(data, layout, range(layout.channels), threads)
    if bare:
        raise FormatError("size table has 0 bytes; a bare stream has one for its channels")
    count = layout.channels * layout.height * layout.width
    (whole,) = layout.coded
    content = data[whole.offset :]
    if whole.coding == "fse":
        flat = np.frombuffer(
            fse.decompress(bytes(content), count, CODEBOOK_SIZE - 1), np.uint8
        ).copy()
    else:
        flat = _plain(content, count)
    return flat.reshape(layout.channels, layout.height, layout.width)


def _plain(content: Buffer, count: int) -> Indices:
    """Raw indices, or a single one for all."""
    import numpy as np

    flat = np.frombuffer(content, np.uint8)
    if int(flat.max()) >= CODEBOOK_SIZE:
        raise FormatError(f"latent block holds index {int(flat.max())}, above {CODEBOOK_SIZE - 1}")
    return np.full(count, flat[0], np.uint8) if len(content) < count else flat.copy()


def decode_channels(data: Buffer, channels: Sequence[int]) -> Indices:
    """Some channels of a block, in the order asked for.

    In mode `channel` the others are not decoded.

    Returns:
        uint8 (len(channels), H, W), 0..31.

    Raises:
        FormatError: the block is malformed.
        UsageError: there is no such channel.
    """
    layout = block_layout(data)
    for channel in channels:
        if not 0 <= channel < layout.channels:
            raise UsageError(f"channel {channel} does not exist, there are {layout.channels}")
    if not channels:
        raise UsageError("no channels to decode; name at least one")
    if layout.mode == "global":
        return decode_block(data)[list(channels)]
    return _decode_planes(data, layout, channels, 1)


def _decode_planes(
    data: Buffer, layout: BlockLayout, channels: Sequence[int], threads: int
) -> Indices:
    import numpy as np

    from dcncodec.formats import fse

    chosen = [layout.coded[channel] for channel in channels]
    view = memoryview(data)
    payload: bytes | memoryview
    if channels == range(layout.channels):
        payload = view[chosen[0].offset :]
    else:
        payload = b"".join(view[c.offset : c.offset + c.size] for c in chosen)
    sizes = np.array([c.size for c in chosen], np.uint32)
    count = layout.height * layout.width
    planes = fse.decode_planes(payload, sizes, count, CODEBOOK_SIZE, threads)
    return planes.reshape(len(chosen), layout.height, layout.width)
