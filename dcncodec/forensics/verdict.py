"""A verdict on a photo that can be relied on: three answers, at a stated rate of false alarms.

Two scores are taken from a FAN's answers all over a photo (``forensics.dense``). Both are made of
log-odds, positive where a manipulation is more probable than none:

    whole    the log-odds of what the answers of all places mean together (``forensics.pooling``),
             so that one odd region does not decide; without a calibration those of the medians of
             log-probabilities
    part     how far the log-odds of one place in twenty exceed their median, or zero where that is
             negative: high where a part looks manipulated and the rest less so, not where all of a
             photo looks odd, as photos of some cameras do

Thresholds are scores that are passed by a known share of photos to which nothing was done. They are
measured on the tune part of a set (``forensics.parts``) and stand in the FAN's card; those of whole
photos by poolings that had not learned from the photo in question. One half of the false alarms is
given to either score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dcncodec.forensics.dense import Cells
from dcncodec.forensics.manipulations import NATIVE
from dcncodec.forensics.pooling import ENTRY as POOLING
from dcncodec.forensics.pooling import Pooling, held_out, learned, quartiles, read_pooling
from dcncodec.models.card import is_number
from dcncodec.models.families.fan import calibration_entry

Answer = Literal["native", "manipulated", "undecided"]
Extent = Literal["whole", "part"]

FALSE_ALARMS = (0.01, 0.05)
"""Shares of native photos that thresholds are kept for."""
MISSED = 0.05
"""Share of manipulated photos, among those of a calibration, that may be called native."""
PART = 0.95
"""Quantile of the places' log-odds; by how much it exceeds their median is the score of a part."""
TEMPERATURES = tuple(float(t) for t in np.geomspace(0.25, 16, 61))


@dataclass(frozen=True, eq=False)
class Scores:
    """What is measured of a photo.

    Attributes:
        pooled: (K,), normalised log-probabilities of the classes over all of it.
        whole, part: the scores.
        whole_class, part_class: the most probable manipulation of all of it, and of its parts.
        quartiles: (3 * K,), see ``pooling.quartiles``.
    """

    pooled: Tensor
    whole: float
    part: float
    whole_class: str
    part_class: str
    quartiles: Tensor


@dataclass(frozen=True)
class Verdict:
    """What is said of a photo.

    Attributes:
        answer: one of three.
        manipulation: the class, where it is manipulated.
        extent: whether all of it was, or a part.
    """

    answer: Answer
    manipulation: str | None = None
    extent: Extent | None = None


@dataclass(frozen=True)
class Calibration:
    """What is known of a FAN's scores.

    Attributes:
        thresholds: whole and part by rate of false alarms.
        clear: scores of ``whole`` up to it are those of native photos.
        temperature: by which log-probabilities are divided before they become probabilities.
        data: what they were measured on, for cards.
        pooling: what was learned of how places are to be pooled.
    """

    thresholds: Mapping[float, tuple[float, float]]
    clear: float
    temperature: float
    data: Mapping[str, Any]
    pooling: Pooling

    def verdict(self, scores: Scores, false_alarm: float) -> Verdict:
        """The answer for a photo at one of ``FALSE_ALARMS``."""
        whole, part = self.thresholds[false_alarm]
        if scores.whole > whole:
            return Verdict("manipulated", scores.whole_class, "whole")
        if scores.part > part:
            return Verdict("manipulated", scores.part_class, "part")
        lenient = self.thresholds[max(FALSE_ALARMS)]
        if scores.whole <= min(self.clear, lenient[0]) and scores.part <= lenient[1]:
            return Verdict("native")
        return Verdict("undecided")

    def verdicts(self, scores: Scores | None) -> dict[float, Verdict]:
        """The answers by rate of false alarms; none for a photo that cannot be judged."""
        if scores is None:
            return {}
        return {rate: self.verdict(scores, rate) for rate in FALSE_ALARMS}

    def probabilities(self, scores: Scores) -> Tensor:
        """(K,) of the classes."""
        return (scores.pooled / self.temperature).softmax(0)

    def entry(self) -> dict[str, Any]:
        """For a card."""
        return {
            "thresholds": {
                f"{rate:g}": {"whole": whole, "part": part}
                for rate, (whole, part) in self.thresholds.items()
            },
            "clear": self.clear,
            "temperature": self.temperature,
            **self.data,
            POOLING: self.pooling.entry(),
        }


def read_calibration(card: Mapping[str, Any]) -> Calibration | None:
    """What a FAN's card says of its scores, None where it says nothing of the present ones.

    Raises:
        AttributeError, KeyError, OverflowError, TypeError, ValueError: what it says is damaged.
    """
    entry = calibration_entry(card)
    if entry is None:
        return None
    thresholds = {
        rate: (_number(of["whole"]), _number(of["part"]))
        for rate in FALSE_ALARMS
        for of in [entry["thresholds"][f"{rate:g}"]]
    }
    temperature = _number(entry["temperature"])
    if temperature <= 0:
        raise ValueError("a temperature is positive")
    known = {"thresholds", "clear", "temperature", POOLING}
    data = {name: value for name, value in entry.items() if name not in known}
    pooling = read_pooling(entry[POOLING], len(card["classes"]))
    return Calibration(thresholds, _number(entry["clear"]), temperature, data, pooling)


