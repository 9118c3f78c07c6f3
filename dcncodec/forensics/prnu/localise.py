"""Which parts of a photo lack the fingerprint (Chen et al. 2008, sections V and VI)?

Where a photo was changed, its residual does not correlate with the fingerprint. Where it is dark,
saturated or full of texture, it hardly does either: a predictor, learned from unchanged photos of
the camera, tells how strong the correlation should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import ImageError, ModelError
from dcncodec.forensics.heatmap import Colour, paint
from dcncodec.forensics.prnu.fingerprint import SATURATED, Fingerprint
from dcncodec.forensics.prnu.match import check_sizes, photo_signals
from dcncodec.forensics.prnu.residual import Floats, Pixels, blocks, to_grey, wavelet_details

WINDOW = 129
"""Side in pixels of the windows that are judged, in the NIP paper."""
STEP = 8
"""Pixels from window to window."""
SAMPLES = 500
"""Windows of each photo from which a predictor learns."""
TEXTURE_LEVELS = 2
NEIGHBOURHOOD = 5
"""Side in pixels of the windows of local deviations."""
FLATNESS = 0.03
"""Local deviation, as a share of the local light, below which a pixel counts as flat."""
FEATURES = 4
LARGEST = 1e9
"""What no number of a predictor reaches, nor the inverse of a deviation: correlations are in
[-1, 1], features in [0, 1]."""
CHANGED: Colour = (230, 80, 60)


@dataclass(frozen=True, eq=False)
class Samples:
    """What a predictor learns from one photo.

    Attributes:
        features: (N, FEATURES) of windows.
        ncc: (N,), correlations of their residuals with the fingerprint there.
        absent: (N,), with the fingerprint of other places.
    """

    features: NDArray[np.float64]
    ncc: NDArray[np.float64]
    absent: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predictor:
    """How strongly windows of a camera's photos correlate with its fingerprint.

    Attributes:
        window: their side in pixels, odd.
        weights: (15,), of 1, the features, and all products of two of them.
        present: standard deviation of correlations around their prediction.
        absent: standard deviation of correlations around 0 where there is no fingerprint.
        r2: share of the correlations' variance that it explains, of the photos it learned from.
        photos: how many those were.
    """

    window: int
    weights: NDArray[np.float64]
    present: float
    absent: float
    r2: float
    photos: int

    @classmethod
    def fit(cls, samples: Sequence[Samples], window: int) -> Predictor:
        """Learn from photos' samples, by least squares.

        Raises:
            ImageError: nothing in them varies, or they are too few.
        """
        terms = _terms(np.concatenate([part.features for part in samples]))
        if len(terms) <= terms.shape[1]:
            # They would be met exactly, whatever they are.
            raise ImageError(
                f"{len(terms)} windows are too few to learn from; take a smaller --window, or more "
                "photos"
            )
        ncc = np.concatenate([part.ncc for part in samples])
        absent = np.concatenate([part.absent for part in samples])
        weights = np.linalg.lstsq(terms, ncc, rcond=None)[0]
        errors = ncc - terms @ weights
        if min(absent.std(), errors.std()) == 0:
            raise ImageError("the photos hold no noise to predict")
        r2 = 1 - float(errors.var() / ncc.var())
        return cls(window, weights, float(errors.std()), float(absent.std()), r2, len(samples))

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected correlations, 0 or more, for features (..., FEATURES)."""
        expected: NDArray[np.float64] = np.maximum(_terms(features) @ self.weights, 0)
        return expected

    def as_dict(self) -> dict[str, Any]:
        """For a card."""
        return {
            "window": self.window,
            "weights": self.weights.tolist(),
            "present": self.present,
            "absent": self.absent,
            "r2": round(self.r2, 4),
            "photos": self.photos,
        }

    @classmethod
    def from_dict(cls, entries: dict[str, Any] | None, name: str) -> Predictor:
        """What ``as_dict`` gave.

        Raises:
            ModelError: nothing, or it is damaged.
        """
        if entries is None:
            raise ModelError("has no predictor; make it with 'prnu predictor' first", name)
        try:
            predictor = cls(
                int(entries["window"]),
                np.array(entries["weights"], np.float64),
                float(entries["present"]),
                float(entries["absent"]),
                float(entries["r2"]),
                int(entries["photos"]),
            )
            numbers = [*predictor.weights, predictor.present, predictor.absent]
            valid = (
                predictor.weights.shape == (15,)
                and bool(np.isfinite(numbers).all())
                and float(np.abs(numbers).max()) < LARGEST
                and min(predictor.present, predictor.absent) > 1 / LARGEST
                and predictor.window % 2 == 1
                and predictor.window > 0
            )
        except (KeyError, TypeError, ValueError):
            valid = False
        if not valid:
            raise ModelError("damaged predictor; make it again with 'prnu predictor'", name)
        return predictor


