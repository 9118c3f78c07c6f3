"""A few small parts of a picture, which tell what the whole costs and loses at any rate.

Bits and errors of single places depend on what is there in much the same way all over a picture.
So a linear model goes from features of places, which are cheap, to what is measured in the parts;
its sum over all places is the estimate. Parts are chosen so that they are as varied as the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.encoder.encoding import Encoding
from dcncodec.encoder.palette import tile_sums
from dcncodec.encoder.target import Metric, Target
from dcncodec.formats.geometry import STRIDE, Area
from dcncodec.likeness import (
    GAUSSIAN,
    SCALE_WEIGHTS,
    SSIM_WINDOW,
    contrasts,
    decibel,
    similarities,
)
from dcncodec.models.program import COLOURS

Pixels = NDArray[np.uint8]
Map = NDArray[np.float64]
"""(rows, columns) of places of the latent plane."""

SIDE = 12
"""Latents of a part's side, where the picture has as many."""
SCALES = 4
"""Of MS-SSIM, those that have windows inside of parts; the coarsest one lacks a hundredth of all
that is lacking."""
SHARE = 0.11
"""Of a picture's latents, those in parts."""
FEWEST, MOST = 4, 32
"""Parts."""
MOST_SHARE = 0.5
"""A picture of which parts would be more is its only part."""
APART = 4
"""Latents between places where parts may begin."""
EDGE = 1
"""Latents at a part's edges that are unlike those amid a picture: left out where it spans less."""
RIDGE = 1e-3
"""Of the features' variance."""
LIKEST = 100.0
"""dB that stand for pictures without any difference."""
FEATURES = 7
"""Of a place."""
BAND = 16
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
        height, width = min(SIDE, plane.rows), min(SIDE, plane.columns)
        count = round(self._places * SHARE / (height * width))
        count = min(max(count, FEWEST), MOST)
        self.whole = count * height * width > MOST_SHARE * self._places
        if self.whole:
            self.areas, self._parts = [plane], [encoding]
            return
        features = _features(encoding.picture.pixels)
        self.areas = list(_varied(features, height, width, count))
        self._parts = [encoding.part(area) for area in self.areas]
        measured = [features[area.within(plane)] for area in self.areas]
        # Of five, the first, the middle and the last one; of four, the second and the last one.
        self._some = slice(1 - len(measured) % 2, None, 2)
        self._model = _Model(features, measured)
        self._rough_model = _Model(features, measured[self._some])
        self._maps: dict[tuple[int, Encoding], Map] = {}

    def bits(self, rate: int) -> float:
        """Of the whole picture, by the coder's estimate."""
        return self._total([part.bits(part.chosen(rate)) for part in self._parts])

    def likeness(self, rate: int) -> float:
        """Of the whole picture, where it has parts, that of the target, in dB (``in_decibel``)."""
        return self._likeness(rate, self._parts, self._model)

    def rough_likeness(self, rate: int) -> float:
        """The same by every second part. ``likeness`` at this rate looks at the others alone."""
        return self._likeness(rate, self._parts[self._some], self._rough_model)

    def _likeness(self, rate: int, parts: Sequence[Encoding], model: _Model) -> float:
        total = model.total([self._differences(rate, part) for part in parts])
        return min(decibel(1 - total / self._places), LIKEST)

    def _differences(self, rate: int, part: Encoding) -> Map:
        assert self._target is not None
        if (rate, part) not in self._maps:
            shown = part.decoded(part.chosen(rate))
            differences = _DIFFERENCES[self._target.metric]
            self._maps[rate, part] = differences(part.picture.pixels, shown.pixels)
        return self._maps[rate, part]

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
        self._features = features
        inner = np.concatenate([self._inner(part) for part in measured])
        mean, deviation = inner.mean(0, np.float64), inner.std(0, np.float64) + 1e-6
        mean[0], deviation[0] = 0, 1
        known = (inner - mean) / deviation
        ridge = np.full(known.shape[1], RIDGE * len(known))
        ridge[0] = 0
        self._fit = np.linalg.solve(known.T @ known + np.diag(ridge), known.T)
        self._fit /= deviation[:, None]
        self._fit[0] -= mean @ self._fit

    def total(self, maps: Sequence[Map]) -> float:
        """Over all places, of what is at least 0.

        Args:
            maps: what is measured in each part.
        """
        weights = self._fit @ np.concatenate([self._inner(part[..., None])[:, 0] for part in maps])
        # Row by row, or double precision would take more than the features.
        return sum(float((row @ weights).clip(min=0).sum()) for row in self._features)

    def _inner(self, part: NDArray[Any]) -> NDArray[Any]:
        """(places, values) of a part's (rows, columns, values), but for its edges."""
        rows, columns = (
            slice(None) if length == whole else slice(EDGE, -EDGE)
            for length, whole in zip(part.shape[:2], self._features.shape[:2], strict=True)
        )
        return part[rows, columns].reshape(-1, part.shape[-1])


def in_decibel(target: Target, likeness: float | None) -> float:
    """A likeness in dB, in which it is smooth in the rate; None stands for no difference."""
    if likeness is None:
        return LIKEST
    return min(likeness, LIKEST) if target.name == "min_psnr" else decibel(likeness)


def _squares(original: Pixels, shown: Pixels) -> Map:
    """Means of squared errors over places, samples being in [0, 1]."""
    squares = np.square((shown.astype(np.float64) - original) / 255).mean(-1)
    return _means(squares)