def _number(value: object) -> float:
    """One of a card, which is finite."""
    if not is_number(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def scores_of(
    cells: Cells, classes: Sequence[str], calibration: Calibration | None = None
) -> Scores | None:
    """The scores of a photo; None where no place varies enough.

    Args:
        cells: a FAN's answers.
        classes: their names, ``native`` among them.
        calibration: the FAN's.
    """
    logs = cells.logs[:, cells.varied]
    if not logs.shape[1]:
        return None
    native = classes.index(NATIVE)
    others = [i for i in range(len(classes)) if i != native]
    features = quartiles(logs)
    if calibration is None:
        pooled = logs.median(1).values.log_softmax(0)
    else:
        pooled = calibration.pooling(features)
    odds = _odds(logs.T, native)
    middle, high = odds.quantile(torch.tensor([0.5, PART]))
    suspect = logs[others][:, odds >= high].mean(1)
    return Scores(
        pooled,
        float(_odds(pooled, native)),
        float(high - middle.clamp_min(0)),
        classes[others[int(pooled[others].argmax())]],
        classes[others[int(suspect.argmax())]],
        features,
    )


def _odds(pooled: Tensor, native: int) -> Tensor:
    """Log-odds (...) of the most probable manipulation, of log-probabilities (..., K)."""
    others = torch.arange(pooled.shape[-1]) != native
    return pooled[..., others].amax(-1) - pooled[..., native]


Judged = tuple[str, Mapping[float, Verdict]]
"""Class of a photo, and what is said of it by rate of false alarms: nothing without a calibration,
or where it cannot be judged."""


def photo_figures(judged: Iterable[Judged]) -> dict[str, dict[str, float]]:
    """How often verdicts on whole photos are right and wrong, for JSON and cards.

    Args:
        judged: photos of known classes.

    Returns:
        By rate of false alarms, as ``photos_0.01``: of the native ones the share that is called
        manipulated (``false_alarms``) and native (``cleared``), of others the share that is called
        manipulated (``detected``), with the right class (``told``), and native (``missed``).
        Empty without a native one.
    """
    known = [(name, verdicts) for name, verdicts in judged if verdicts]
    found: dict[str, dict[str, float]] = {}
    for rate in FALSE_ALARMS:
        native = [verdicts[rate] for name, verdicts in known if name == NATIVE]
        others = [(name, verdicts[rate]) for name, verdicts in known if name != NATIVE]
        if not native:
            continue
        shares = {
            "false_alarms": fmean(v.answer == "manipulated" for v in native),
            "cleared": fmean(v.answer == NATIVE for v in native),
        }
        if others:
            shares["detected"] = fmean(v.answer == "manipulated" for _, v in others)
            shares["told"] = fmean(v.manipulation == name for name, v in others)
            shares["missed"] = fmean(v.answer == NATIVE for _, v in others)
        found[f"photos_{rate:g}"] = {name: round(share, 4) for name, share in shares.items()}
    return found


def calibrate(
    versions: Sequence[tuple[str, int, Scores]], classes: Sequence[str], data: Mapping[str, Any]
) -> Calibration:
    """Pooling, thresholds and temperature from photos whose history is known.

    Args:
        versions: class, number of the photo that it is a version of, and scores without a
            calibration; ``native`` and others among them.
        classes: of the FAN.
        data: what the photos are, for the card.
    """
    names, photos, scores = zip(*versions, strict=True)
    labels = torch.tensor([classes.index(name) for name in names])
    features = torch.stack([s.quartiles for s in scores])
    logs = held_out(features, labels, torch.tensor(photos), len(classes))
    native = classes.index(NATIVE)
    untouched = (labels == native).numpy()
    wholes = _odds(logs, native).double().numpy()
    parts = np.array([s.part for s in scores])
    thresholds = {
        rate: (passed_by(rate / 2, wholes[untouched]), passed_by(rate / 2, parts[untouched]))
        for rate in FALSE_ALARMS
    }
    counts = {
        "native_versions": int(untouched.sum()),
        "other_versions": int((~untouched).sum()),
    }
    return Calibration(
        thresholds,
        float(np.quantile(wholes[~untouched], MISSED)),
        _temperature(logs, labels),
        {**data, **counts},
        learned(features, labels, len(classes)),
    )


def passed_by(share: float, scores: NDArray[np.float64]) -> float:
    """A score that another photo of the same kind passes with a probability of ``share`` at most.

    The rank of a new score among n old ones is uniform, so it is above the k-th smallest with
    probability (n + 1 - k) / (n + 1). With too few of them it is the largest. That holds where all
    are of different photos; with several versions of each of N photos, which are alike, a new score
    passes with a probability of ``share`` + 1 / (N + 1) at most; about so where scores come from
    cross-validation, and new ones from a pooling that has learned from a few photos more.
    """
    count = len(scores)
    rank = min(count, math.ceil((count + 1) * (1 - share)))
    return float(np.sort(scores)[rank - 1])


def _temperature(logs: Tensor, labels: Tensor) -> float:
    """Of ``TEMPERATURES`` the one at which probabilities say best how often an answer is right.

    Args:
        logs: (n, K) of photos.
        labels: (n,), their classes.
    """
    losses = [float(functional.cross_entropy(logs / value, labels)) for value in TEMPERATURES]
    return TEMPERATURES[int(np.argmin(losses))]
