"""Photos as cameras and scanners give them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage import data

from dcncodec.forensics import retake as module
from dcncodec.forensics.retake import retake

PHOTO = data.astronaut()[:192, 160:352].copy()


def fine(pixels: NDArray[np.uint8]) -> float:
    """Power of the highest frequencies of the luminance, in squared levels."""
    grey = pixels.astype(float) @ (0.299, 0.587, 0.114)
    window = np.outer(*[np.hanning(side) for side in grey.shape])
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2 / (window**2).sum()
    far = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side) for side in grey.shape])) > 0.45
    return float(power[far].mean())


@pytest.mark.parametrize("cleaned", [0.0, 1.0])
def test_photos_get_softer_but_not_as_clean_as_blurred_ones(
    monkeypatch: pytest.MonkeyPatch, cleaned: float
) -> None:
    """What a blur leaves of the highest frequencies is less than a sensor's noise, or than what is
    left of that."""
    monkeypatch.setattr(module, "SHARPENED", 0.0)
    monkeypatch.setattr(module, "CLEANED", cleaned)
    monkeypatch.setattr(module, "OPTICS", (1.0, 1.0001))
    blurred = fine(gaussian_filter(PHOTO, (1.0, 1.0, 0)))
    for scanned in (0.0, 1.0):
        monkeypatch.setattr(module, "SCANNED", scanned)
        found = [fine(retake(PHOTO, np.random.default_rng(seed))) for seed in range(8)]
        assert blurred < min(found)
        assert max(found) < fine(PHOTO)


def test_the_picture_stays_what_it_shows() -> None:
    for seed in range(8):
        taken = retake(PHOTO, np.random.default_rng(seed))
        assert taken.shape == PHOTO.shape
        assert taken.dtype == np.uint8
        soft = [gaussian_filter(p.astype(float), (4, 4, 0)) for p in (taken, PHOTO)]
        assert np.abs(soft[0] - soft[1])[16:-16, 16:-16].mean() < 4


def test_sharpening_and_grain(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken() -> NDArray[np.uint8]:
        return retake(PHOTO, np.random.default_rng(5))

    for name in ("CLEANED", "COLOURS", "SHARPENED"):
        monkeypatch.setattr(module, name, 0.0)
    monkeypatch.setattr(module, "SCANNED", 1.0)
    plain = taken()
    monkeypatch.setattr(module, "SHARPENED", 1.0)
    assert fine(taken()) > fine(plain)
    monkeypatch.setattr(module, "SHARPENED", 0.0)
    monkeypatch.setattr(module, "GRAIN", (10.0, 10.001))
    grain = taken().astype(float) - plain
    assert 8 < grain[PHOTO.mean(-1) > 60].std() < 12


def test_draws_follow_the_generator() -> None:
    first, again, other = (retake(PHOTO, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def flat_noise(seed: int, *shape: int) -> NDArray[np.float32]:
    """An edge between two grey halves, 64 x 64, and noise of 0.01."""
    edge = np.repeat([0.3, 0.7], 32)[:, None, None] + np.zeros((64, 64, 1))
    noise = np.random.default_rng(seed).normal(0, 0.01, (64, 64, *shape))
    return (edge + noise).astype(np.float32)


FLAT = slice(4, 28), slice(4, 60)


def test_noise_is_removed_and_edges_stay() -> None:
    noisy = flat_noise(0, 1)[..., 0]
    wide = np.random.default_rng(0)
    for cleaned in (module._bilateral(noisy, 10.0, wide), module._non_local(noisy, 10.0)):
        assert cleaned[FLAT].std() < 0.7 * noisy[FLAT].std()
        assert (cleaned[33] - cleaned[30]).mean() == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_colours_lose_what_luminance_keeps(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """By a blur (seeds 0, 1) or halved (2, 3)."""
    monkeypatch.setattr(module, "CLEANED", 0.0)
    monkeypatch.setattr(module, "COLOURS", 1.0)
    monkeypatch.setattr(module, "SMOOTHED", (2.0, 2.001))
    coloured = flat_noise(seed, 3)
    smooth = module._cleaned(coloured, np.random.default_rng(seed))
    weights = np.array([0.299, 0.587, 0.114])
    assert (smooth @ weights)[FLAT] == pytest.approx((coloured @ weights)[FLAT], abs=2e-3)
    apart, before = (x[..., 0] - x[..., 1] for x in (smooth, coloured))
    assert apart[FLAT].std() < 0.7 * before[FLAT].std()
    monkeypatch.setattr(module, "COLOURS", 0.0)
    assert module._cleaned(coloured, np.random.default_rng(seed)) is coloured


def test_photos_are_cleaned_before_they_are_sharpened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of noise: what is sharpened after that has less of it."""
    monkeypatch.setattr(module, "SCANNED", 1.0)
    monkeypatch.setattr(module, "GRAIN", (4.0, 4.001))
    monkeypatch.setattr(module, "NOISE", (20.0, 20.001))
    monkeypatch.setattr(module, "COLOURS", 0.0)
    grey = np.full((64, 64, 3), 128, np.uint8)

    def noise(cleaned: float, sharpened: float) -> float:
        monkeypatch.setattr(module, "CLEANED", cleaned)
        monkeypatch.setattr(module, "SHARPENED", sharpened)
        taken = [retake(grey, np.random.default_rng(seed)) for seed in range(8)]
        return float(np.mean([fine(x) for x in taken]))

    assert noise(1.0, 0.0) < 0.5 * noise(0.0, 0.0)
    assert noise(0.0, 1.0) > 1.2 * noise(0.0, 0.0)
    assert noise(1.0, 1.0) < 0.5 * noise(0.0, 1.0)
