"""Which tiles of a picture are stored exactly (``formats.palette``): those that are drawings.

Candidates are tiles where most pixels equal one before them: text, line art and flat colours, but
hardly ever photos. Of each block the encoder tries none of them, all of them, and those that are
cheap even by themselves, in tiles of two sizes, and keeps what takes the fewest bytes at the rate
that is asked for. So no file gets larger by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.entropy import FileCoder
from dcncodec.formats.geometry import STRIDE
from dcncodec.formats.header import Header
from dcncodec.formats.packed import load_zstd
from dcncodec.formats.palette import (
    MAX_COLOURS,
    Palette,
    Tiling,
    pack_area,
    spread,
    to_colours,
    unpack_area,
)
from dcncodec.formats.picture import Picture

Latents = NDArray[np.int16]
Mask = NDArray[np.bool_]

SIDES = (8, 4)
"""Latents of a tile's side."""
DRAWN = 0.65
"""Of a candidate's pixels, the share at least that equals one of those one and two before it, in
its row or column."""
MARGIN = 1
"""Latents that stay as they are in exact tiles, beside others: their pixels depend on them."""
ALONE_LEVEL = 3
"""Of zstandard, for tiles by themselves."""
ALONE = 32
"""Bytes that a tile by itself may take more than its latents: a frame has some, and colours."""
SHARED = 6
"""Tiles together take no less than their bytes by themselves over this."""
MOST_BITS = 8
"""Of a latent that is not 0: no coder takes more. It tells cheaply where nothing can be won."""
LEAST_SHARE = 0.02
"""Of a block's bits: tiles that take less are left alone, as flat skies of photos are."""
SECTION_BYTES = 12
"""What the first area adds to a file beside its own bytes, about."""


class Tiles:
    """The candidates of a block, in tiles of one size.

    Args:
        pixels: uint8 (height, width, 3) of the block.
        same: bool (height, width), which equal one of those before them.
        tiling: of the block.

    Attributes:
        drawn: bool (rows, columns), which tiles are drawings.
        alone: float64 of the same shape, the bytes of those by themselves.
    """

    def __init__(self, pixels: NDArray[np.uint8], same: Mask, tiling: Tiling) -> None:
        self.tiling = tiling
        step = tiling.side * STRIDE
        heights, widths = (np.diff([*range(0, length, step), length]) for length in same.shape)
        self.drawn: Mask = _sums(same, step) >= DRAWN * np.outer(heights, widths)
        self.alone = np.zeros(self.drawn.shape)
        compress = load_zstd().compress if self.drawn.any() else None
        for row, column in np.argwhere(self.drawn):
            assert compress is not None
            tile = pixels[row * step : (row + 1) * step, column * step : (column + 1) * step]
            self.alone[row, column] = len(compress(tile.tobytes(), level=ALONE_LEVEL))
        self._packed: dict[bytes, bytes] = {}

    def sets(self, bits: NDArray[np.float64] | NDArray[np.int64]) -> Iterator[Mask]:
        """Tiles that may together take less than their latents.

        Args:
            bits: (rows, columns), of the block's latents.
        """
        spent = _sums(bits, self.tiling.side) / 8
        cheap = self.drawn & (self.alone <= spent + ALONE)
        for tiles in (self.drawn, cheap) if (cheap != self.drawn).any() else (cheap,):
            least = max(self.alone[tiles].sum() / SHARED, LEAST_SHARE * spent.sum())
            if tiles.any() and least < spent[tiles].sum():
                yield tiles

    def packed(self, colours: NDArray[np.uint32], tiles: Mask) -> bytes:
        """See ``pack_area``; nothing where there are too many colours."""
        key = tiles.tobytes()
        if key not in self._packed:
            few = len(np.unique(colours[spread(tiles, self.tiling)])) <= MAX_COLOURS
            self._packed[key] = pack_area(colours, tiles, self.tiling) if few else b""
        return self._packed[key]