def samples_of(pixels: Pixels, fingerprint: Fingerprint, window: int, seed: int) -> Samples:
    """Random windows of an unchanged photo, for ``Predictor.fit``.

    Args:
        pixels: uint8 (H, W, 3), of the fingerprint's size.
        window: side in pixels, odd.
        seed: of the choice.

    Raises:
        ImageError: the photo has another size, or is smaller than a window.
    """
    check_window(pixels.shape, window)
    check_sizes(pixels.shape[:2], fingerprint.values.shape, False)
    rng = np.random.default_rng(seed)
    # First, while the planes of large photos below are not in memory yet.
    features = window_features(pixels, window)
    noise, light = photo_signals(pixels)
    ncc = window_ncc(noise, light * fingerprint.values, window)
    # Far away, but at the same place of the Bayer filter.
    shift = [2 * int(rng.integers(side // 8, side // 4)) for side in noise.shape]
    elsewhere = np.roll(fingerprint.values, shift, (0, 1))
    absent = window_ncc(noise, light * elsewhere, window)
    chosen = rng.permutation(ncc.size)[:SAMPLES]
    return Samples(
        features.reshape(-1, FEATURES)[chosen], ncc.reshape(-1)[chosen], absent.reshape(-1)[chosen]
    )


def localise(pixels: Pixels, fingerprint: Fingerprint, predictor: Predictor) -> Floats:
    """How probably each part of a photo lacks the fingerprint.

    Args:
        pixels: uint8 (H, W, 3), of the fingerprint's size.

    Returns:
        float32 (h, w), probabilities of windows every ``STEP`` pixels: the first has its centre
        at (window // 2, window // 2).

    Raises:
        ImageError: the photo has another size, or is smaller than a window.
    """
    check_window(pixels.shape, predictor.window)
    check_sizes(pixels.shape[:2], fingerprint.values.shape, False)
    features = window_features(pixels, predictor.window)
    noise, light = photo_signals(pixels)
    ncc = window_ncc(noise, light * fingerprint.values, predictor.window)
    return probabilities(ncc, features, predictor)


def probabilities(
    ncc: NDArray[np.float64], features: NDArray[np.float64], predictor: Predictor
) -> Floats:
    """``localise`` for windows with correlations (h, w) and features (h, w, FEATURES)."""
    from scipy.special import expit

    expected = predictor.predict(features)
    present, absent = predictor.present, predictor.absent
    log_ratio = (
        np.log(absent / present)
        - (ncc - expected) ** 2 / (2 * present**2)
        + ncc**2 / (2 * absent**2)
    )
    found: Floats = expit(-log_ratio).astype(np.float32)
    return found


def spread(found: Floats, shape: tuple[int, ...], window: int) -> Floats:
    """Probabilities of windows as those of pixels, (H, W): each has those of the nearest centre.

    Args:
        found: (h, w), of ``localise``.
        shape: of the photo, H and W first.
        window: side of the windows.
    """
    rows, columns = (
        ((np.arange(side) - window // 2 + STEP // 2) // STEP).clip(0, count - 1)
        for side, count in zip(shape[:2], found.shape, strict=True)
    )
    pixels: Floats = found[rows[:, None], columns]
    return pixels


def heat_map(pixels: Pixels, found: Floats, window: int) -> bytes:
    """A PNG of the photo, tinted where it lacks the fingerprint: the surer, the stronger."""
    tint = np.empty((*pixels.shape[:2], 4), np.uint8)
    tint[..., :3] = CHANGED
    tint[..., 3] = np.rint(255 * spread(found, pixels.shape, window))
    return paint(pixels, tint, {"lacks the fingerprint": CHANGED})


def window_ncc(noise: Floats, expected: Floats, window: int) -> NDArray[np.float64]:
    """Correlations of two planes (H, W) in windows every ``STEP`` pixels."""
    x, y = _means(noise, window), _means(expected, window)
    xx, yy = _means(np.square(noise), window), _means(np.square(expected), window)
    scale = np.sqrt(np.maximum((xx - x * x) * (yy - y * y), 0))
    covariance = _means(noise * expected, window) - x * y
    return np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)


def window_features(pixels: Pixels, window: int) -> NDArray[np.float64]:
    """What the strength of the fingerprint depends on, in windows every ``STEP`` pixels.

    Returns:
        (h, w, FEATURES): attenuated light, smoothness, share of flat pixels, and light times
        smoothness; all in [0, 1].
    """
    smooth = np.empty(pixels.shape[:2], np.float32)
    flat = np.empty(pixels.shape[:2], np.float32)
    light = np.empty(pixels.shape[:2], np.float32)
    for inside, outside, within in blocks(*pixels.shape[:2]):
        grey = to_grey(pixels[outside])
        texture = _local_variance(wavelet_details(grey, TEXTURE_LEVELS))
        smooth[inside] = 1 / (1 + texture[within])
        flat[inside] = (_local_variance(grey) < (FLATNESS * grey) ** 2)[within]
        excess = np.maximum(grey[within] - SATURATED, 0)
        attenuated = np.minimum(grey[within] / SATURATED, 1) * np.exp(-(excess**2) / 6)
        light[inside] = attenuated
    means = [_means(plane, window) for plane in (light, smooth, flat)]
    means.append(_means(np.multiply(light, smooth, out=light), window))
    return np.stack(means, axis=-1)


def check_window(shape: tuple[int, ...], window: int) -> None:
    """ImageError where a photo is smaller than a window."""
    if min(shape[:2]) < window:
        raise ImageError(
            f"{shape[1]} x {shape[0]} pixels are less than a window of {window}; take a smaller "
            "--window"
        )


def _terms(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., FEATURES) to (..., 15): 1, the features, and all products of two of them."""
    extended = np.concatenate([np.ones_like(features[..., :1]), features], axis=-1)
    first, second = np.triu_indices(FEATURES + 1)
    products: NDArray[np.float64] = extended[..., first] * extended[..., second]
    return products


def _means(plane: Floats, window: int) -> NDArray[np.float64]:
    """Of the windows that lie inside the plane, every ``STEP`` pixels."""
    from scipy.ndimage import uniform_filter

    half = window // 2
    rows, columns = (slice(half, side - half, STEP) for side in plane.shape)
    means: NDArray[np.float64] = uniform_filter(plane, window)[rows, columns].astype(np.float64)
    return means


def _local_variance(plane: Floats) -> Floats:
    from scipy.ndimage import uniform_filter

    mean = uniform_filter(plane, NEIGHBOURHOOD)
    variance: Floats = uniform_filter(np.square(plane), NEIGHBOURHOOD) - np.square(mean)
    return variance
