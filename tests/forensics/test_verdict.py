"""Verdicts with three answers, and their thresholds."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from dcncodec.forensics.dense import Cells
from dcncodec.forensics.verdict import (
    ENTRY,
    Calibration,
    Scores,
    Verdict,
    calibrate,
    passed_by,
    photo_figures,
    read_calibration,
    scores_of,
)

CLASSES = ("native", "jpeg", "median")
KNOWN = Calibration({0.01: (4.0, 9.0), 0.05: (2.0, 6.0)}, 1.0, 2.0, {})


def cells(shares: dict[str, float], size: int = 20) -> Cells:
    """A map in which the first places answer one class, the next another, and so on."""
    answers = [
        CLASSES.index(n) for n, share in shares.items() for _ in range(round(share * size**2))
    ]
    logits = torch.full((len(CLASSES), size**2), 0.0)
    logits[answers, torch.arange(size**2)] = 8.0
    logs = logits.log_softmax(0).view(-1, size, size)
    return Cells(logs, torch.ones(size, size, dtype=torch.bool))


def test_the_whole_of_a_photo() -> None:
    scores = scores_of(cells({"median": 0.8, "native": 0.2}), CLASSES)
    assert scores is not None
    assert scores.whole == pytest.approx(8, abs=1e-3)
    assert (scores.whole_class, scores.part_class) == ("median", "median")
    native = scores_of(cells({"native": 0.6, "jpeg": 0.4}), CLASSES)
    assert native is not None
    assert native.whole == pytest.approx(-8, abs=1e-3)


def test_a_part_of_a_photo() -> None:
    """One sixteenth is enough; one place in a hundred is not."""
    scores = scores_of(cells({"native": 0.9375, "jpeg": 0.0625}), CLASSES)
    assert scores is not None
    assert scores.whole < 0 < scores.part
    assert scores.part_class == "jpeg"
    few = scores_of(cells({"native": 0.99, "jpeg": 0.01}), CLASSES)
    assert few is not None
    assert few.part < 0


def test_flat_places_do_not_count() -> None:
    found = cells({"native": 0.5, "jpeg": 0.5})
    varied = torch.zeros(20, 20, dtype=torch.bool)
    assert scores_of(Cells(found.logs, varied), CLASSES) is None
    varied[10:] = True
    scores = scores_of(Cells(found.logs, varied), CLASSES)
    assert scores is not None
    assert scores.whole == pytest.approx(8, abs=1e-3)


@pytest.mark.parametrize(
    ("whole", "part", "rate", "verdict"),
    [
        (5.0, 0.0, 0.01, Verdict("manipulated", "jpeg", "whole")),
        (3.0, 0.0, 0.01, Verdict("undecided")),
        (3.0, 0.0, 0.05, Verdict("manipulated", "jpeg", "whole")),
        (0.0, 9.5, 0.01, Verdict("manipulated", "median", "part")),
        (0.0, 7.0, 0.01, Verdict("undecided")),
        (0.0, 7.0, 0.05, Verdict("manipulated", "median", "part")),
        (0.0, 5.0, 0.01, Verdict("native")),
        (1.5, 5.0, 0.05, Verdict("undecided")),
    ],
)
def test_three_answers(whole: float, part: float, rate: float, verdict: Verdict) -> None:
    scores = Scores(torch.zeros(3), whole, part, "jpeg", "median")
    assert KNOWN.verdict(scores, rate) == verdict


def test_thresholds_are_kept() -> None:
    """A threshold at 5% is passed by 5% of scores of the same kind, whatever their distribution."""
    rng = np.random.default_rng(0)
    passed = [
        (rng.gumbel(size=200) > passed_by(0.05, rng.gumbel(size=99))).mean() for _ in range(200)
    ]
    assert np.mean(passed) == pytest.approx(0.05, abs=0.01)
    assert passed_by(0.01, np.arange(5.0)) == 4


def photo(whole: float, part: float, label: int, certainty: float) -> Scores:
    pooled = torch.zeros(3)
    pooled[label] = certainty
    return Scores(pooled.log_softmax(0), whole, part, "jpeg", "jpeg")


def test_calibration_and_its_entry() -> None:
    rng = np.random.default_rng(0)
    versions = [("native", photo(w, p, 0, 9.0)) for w, p in rng.normal(size=(400, 2))]
    versions += [("jpeg", photo(5 + w, p, 1, 9.0)) for w, p in rng.normal(size=(200, 2))]
    # Half of the answers are wrong, for all their certainty.
    versions += [("median", photo(5 + w, p, 1, 9.0)) for w, p in rng.normal(size=(600, 2))]
    found = calibrate(versions, CLASSES, {"data": "set", "photos": 3})
    for rate, pair in found.thresholds.items():
        for threshold, name in zip(pair, ("whole", "part"), strict=True):
            above = [getattr(s, name) > threshold for n, s in versions if n == "native"]
            assert np.mean(above) <= rate / 2
    assert found.thresholds[0.01][0] > found.thresholds[0.05][0]
    assert found.clear == pytest.approx(5 - 1.645, abs=0.3)
    assert found.temperature > 5
    assert float(found.probabilities(versions[500][1]).max()) < 0.7
    entry = json.loads(json.dumps(found.entry()))
    assert entry["native_versions"] == 400
    assert read_calibration({ENTRY: entry}) == found
    assert read_calibration({}) is None


@pytest.mark.parametrize("change", [{"thresholds": {}}, {"temperature": 0}, {"clear": "x"}])
def test_damaged_entries(change: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        read_calibration({ENTRY: KNOWN.entry() | change})


def test_how_often_verdicts_are_right() -> None:
    """Photos that cannot be judged do not count; without a native one there are no rates."""
    native, unsure = Verdict("native"), Verdict("undecided")
    jpeg = Verdict("manipulated", "jpeg", "whole")
    judged = [
        ("native", {0.01: native, 0.05: jpeg}),
        ("native", {0.01: unsure, 0.05: unsure}),
        ("native", {}),
        ("jpeg", {0.01: unsure, 0.05: jpeg}),
        ("median", {0.01: native, 0.05: jpeg}),
    ]
    figures = photo_figures(judged)
    assert list(figures) == ["photos_0.01", "photos_0.05"]
    assert figures["photos_0.01"] == {
        **{"false_alarms": 0, "cleared": 0.5},
        **{"detected": 0, "told": 0, "missed": 0.5},
    }
    assert figures["photos_0.05"] == {
        **{"false_alarms": 0.5, "cleared": 0},
        **{"detected": 1, "told": 0.5, "missed": 0},
    }
    assert set(photo_figures(judged[:2])["photos_0.05"]) == {"false_alarms", "cleared"}
    assert photo_figures(judged[2:]) == {}
