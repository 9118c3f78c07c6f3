"""Estimates of fingerprints."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from sensor_shots import gains, shot

from dcncodec.errors import ImageError, UsageError
from dcncodec.forensics.prnu import fingerprint as module
from dcncodec.forensics.prnu.fingerprint import Estimator, ncc
from dcncodec.forensics.prnu.match import match
from dcncodec.forensics.prnu.residual import Block, Floats, Pixels

K = gains(7)


def estimate(first: int, last: int) -> Estimator:
    estimator = Estimator()
    for seed in range(first, last):
        assert estimator.add(shot(K, seed))
    return estimator


def test_grows_with_photos_as_theory_says() -> None:
    estimator = Estimator()
    squares = {}
    for seed in range(32):
        estimator.add(shot(K, seed, content=0))
        if seed + 1 in {4, 8, 16, 32}:
            found = estimator.fingerprint().values
            squares[seed + 1] = ncc(found, K.astype(np.float32)) ** 2
    # n / (n + c), up to what the denoiser takes away from any number of photos.
    inverse = [1 / squares[n] for n in (4, 8, 16, 32)]
    steps = -np.diff(inverse)
    assert steps[0] / steps[1] == pytest.approx(2, rel=0.4)
    assert squares[32] > 0.8


def test_parts_merge() -> None:
    whole = estimate(0, 7)
    # After an odd number of photos: the halves change places.
    merged = estimate(0, 3)
    merged.merge(estimate(3, 7))
    merged.merge(Estimator())
    assert merged.digests == whole.digests
    first, second = whole.fingerprint(), merged.fingerprint()
    assert np.allclose(first.values, second.values, atol=1e-6)
    assert first.consistency == pytest.approx(second.consistency, abs=1e-4)
    empty = Estimator()
    empty.merge(whole)
    assert np.array_equal(empty.products, whole.products)


def test_blocks_and_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CENTRE", 100)
    whole = estimate(0, 4)
    assert whole.halves[0].shape == (100, 100, 3)
    monkeypatch.setattr("dcncodec.forensics.prnu.residual.BLOCK", 96)
    parts = estimate(0, 4)
    for a, b in zip(whole.halves, parts.halves, strict=True):
        assert np.allclose(a, b, rtol=1e-3, atol=2)
    # What the halves hold is the middle of every second photo.
    second = Estimator()
    for seed in (1, 3):
        second.add(shot(K, seed))
    assert np.allclose(whole.halves[1], second.squares[46:146, 78:178])


def test_blocks_come_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcncodec.forensics.prnu.residual.BLOCK", 64)
    original = module.residual_blocks
    seen: list[weakref.ref[object]] = []

    def watched(pixels: Pixels) -> Iterator[tuple[Block, Floats]]:
        for place, noise in original(pixels):
            assert sum(reference() is not None for reference in seen) <= 2
            seen.append(weakref.ref(noise))
            yield place, noise

    monkeypatch.setattr(module, "residual_blocks", watched)
    estimate(0, 1)
    assert len(seen) == 12


def test_consistency_and_expected_pce() -> None:
    found = estimate(0, 20).fingerprint("photos", "standard")
    assert (found.photos, found.source, found.pipeline) == (20, "photos", "standard")
    assert found.consistency is not None
    assert found.consistency > 0.5
    assert found.expected_pce is not None
    measured = np.median([match(shot(K, seed), found).pce for seed in range(20, 26)])
    assert 0.4 < measured / found.expected_pce < 2.5
    strangers = Estimator()
    for seed in range(6):
        strangers.add(shot(gains(seed), seed))
    other = strangers.fingerprint()
    assert other.consistency is not None
    assert abs(other.consistency) < 0.1


def test_each_photo_counts_once() -> None:
    estimator = estimate(0, 2)
    before = estimator.products.copy()
    assert not estimator.add(shot(K, 1))
    assert estimator.photos == 2
    assert np.array_equal(estimator.products, before)
    with pytest.raises(UsageError, match="1 photos are in both"):
        estimator.merge(estimate(1, 4))


def test_saturated_samples_are_left_out() -> None:
    photo = shot(K, 0, content=0)
    photo[:, :128] = 255
    estimator = Estimator()
    estimator.add(photo)
    assert not estimator.squares[:, :128].any()
    assert not estimator.products[:, :128].any()
    assert estimator.squares[:, 128:].all()
    with pytest.raises(ImageError, match="saturated everywhere"):
        estimator.add(np.full_like(photo, 250))


def test_refused() -> None:
    with pytest.raises(ImageError, match="needs two, better 20"):
        estimate(0, 1).fingerprint()
    estimator = estimate(0, 1)
    with pytest.raises(ImageError, match=r"has 192 x 256 pixels, those before 256 x 192"):
        estimator.add(np.rot90(shot(K, 1)))
    other = Estimator()
    other.add(shot(gains(1, 160, 160), 0))
    with pytest.raises(ImageError, match="one size"):
        estimator.merge(other)


def test_dark_sites_stay_finite() -> None:
    estimator = Estimator()
    for seed in range(3):
        photo = shot(K, seed)
        photo[:64] = 0
        estimator.add(photo)
    assert np.isfinite(estimator.fingerprint().values).all()
    assert np.abs(estimator.estimate()[:60]).max() < 1e-6
