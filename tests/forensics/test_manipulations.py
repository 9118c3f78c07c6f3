"""Manipulations against scikit-image, scipy and libjpeg."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage import color, data
from torch import Tensor

from dcncodec.errors import UsageError
from dcncodec.forensics.manipulations import (
    CLASSES,
    DEFAULTS,
    RANGES,
    draw_strength,
    manipulate,
    manipulate_all,
)

Planes = NDArray[np.float64]


@pytest.fixture(scope="module")
def photo() -> Planes:
    """float64 (H, W, 3) in [0, 1]."""
    pixels: Planes = data.astronaut()[0:96, 150:258] / 255
    return pixels


def apply(photo: Planes, name: str, strength: float | None = None) -> Planes:
    pixels = torch.from_numpy(photo).movedim(-1, 0).unsqueeze(0)
    return manipulate(pixels, name, strength)[0].movedim(0, -1).numpy()


def test_sharpening_works_on_the_value_of_hsv(photo: Planes) -> None:
    kernel = np.array([[-1, -4, -1], [-4, 26, -4], [-1, -4, -1]]) / 6
    hsv = color.rgb2hsv(photo)
    hsv[..., 2] = ndimage.convolve(hsv[..., 2], kernel, mode="mirror").clip(0, 1)
    assert np.abs(apply(photo, "sharpen") - color.hsv2rgb(hsv)).max() < 1e-6


def test_black_is_sharpened_too() -> None:
    photo = np.zeros((8, 8, 3))
    photo[4:] = 0.5
    assert apply(photo, "sharpen")[:4].max() == 0
    assert apply(photo, "sharpen")[4].min() == pytest.approx(1.0)


def test_gaussian_filter(photo: Planes) -> None:
    expected = ndimage.gaussian_filter(photo, (0.83, 0.83, 0), mode="mirror", radius=(2, 2, 0))
    assert np.abs(apply(photo, "gaussian") - expected).max() < 1e-9


def test_median_filter(photo: Planes) -> None:
    for side in (3, 5):
        expected = ndimage.median_filter(photo, (side, side, 1), mode="mirror")
        assert np.abs(apply(photo, "median", side) - expected).max() < 1e-9


def test_resampling(photo: Planes) -> None:
    """Half the size by bilinear interpolation is the mean of 2 x 2 pixels."""
    small = photo.reshape(48, 2, 54, 2, 3).mean((1, 3))
    expected = ndimage.zoom(small, (2, 2, 1), order=1, mode="nearest", grid_mode=True)
    assert np.abs(apply(photo, "resample") - expected).max() < 1e-6


def test_noise(photo: Planes) -> None:
    pixels = torch.full((2, 3, 64, 64), 0.5)
    noisy = manipulate(pixels, "awgn", generator=torch.Generator().manual_seed(1))
    assert float((noisy - pixels).std()) == pytest.approx(0.02, rel=0.03)
    again = manipulate(pixels, "awgn", generator=torch.Generator().manual_seed(1))
    assert torch.equal(noisy, again)


def test_gamma(photo: Planes) -> None:
    assert np.abs(apply(photo, "gamma", 0.5) - np.sqrt(photo)).max() < 0.01
    assert float(manipulate(torch.zeros(1, 3, 2, 2), "gamma", 0.5).max()) == 0


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_manipulation(name: str) -> None:
    """Shape, range, gradients, and strengths at both ends of the range."""
    pixels = torch.rand(2, 3, 24, 40, requires_grad=True)
    for strength in (None, *RANGES[name]):
        changed = manipulate(pixels, name, strength)
        assert changed.shape == pixels.shape
        assert float(changed.detach().min()) >= 0
        assert float(changed.detach().max()) <= 1
    changed.sum().backward()
    assert pixels.grad is not None
    assert bool(pixels.grad.isfinite().all())
    assert float(pixels.grad.abs().max()) > 0
    drawn = draw_strength(name, torch.Generator().manual_seed(0))
    assert RANGES[name][0] <= drawn <= RANGES[name][1]


def test_all_classes_in_order() -> None:
    pixels: Tensor = torch.rand(2, 3, 16, 16)
    names = ("native", "sharpen", "gaussian", "jpeg", "resample")
    versions, labels = manipulate_all(pixels, names)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert torch.equal(versions[:2], pixels)
    assert torch.equal(versions[4:6], manipulate(pixels, "gaussian"))
    assert set(names) <= set(CLASSES) <= set(DEFAULTS)


def test_strengths_that_vary() -> None:
    pixels: Tensor = torch.rand(1, 3, 16, 16)
    batches = [
        manipulate_all(pixels, ("native", "gaussian"), torch.Generator().manual_seed(seed), True)[0]
        for seed in (0, 0, 1)
    ]
    assert torch.equal(batches[0], batches[1])
    assert torch.equal(batches[0][0], batches[2][0])
    assert not torch.equal(batches[0][1], batches[2][1])


def test_unknown_manipulation() -> None:
    with pytest.raises(UsageError, match="emboss: no such manipulation; choose native, "):
        manipulate(torch.rand(1, 3, 8, 8), "emboss")
