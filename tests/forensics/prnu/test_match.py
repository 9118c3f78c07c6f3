"""Matching photos with fingerprints."""

from __future__ import annotations

import numpy as np
import pytest
from sensor_shots import CAMERA, gains, shot

from dcncodec.errors import ImageError
from dcncodec.forensics.prnu.fingerprint import Fingerprint
from dcncodec.forensics.prnu.match import match, match_signals, photo_signals

K = gains(CAMERA)


def test_own_photos_match_others_do_not(camera: Fingerprint) -> None:
    for seed in range(20, 26):
        own = match(shot(K, seed), camera)
        assert own.verdict == "match"
        assert own.pce > 500
        assert own.ncc > 0.1
        assert own.p_value < 1e-9
        assert own.shift == (0, 0)
        other = match(shot(gains(seed), seed), camera)
        assert other.verdict == "no match"
        assert other.as_dict()["verdict"] == "no match"
        assert abs(other.pce) < 30


def test_pce_of_white_noise() -> None:
    rng = np.random.default_rng(5)
    light = np.ones((64, 64), np.float32)
    found = []
    for _ in range(2000):
        noise, values = rng.standard_normal((2, 64, 64)).astype(np.float32)
        found.append(match_signals(noise, light, Fingerprint(values, 20)))
    sizes = np.abs([result.pce for result in found])
    assert sizes.mean() == pytest.approx(1, abs=0.1)
    assert np.quantile(sizes, 0.999) < 15
    assert np.mean([result.p_value < 0.05 for result in found]) == pytest.approx(0.05, abs=0.015)
    assert np.mean([result.pce > 0 for result in found]) == pytest.approx(0.5, abs=0.04)


def test_inverted_fingerprint_has_a_negative_peak(camera: Fingerprint) -> None:
    found = match(shot(K, 30), Fingerprint(-camera.values, 12))
    assert found.pce < -500
    assert found.verdict == "no match"
    assert found.p_value > 0.99


def test_search_finds_a_crop(camera: Fingerprint) -> None:
    part = shot(K, 31)[24 : 24 + 150, 40 : 40 + 170]
    with pytest.raises(ImageError, match="if it was cropped, add --search"):
        match(part, camera)
    found = match(part, camera, search=True)
    assert found.shift == (24, 40)
    assert found.verdict == "match"
    stranger = match(shot(gains(8), 31)[:150, :170], camera, search=True)
    assert stranger.verdict == "no match"
    assert stranger.p_value > 1e-3


def test_scaled_and_turned_photos_are_refused(camera: Fingerprint) -> None:
    photo = shot(K, 32)
    with pytest.raises(ImageError, match="a turned photo; turn it back as the sensor was"):
        match(np.rot90(photo), camera)
    with pytest.raises(ImageError, match="these cannot be matched"):
        match(shot(gains(1, 300, 300), 0), camera, search=True)


def test_saturated_light_predicts_nothing() -> None:
    photo = shot(K, 0)
    photo[:40, :, 1] = 255
    _, light = photo_signals(photo)
    assert light[:40].max() < 0.42 * 250
    assert light[40:].min() > 0
