"""A second decoder, written from formats/SPEC.md alone: small, slow, without numpy or C.

It trusts its input; what it is for is to show that the specification is complete and that dcn
follows it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import spec_context
import zstandard


def fse(block: bytes, count: int) -> bytes:
    """Section 10."""
    number = int.from_bytes(block, "little")
    log, at = 5 + (number & 15), 4
    size = 1 << log
    shares: dict[int, int] = {}
    rest, threshold, bits, symbol = size + 1, size, log + 1, 0
    while rest > 1:
        spare = 2 * threshold - 1 - rest
        value = number >> at & ((1 << bits) - 1)
        if value % threshold < spare:
            value %= threshold
            at += bits - 1
        else:
            value -= spare if value >= threshold else 0
            at += bits
        share = shares[symbol] = value - 1
        rest -= abs(share)
        symbol += 1
        while rest < threshold and threshold > 1:
            threshold //= 2
            bits -= 1
        skip = 3 if share == 0 else 0
        while skip == 3:
            skip = number >> at & 3
            at += 2
            symbol += skip

    cells = [-1] * size
    top = size
    for symbol in sorted(s for s in shares if shares[s] == -1):
        top -= 1
        cells[top] = symbol
    position = 0
    for symbol in sorted(s for s in shares if shares[s] > 0):
        for _ in range(shares[symbol]):
            cells[position] = symbol
            position = (position + size // 2 + size // 8 + 3) % size
            while position >= top:
                position = (position + size // 2 + size // 8 + 3) % size
    counts = {s: abs(share) for s, share in shares.items()}
    table = []
    for symbol in cells:
        n = counts[symbol]
        counts[symbol] += 1
        bits = log - (n.bit_length() - 1)
        table.append((symbol, bits, (n << bits) - size))

    number = int.from_bytes(block[(at + 7) // 8 :], "little")
    left = number.bit_length() - 1

    def read(bits: int) -> int:
        nonlocal left
        left -= bits
        assert left >= 0
        return number >> left & ((1 << bits) - 1)

    states = [read(log), read(log)]
    symbols = bytearray()
    for i in range(count - 2):
        symbol, bits, base = table[states[i % 2]]
        symbols.append(symbol)
        states[i % 2] = base + read(bits)
    assert left == 0
    symbols += bytes(table[states[i % 2]][0] for i in (count - 2, count - 1))
    return bytes(symbols)


def coded(data: bytes, count: int, rle: int) -> bytes:
    """A channel, or all of them in mode `global`."""
    if len(data) == count:
        return data
    if len(data) == rle:
        return data[-1:] * count
    return fse(data, count)


def block(data: bytes) -> tuple[tuple[int, int, int], bytes]:
    """Section 2: shape (N, H, W) and indices."""
    height, width, channels = data[:3]
    length = int.from_bytes(data[3:5], "little")
    shape = (channels, height, width)
    if length == 0:
        return shape, coded(data[5:], channels * height * width, 1)
    table = data[5 : 5 + length]
    if length < 2 * channels:
        table = fse(table, 2 * channels)
    indices, at = b"", 5 + length
    for channel in range(channels):
        size = int.from_bytes(table[2 * channel : 2 * channel + 2], "little")
        indices += coded(data[at : at + size], height * width, 3)
        at += size
    assert at == len(data)
    return shape, indices


Exact = list[list[tuple[int, ...] | None]]
"""Rows of pixels of a block: the samples of those that are exact."""


@dataclass
class File:
    """What a .dcn file holds."""

    width: int = 0
    height: int = 0
    flags: int = 0
    block_height: int = 0
    block_width: int = 0
    model_hash: bytes = b""
    model: str = ""
    rate: int = 0
    channels: int = 0
    digest: bytes = b""
    metadata: dict[int, bytes] = field(default_factory=dict)
    alpha: list[bytes] = field(default_factory=list)
    palette: list[Exact | None] = field(default_factory=list)
    means: list[int] = field(default_factory=list)
    blocks: list[tuple[tuple[int, int, int], bytes]] = field(default_factory=list)


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def head(payload: bytes, file: File) -> None:
    """Section 4."""
    assert payload[0] == 1
    file.flags = payload[1]
    file.width, at = varint(payload, 2)
    file.height, at = varint(payload, at)
    file.model_hash, at = payload[at : at + 8], at + 8
    if file.flags & 4:
        file.block_height, file.block_width = payload[at : at + 2]
        at += 2
    file.model = payload[at:].decode("ascii")


def alpha(payload: bytes, width: int) -> list[bytes]:
    """Section 7: the rows."""
    content = zstandard.ZstdDecompressor().decompressobj().decompress(payload)
    rows, above = [], bytes(width)
    for start in range(0, len(content), width + 1):
        predictor, residuals = content[start], content[start + 1 : start + width + 1]
        row = bytearray()
        for x, residual in enumerate(residuals):
            left, above_left = (row[x - 1], above[x - 1]) if x else (0, 0)
            guess = (0, left, above[x], above[x] + left - above_left)[predictor]
            row.append((residual + guess) % 256)
        above = bytes(row)
        rows.append(above)
    return rows


def blocks(file: File) -> list[tuple[int, int, int, int]]:
    """Section 5: top, left, rows and columns of each block, in latents."""
    rows, columns = (file.height + 7) // 8, (file.width + 7) // 8
    height, width = file.block_height or rows, file.block_width or columns
    return [
        (top, left, min(height, rows - top), min(width, columns - left))
        for top in range(0, rows, height)
        for left in range(0, columns, width)
    ]


def palette(payload: bytes, file: File) -> list[Exact | None]:
    """Section 17: of each block."""
    sizes, at = [], 0
    for _ in blocks(file):
        size, at = varint(payload, at)
        sizes.append(size)
    found: list[Exact | None] = []
    for size, (top, left, rows, columns) in zip(sizes, blocks(file), strict=True):
        height = min(8 * rows, file.height - 8 * top)
        width = min(8 * columns, file.width - 8 * left)
        area = payload[at : at + size]
        found.append(exact(area, height, width, 1 if file.flags & 1 else 3) if size else None)
        at += size
    assert at == len(payload)
    return found


def exact(area: bytes, height: int, width: int, samples: int) -> Exact:
    """Section 17: one area."""
    step, form = 8 * area[0], area[1]
    if form & 2:
        content = area[2:]
    else:
        length, at = varint(area, 2)
        frame = b"\x28\xb5\x2f\xfd" + area[at:]
        content = zstandard.ZstdDecompressor().decompressobj().decompress(frame)
        assert len(content) == length
    across = (width + step - 1) // step
    tiles = (height + step - 1) // step * across
    at = (tiles + 7) // 8
    marks = [content[i // 8] >> i % 8 & 1 for i in range(tiles)]
    count = int.from_bytes(content[at : at + 2], "little") + 1
    at += 2
    colours, colour = [], (0,) * samples
    for _ in range(count):
        change = content[at : at + samples]
        colour = tuple((s + c) % 256 for s, c in zip(colour, change, strict=True))
        colours.append(colour)
        at += samples
    rows: Exact = [[None] * width for _ in range(height)]
    bits = 0 if count == 1 else 1 if count == 2 else 8 if count <= 256 else 16
    indices, used = int.from_bytes(content[at:], "little"), 0
    places = [(y, x) for y in range(height) for x in range(width)]
    for y, x in sorted(places, key=lambda place: place[::-1]) if form & 1 else places:
        if marks[y // step * across + x // step]:
            rows[y][x] = colours[indices >> used & ((1 << bits) - 1)]
            used += bits
    assert len(content) == at + (used + 7) // 8
    assert not indices >> used
    return rows


def means(payload: bytes, file: File) -> list[int]:
    """Section 18: by channel and region."""
    count = 3 * ((file.height + 63) // 64) * ((file.width + 63) // 64)
    symbols = payload if len(payload) == count else fse(payload, count)
    return [symbol - 8 for symbol in symbols]


def context_block(
    data: bytes, file: File, model: spec_context.Model
) -> tuple[tuple[int, int, int], bytes]:
    """Section 16: shape (N, H, W) and code words as int16."""
    assert file.digest == spec_context.digest(model)[:8]
    _, _, rows, columns = blocks(file)[len(file.blocks)]
    planes = spec_context.block(model, data, rows, columns, file.rate)
    flat = [z for plane in planes for row in plane for z in row]
    return (file.channels, rows, columns), struct.pack(f"<{len(flat)}h", *flat)


def decode(data: bytes, model: spec_context.Model | None = None) -> File:
    """Sections 3 to 8; context-coded files need their context model."""
    file, at = File(), 8
    while data[at]:
        kind = data[at]
        length, start = varint(data, at + 1)
        payload = data[start : start + length]
        at = start + length + 4
        if kind == 1:
            head(payload, file)
        elif kind == 2:
            coded = block(payload) if model is None else context_block(payload, file, model)
            file.blocks.append(coded)
        elif kind == 4:
            file.alpha = alpha(payload, file.width)
        elif kind == 5:
            assert payload[0] == 1
            file.rate, file.channels, file.digest = payload[1], payload[2], payload[3:]
        elif kind == 6:
            file.palette = palette(payload, file)
        elif kind == 7:
            file.means = means(payload, file)
        elif kind in {0x81, 0x82, 0x83}:
            _, frame = varint(payload, 0)
            file.metadata[kind] = (
                zstandard.ZstdDecompressor().decompressobj().decompress(payload[frame:])
            )
    return file
