"""Which tiles of a picture are stored exactly (``formats.palette``): those that are drawings.

Candidates are tiles where most pixels equal one before them: text, line art and flat colours, but
hardly ever photos. Of each block the encoder tries none of them, all of them, and those that are
cheap even by themselves, in tiles of two sizes, and keeps what is least in R + lambda D at the rate
that is asked for: exact tiles have no error, which is worth some bytes. Where lambda is not known,
no file gets larger by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.formats.geometry import STRIDE, Area
from dcncodec.formats.header import Header
from dcncodec.formats.packed import load_zstd
from dcncodec.formats.palette import (
    Palette,
    Tiling,
    pack_area,
    to_colours,
    unpack_area,
)
from dcncodec.formats.picture import Picture
from dcncodec.formats.sections import pack_varint, section_bytes
from dcncodec.runtime.windows import Transforms

if TYPE_CHECKING:
    from dcncodec.entropy import FileCoder

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
MOST_FLAT = 4
"""Bits that the error of a flat place is worth at most. That of others is no more than what they
have beside their mean, mostly."""
LEAST_SHARE = 0.02
"""Of a block's cost: tiles that take less are left alone, as flat skies of photos are."""


class Tiles:
    """The candidates of a block, in tiles of one size.

    Args:
        pixels: uint8 (height, width, 3) of the block.
        colours: uint32 (height, width), the same as ``to_colours`` gives them.
        same: bool (height, width), which equal one of those before them.
        tiling: of the block.

    Attributes:
        drawn: bool (rows, columns), which tiles are drawings.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        colours: NDArray[np.uint32],
        same: Mask,
        tiling: Tiling,
    ) -> None:
        self.tiling, self._pixels, self._colours = tiling, pixels, colours
        step = tiling.side * STRIDE
        heights, widths = (np.diff([*range(0, length, step), length]) for length in same.shape)
        self.drawn: Mask = tile_sums(same, step) >= DRAWN * np.outer(heights, widths)
        self._packed: dict[bytes, bytes] = {}

    @cached_property
    def _alone(self) -> NDArray[np.float64]:
        """The bytes of each tile by itself, (rows, columns)."""
        alone, step = np.zeros(self.drawn.shape), self.tiling.side * STRIDE
        compress = load_zstd().compress
        for row, column in np.argwhere(self.drawn):
            tile = self._pixels[row * step : (row + 1) * step, column * step : (column + 1) * step]
            alone[row, column] = len(compress(tile.tobytes(), level=ALONE_LEVEL))
        return alone

    def sets(self, cost: NDArray[np.float64]) -> Iterator[Mask]:
        """Tiles that may together cost less than their latents.

        Args:
            cost: (rows, columns), of the block's latents, in bits.
        """
        spent = tile_sums(cost, self.tiling.side) / 8
        cheap = self.drawn & (self._alone <= spent + ALONE)
        for tiles in (self.drawn, cheap) if (cheap != self.drawn).any() else (cheap,):
            least = max(self._alone[tiles].sum() / SHARED, LEAST_SHARE * spent.sum())
            if tiles.any() and least < spent[tiles].sum():
                yield tiles

    def packed(self, tiles: Mask) -> bytes:
        """See ``pack_area``; nothing where there are too many colours."""
        key = tiles.tobytes()
        if key not in self._packed:
            try:
                self._packed[key] = pack_area(self._colours, tiles, self.tiling)
            except ValueError:
                self._packed[key] = b""
        return self._packed[key]


class Drawings:
    """What of a picture may be stored exactly.

    Args:
        picture: its pixels.
        header: of its file.
        coder: of its latents.
        transforms: the model's networks.
        slope: lambda by rate, as ``effort.slope`` gives it.
    """

    def __init__(
        self,
        picture: Picture,
        header: Header,
        coder: FileCoder,
        transforms: Transforms,
        slope: Callable[[int], float | None],
    ) -> None:
        self._pixels, self._header, self._coder = picture.pixels, header, coder
        self._transforms, self._slope = transforms, slope
        self._tiles: dict[int, list[Tiles]] = {}
        self._details: dict[int, NDArray[np.float64]] = {}

    def choose(self, number: int, latents: Latents, rate: int) -> tuple[Latents, bytes]:
        """What a block holds in the best file: latents and an area of exact tiles.

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
        whole = candidates[0].drawn.all()
        errors_most = self._most_errors(number, rate)
        # First by a bound that asks no coder: most photos get no further.
        bits_most = np.count_nonzero(latents, axis=0) * float(MOST_BITS)
        if not whole and not _may_pay(candidates, bits_most + errors_most):
            return latents, b""
        bits = self._coder.bits(latents, rate).sum(0, dtype=np.float64)
        if not whole and not _may_pay(candidates, bits + errors_most):
            return latents, b""
        if whole and (area := candidates[0].packed(candidates[0].drawn)):
            words = self._words(number, latents, bits, np.ones(bits.shape, bool))
            if 8 * self._size(words, rate, area) <= bits.sum():
                return words, area
        errors = self._errors(number, latents, rate)
        best, least = (latents, b""), -1.0
        tried: set[bytes] = set()
        for tiles in candidates:
            for chosen in tiles.sets(bits + errors):
                places = self._places(number, chosen, tiles.tiling.side)
                if places.tobytes() in tried or not (area := tiles.packed(chosen)):
                    continue
                tried.add(places.tobytes())
                if least < 0:
                    least = 8 * len(self._coder.encode(latents, rate)) + errors.sum()
                words = self._words(number, latents, bits, places)
                cost = 8 * self._size(words, rate, area) + errors[~places].sum()
                if cost <= least:
                    best, least = (words, area), cost
        return best

    def _words(
        self, number: int, latents: Latents, bits: NDArray[np.float64], places: Mask
    ) -> Latents:
        """Code words beside exact tiles at some places of a block; see ``_cheapest``."""
        return _cheapest(latents, bits, self._hidden(number, places))

    def _size(self, words: Latents, rate: int, area: bytes) -> int:
        """The bytes that a block and its exact tiles take."""
        return len(self._coder.encode(words, rate)) + _framed(area)

    def put(self, number: int, area: bytes, pixels: NDArray[np.uint8]) -> None:
        """Put a block's exact tiles into a picture.

        Args:
            number: of the block.
            area: as ``choose`` gives it.
            pixels: uint8 (H, W, 3) of the whole picture; they change.
        """
        if area:
            place, found, exact = self._unpacked(number, area)
            np.copyto(pixels[place], found, where=exact[..., None])

    def mark(self, number: int, area: bytes, exact: Mask) -> None:
        """Mark a block's exact tiles.

        Args:
            number: of the block.
            area: as ``choose`` gives it.
            exact: bool (H, W) of the whole picture; it changes.
        """
        if area:
            place, _, mask = self._unpacked(number, area)
            exact[place] = mask

    def _unpacked(
        self, number: int, area: bytes
    ) -> tuple[tuple[slice, slice], NDArray[np.uint8], Mask]:
        """Where a block lies in the picture, its exact pixels, and which ones they are."""
        tiling = Tiling.of(self._header, number, area[0])
        return self._place(number), *unpack_area(memoryview(area), tiling)

    def _place(self, number: int) -> tuple[slice, slice]:
        return self._header.block(number).within(self._header.plane, STRIDE)

    def _block(self, number: int) -> NDArray[np.uint8]:
        """A block's pixels."""
        return self._pixels[self._place(number)]

    def _candidates(self, number: int) -> list[Tiles]:
        if number not in self._tiles:
            pixels = self._block(number)
            colours = to_colours(pixels, self._header.grey)
            same = repeats(colours)
            tilings = (Tiling.of(self._header, number, side) for side in SIDES)
            found = (Tiles(pixels, colours, same, tiling) for tiling in tilings)
            self._tiles[number] = [tiles for tiles in found if tiles.drawn.any()]
        return self._tiles[number]

    def _most_errors(self, number: int, rate: int) -> NDArray[np.float64] | float:
        """What the errors of the places of a block are worth at most, in bits: (rows, columns)."""
        slope = self._slope(rate)
        return 0.0 if slope is None else MOST_FLAT + slope * self._detail(number)

    def _errors(self, number: int, latents: Latents, rate: int) -> NDArray[np.float64]:
        """Lambda D of the places of a block, in bits, where candidates are: (rows, columns)."""
        whole = Area(0, 0, latents.shape[1], latents.shape[2])
        errors = np.zeros((whole.rows, whole.columns))
        slope = self._slope(rate)
        if slope is None:
            return errors
        drawn = np.zeros(errors.shape, bool)
        for tiles in self._candidates(number):
            drawn |= self._places(number, tiles.drawn, tiles.tiling.side)
        rows, columns = (np.flatnonzero(drawn.any(axis)) for axis in (1, 0))
        area = Area(rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
        original = self._block(number)[area.within(whole, STRIDE)]
        # Whoever announces passes does not know which pictures have candidates.
        shown = self._transforms.synthesise(latents, whole, area, rate, passes=0)
        shown = shown[: original.shape[0], : original.shape[1]]
        squared = np.square(shown.astype(np.int32) - original).sum(-1)
        errors[area.within(whole, 1)] = slope * tile_sums(squared, STRIDE)
        return errors

    def _detail(self, number: int) -> NDArray[np.float64]:
        """Squared differences of a block's pixels from the means of their places, summed."""
        if number not in self._details:
            pixels = self._block(number).astype(np.uint32)
            height, width = pixels.shape[:2]
            count = tile_sums(np.ones((height, width)), STRIDE)[..., None]
            sums, squares = (tile_sums(values, STRIDE) for values in (pixels, pixels**2))
            self._details[number] = (squares - sums.astype(np.float64) ** 2 / count).sum(-1)
        return self._details[number]

    def _places(self, number: int, tiles: Mask, side: int) -> Mask:
        """The latents of tiles, (rows, columns) of a block."""
        block = self._header.block(number)
        return tiles.repeat(side, 0).repeat(side, 1)[: block.rows, : block.columns]

    def _hidden(self, number: int, places: Mask) -> Mask:
        """The places of a block on which no pixel outside of exact tiles depends much.

        Args:
            number: of the block.
            places: bool (rows, columns), the latents of exact tiles.
        """
        block, plane = self._header.block(number), self._header.plane
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


def repeats(colours: NDArray[np.uint32]) -> Mask:
    """Which pixels (H, W) equal one of those one and two before them, in their row or column."""
    same = np.zeros(colours.shape, bool)
    for back in (1, 2):
        same[:, back:] |= colours[:, back:] == colours[:, :-back]
        same[back:] |= colours[back:] == colours[:-back]
    return same


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


def _framed(area: bytes) -> int:
    """The bytes of a file that holds one area beyond those of one without."""
    return section_bytes(len(pack_varint(len(area))) + len(area))


def palette_of(areas: list[bytes]) -> Palette | None:
    """The section that holds the areas of all blocks; None where all are empty."""
    return Palette(areas) if any(areas) else None


def _may_pay(candidates: list[Tiles], cost: NDArray[np.float64]) -> bool:
    """Whether any exact tiles may cost less than latents of such a cost (see ``Tiles.sets``)."""
    return any(True for tiles in candidates for _ in tiles.sets(cost))


def tile_sums(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Over tiles, of which the last ones may be smaller."""
    rows, columns = (np.arange(0, length, side) for length in values.shape[:2])
    kind = np.uint32 if values.dtype == bool else values.dtype
    sums: NDArray[Any] = np.add.reduceat(np.add.reduceat(values, rows, 0, kind), columns, 1)
    return sums
