"""The standard pipeline and simulated acquisition."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from skimage import data

from dcncodec.camera.acquisition import CAMERAS, MEAN_CAMERA, WHITE, acquire
from dcncodec.camera.camera import (
    develop,
    develop_frame,
    from_linear,
    recolour,
    to_linear,
    to_mosaic,
)
from dcncodec.errors import MissingLibraryError
from dcncodec.formats.raw import camera_to_srgb

PHOTO = np.ascontiguousarray(data.astronaut()[:128, 192:320])
COLOURS = camera_to_srgb(CAMERAS[2])


def test_transfer_curve() -> None:
    """Values of IEC 61966-2-1, and there and back."""
    values = np.linspace(0, 1, 4096)
    assert np.allclose(to_linear(from_linear(values)), values, atol=1e-6)
    assert from_linear(np.array([0.0, 0.0031308, 0.2140411, 1.0])) == pytest.approx(
        [0.0, 0.04045, 0.5, 1.0], abs=1e-4
    )


def test_mosaic_of_a_stack() -> None:
    stack = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert to_mosaic(stack)[:2, :4].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_developing_a_flat_frame() -> None:
    pytest.importorskip("colour_demosaicing")
    camera = np.array([0.5, 0.4, 0.3])
    stack = np.broadcast_to(camera[[0, 1, 1, 2]], (12, 16, 4)).astype(np.float32)
    picture = develop(stack, COLOURS)
    assert picture.shape == (24, 32, 3)
    assert picture.dtype == np.float32
    assert np.allclose(picture, from_linear(COLOURS @ camera), atol=1e-5)


def test_recolour_is_exact_where_nothing_was_clipped() -> None:
    pytest.importorskip("colour_demosaicing")
    rng = np.random.default_rng(0)
    stack = rng.uniform(0.45, 0.55, (12, 16, 4)).astype(np.float32)
    other = develop(stack, camera_to_srgb(CAMERAS[0]))
    corrected = recolour(other, camera_to_srgb(CAMERAS[0]), COLOURS)
    assert np.allclose(corrected, develop(stack, COLOURS), atol=1e-5)


def test_acquisition_is_undone_by_developing() -> None:
    """But for noise, optics and demosaicing."""
    pytest.importorskip("colour_demosaicing")
    frame = acquire(PHOTO, 3)
    assert frame.mosaic.shape == (128, 128)
    assert frame.mosaic.max() <= WHITE
    picture = develop_frame(frame)
    error = picture - PHOTO / 255
    assert 10 * np.log10(1 / np.square(error).mean()) > 27
    assert np.abs(error.mean((0, 1))).max() < 0.01


def test_acquisition_depends_on_the_seed_alone() -> None:
    first, second, other = acquire(PHOTO, 3), acquire(PHOTO, 3), acquire(PHOTO, 4)
    assert np.array_equal(first.mosaic, second.mosaic)
    assert not np.array_equal(first.mosaic, other.mosaic)
    assert first.gains != other.gains
    assert not np.allclose(first.to_srgb, other.to_srgb)
    assert np.array_equal(acquire(PHOTO, 3, MEAN_CAMERA).to_srgb, MEAN_CAMERA)


def test_noise_is_of_the_stated_size() -> None:
    """On grey, shot noise lies in its range, read noise adds its median at least roughly."""
    grey = np.full((256, 256, 3), 128, np.uint8)
    shares = []
    for seed in range(8):
        frame = acquire(grey, seed, np.eye(3))
        greens = (frame.mosaic[::2, 1::2].astype(float) - 512) / (WHITE - 512)
        assert greens.mean() == pytest.approx(to_linear(np.array(128 / 255)), rel=0.01)
        shares.append(greens.var() / greens.mean())
    assert min(shares) > 1.5e-5
    assert max(shares) < 5e-4
    assert max(shares) > 1.5 * min(shares)


def test_white_stays_saturated() -> None:
    white = np.full((16, 16, 3), 255, np.uint8)
    assert acquire(white, 0).stack().min() > 0.97


def test_odd_sides_lose_a_line() -> None:
    assert acquire(PHOTO[:33, :47], 0).mosaic.shape == (32, 46)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "colour_demosaicing", None)
    with pytest.raises(MissingLibraryError, match="colour-demosaicing"):
        develop(np.zeros((8, 8, 4), np.float32), np.eye(3))
