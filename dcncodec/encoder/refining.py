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
to step, and the part that moves falls, because words that move much first, then few at a time, end
better than those that settle at once; a search of few steps has no time for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcncodec.encoder.effort import GRADIENT_PASSES, Effort
from dcncodec.formats.geometry import STRIDE, Area
from dcncodec.formats.means import Means
from dcncodec.formats.picture import Picture
from dcncodec.runtime.gradients import squared_errors
from dcncodec.runtime.windows import Latents, Transforms

CURVATURE, FALL = 12.5, 1.0
"""Bits for a squared distance of one code word, in a search of one step, which moves most at once;
and by how much less a search of twice the steps begins with. What one word alone changes in D is 5
to 10 of these, whatever the channel."""
LAST = 15.0
"""The same at the end of a search."""
SHARE, FEWER = 0.9, (0.035, 0.105)
"""Of the latents, those that a search of one step moves; and how many less the first and the last
step move in a search of twice the steps."""
OTHERS_EVERY = 8
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
        exact: bool (H, W), pixels that tiles store: whatever is under them stays and counts for
            nothing.
        means: of regions; they stay.

    Attributes:
        free: bool (rows, columns) of the plane, the latents that have pixels of their own.
        slope: lambda in bits for a squared error of one level of 255 in one colour of one pixel.
    """

    def __init__(
        self,
        transforms: Transforms,
        effort: Effort,
        picture: Picture,
        plane: Area,
        rate: int,
        exact: NDArray[np.bool_],
        means: Means | None = None,
    ) -> None:
        self.transforms, self.effort, self.picture = transforms, effort, picture
        self.plane, self.rate, self.exact, self.means = plane, rate, exact, means
        self.slope = effort.slope(rate)
        rows, columns = (range(0, length, STRIDE) for length in exact.shape)
        within = np.logical_and.reduceat(np.logical_and.reduceat(exact, rows, 0), columns, 1)
        self.free = ~within

    def improve(self, words: Latents, blocks: Sequence[Area]) -> None:
        """Change code words, block by block.

        Args:
            words: int16 (N, rows, columns) of the whole plane, as the analysis rounds them.
            blocks: the areas that are coded by themselves; they partition the plane.

        Raises:
            LimitError: the networks do not fit the memory.
        """
        for area in blocks:
            if self.free[area.latents_in(self.plane)[1:]].any():
                self._improve(words, area)
            else:
                self.transforms.progress(self.effort.passes * area.rows * area.columns)

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
        length = math.log2(steps)
        first, last = (SHARE - fewer * length for fewer in FEWER)
        shares = np.linspace(first, last, steps).tolist()
        curvatures = np.geomspace(CURVATURE - FALL * length, LAST, steps).tolist()
        coder = self.effort.coder
        now = best = block.cost(inner, steep=True)
        for step, (curvature, share) in enumerate(zip(curvatures, shares, strict=True)):
            if step % OTHERS_EVERY == 0:
                others = self.effort.bits_gradient.of_others(now.words, self.rate)
            moved = block.free & (random.random(inner.shape, np.float32) < share)
            change = (moved * (now.slope + others) / (2 * curvature)).clip(-FARTHEST, FARTHEST)
            words = coder.quantise(now.words - change, curvature, self.rate, centred=False)
            words = np.where(block.free, words, inner)
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
    """A block amid words that do not change.

    Attributes:
        free: bool (rows, columns), its latents that may change.
    """

    def __init__(self, search: Refinement, words: Latents, area: Area) -> None:
        self._search = search
        halo, plane = search.transforms.geometry.halo, search.plane
        # What the block changes, and what changes that.
        self._seen = area.grown(halo, plane)
        self._held = self._seen.grown(halo, plane)
        self._words = words[self._held.latents_in(plane)].copy()
        self._inner = area.latents_in(self._held)
        self._places = area.latents_in(self._seen)[1:]
        self.free = search.free[area.latents_in(plane)[1:]]

    def cost(self, words: Latents, *, steep: bool = False) -> _Cost:
        """R + lambda D with some words in the block.

        Args:
            words: int16 (N, rows, columns).
            steep: whether the slope of D is asked for, too.
        """
        search, effort = self._search, self._search.effort
        self._words[self._inner] = words
        gradient = np.zeros(self._words.shape, np.float32) if steep else None
        errors = squared_errors(
            search.transforms,
            self._words,
            self._held,
            search.picture.pixels,
            self._seen,
            search.rate,
            search.means,
            grey=search.picture.grey,
            ignored=search.exact if search.exact.any() else None,
            gradient=gradient,
            passes=GRADIENT_PASSES,
        )
        bits = effort.coder.bits(words, search.rate).sum(0, dtype=np.float64) * self.free
        slope = np.float32(0) if gradient is None else gradient[self._inner]
        return _Cost(
            words,
            float(bits.sum() + search.slope * errors.sum()),
            bits + search.slope * errors[self._places],
            np.float32(search.slope) * slope,
        )
