"""One picture on its way into a file, at any rate."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcncodec.encoder.effort import Effort, slope
from dcncodec.encoder.means import Rounding, framed
from dcncodec.encoder.palette import Drawings, palette_of
from dcncodec.entropy import Candidates
from dcncodec.formats import container
from dcncodec.formats.coder import ChannelCoder
from dcncodec.formats.geometry import Area
from dcncodec.formats.means import CHANNELS as MEAN_CHANNELS
from dcncodec.formats.means import Means
from dcncodec.formats.picture import Picture, as_grey
from dcncodec.models.card import ModelFolder
from dcncodec.records import record, replace
from dcncodec.runtime.windows import WINDOW, Memos, Transforms

if TYPE_CHECKING:
    from dcncodec.entropy import FileCoder

MOST_KEPT = WINDOW**2
"""Latents of the largest picture of which analyses keep what they have in common: about 50 MB."""

Latents = NDArray[np.int16]
Exact = NDArray[np.float32]


@record
class Words:
    """What a file holds of a picture.

    Attributes:
        rate: 0..255.
        latents: int16 (N, rows, columns), code words of the whole plane.
        areas: the exact tiles of each block, as ``formats.palette.pack_area`` gives them; or
            nothing.
        means: of regions.
    """

    rate: int
    latents: Latents
    areas: list[bytes]
    means: Means | None = None


@record
class Analysed:
    """What analysis gives of a whole plane.

    Attributes:
        exact: float32 (N, rows, columns), what code words are rounded from; whole already with an
            effort.
        told: of these, the channels that have means; with an effort, the means that it was made
            with.
    """

    exact: Exact
    told: Exact | Means | None


class Encoding:
    """A picture, its header, and what analyses and codes it.

    Args:
        model: that codes it.
        transforms: its networks.
        coders: what may code the latents; the smallest file is taken.
        header: of the file.
        picture: its pixels.
        effort: what is done for a smaller file; None for rounding.
        palette: whether drawings in it may be stored exactly.
    """

    def __init__(
        self,
        model: ModelFolder,
        transforms: Transforms,
        coders: Sequence[FileCoder],
        header: container.Header,
        picture: Picture,
        effort: Effort | None = None,
        palette: bool = True,
    ) -> None:
        self.model, self.transforms, self.coders = model, transforms, coders
        self.header, self.picture, self.effort = header, picture, effort
        self._memos: Memos | None = None
        self._drawings: Drawings | None = None
        if palette:
            worth = partial(slope, model)
            self._drawings = Drawings(picture, header, coders[0], transforms, worth)

    def expect_rates(self) -> None:
        """Prepare for analyses at several rates."""
        if self.header.plane.rows * self.header.plane.columns <= MOST_KEPT:
            self._memos = {}

    def file(self, rate: int) -> bytes:
        """The bytes of the file at a rate, 0..255, which models of one rate ignore."""
        if self.effort is not None:
            return self.packed(self.chosen(rate))
        rounding = self._rounding()
        return self._packed(rate, self._analysed(rate, rounding), rounding.means)

    def packed(self, words: Words) -> bytes:
        """The bytes of a file."""
        plane = self.header.plane
        blocks = (words.latents[block.latents_in(plane)] for block in self._blocks)
        chosen = zip(blocks, words.areas, strict=True)
        return self._packed(words.rate, chosen, lambda: words.means)

    def _packed(
        self,
        rate: int,
        chosen: Iterable[tuple[Latents, bytes]],
        means: Callable[[], Means | None],
    ) -> bytes:
        """The bytes of a file.

        Args:
            rate: of it.
            chosen: of each block, its code words and exact tiles.
            means: gives those of regions, once all blocks are chosen.
        """
        candidates = self._candidates(rate)
        areas: list[bytes] = []
        for words, tiles in chosen:
            candidates.add(words)
            areas.append(tiles)
        blocks, coding = candidates.smallest()
        alpha, palette = self.picture.alpha, palette_of(areas)
        return container.write(
            container.Container(
                self.header, self._metadata, alpha, blocks, coding, palette, means()
            )
        )

    def _rounding(self) -> Rounding:
        # What analysis takes from the colours of grey pictures, synthesis gives back.
        told = self.transforms.geometry.means and not self.header.grey
        return Rounding(self.header.plane, told)

    def _analysed(self, rate: int, rounding: Rounding) -> Iterator[tuple[Latents, bytes]]:
        """Code words and exact tiles, block by block, so that none has to wait for others."""
        for number, (block, exact) in enumerate(self._all_analysed(rate)):
            words = self.transforms.rounded(exact)
            chosen = self._chosen(number, words, rate)
            rounding.note(exact, words, block, chosen[0])
            yield chosen

    def _all_analysed(self, rate: int) -> Iterator[tuple[Area, Exact]]:
        """Each block, as in the file, because other windows round some values to other words; and
        what analysis gives of it."""
        for block in self._blocks:
            exact = self.transforms.analyse_unrounded(self.picture.pixels, block, rate, self._memos)
            yield block, exact

    def chosen(
        self, rate: int, latents: Latents | None = None, told: Exact | Means | None = None
    ) -> Words:
        """What a file holds at a rate.

        Args:
            rate: as for ``file``.
            latents: int16 (N, rows, columns); those of ``worked`` where none are given.
            told: as ``Analysed`` has it, where latents are given and may have means.
        """
        given = latents
        if latents is None:
            latents, told = self.worked(rate)
        words = latents if given is None else np.empty_like(latents)
        areas = []
        rounding = self._rounding()
        for block, chosen, tiles in self._all_chosen(latents, rate):
            place = block.latents_in(self.header.plane)
            if isinstance(told, np.ndarray):
                rounding.note(told[place], latents[place], block, chosen)
            words[place] = chosen
            areas.append(tiles)
        return Words(rate, words, areas, told if isinstance(told, Means) else rounding.means())

    def worked(self, rate: int) -> tuple[Latents, Exact | Means | None]:
        """Code words of the whole plane, int16 (N, rows, columns), after any effort; and what
        ``Analysed`` tells."""
        plane, channels = self.header.plane, self.transforms.geometry.channels
        latents = np.empty((channels, plane.rows, plane.columns), np.int16)
        first = np.empty((min(MEAN_CHANNELS, channels), plane.rows, plane.columns), np.float32)
        for block, values in self._all_analysed(rate):
            place = block.latents_in(plane)
            latents[place], first[place] = self.transforms.rounded(values), values[: len(first)]
        if self.effort is not None:
            from dcncodec.encoder.refining import Refinement

            exact, means = self._settled(latents, first, rate)
            search = Refinement(
                self.transforms, self.effort, self.picture, plane, rate, exact, means
            )
            search.improve(latents, self._blocks)
            return latents, means
        return latents, first

    def _settled(
        self, latents: Latents, first: Exact, rate: int
    ) -> tuple[NDArray[np.bool_], Means | None]:
        """What is beside such code words before any effort.

        Returns:
            Which pixels tiles store exactly, (H, W) of the picture; and means.
        """
        exact = np.zeros((self.header.height, self.header.width), bool)
        rounding = self._rounding()
        for number, (block, chosen, tiles) in enumerate(self._all_chosen(latents, rate)):
            place = block.latents_in(self.header.plane)
            rounding.note(first[place], latents[place], block, chosen)
            if self._drawings is not None:
                self._drawings.mark(number, tiles, exact)
        return exact, rounding.means()

    def unrounded(self, rate: int) -> Analysed:
        """What ``worked`` rounds."""
        if self.effort is not None:
            latents, told = self.worked(rate)
            return Analysed(latents.astype(np.float32), told)
        plane, channels = self.header.plane, self.transforms.geometry.channels
        exact = np.empty((channels, plane.rows, plane.columns), np.float32)
        for block, values in self._all_analysed(rate):
            exact[block.latents_in(plane)] = values
        return Analysed(exact, exact[:MEAN_CHANNELS])

    def thinned(self, exact: NDArray[np.float32], rate: int, curvature: float) -> Latents:
        """Code words with less bits than the nearest ones.

        Args:
            exact: as ``Analysed`` has it.
            curvature: bits that a squared distance of one code word is worth.
        """
        coder = self.coders[0]
        assert not isinstance(coder, ChannelCoder)
        words = np.empty(exact.shape, np.int16)
        for area in self._blocks:
            place = area.latents_in(self.header.plane)
            words[place] = coder.quantise(
                exact[place], curvature, rate, centred=self.effort is None
            )
        return words

    @property
    def _blocks(self) -> list[Area]:
        return [self.header.block(number) for number in range(self.header.block_count)]

    def decoded(self, words: Words) -> Picture:
        """The picture that a decoder will show, without alpha and metadata."""
        plane, header = self.header.plane, self.header
        pixels = self.transforms.synthesise(words.latents, plane, plane, words.rate, words.means)
        pixels = pixels[: header.height, : header.width]
        for number, tiles in enumerate(words.areas):
            if self._drawings is not None:
                self._drawings.put(number, tiles, pixels)
        return Picture(as_grey(pixels) if header.grey else pixels)

    def bits(self, words: Words) -> NDArray[np.float64]:
        """The coder's estimate of the bits of places, (rows, columns) of the plane; those of exact
        tiles spread over their block, and of means over the plane."""
        plane = self.header.plane
        bits = np.empty((plane.rows, plane.columns))
        for block, tiles in zip(self._blocks, words.areas, strict=True):
            own = self.coders[0].bits(words.latents[block.latents_in(plane)], words.rate)
            spread = 8 * len(tiles) / (block.rows * block.columns)
            bits[block.within(plane)] = own.sum(0, dtype=np.float64) + spread
        if words.means is not None:
            bits += 8 * framed(words.means) / bits.size
        return bits

    def _all_chosen(self, latents: Latents, rate: int) -> Iterator[tuple[Area, Latents, bytes]]:
        """Each block, and what ``_chosen`` makes of it."""
        for number, block in enumerate(self._blocks):
            place = block.latents_in(self.header.plane)
            yield block, *self._chosen(number, latents[place], rate)

    def _chosen(self, number: int, latents: Latents, rate: int) -> tuple[Latents, bytes]:
        """What is coded of a block's code words, and its exact tiles."""
        if self._drawings is None:
            return latents, b""
        return self._drawings.choose(number, latents, rate)

    def part(self, area: Area) -> Encoding:
        """A part of the picture as a picture of its own: without what is around it, which is less
        work, and the same but for its edges. It is ready for several rates.

        Args:
            area: of the latent plane, at most 255 x 255 latents.
        """
        rows, columns = area.within(self.header.plane, self.transforms.geometry.stride)
        pixels = self.picture.pixels[rows, columns]
        header = replace(
            self.header,
            width=pixels.shape[1],
            height=pixels.shape[0],
            alpha=False,
            block_height=0,
            block_width=0,
        )
        picture = Picture(pixels, grey=self.picture.grey)
        palette = self._drawings is not None
        part = Encoding(
            self.model, self.transforms, self.coders, header, picture, self.effort, palette
        )
        part.expect_rates()
        return part

    @cached_property
    def fixed_bytes(self) -> int:
        """Of a file, all before the blocks: nothing of it depends on the rate."""
        file = io.BytesIO()
        _, coding = self._candidates(0).smallest()
        container.Writer(file, self.header, self._metadata, self.picture.alpha, coding)
        return file.tell()

    @property
    def _metadata(self) -> container.Metadata:
        picture = self.picture
        return container.Metadata(picture.icc or None, picture.exif or None, picture.xmp or None)

    def _candidates(self, rate: int) -> Candidates:
        return Candidates(self.coders, self.transforms.geometry.channels, rate)
