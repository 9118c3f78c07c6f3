"""What rounding takes from means of regions, where it is worth its bytes (``formats.means``)."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dcncodec.encoder.palette import tile_sums
from dcncodec.formats.geometry import Area
from dcncodec.formats.means import CHANNELS, MOST, PARTS, SIDE, Means, pack_means, regions
from dcncodec.formats.sections import section_bytes

WORTH = 6 / math.log(2)
"""Bits that the square of a code word is worth in a latent. With a uniform quantiser of step s, D
is g s^2 / 12 and R falls by log2 s; R + lambda D is least where lambda g s^2 is 6 / ln 2."""

FEWEST_BYTES = section_bytes(2)
"""Of a file, those for means: less is not packed to see what it takes."""


def framed(means: Means) -> int:
    """The bytes of a file that holds them beyond those of one without."""
    return section_bytes(len(pack_means(means)))


class Rounding:
    """What rounding takes from the first channels of a latent plane.

    Args:
        plane: of the picture.
        told: whether a file may tell means; else nothing is noted.
    """

    def __init__(self, plane: Area, told: bool = True) -> None:
        self._plane, self._told = plane, told
        self._lost = np.zeros((CHANNELS, plane.rows, plane.columns), np.float32)
        self._seen = np.zeros((plane.rows, plane.columns), bool)

    def note(
        self,
        exact: NDArray[np.float32],
        words: NDArray[np.int16],
        area: Area,
        coded: NDArray[np.int16],
    ) -> None:
        """Note what a part of the plane loses.

        Args:
            exact: float32 (at least CHANNELS, rows, columns), what analysis gives.
            words: int16 (N, rows, columns), to which that was rounded.
            area: where.
            coded: those that the file holds, others where exact tiles hide them.
        """
        if not self._told:
            return
        place = area.latents_in(self._plane)
        self._lost[place] = exact[:CHANNELS] - words[:CHANNELS]
        self._seen[place[1:]] = (coded == words).all(0)

    def means(self) -> Means | None:
        """Those of the regions, of channels where they are worth their bytes; None without any."""
        rows, columns = regions(self._plane)
        counts = tile_sums(self._seen, SIDE).astype(np.float64)
        sums = np.stack([tile_sums(np.where(self._seen, lost, 0), SIDE) for lost in self._lost])
        exact = sums / np.maximum(counts, 1)
        parts = np.rint(exact * PARTS).clip(-MOST, MOST)
        saved = WORTH * (counts * (exact**2 - (exact - parts / PARTS) ** 2)).sum((1, 2))
        best, most = None, 0.0
        for chosen in product((False, True), repeat=CHANNELS):
            if saved[list(chosen)].sum() <= 8 * FEWEST_BYTES:
                continue
            values = np.where(np.reshape(chosen, (-1, 1, 1)), parts, 0)
            if values.any():
                means = Means(values.astype(np.int8).tobytes(), rows, columns)
                net = saved[list(chosen)].sum() - 8 * framed(means)
                best, most = (means, net) if net > most else (best, most)
        return best
