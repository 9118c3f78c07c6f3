"""A few small parts of a picture, which tell what the whole costs and loses at any rate.

Bits and errors of single places depend on what is there in much the same way all over a picture.
So a linear model goes from features of places, which are cheap, to what is measured in the parts;
its sum over all places is the estimate. Parts are chosen so that they are as varied as the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.encoder.encoding import Encoding
from dcncodec.encoder.palette import tile_sums
from dcncodec.encoder.target import Target
from dcncodec.formats.geometry import STRIDE, Area
from dcncodec.likeness import (
    MS_SSIM_SIDE,
    SSIM_WINDOW,
    decibel,
    measure_likeness,
    similarities,
)

Pixels = NDArray[np.uint8]
Map = NDArray[np.float64]
"""(rows, columns) of places of the latent plane."""

SIDE = 12
"""Latents of a part's side."""
LARGE_SIDE = -(-MS_SSIM_SIDE // STRIDE) + 1
"""The same for MS-SSIM, which has no values of single places."""
SHARE = 0.11
"""Of a picture's latents, those in parts."""
FEWEST, MOST = 4, 32
"""Parts."""
MOST_SHARE = 0.5
"""A picture of which parts would be more is its only part."""
APART = 4
"""Latents between places where parts may begin."""
EDGE = 1
"""Latents at a part's edges that are unlike those amid a picture, but for those below."""
RIDGE = 1e-3
"""Of the features' variance."""
LIKEST = 100.0
"""dB that stand for pictures without any difference."""
BAND = 64
"""Rows of places whose features are computed at a time."""


class Sample:
    """Parts of a picture.

    Args:
        encoding: of the picture.
        target: what is searched for; None for a size.

    Attributes:
        areas: of the latent plane, where they are.
        whole: whether the only part is the picture, as small ones are: then nothing is estimated.
    """

    def __init__(self, encoding: Encoding, target: Target | None = None) -> None:
        self._target = target
        plane = encoding.header.plane
        self._places = plane.rows * plane.columns
        side = LARGE_SIDE if target is not None and target.name == "min_msssim" else SIDE
        count = round(self._places * SHARE / side**2)
        count = min(max(count, FEWEST if side == SIDE else 2), MOST)
        most = MOST_SHARE * self._places
        self.whole = count * side**2 > most or min(plane.rows, plane.columns) < side
        if self.whole:
            self.areas, self._parts = [plane], [encoding]
            return
        features = _features(encoding.picture.pixels)
        self.areas = list(_varied(features, side, count))
        self._parts = [encoding.part(area) for area in self.areas]
        self._model = _Model(features, [features[area.within(plane)] for area in self.areas])

    def bits(self, rate: int) -> float:
        """Of the whole picture, by the coder's estimate."""
        return self._total([part.bits(part.chosen(rate)) for part in self._parts])

    def likeness(self, rate: int) -> float:
        """Of the whole picture, that of the target, in dB (see ``in_decibel``)."""
        target = self._target
        assert target is not None
        pairs = [(part.picture, part.decoded(part.chosen(rate))) for part in self._parts]
        if self.whole or target.metric == "msssim":
            values = [in_decibel(target, measure_likeness(target.metric, *pair)) for pair in pairs]
            return sum(values) / len(values)
        differences = _squares if target.metric == "psnr" else _dissimilarities
        total = self._total([differences(x.pixels, y.pixels) for x, y in pairs])
        return min(decibel(1 - total / self._places), LIKEST)

    def _total(self, maps: Sequence[Map]) -> float:
        """Of the whole picture, what its parts have at each place."""
        return float(maps[0].sum()) if self.whole else self._model.total(maps)


class _Model:
    """Linear, from features to what is measured.

    Args:
        features: (rows, columns, features) of all places.
        measured: the same of the places of each part.
    """

    def __init__(
        self, features: NDArray[np.float32], measured: Sequence[NDArray[np.float32]]
    ) -> None:
        inner = np.concatenate([_inner(part).reshape(-1, part.shape[-1]) for part in measured])
        mean, deviation = inner.mean(0), inner.std(0) + np.float32(1e-6)
        mean[0], deviation[0] = 0, 1
        known = ((inner - mean) / deviation).astype(np.float64)
        ridge = np.full(known.shape[1], RIDGE * len(known))
        ridge[0] = 0
        self._fit = np.linalg.solve(known.T @ known + np.diag(ridge), known.T)
        self._all = ((features - mean) / deviation).reshape(-1, known.shape[1])

    def total(self, maps: Sequence[Map]) -> float:
        """Over all places, of what is at least 0.

        Args:
            maps: what is measured in each part.
        """
        values = np.concatenate([_inner(part).ravel() for part in maps])
        return float((self._all @ (self._fit @ values)).clip(min=0).sum())


def in_decibel(target: Target, likeness: float | None) -> float:
    """A likeness in dB, in which it is smooth in the rate; None stands for no difference."""
    if likeness is None:
        return LIKEST
    return min(likeness, LIKEST) if target.name == "min_psnr" else decibel(likeness)


def _inner(part: NDArray[Any]) -> NDArray[Any]:
    return part[EDGE:-1, EDGE:-EDGE]


def _squares(original: Pixels, shown: Pixels) -> Map:
    """Means of squared errors over places, samples being in [0, 1]."""
    squares = np.square((shown.astype(np.float64) - original) / 255).mean(-1)
    return _means(squares)


def _dissimilarities(original: Pixels, shown: Pixels) -> Map:
    """What SSIM lacks of 1, means over the windows around a place's pixels."""
    similar = similarities(original / 255, shown / 255).mean(-1)
    return _means(np.pad(1 - similar, SSIM_WINDOW // 2, mode="edge"))


def _means(values: Map) -> Map:
    means: Map = tile_sums(values, STRIDE) / tile_sums(np.ones(values.shape), STRIDE)
    return means


def _features(pixels: Pixels) -> NDArray[np.float32]:
    """What tells how busy places are: (rows, columns, features), the first of them 1."""
    step = BAND * STRIDE
    bands = [_busy(pixels[top : top + step]) for top in range(0, len(pixels), step)]
    variance, slope, mean = np.concatenate(bands, 1)
    across, down = (np.abs(np.diff(mean, axis=axis, append=0)) for axis in (0, 1))
    across[-1], down[:, -1] = 0, 0
    smooth = np.log1p(across + down)
    first = np.ones_like(mean)
    products = variance**2, slope**2, variance * slope
    return np.stack((first, variance, slope, smooth, *products), -1)


def _busy(pixels: Pixels) -> NDArray[np.float32]:
    """Of places, the logarithms of their variance and of their mean slope, and their mean level:
    (3, rows, columns)."""
    height, width = pixels.shape[:2]
    padding = (0, -height % STRIDE), (0, -width % STRIDE), (0, 0)
    padded = np.pad(pixels, padding, mode="edge").astype(np.float32)
    places = padded.reshape(padded.shape[0] // STRIDE, STRIDE, -1, STRIDE, 3)
    slopes = (np.abs(np.diff(places, axis=axis)).mean((1, 3, 4)) for axis in (1, 3))
    variance = places.var((1, 3)).sum(-1)
    return np.stack((np.log1p(variance), np.log1p(sum(slopes)), places.mean((1, 3)).sum(-1)))


def _varied(features: NDArray[np.float32], side: int, count: int) -> Iterator[Area]:
    """Places of parts: of the possible ones, from the calmest to the busiest, each is the one that
    lies nearest to the mean of a group of equal size.

    Args:
        features: as ``_features`` gives them.
        side: of a part.
        count: of parts.
    """
    values = features[..., 1:]
    scaled = (values - values.mean((0, 1))) / (values.std((0, 1)) + 1e-6)
    corner = np.pad(scaled, ((1, 0), (1, 0), (0, 0))).cumsum(0, np.float64).cumsum(1)
    tops, lefts = (
        range(0, length - side + 1, APART) for length in (len(features), features.shape[1])
    )
    begins = np.array([(top, left) for top in tops for left in lefts])
    top, left = begins.T
    bottom, right = top + side, left + side
    totals = corner[bottom, right] - corner[top, right] - corner[bottom, left] + corner[top, left]
    free = np.ones(len(begins), bool)
    for group in np.array_split(np.argsort(totals[:, 0], kind="stable"), count):
        open_to = group[free[group]]
        if not len(open_to):
            continue
        distance = np.square(totals[open_to] - totals[group].mean(0)).sum(1)
        top, left = begins[open_to[distance.argmin()]].tolist()
        free &= (np.abs(begins - (top, left)) >= side).any(1)
        yield Area(top, left, top + side, left + side)
