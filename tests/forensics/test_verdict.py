"""Verdicts with three answers, and their thresholds."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dcncodec.forensics.dense import Cells
from dcncodec.forensics.pooling import Pooling, held_out, learned
from dcncodec.forensics.verdict import (
    Calibration,
    Scores,
    Verdict,
    _temperature,
    calibrate,
    passed_by,
    photo_figures,
    read_calibration,
    scores_of,
)
from dcncodec.models.families.fan import CALIBRATION

CLASSES = ("native", "jpeg", "median")
POOLING = Pooling(torch.zeros(3, 9).double(), torch.zeros(3).double())
KNOWN = Calibration({0.01: (4.0, 9.0), 0.05: (2.0, 6.0)}, 1.0, 2.0, {}, POOLING)


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
    assert scores.whole < 0
    assert scores.part == pytest.approx(8, abs=1e-3)
    assert scores.part_class == "jpeg"
    few = scores_of(cells({"native": 0.99, "jpeg": 0.01}), CLASSES)
    assert few is not None
    assert few.part < 0


def test_a_photo_that_is_odd_all_over_has_no_odd_part() -> None:
    """What sets a part apart is that it is odder than the rest."""
    found = cells({"median": 1.0})
    scores = scores_of(found, CLASSES)
    assert scores is not None
    assert scores.part == 0
    logits = found.logs.clone()
    logits[1, :3] += 13
    scores = scores_of(Cells(logits.log_softmax(0), found.varied), CLASSES)
    assert scores is not None
    assert scores.part == pytest.approx(5, abs=1e-2)
    assert scores.part_class == "jpeg"


def test_a_part_that_is_native_less_surely() -> None:
    """What the map shows as native is no manipulated part, however sure the rest is."""
    found = cells({"native": 1.0})
    logits = 4 * found.logs
    logits[:, :3] /= 4
    scores = scores_of(Cells(logits.log_softmax(0), found.varied), CLASSES)
    assert scores is not None
    assert scores.part == pytest.approx(-8, abs=1e-2)


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
    scores = Scores(torch.zeros(3), whole, part, "jpeg", "median", torch.zeros(9))
    assert KNOWN.verdict(scores, rate) == verdict


def test_thresholds_are_kept() -> None:
    """A threshold at 5% is passed by 5% of scores of the same kind, whatever their distribution."""
    rng = np.random.default_rng(0)
    passed = [
        (rng.gumbel(size=200) > passed_by(0.05, rng.gumbel(size=99))).mean() for _ in range(200)
    ]
    assert np.mean(passed) == pytest.approx(0.05, abs=0.01)
    assert passed_by(0.01, np.arange(5.0)) == 4


def told(label: int, evidence: float, rng: np.random.Generator) -> Cells:
    """A photo of 40 places, which all speak for a class more or less, and shout: photos of all
    classes look like the third a little."""
    logits = np.zeros((3, 1, 40), np.float32)
    logits[label] += evidence * rng.normal(1, 0.5)
    logits[2] += 1
    logits += rng.normal(0, 0.3, (3, 1, 1)) + rng.normal(0, 0.5, logits.shape)
    logs = torch.from_numpy((8 * logits).astype(np.float32)).log_softmax(0)
    return Cells(logs, torch.ones(1, 40, dtype=torch.bool))


def told_photos(seed: int, photos: int) -> list[tuple[str, int, Cells]]:
    """Two untouched versions of each, and one of either manipulation."""
    rng = np.random.default_rng(seed)
    labels = (0, 0, 1, 2)
    return [(CLASSES[k], photo, told(k, 1.0, rng)) for photo in range(photos) for k in labels]


def scored(photos: list[tuple[str, int, Cells]]) -> list[tuple[str, int, Scores]]:
    """As ``calibrate`` takes them."""
    found = [(name, photo, scores_of(seen, CLASSES)) for name, photo, seen in photos]
    return [(name, photo, scores) for name, photo, scores in found if scores is not None]


def test_calibration_and_its_entry() -> None:
    versions = scored(told_photos(0, 300))
    found = calibrate(versions, CLASSES, {"data": "set", "photos": 300})
    for rate, (_, part) in found.thresholds.items():
        assert np.mean([s.part > part for n, _, s in versions if n == "native"]) <= rate / 2
    assert found.thresholds[0.01][0] > found.thresholds[0.05][0]
    entry = json.loads(json.dumps(found.entry()))
    assert (entry["native_versions"], entry["other_versions"]) == (600, 600)
    again = read_calibration({"classes": CLASSES, CALIBRATION: entry})
    assert again is not None
    assert again.entry() == found.entry()
    assert read_calibration({}) is None
    # On other photos of the kind: false alarms as stated, and more right answers.
    passed, missed, right, right_before, sure = [], [], [], [], []
    for name, _, seen in told_photos(1, 300):
        plain, scores = scores_of(seen, CLASSES), scores_of(seen, CLASSES, again)
        assert plain is not None
        assert scores is not None
        if name == "native":
            passed.append(scores.whole > found.thresholds[0.05][0])
        else:
            missed.append(scores.whole <= found.clear)
        right.append(CLASSES[int(scores.pooled.argmax())] == name)
        right_before.append(CLASSES[int(plain.pooled.argmax())] == name)
        sure.append(float(again.probabilities(scores).max()))
    assert 0 < np.mean(passed) < 0.05
    assert np.mean(missed) == pytest.approx(0.05, abs=0.02)
    assert np.mean(right) > np.mean(right_before) + 0.1
    # Probabilities say how often an answer is right.
    assert np.mean(sure) == pytest.approx(np.mean(right), abs=0.06)


def test_sure_answers_that_are_wrong() -> None:
    """What looks like one class and is another as often is not told with certainty."""
    versions = scored(told_photos(0, 100))
    mixed = [("median", p, s) if n == "jpeg" and p % 2 else (n, p, s) for n, p, s in versions]
    found = calibrate([v for v in mixed if v[0] != "median" or v[1] % 2], CLASSES, {})
    unsure = [s for n, _, s in versions if n == "jpeg"]
    pooled = [replace(s, pooled=found.pooling(s.quartiles)) for s in unsure]
    assert np.mean([float(found.probabilities(s).max()) for s in pooled]) < 0.7
    assert np.mean([float(s.pooled.exp().max()) for s in unsure]) > 0.85


def test_temperature() -> None:
    """Certainty that is right in half of the cases is divided by much."""
    logs = torch.zeros(600, 3)
    logs[:, 1] = 9.0
    labels = torch.tensor([1, 2]).repeat(300)
    assert _temperature(logs.log_softmax(1), labels) > 5


def test_few_photos() -> None:
    """Of a single one nothing can be held out; classes of a single photo do not run away."""
    single, few = scored(told_photos(0, 1)), scored(told_photos(0, 4))
    rare = [(n, i, s) for n, i, s in few if n != "native" or i == 0]
    for versions in (single, few, rare):
        found = calibrate(versions, CLASSES, {})
        wholes = [pair[0] for pair in found.thresholds.values()]
        assert np.abs([*wholes, found.clear]).max() < 8


def test_photos_are_held_out_with_all_their_versions() -> None:
    """So that nothing is told of labels that belong to photos by chance."""
    rng = np.random.default_rng(0)
    photos = torch.arange(30).repeat_interleave(4)
    own = torch.from_numpy(rng.normal(size=(30, 9)))[photos]
    features = own + 0.01 * torch.from_numpy(rng.normal(size=own.shape))
    labels = torch.from_numpy(rng.integers(3, size=30))[photos]
    known = learned(features, labels, 3)(features).argmax(1)
    found = held_out(features, labels, photos, 3)
    assert (known == labels).float().mean() > 0.55
    assert (found.argmax(1) == labels).float().mean() < 0.45
    assert torch.equal(found.exp().sum(1).round(decimals=4), torch.ones(120))
    # Numbers of photos are names.
    assert torch.equal(held_out(features, labels, photos * 7 + 3, 3), found)
    others = photos % 10 != 4
    expected = learned(features[others], labels[others], 3)(features[~others])
    assert torch.allclose(found[~others], expected)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"thresholds": {}}, KeyError),
        ({"thresholds": []}, AttributeError),
        ({"thresholds": {"0.01": {"whole": 1.0}, "0.05": {"whole": 1.0}}}, KeyError),
        ({"thresholds": {"0.01": 1.0, "0.05": 1.0}}, TypeError),
        ({"thresholds": {"0.01": [4.0, 9.0], "0.05": {"whole": 2.0, "part": 6.0}}}, TypeError),
        ({"thresholds": {"0.01": [], "0.05": []}}, TypeError),
        ({"temperature": 0}, ValueError),
        ({"temperature": "nan"}, ValueError),
        ({"temperature": True}, ValueError),
        ({"clear": "x"}, ValueError),
        ({"clear": float("inf")}, ValueError),
        ({"pooling": {"weights": [[1.0]], "bias": [0.0]}}, ValueError),
        ({"pooling": {"bias": [0.0] * 3}}, KeyError),
        ({"pooling": None}, TypeError),
        ({"pooling": {"weights": [[10**400] * 9] * 3, "bias": [0.0] * 3}}, OverflowError),
        ({"pooling": {"weights": [[1e30] * 9] * 3, "bias": [0.0] * 3}}, ValueError),
        ({"pooling": {"weights": [[float("nan")] * 9] * 3, "bias": [0.0] * 3}}, ValueError),
    ],
)
def test_damaged_entries(change: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        read_calibration({"classes": CLASSES, CALIBRATION: KNOWN.entry() | change})


def test_a_calibration_lacks_its_pooling() -> None:
    entry = KNOWN.entry()
    del entry["pooling"]
    with pytest.raises(KeyError, match="pooling"):
        read_calibration({"classes": CLASSES, CALIBRATION: entry})


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
