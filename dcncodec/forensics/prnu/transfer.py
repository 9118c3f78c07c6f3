"""Do fingerprints hold from one camera pipeline to another? Fig. 5 of the NIP paper.

One simulated sensor takes all pictures, and every pipeline develops the same RAW frames. Panel a
compares the pipelines' fingerprints, panel b finds a flipped part in photos of one pipeline with
the fingerprint and predictor of another, panel c shows the maps of one photo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.camera.acquisition import sensor
from dcncodec.errors import ImageError, UsageError, about
from dcncodec.forensics.prnu.fingerprint import Estimator, Fingerprint, ncc
from dcncodec.forensics.prnu.localise import (
    Predictor,
    Samples,
    check_window,
    probabilities,
    samples_of,
    spread,
    window_features,
    window_ncc,
)
from dcncodec.forensics.prnu.match import THRESHOLD, match_signals, photo_signals
from dcncodec.forensics.prnu.parallel import each
from dcncodec.forensics.prnu.residual import Floats, Pixels
from dcncodec.forensics.prnu.simulate import Camera, Numbered, Split

OTHER_SENSORS, PHOTOS_OF_OTHERS = 5, 20
"""Whose photos must not match, and how many of each."""
BINS = 256
"""Steps of the probability in curves over its threshold."""

Pair = tuple[str, str]
"""The pipeline of fingerprint and predictor, and that of a photo."""


@dataclass(frozen=True)
class Case:
    """What is looked for: the side of the flipped part in the middle, and that of the windows."""

    flip: int
    window: int


@dataclass(frozen=True, eq=False)
class Located:
    """How well a flipped part was found in one photo: best F1 over thresholds, area under ROC."""

    f1: float
    auc: float


@dataclass(frozen=True, eq=False)
class Transfer:
    """The measurements.

    Attributes:
        pipelines: in the order of tables.
        fingerprint_ncc: between the pipelines' fingerprints (Fig. 5a).
        truth_ncc: of each with the gains of the simulated sensor.
        pce: of the evaluated photos, by pair.
        others: PCE of photos of other sensors, with the first pipeline.
        r2: of the predictors on the evaluated photos, by case and pipeline.
        located: by case and pair, for each photo (Fig. 5b).
        maps: probabilities of the first photo's pixels for the first case, by pair (Fig. 5c).
        baseline: by case, F1 of calling everything flipped.
        strength: of the sensor.
        counts: photos for fingerprint, predictor and evaluation.
    """

    pipelines: tuple[str, ...]
    fingerprint_ncc: dict[Pair, float]
    truth_ncc: dict[str, float]
    pce: dict[Pair, list[float]]
    others: list[float]
    r2: dict[Case, dict[str, float]]
    located: dict[Case, dict[Pair, list[Located]]]
    maps: dict[Pair, Floats]
    baseline: dict[Case, float]
    strength: float
    counts: tuple[int, int, int]

    def mean_f1(self, case: Case, pair: Pair) -> float:
        """Mean over the photos of the best F1."""
        return fmean(found.f1 for found in self.located[case][pair])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""

        def table(values: Mapping[Pair, float]) -> dict[str, dict[str, float]]:
            return {a: {b: round(values[a, b], 4) for b in self.pipelines} for a in self.pipelines}

        return {
            "pipelines": list(self.pipelines),
            "photos": dict(
                zip(("fingerprint", "predictor", "evaluation"), self.counts, strict=True)
            ),
            "strength": self.strength,
            "fingerprint_ncc": table(self.fingerprint_ncc),
            "truth_ncc": {name: round(value, 4) for name, value in self.truth_ncc.items()},
            "pce_median": table({pair: median(values) for pair, values in self.pce.items()}),
            "pce_least": table({pair: min(values) for pair, values in self.pce.items()}),
            "matched": table(
                {p: fmean(v >= THRESHOLD for v in values) for p, values in self.pce.items()}
            ),
            "other_sensors": {
                "photos": len(self.others),
                "largest_pce": round(max(self.others), 2),
                "matched": sum(value >= THRESHOLD for value in self.others),
            },
            "localisation": [
                {
                    "flip": case.flip,
                    "window": case.window,
                    "f1": table({pair: self.mean_f1(case, pair) for pair in pairs}),
                    "auc": table(
                        {pair: fmean(f.auc for f in found) for pair, found in pairs.items()}
                    ),
                    "f1_of_calling_all_flipped": round(self.baseline[case], 4),
                    "predictor_r2": {k: round(v, 4) for k, v in self.r2[case].items()},
                }
                for case, pairs in self.located.items()
            ],
        }


@dataclass(frozen=True, eq=False)
class Model:
    """What a pipeline's photos taught: its fingerprint, and a predictor for each case."""

    fingerprint: Fingerprint
    predictors: dict[Case, Predictor]


