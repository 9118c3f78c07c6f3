"""The search for code words with less bits for their distortion, see ``effort``.

First every latent takes the word that is best by the coder's bits, given those before it. Then come
steps with the gradient of the picture's error. With R the bits, D the squared error and lambda from
the model's training, one step

    t = q - gradient(R + lambda D) / (2 H)
    q = the words that are least in bits(q) + H (q - t)^2, in the order of coding

goes from words q to others that are better by the quadratic model of R + lambda D with curvature H.
R in the gradient is what q changes in the bits of others, by the coder's model in floating point;
bits(q) are its own, in integers. Neighbours correct the same error; so a step moves a part of the
latents, drawn at random, and is taken back, with a larger H, where R + lambda D, with the bits in
integers and the picture decoded, has not fallen. With steps, words are thus never worse than
rounded ones in R + lambda D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcncodec.encoder.effort import GRADIENT_PASSES, Effort
from dcncodec.formats.geometry import Area
from dcncodec.formats.picture import Picture
from dcncodec.runtime.windows import Latents, Transforms

CURVATURE = 15.0
"""Bits for a squared distance of one code word. Quantisers that are trained for rate and distortion
have about this one, whatever the model and rate; steps adapt it."""
WIDER, NARROWER = 0.88, 1.4
"""What becomes of it after a step that was kept, and one that was taken back."""
SHARE = 0.8
"""Of the latents, what a step moves."""
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
        cheap, rounded = np.empty(shape, np.int16), np.empty(shape, np.int16)
        for area in blocks:
            place = area.latents_in(self.plane)
            exact = self.transforms.analyse_unrounded(self.picture.pixels, area, self.rate)
            rounded[place] = self.transforms.rounded(exact)
            cheap[place] = self.effort.coder.quantise(exact, CURVATURE, self.rate, centred=True)
        for area in blocks:
            self._improve(rounded, area, cheap[area.latents_in(self.plane)])
        return rounded

    def _improve(self, words: Latents, area: Area, start: Latents) -> None:
        """Go some steps with a block.

        Args:
            words: int16 of the whole plane; they change within the block.
            area: the block.
            start: the block's words to begin with, where they are better than those in ``words``.
        """
        inner = words[area.latents_in(self.plane)]
        block = _Block(self, words, area)
        random = np.random.default_rng([area.top, area.left])
        best, cost = inner.copy(), block.cost(inner)
        now = block.sloped(start)
        if now.cost < cost:
            best, cost = start, now.cost
        else:
            now = block.sloped(best)
        slope, curvature = now.slope, CURVATURE
        for last in (*[False] * (self.effort.steps - 1), True):
            moved = random.random(best.shape, np.float32) < SHARE
            targets = best - (moved * slope / (2 * curvature)).clip(-FARTHEST, FARTHEST)
            trial = self.effort.coder.quantise(targets, curvature, self.rate, centred=False)
            now = _Cost(block.cost(trial), slope) if last else block.sloped(trial)
            if now.cost < cost:
                best, cost, slope = trial, now.cost, now.slope
                curvature *= WIDER
            else:
                curvature *= NARROWER
        inner[:] = best


@dataclass(frozen=True)
class _Cost:
    """R + lambda D in bits, and its slope in the words, without that of their own bits."""

    cost: float
    slope: NDArray[np.float32]


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

    def cost(self, words: Latents, gradient: NDArray[np.float32] | None = None) -> float:
        """R + lambda D with these words in the block.

        Args:
            words: int16 (N, rows, columns).
            gradient: of all words that are held, to which that of D is added.
        """
        search, picture = self._search, self._search.picture
        self._words[self._inner] = words
        error = search.effort.gradients.squared_error(
            self._words,
            self._held,
            picture.pixels,
            self._seen,
            search.rate,
            grey=picture.grey,
            gradient=gradient,
            passes=GRADIENT_PASSES,
        )
        bits = search.effort.coder.bits(words, search.rate).sum(dtype=np.float64)
        return float(bits) + search.slope * error

    def sloped(self, words: Latents) -> _Cost:
        """The same with its slope."""
        search = self._search
        gradient = np.zeros(self._words.shape, np.float32)
        cost = self.cost(words, gradient)
        slope = search.slope * gradient[self._inner]
        return _Cost(cost, slope + search.effort.gradients.others_bits(words, search.rate))
