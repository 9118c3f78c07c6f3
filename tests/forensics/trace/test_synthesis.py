"""Photos with a manipulated part, and what scores say of maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage import data

from dcncodec.forensics.operations.operation import Pixels
from dcncodec.forensics.trace import samples
from dcncodec.forensics.trace.samples import around, forged, manipulated
from dcncodec.forensics.trace.scores import auc, best_f1, f1
from dcncodec.forensics.trace.shapes import SHARES, random_mask
from dcncodec.forensics.trace.synthesis import (
    FEATHER,
    KINDS,
    REMOVAL,
    Forgery,
    balanced_leaf,
    forge,
)

PHOTO = np.ascontiguousarray(data.astronaut()[:128, 150:300])
DONOR = np.ascontiguousarray(data.chelsea()[:128, 150:300])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_masks_have_areas_in_their_range() -> None:
    shares = [random_mask(96, 128, rng(seed)).mean() for seed in range(60)]
    assert min(shares) > SHARES[0] / 2
    assert max(shares) < SHARES[1] * 1.4
    assert np.quantile(shares, 0.9) > 3 * np.quantile(shares, 0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_forgery_changes_its_mask_and_nothing_else(kind: str) -> None:
    changed = 0
    for seed in range(8):
        before = PHOTO.copy()
        forgery = forge(kind, PHOTO, DONOR, rng(seed))
        assert (before == PHOTO).all()
        assert forgery.kind == kind
        assert forgery.pixels.shape == PHOTO.shape
        assert forgery.mask.shape == PHOTO.shape[:2]
        differs = (forgery.pixels != PHOTO).any(-1)
        reach = 0 if kind == REMOVAL else int(4 * FEATHER)
        near = np.pad(forgery.mask, reach)
        allowed = np.zeros_like(forgery.mask)
        for y in range(2 * reach + 1):
            for x in range(2 * reach + 1):
                allowed |= near[y : y + allowed.shape[0], x : x + allowed.shape[1]]
        assert not (differs & ~allowed).any()
        changed += bool(differs[forgery.mask].mean() > 0.5)
        again = forge(kind, PHOTO, DONOR, rng(seed))
        assert (again.pixels == forgery.pixels).all()
        assert again.detail == forgery.detail
    assert changed >= 6


def test_a_splice_shows_the_donor() -> None:
    near = 0.0
    for seed in range(6):
        forgery = forge("splice", PHOTO, DONOR, rng(seed))
        if forgery.detail == "unchanged":
            inside = np.abs(forgery.pixels.astype(int) - DONOR)[forgery.mask]
            near = max(near, float((inside < 3).mean()))
    assert near > 0.6


def test_every_kind_of_manipulation_has_the_same_chance() -> None:
    generator = rng()
    kinds = [balanced_leaf(generator).kind for _ in range(2000)]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    assert max(counts.values()) < 2 * min(counts.values())


def test_patches_to_classify() -> None:
    squares = np.stack([PHOTO[:96, :96], DONOR[:96, :96]] * 4)
    patches, leaves = manipulated(squares, 64, rng())
    assert around(64) == 96
    assert patches.shape == (8, 64, 64, 3)
    assert leaves.dtype == np.int64
    assert len(set(leaves.tolist())) > 4


def test_patches_to_localise() -> None:
    photos, donors = (np.stack([photo[:64, :64]] * 40) for photo in (PHOTO, DONOR))
    pixels, masks, codecs = forged(photos, donors, rng(), 2)
    assert pixels.shape == photos.shape
    assert masks.shape == (40, 64, 64)
    assert set(codecs.tolist()) == {-1, 0, 1}
    assert 1 <= (~masks.any((1, 2))).sum() <= 15
    _, _, none = forged(photos, donors, rng(), 0)
    assert set(none.tolist()) == {-1}


def test_shares_of_what_forgeries_to_learn_from_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    saved: list[bool] = []

    def spy(kind: str, photo: Pixels, donor: Pixels, _: object) -> Forgery:
        made.append(kind)
        saved.append((photo != photos[0]).any())
        assert (donor != photos[0]).any() == saved[-1]
        return Forgery(photo, np.zeros(photo.shape[:2], bool), kind, "")

    monkeypatch.setattr(samples, "forge", spy)
    photos = np.stack([PHOTO[:16, :16]] * 300)
    forged(photos, photos, rng(), 1)
    shares = {kind: made.count(kind) / len(made) for kind in KINDS}
    assert shares == pytest.approx(samples.KIND_SHARES, abs=0.08)
    assert 1 - len(made) / len(photos) == pytest.approx(samples.CLEAN_SHARE, abs=0.06)
    assert sum(saved) / len(saved) == pytest.approx(samples.CAMERA_SHARE, abs=0.08)


def test_auc_counts_wins() -> None:
    mask = np.array([True, True, False, False])
    assert auc(np.array([0.9, 0.8, 0.2, 0.1]), mask) == 1
    assert auc(np.array([0.1, 0.2, 0.8, 0.9]), mask) == 0
    assert auc(np.array([0.5, 0.5, 0.5, 0.5]), mask) == 0.5
    assert auc(np.array([0.9, 0.3, 0.5, 0.1]), mask) == 0.75
    assert math.isnan(auc(np.zeros(4), np.zeros(4, bool)))
    assert math.isnan(auc(np.zeros(4), np.ones(4, bool)))


def test_auc_is_that_of_ranks() -> None:
    scores, mask = rng().uniform(size=500), rng(1).uniform(size=500) < 0.3
    wins = scores[mask][:, None] > scores[~mask][None]
    assert auc(scores, mask) == pytest.approx(wins.mean(), abs=2e-3)


def test_f1_of_thresholds() -> None:
    mask = np.array([True, True, False, False])
    assert f1(np.array([0.9, 0.4, 0.2, 0.1]), mask) == pytest.approx(2 / 3)
    assert best_f1(np.array([0.9, 0.4, 0.2, 0.1]), mask) == 1
    assert best_f1(np.zeros(4), mask) == pytest.approx(2 / 3)
