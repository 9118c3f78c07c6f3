"""The search for code words with less bits for their distortion, see ``effort``.

With R the bits, D the squared error and lambda from the model's training, one step

    t = q - gradient(R + lambda D) / (2 H)
    q' = the words that are least in bits(q') + H (q' - t)^2, in the order of coding

goes from words q, at first rounded ones, to others that are better by the quadratic model of
R + lambda D with curvature H. R in the gradient is what q changes in the bits of others, by the
coder's model in floating point; bits(q') are their own, in integers. Neighbours correct the same
error; so a step moves a part of the latents, drawn at random, and q' is kept only where R + lambda
D, with the bits in integers and the picture decoded, has fallen around a place. The next step goes
on from that mixture, with costs and gradients as they were measured on both sides of it: measuring
the mixture itself would take half as long again for little. The best words that were measured as a
whole are the result: so they are never worse than rounded ones in R + lambda D. H rises from step
to step, because words that move much first, few at a time, end better than those that settle at
once; a search of few steps has no time for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcncodec.encoder.effort import GRADIENT_PASSES, Effort
from dcncodec.formats.geometry import Area
from dcncodec.formats.picture import Picture
from dcncodec.runtime.windows import Latents, Transforms

CURVATURE = 14.0
"""Bits for a squared distance of one code word, of a search of one step. Quantisers that are
trained for rate and distortion have about this one, whatever the model and rate."""
FIRST, LAST = 9.0, 17.0
"""The same at both ends of a long search."""
SHARE, LONG_SHARE = 1.0, 0.75
"""Of the latents, what a step moves; of a long search."""
LONG = 4
"""Steps of a long search; shorter ones are in between."""
OTHERS_EVERY = 2
"""Steps for which the gradient of the others' bits is taken once: it changes slowly."""
FARTHEST = 0.99
"""Of a step, in code words: none goes further than to the next one."""


class Refinement:
    """The search for the code words of a picture.

    Args:
        transforms: the model's networks.
        effort: how much of it.
        picture: its pixels.
        plane: of its latents.
        rate: 0..255.

    Attributes:
        slope: lambda in bits for a squared error of one level of 255 in one colour of one pixel.
    """

    def __init__(
        self, transforms: Transforms, effort: Effort, picture: Picture, plane: Area, rate: int
    ) -> None:
        self.transforms, self.effort, self.picture = transforms, effort, picture
        self.plane, self.rate = plane, rate
        self.slope = effort.slope(rate)

    def words(self, blocks: Sequence[Area]) -> Latents:
        """Code words of the whole plane, int16 (N, rows, columns).

        Args:
            blocks: the areas that are coded by themselves; they partition the plane.

        Raises:
            LimitError: the networks do not fit the memory.
        """
        shape = (self.transforms.geometry.channels, self.plane.rows, self.plane.columns)
        words = np.empty(shape, np.int16)
        for area in blocks:
            place = area.latents_in(self.plane)
            words[place] = self.transforms.analyse(self.picture.pixels, area, self.rate)
        for area in blocks:
            self._improve(words, area)
        return words

    def _improve(self, words: Latents, area: Area) -> None:
        """Go some steps with a block.

        Args:
            words: int16 of the whole plane; they change within the block.
            area: the block.
        """
        inner = words[area.latents_in(self.plane)]
        block = _Block(self, words, area)
        random = np.random.default_rng([area.top, area.left])
        steps = self.effort.steps
        length = min(1.0, (steps - 1) / (LONG - 1))
        share = SHARE + length * (LONG_SHARE - SHARE)
        first, last = (CURVATURE + length * (end - CURVATURE) for end in (FIRST, LAST))
        gradients, coder = self.effort.gradients, self.effort.coder
        now = best = block.cost(inner, steep=True)
        for step, curvature in enumerate(np.geomspace(first, last, steps).tolist()):
            if step % OTHERS_EVERY == 0:
                others = gradients.others_bits(now.words, self.rate)
            moved = random.random(inner.shape, np.float32) < share
            change = (moved * (now.slope + others) / (2 * curvature)).clip(-FARTHEST, FARTHEST)
            words = coder.quantise(now.words - change, curvature, self.rate, centred=False)
            trial = block.cost(words, steep=step + 1 < steps)
            best = min(best, trial, key=_total)
            now = _mixed(now, trial)
        inner[:] = min(best, block.cost(now.words), key=_total).words


def _around(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over every place and its neighbours: what changes there is seen here."""
    rows, columns = values.shape
    padded, total = np.pad(values, 1), np.zeros_like(values)
    for top, left in np.ndindex(3, 3):
        total += padded[top : top + rows, left : left + columns]
    return total


@dataclass(frozen=True)
class _Cost:
    """R + lambda D in bits.

    Attributes:
        words: int16 (N, rows, columns) of the block.
        total: with the pixels around the block that its words change; infinite if not measured.
        places: float64 (rows, columns), of the block's places: their bits, and their pixels' error.
        slope: float32 (N, rows, columns), of lambda D in the words; zero where nobody asked.
    """

    words: Latents
    total: float
    places: NDArray[np.float64]
    slope: NDArray[np.float32] | np.float32


def _total(cost: _Cost) -> float:
    return cost.total


def _mixed(now: _Cost, trial: _Cost) -> _Cost:
    """Of two costs what is less around each place."""
    better = _around(trial.places - now.places) < 0
    return _Cost(
        np.where(better, trial.words, now.words),
        math.inf,
        np.where(better, trial.places, now.places),
        np.where(better, trial.slope, now.slope),
    )


class _Block:
    """A block amid words that do not change."""

    def __init__(self, search: Refinement, words: Latents, area: Area) -> None:
        self._search = search
        halo, plane = search.transforms.geometry.halo, search.plane
        # What the block changes, and what changes that.
        self._seen = area.grown(halo, plane)
        self._held = self._seen.grown(halo, plane)
        self._words = words[self._held.latents_in(plane)].copy()
        self._inner = area.latents_in(self._held)
        self._places = area.latents_in(self._seen)[1:]

    def cost(self, words: Latents, *, steep: bool = False) -> _Cost:
        """R + lambda D with some words in the block.

        Args:
            words: int16 (N, rows, columns).
            steep: whether the slope of D is asked for, too.
        """
        search, effort = self._search, self._search.effort
        self._words[self._inner] = words
        gradient = np.zeros(self._words.shape, np.float32) if steep else None
        errors = effort.gradients.squared_errors(
            self._words,
            self._held,
            search.picture.pixels,
            self._seen,
            search.rate,
            grey=search.picture.grey,
            gradient=gradient,
            passes=GRADIENT_PASSES,
        )
        bits = effort.coder.bits(words, search.rate).sum(0, dtype=np.float64)
        slope = np.float32(0) if gradient is None else gradient[self._inner]
        return _Cost(
            words,
            float(bits.sum() + search.slope * errors.sum()),
            bits + search.slope * errors[self._places],
            np.float32(search.slope) * slope,
        )