@dataclass(frozen=True, eq=False)
class Judged:
    """One evaluated photo, by pair; ``errors`` are squared errors and variances for R2."""

    pce: dict[Pair, float]
    located: dict[Case, dict[Pair, Located]]
    maps: dict[Pair, Floats]
    truth: dict[Case, dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]]


def transfer(
    split: Split,
    camera: Camera,
    pipelines: Sequence[str],
    cases: Sequence[Case],
    processes: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> Transfer:
    """Measure what a simulated camera's pipelines share of its fingerprint.

    Args:
        split: pictures that the camera takes, of one size.
        pipelines: ``standard``, ``libraw``, or neural ones, each perhaps of a short exposure
            (``simulate.exposed``).
        cases: of localisation.
        processes: that work at the same time.
        progress: called after each of ``steps(split)`` photos.

    Raises:
        UsageError: a pipeline or case is named twice.
        DcnError: a picture or pipeline cannot be read, or pictures differ in size.
    """
    if len(set(pipelines)) < len(pipelines) or len(set(cases)) < len(cases):
        raise UsageError("--pipelines, --flip: name each once")
    estimators = {pipeline: Estimator() for pipeline in pipelines}
    take = partial(camera.take, pipelines=pipelines)
    pictures = split.fingerprint
    for picture, taken in zip(pictures, each(take, pictures, processes), strict=True):
        for pipeline, pixels in taken.items():
            with about(picture[1]):
                estimators[pipeline].add(pixels)
        progress()
    prints = {name: estimator.fingerprint() for name, estimator in estimators.items()}
    learn = partial(_learn, camera=camera, fingerprints=prints, cases=cases)
    learned = []
    for samples in each(learn, split.predictor, processes):
        learned.append(samples)
        progress()
    models = {
        name: Model(
            fingerprint,
            {c: Predictor.fit([s[name, c] for s in learned], c.window) for c in cases},
        )
        for name, fingerprint in prints.items()
    }
    judge = partial(_judge, camera=camera, models=models, first=split.evaluation[0])
    judged = []
    for photo in each(judge, split.evaluation, processes):
        judged.append(photo)
        progress()
    others = []
    compare = partial(_compare, pipeline=pipelines[0], fingerprint=prints[pipelines[0]])
    for pce in each(compare, _of_others(split, camera), processes):
        others.append(pce)
        progress()
    height, width = prints[pipelines[0]].values.shape
    truth = sensor(camera.number, height, width, camera.strength).astype(np.float32) - 1
    pairs = [(a, b) for a in pipelines for b in pipelines]
    return Transfer(
        tuple(pipelines),
        {(a, b): ncc(prints[a].values, prints[b].values) for a, b in pairs},
        {name: ncc(fingerprint.values, truth) for name, fingerprint in prints.items()},
        {pair: [photo.pce[pair] for photo in judged] for pair in pairs},
        others,
        {
            case: {p: _r2([photo.truth[case][p] for photo in judged]) for p in pipelines}
            for case in cases
        },
        {c: {pair: [photo.located[c][pair] for photo in judged] for pair in pairs} for c in cases},
        judged[0].maps,
        {case: _baseline(case, height * width) for case in cases},
        camera.strength,
        (len(split.fingerprint), len(split.predictor), len(split.evaluation)),
    )


def steps(split: Split, camera: Camera) -> int:
    """How many photos ``transfer`` takes."""
    known = len(split.fingerprint) + len(split.predictor) + len(split.evaluation)
    return known + len(_of_others(split, camera))


def flip(pixels: Pixels, side: int) -> tuple[Pixels, NDArray[np.bool_]]:
    """A photo whose middle square is mirrored left to right, and where that is, bool (H, W).

    Raises:
        ImageError: the photo is smaller than the square.
    """
    if min(pixels.shape[:2]) < side:
        raise ImageError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels hold no part of {side}")
    rows, columns = (
        slice((whole - side) // 2, (whole - side) // 2 + side) for whole in pixels.shape[:2]
    )
    changed, mask = pixels.copy(), np.zeros(pixels.shape[:2], np.bool_)
    changed[rows, columns] = pixels[rows, columns][:, ::-1]
    mask[rows, columns] = True
    return changed, mask


def rate(found: Floats, mask: NDArray[np.bool_]) -> Located:
    """How well probabilities of pixels (H, W) tell what a mask marks."""
    steps = np.rint(found * (BINS - 1)).astype(np.intp)
    # Counts of pixels at or above each threshold, from the highest down.
    marked, clean = (
        np.bincount(steps[part], minlength=BINS)[::-1].cumsum().astype(np.float64)
        for part in (mask, ~mask)
    )
    f1 = 2 * marked / (marked + clean + marked[-1])
    true, false = (np.concatenate([[0.0], c / max(c[-1], 1)]) for c in (marked, clean))
    auc = (np.diff(false) * (true[1:] + true[:-1])).sum() / 2
    return Located(float(f1.max()), float(auc))


def _learn(
    picture: Numbered,
    camera: Camera,
    fingerprints: Mapping[str, Fingerprint],
    cases: Sequence[Case],
) -> dict[tuple[str, Case], Samples]:
    """What the predictors of all pipelines learn from one picture."""
    taken = camera.take(picture, list(fingerprints))
    with about(picture[1]):
        return {
            (name, case): samples_of(taken[name], print_, case.window, picture[0])
            for name, print_ in fingerprints.items()
            for case in cases
        }


def _judge(
    picture: Numbered, camera: Camera, models: Mapping[str, Model], first: Numbered
) -> Judged:
    """Match one picture's photos, flip their middle, and look for it."""
    judged = Judged({}, {}, {}, {})
    with about(picture[1]):
        for photo, pixels in camera.take(picture, list(models)).items():
            whole = photo_signals(pixels)
            for name, model in models.items():
                found = match_signals(*whole, model.fingerprint)
                judged.pce[name, photo] = found.pce
            for number, (case, predictor) in enumerate(models[photo].predictors.items()):
                check_window(pixels.shape, case.window)
                expected = predictor.predict(window_features(pixels, case.window))
                light = whole[1] * models[photo].fingerprint.values
                measured = window_ncc(whole[0], light, case.window)
                judged.truth.setdefault(case, {})[photo] = (measured, expected)
                changed, mask = flip(pixels, case.flip)
                features = window_features(changed, case.window)
                noise, light = photo_signals(changed)
                for name, model in models.items():
                    values = window_ncc(noise, light * model.fingerprint.values, case.window)
                    windows = probabilities(values, features, model.predictors[case])
                    map_ = spread(windows, mask.shape, case.window)
                    judged.located.setdefault(case, {})[name, photo] = rate(map_, mask)
                    if number == 0 and picture == first:
                        judged.maps[name, photo] = map_
    return judged


def _compare(item: tuple[Camera, Numbered], pipeline: str, fingerprint: Fingerprint) -> float:
    """PCE of a photo of another sensor."""
    other, picture = item
    signals = photo_signals(other.take(picture, (pipeline,))[pipeline])
    return match_signals(*signals, fingerprint).pce


def _of_others(split: Split, camera: Camera) -> list[tuple[Camera, Numbered]]:
    return [
        (replace(camera, number=camera.number + 1 + i), picture)
        for i in range(OTHER_SENSORS)
        for picture in split.evaluation[:PHOTOS_OF_OTHERS]
    ]


def _r2(pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    measured, expected = (np.concatenate([p[i].ravel() for p in pairs]) for i in (0, 1))
    return 1 - float(np.square(measured - expected).mean() / measured.var())


def _baseline(case: Case, pixels: int) -> float:
    share = case.flip**2 / pixels
    return 2 * share / (1 + share)
