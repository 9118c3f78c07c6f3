"""Noise residuals and their filters."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from sensor_shots import gains, shot

from dcncodec.errors import ImageError
from dcncodec.forensics.prnu import residual as module
from dcncodec.forensics.prnu.fingerprint import ncc
from dcncodec.forensics.prnu.residual import residual, residual_blocks, wiener, zero_mean


def test_finds_the_noise() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 3, (200, 168, 3))
    ramp = np.linspace(60, 180, 200)[:, None, None]
    pixels = np.rint(ramp + noise).astype(np.uint8)
    found = residual(pixels)
    assert found.dtype == np.float32
    assert found.shape == pixels.shape
    for colour in range(3):
        assert ncc(found[..., colour], noise[..., colour].astype(np.float32)) > 0.95
    assert np.abs(residual(np.full((128, 128, 3), 90, np.uint8))).max() < 1e-3


def test_edges_are_no_noise() -> None:
    pixels = np.full((160, 160, 3), 40, np.uint8)
    pixels[:, 80:] = 200
    assert residual(pixels).std() < 1.5


def test_blocks_are_as_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = shot(gains(1, 401, 530), 1)
    whole = residual(pixels)
    monkeypatch.setattr(module, "BLOCK", 128)
    assert np.allclose(residual(pixels), whole, atol=1e-4)
    assert len(list(residual_blocks(pixels))) == 20


def test_blocks_bound_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((1024, 1024, 3), np.uint8)
    peaks = []
    for block in (1024, 128):
        monkeypatch.setattr(module, "BLOCK", block)
        tracemalloc.start()
        next(residual_blocks(pixels))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 0.35 * peaks[0]


def test_small_photos_are_refused() -> None:
    with pytest.raises(ImageError, match="127 x 300 pixels are too few"):
        residual(np.zeros((300, 127, 3), np.uint8))


def test_speed() -> None:
    pixels = shot(gains(0, 512, 512), 0)
    times = []
    for _ in range(3):
        start = time.process_time()
        residual(pixels)
        times.append(time.process_time() - start)
    assert min(times) < 0.5


def test_zero_mean() -> None:
    rng = np.random.default_rng(0)
    plane = rng.normal(0, 1, (61, 80)).astype(np.float32)
    plane[::2, 1::2] += 3
    plane[7] += 5
    before = plane.copy()
    centred = zero_mean(plane)
    assert np.array_equal(plane, before)
    for row in (0, 1):
        for column in (0, 1):
            part = centred[row::2, column::2]
            assert np.abs(part.mean(0)).max() < 1e-5
            assert np.abs(part.mean(1)).max() < 1e-5


def test_wiener_drops_patterns_and_keeps_noise() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (128, 160)).astype(np.float32)
    pattern = 2 * np.sin(2 * np.pi * np.arange(160) / 8).astype(np.float32)
    filtered = wiener(noise + pattern)
    assert ncc(filtered, noise) > 0.9
    assert abs(ncc(filtered, np.broadcast_to(pattern, noise.shape))) < 0.2
    assert not wiener(np.zeros((128, 128), np.float32)).any()
