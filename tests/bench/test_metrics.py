"""Metrics against published values and against plain definitions."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_msssim
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from dcncodec.bench import metrics
from dcncodec.errors import MissingLibraryError
from dcncodec.formats.peers.baselines import BASELINES
from dcncodec.likeness import decibel

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@pytest.mark.parametrize("quality", ["5", "34", "85"])
def test_metrics_are_those_of_the_published_curves(
    anchors: dict[str, dict[str, list[list[float]]]], shared_data: Path, quality: str
) -> None:
    pixels = np.asarray(Image.open(shared_data / "kodak/kodim07.png"))
    jpeg = BASELINES["jpeg"]
    decoded = jpeg.decompress(jpeg.compress(pixels, float(quality), 1), 1)
    row = next(row for row in anchors["jpeg"]["kodim07"] if row[0] == float(quality))
    found = metrics.measure(pixels, decoded)
    assert found.psnr == pytest.approx(row[3], abs=6e-4)
    assert found.ssim == pytest.approx(row[4], abs=6e-6)
    assert found.msssim == pytest.approx(row[5], abs=6e-6)


@pytest.mark.parametrize(("height", "width"), [(168, 200), (161, 177)])
def test_ms_ssim_is_that_of_pytorch_msssim(noise: Pixels, height: int, width: int) -> None:
    pixels = noise[:height, :width]
    other = np.clip(pixels.astype(int) + 20, 0, 255).astype(np.uint8)
    images = [torch.from_numpy(p).permute(2, 0, 1)[None].double() / 255 for p in (pixels, other)]
    expected = float(pytorch_msssim.ms_ssim(*images, data_range=1))
    assert metrics.measure(pixels, other).msssim == pytest.approx(expected, rel=1e-6)


def test_ssim_is_that_of_scikit_image(noise: Pixels) -> None:
    other = noise // 2
    expected = structural_similarity(
        noise / 255, other / 255, channel_axis=2, data_range=1, gaussian_weights=False
    )
    assert metrics.measure(noise, other).ssim == pytest.approx(expected, rel=1e-6)


def test_identical_images_have_no_psnr(noise: Pixels) -> None:
    found = metrics.measure(noise, noise.copy())
    assert found.psnr is None
    assert found.ssim == pytest.approx(1)
    assert found.msssim == pytest.approx(1)


def test_small_images_lack_what_does_not_fit(noise: Pixels) -> None:
    small = noise[:160]
    assert metrics.measure(small, small // 2).msssim is None
    tiny = noise[:6, :6]
    found = metrics.measure(tiny, tiny // 2)
    assert found.ssim is None
    assert found.psnr is not None


def test_other_shapes_are_refused(noise: Pixels) -> None:
    with pytest.raises(ValueError, match="pixels of"):
        metrics.measure(noise, noise[1:])


def test_decibel() -> None:
    assert decibel(0.9) == pytest.approx(10)
    assert decibel(1.0) == pytest.approx(100)


def test_ssimulacra2_on_request(noise: Pixels) -> None:
    if importlib.util.find_spec("ssimulacra2") is None:
        pytest.skip("needs ssimulacra2")
    assert metrics.measure(noise, noise).ssimulacra2 is None
    found = metrics.measure(noise, noise.copy(), perceptual=True)
    assert found.ssimulacra2 == pytest.approx(100)


def test_without_ssimulacra2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ssimulacra2", None)
    with pytest.raises(MissingLibraryError, match="pip install ssimulacra2"):
        metrics.check_perceptual()
