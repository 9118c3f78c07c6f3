"""PSNR and SSIM are those of scikit-image; pixels survive the way to floats and back."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import torch

from dcncodec import likeness
from dcncodec.errors import MissingLibraryError
from dcncodec.formats.image import Picture
from dcncodec.likeness import GOOD_RATE, measure_likeness, ms_ssim, poor_quality, quality_of
from dcncodec.metrics import psnr, ssim, to_bytes, to_unit


def pair(height: int, width: int, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth picture and a noisy copy: uint8 (H, W, 3)."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:height, :width] / 16
    picture = 128 + 60 * np.stack([np.sin(x), np.cos(y), np.sin(x + y)], axis=-1)
    noisy = picture + rng.normal(0, noise, picture.shape)
    clean, distorted = (np.rint(a).clip(0, 255).astype(np.uint8) for a in (picture, noisy))
    return torch.from_numpy(clean), torch.from_numpy(distorted)


@pytest.mark.parametrize(("size", "noise"), [((64, 48), 3.0), ((33, 71), 25.0), ((7, 7), 8.0)])
def test_equal_to_scikit_image(size: tuple[int, int], noise: float) -> None:
    skimage = pytest.importorskip("skimage.metrics")
    clean, noisy = pair(*size, noise)
    mine = float(ssim(to_unit(clean)[None], to_unit(noisy)[None]))
    theirs = skimage.structural_similarity(
        clean.numpy(), noisy.numpy(), channel_axis=2, data_range=255
    )
    assert mine == pytest.approx(theirs, abs=1e-6)
    mine = float(psnr(to_unit(clean)[None], to_unit(noisy)[None]))
    theirs = skimage.peak_signal_noise_ratio(clean.numpy(), noisy.numpy(), data_range=255)
    assert mine == pytest.approx(theirs, abs=1e-5)


def test_every_image_of_a_batch_by_itself() -> None:
    clean, noisy = pair(32, 32, 10.0)
    batch = to_unit(torch.stack([clean, noisy]))
    reference = to_unit(torch.stack([clean, clean]))
    assert psnr(reference, batch).tolist() == [math.inf, pytest.approx(28, abs=1)]
    assert ssim(reference, batch)[0] == 1
    assert 0.3 < float(ssim(reference, batch)[1]) < 0.95


def exact(pixels: torch.Tensor) -> torch.Tensor:
    """As ``to_unit`` in double precision, in which pictures are compared: (1, 3, H, W)."""
    return (pixels.double() / 255).movedim(-1, -3)[None]


@pytest.mark.parametrize("rows", [1, 5, 6, 7, 8, 40, 1000])
@pytest.mark.parametrize("size", [(64, 48), (7, 7), (6, 48), (64, 6), (13, 9)])
def test_pictures_compared_in_strips(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], rows: int
) -> None:
    clean, noisy = pair(*size, 6.0)
    monkeypatch.setattr(likeness, "STRIP_PIXELS", rows * size[1])
    padded = np.pad(noisy.numpy(), ((0, 3), (0, 5), (0, 0)))
    monkeypatch.setattr(likeness, "BAND_ROWS", 16)
    found = quality_of(Picture(clean.numpy()), Picture(padded))
    by_rows = quality_of(Picture(clean.numpy()), lambda top, end: Picture(padded[top:end]))
    assert by_rows == found
    expected = float(psnr(exact(clean), exact(noisy)))
    assert found["psnr"] == pytest.approx(expected, abs=1e-9)
    if min(size) < 7:
        assert found["ssim"] is None
    else:
        whole = float(ssim(exact(clean), exact(noisy)))
        assert found["ssim"] == pytest.approx(whole, abs=1e-9)
    assert quality_of(Picture(clean.numpy()), Picture(clean.numpy()))["psnr"] is None


def test_ms_ssim_needs_a_coarsest_window() -> None:
    clean, noisy = pair(161, 170, 12.0)
    found = measure_likeness("msssim", Picture(clean.numpy()), Picture(noisy.numpy()))
    # In single precision.
    assert found == pytest.approx(ms_ssim(clean.numpy() / 255, noisy.numpy() / 255), abs=1e-5)
    small = Picture(clean.numpy()[:160])
    assert measure_likeness("msssim", small, small) is None


def flat(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((176, 176, 3), colour, np.uint8)


GRADIENT = np.linspace(225, 254, 176).astype(np.uint8)[:, None] + flat((0, 0, 0))
BRIGHT_AND_DARK = np.concatenate((flat((254, 254, 254))[:88], flat((3, 3, 3))[:88]))


@pytest.mark.parametrize(
    "picture", [flat((250, 250, 250)), flat((250, 3, 3)), GRADIENT, BRIGHT_AND_DARK]
)
@pytest.mark.parametrize("metric", ["ssim", "msssim"])
def test_single_precision_does_for_calm_and_bright_pictures(
    metric: Literal["ssim", "msssim"], picture: np.ndarray
) -> None:
    noise = np.random.default_rng(2).integers(-1, 2, picture.shape)
    for change in (1, noise):
        before, after = Picture(picture), Picture((picture + change).astype(np.uint8))
        if metric == "ssim":
            exact = quality_of(before, after)["ssim"]
        else:
            exact = ms_ssim(before.pixels / 255, after.pixels / 255)
        found = measure_likeness(metric, before, after)
        assert found is not None
        assert found <= 1
        assert found == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_ssim_is_the_same_whatever_the_processor_has(
    monkeypatch: pytest.MonkeyPatch, precision: type[np.floating]
) -> None:
    rng = np.random.default_rng(4)
    core = likeness._extension()
    plain = {name: getattr(core.lib, f"dcn_ssim_plain_{name}") for name in ("f32", "f64")}
    functions = {f"dcn_ssim_{name}": function for name, function in plain.items()}
    lib = SimpleNamespace(DCN_SSIM_WORK=core.lib.DCN_SSIM_WORK, **functions)
    for height, width in ((7, 7), (11, 8), (16, 93), (9, 400)):
        x, y = rng.random((2, height, width, 3)).astype(precision)
        y[: height // 2] = x[: height // 2]
        found = likeness.similarities(x, y)
        with monkeypatch.context() as patch:
            patch.setattr(likeness, "_extension", lambda: SimpleNamespace(ffi=core.ffi, lib=lib))
            np.testing.assert_array_equal(likeness.similarities(x, y), found)
        assert found.min() < 0.5


@pytest.mark.parametrize("shape", [(199, 200, 3), (200, 199, 3), (200, 200, 1), (201, 200, 3)])
def test_images_of_two_sizes_are_not_compared(shape: tuple[int, int, int]) -> None:
    one, other = np.zeros((200, 200, 3)), np.zeros(shape)
    for compare in (likeness.ssim, ms_ssim):
        with pytest.raises(ValueError, match=r"two images of one size, .*: 200x200x3 and"):
            compare(one, other)


@pytest.mark.parametrize(("compare", "side"), [(likeness.ssim, 7), (ms_ssim, 161)])
def test_images_hold_a_window(compare: Callable[..., float], side: int) -> None:
    assert compare(np.ones((side, side, 3)), np.ones((side, side, 3))) == 1
    small = np.ones((side, side - 1, 3))
    with pytest.raises(ValueError, match=f"{side} x {side} or more"):
        compare(small, small)


def test_ssim_needs_a_window() -> None:
    with pytest.raises(ValueError, match="at least 7 x 7"):
        ssim(torch.zeros(1, 3, 6, 40), torch.zeros(1, 3, 6, 40))


def test_bytes_and_floats() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 256, 1).expand(2, 256, 3)
    assert torch.equal(to_bytes(to_unit(every)), every)
    outside = torch.tensor([-0.3, 1.7, 0.5]).view(1, 3, 1, 1)
    assert to_bytes(outside).flatten().tolist() == [0, 255, 128]


def test_poor_quality_is_said() -> None:
    assert poor_quality({"psnr": None, "ssim": None}) is None
    assert poor_quality({"psnr": 20.0, "ssim": 0.5}) is None
    assert poor_quality({"psnr": 28.0, "ssim": 0.9}, rate=GOOD_RATE) is None
    assert poor_quality({"psnr": 27.9, "ssim": 0.9}, rate=GOOD_RATE - 1) is None
    assert "27.9 dB" in str(poor_quality({"psnr": 27.9, "ssim": 0.9}, rate=GOOD_RATE))
    notice = poor_quality({"psnr": 6.04, "ssim": 0.1}, "a.png")
    assert notice is not None
    assert (notice.kind, notice.source) == ("quality", "a.png")
    assert notice.text.startswith("only 6.0 dB: ")


def test_without_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    likeness._extension.cache_clear()
    monkeypatch.delattr("dcncodec._ssim", raising=False)
    monkeypatch.setitem(sys.modules, "dcncodec._ssim", None)
    picture = Picture(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(MissingLibraryError, match="C core is not built"):
        measure_likeness("ssim", picture, picture)
    likeness._extension.cache_clear()