class Drawings:
    """What of a picture may be stored exactly.

    Args:
        picture: its pixels.
        header: of its file.
        coder: of its latents.
    """

    def __init__(self, picture: Picture, header: Header, coder: FileCoder) -> None:
        self._pixels, self._header, self._coder = picture.pixels, header, coder
        self._tiles: dict[int, list[Tiles]] = {}

    def choose(self, number: int, latents: Latents, rate: int) -> tuple[Latents, bytes]:
        """What a block holds in the smallest file: latents and an area of exact tiles.

        Args:
            number: of the block.
            latents: int16 (N, rows, columns), its code words; they do not change.
            rate: 0..255, ignored by models of one rate.

        Returns:
            The code words, others where no pixel depends on them any more, and what
            ``formats.palette.pack_area`` gives; the same words and nothing where exact tiles do not
            pay.
        """
        candidates = self._candidates(number)
        if not candidates:
            return latents, b""
        most = np.count_nonzero(latents, axis=0) * MOST_BITS
        if not any(True for tiles in candidates for _ in tiles.sets(most)):
            return latents, b""
        colours = to_colours(self._block(number), self._header.grey)
        bits = self._coder.bits(latents, rate).sum(0, dtype=np.float64)
        best, least = (latents, b""), -1
        tried: set[bytes] = set()
        for tiles in candidates:
            for chosen in tiles.sets(bits):
                places = spread(chosen, tiles.tiling).tobytes()
                if places in tried or not (area := tiles.packed(colours, chosen)):
                    continue
                tried.add(places)
                if least < 0:
                    least = len(self._coder.encode(latents, rate))
                words = _cheapest(latents, bits, self._hidden(number, chosen, tiles.tiling.side))
                size = len(self._coder.encode(words, rate)) + len(area) + SECTION_BYTES
                if size <= least:
                    best, least = (words, area), size
        return best

    def put(self, number: int, area: bytes, pixels: NDArray[np.uint8]) -> None:
        """Put a block's exact tiles into a picture.

        Args:
            number: of the block.
            area: as ``choose`` gives it.
            pixels: uint8 (H, W, 3) of the whole picture; they change.
        """
        if area:
            tiling = Tiling.of(self._header, number, area[0])
            found, exact = unpack_area(memoryview(area), tiling)
            place = self._header.block(number).within(self._header.plane, STRIDE)
            np.copyto(pixels[place], found, where=exact[..., None])

    def _block(self, number: int) -> NDArray[np.uint8]:
        """A block's pixels."""
        return self._pixels[self._header.block(number).within(self._header.plane, STRIDE)]

    def _candidates(self, number: int) -> list[Tiles]:
        if number not in self._tiles:
            pixels = self._block(number)
            colours = to_colours(pixels, self._header.grey)
            same = np.zeros(colours.shape, bool)
            for back in (1, 2):
                same[:, back:] |= colours[:, back:] == colours[:, :-back]
                same[back:] |= colours[back:] == colours[:-back]
            tilings = (Tiling.of(self._header, number, side) for side in SIDES)
            found = (Tiles(pixels, same, tiling) for tiling in tilings)
            self._tiles[number] = [tiles for tiles in found if tiles.drawn.any()]
        return self._tiles[number]

    def _hidden(self, number: int, tiles: Mask, side: int) -> Mask:
        """The places of a block on which no pixel outside of exact tiles depends much."""
        block, plane = self._header.block(number), self._header.plane
        places = tiles.repeat(side, 0).repeat(side, 1)[: block.rows, : block.columns]
        # Other blocks may show what depends on this one; beyond the picture nobody looks.
        beyond = (
            (block.top == plane.top, block.bottom == plane.bottom),
            (block.left == plane.left, block.right == plane.right),
        )
        padded = np.pad(places, MARGIN, constant_values=beyond)
        hidden = places.copy()
        for top, left in np.ndindex(2 * MARGIN + 1, 2 * MARGIN + 1):
            hidden &= padded[top : top + block.rows, left : left + block.columns]
        return hidden


def _cheapest(latents: Latents, bits: NDArray[np.float64], hidden: Mask) -> Latents:
    """Code words with the same ones in all hidden places: those of the one with the fewest bits,
    which lies in a flat area mostly; 0, which coders with a model may not expect beside others,
    where all are hidden.

    Args:
        latents: int16 (N, rows, columns).
        bits: float64 (rows, columns), of each place.
        hidden: bool (rows, columns).
    """
    words = latents.copy()
    place = np.unravel_index(np.where(hidden, bits, np.inf).argmin(), bits.shape)
    words[:, hidden] = 0 if hidden.all() else latents[:, *place, None]
    return words


def palette_of(areas: list[bytes]) -> Palette | None:
    """The section that holds the areas of all blocks; None where all are empty."""
    return Palette(areas) if any(areas) else None


def _sums(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Over tiles, of which the last ones may be smaller."""
    rows, columns = (np.arange(0, length, side) for length in values.shape)
    kind = np.uint32 if values.dtype == bool else values.dtype
    sums: NDArray[Any] = np.add.reduceat(np.add.reduceat(values, rows, 0, kind), columns, 1)
    return sums