def _dissimilarities(original: Pixels, shown: Pixels) -> Map:
    """What SSIM lacks of 1, means over the windows around a place's pixels."""
    similar = similarities(*(pixels / np.float32(255) for pixels in (original, shown)))
    return _means(np.pad(1 - similar.mean(-1), SSIM_WINDOW // 2, mode="edge"))


def _multiscale_dissimilarities(original: Pixels, shown: Pixels) -> Map:
    """What MS-SSIM lacks of 1, but for products of what scales lack; the same means."""
    rows, columns = (-side % STRIDE for side in original.shape[:2])
    padding = (0, rows), (0, columns), (0, 0)
    x, y = (np.pad(pixels, padding, mode="edge") / np.float32(255) for pixels in (original, shown))
    lacking: Map = np.zeros((x.shape[0] // STRIDE, x.shape[1] // STRIDE))
    for scale, contrast in enumerate(contrasts(x, y, SCALES)):
        missing = np.pad(1 - contrast.mean(-1), GAUSSIAN // 2, mode="edge")
        side = STRIDE >> scale
        lacking += SCALE_WEIGHTS[scale] / side**2 * tile_sums(missing, side)
    return lacking


_DIFFERENCES: dict[Metric, Callable[[Pixels, Pixels], Map]] = {
    "psnr": _squares,
    "ssim": _dissimilarities,
    "msssim": _multiscale_dissimilarities,
}


def _means(values: Map) -> Map:
    means: Map = tile_sums(values, STRIDE) / tile_sums(np.ones(values.shape), STRIDE)
    return means


def _features(pixels: Pixels) -> NDArray[np.float32]:
    """What tells how busy places are: (rows, columns, features), the first of them 1."""
    rows, columns = (-(-side // STRIDE) for side in pixels.shape[:2])
    features = np.ones((rows, columns, FEATURES), np.float32)
    for top in range(0, rows, BAND):
        own = features[top : top + BAND]
        bottom = top + BAND + 1  # With the row of places below, for the step down to it.
        variance, slope, mean = _busy(pixels[top * STRIDE : bottom * STRIDE])
        down = np.abs(np.diff(mean, axis=0, append=mean[-1:]))
        across = np.abs(np.diff(mean, axis=1, append=mean[:, -1:]))
        products = variance**2, slope**2, variance * slope
        found = np.stack((variance, slope, np.log1p(down + across), *products), -1)
        own[..., 1:] = found[: len(own)]
    return features


def _busy(pixels: Pixels) -> NDArray[np.float32]:
    """Of places, the logarithms of their variance and of their mean slope, and their mean level:
    (3, rows, columns)."""
    height, width = pixels.shape[:2]
    padding = (0, -height % STRIDE), (0, -width % STRIDE), (0, 0)
    padded = np.pad(pixels, padding, mode="edge").astype(np.float32)
    # Down the places first: numbers beside each other are added several at a time.
    lines = padded.reshape(padded.shape[0] // STRIDE, STRIDE, -1)
    down = np.abs(np.diff(lines, axis=1)).sum(1)
    across = np.zeros_like(down)
    across[:, :-COLOURS] = np.abs(lines[..., COLOURS:] - lines[..., :-COLOURS]).sum(1)
    level, square, down, across = (
        sums.reshape(len(lines), -1, STRIDE, COLOURS)
        for sums in (lines.sum(1), np.square(lines).sum(1), down, across)
    )
    mean = level.sum(2) / STRIDE**2
    variance = (square.sum(2) / STRIDE**2 - np.square(mean)).clip(min=0).sum(-1)
    slope = down.sum((2, 3)) + across[:, :, :-1].sum((2, 3))
    slope /= STRIDE * (STRIDE - 1) * COLOURS
    return np.stack((np.log1p(variance), np.log1p(slope), mean.sum(-1)))


def _varied(features: NDArray[np.float32], height: int, width: int, count: int) -> Iterator[Area]:
    """Places of parts: of the possible ones, from the calmest to the busiest, each is the one that
    lies nearest to the mean of a group of equal size.

    Args:
        features: as ``_features`` gives them.
        height, width: of a part.
        count: of parts.
    """
    rows, columns = features.shape[:2]
    tops, lefts = np.arange(0, rows - height + 1, APART), np.arange(0, columns - width + 1, APART)
    begins = np.stack(np.meshgrid(tops, lefts, indexing="ij"), -1).reshape(-1, 2)
    sums = []
    for top in tops:
        until = np.zeros((columns + 1, FEATURES))
        features[top : top + height].sum(0, np.float64).cumsum(0, out=until[1:])
        sums.append(until[lefts + width] - until[lefts])
    deviations = [features[..., number].std() + 1e-6 for number in range(1, FEATURES)]
    totals = np.concatenate(sums)[:, 1:] / deviations
    free = np.ones(len(begins), bool)
    for group in np.array_split(np.argsort(totals[:, 0], kind="stable"), count):
        open_to = group[free[group]]
        if not len(open_to):
            continue
        distance = np.square(totals[open_to] - totals[group].mean(0)).sum(1)
        top, left = begins[open_to[distance.argmin()]].tolist()
        free &= (np.abs(begins - (top, left)) >= (height, width)).any(1)
        yield Area(top, left, top + height, left + width)
