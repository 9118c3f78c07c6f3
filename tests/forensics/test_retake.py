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


def test_photos_get_softer_but_not_as_clean_as_blurred_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a blur leaves of the highest frequencies is less than a sensor's noise."""
    monkeypatch.setattr(module, "SHARPENED", 0.0)
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

    monkeypatch.setattr(module, "SCANNED", 1.0)
    monkeypatch.setattr(module, "SHARPENED", 0.0)
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
