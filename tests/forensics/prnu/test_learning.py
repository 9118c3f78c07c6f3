"""The residual with a gradient, beside the one that photos are matched with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from dcncodec.forensics.prnu.learning import NoiseResidual, correlation
from dcncodec.forensics.prnu.residual import residual, to_grey


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    return torch.from_numpy(data.astronaut()[100:292, 100:292].copy())


def test_it_is_the_residual_of_matches(photo: torch.Tensor) -> None:
    """But for the borders, where one goes on periodically and the other one as a mirror."""
    found = NoiseResidual()((photo.permute(2, 0, 1) / 255)[None])[0].numpy()
    expected = to_grey(residual(photo.numpy()))
    inner = np.s_[48:-48, 48:-48]
    assert np.corrcoef(found[inner].ravel(), expected[inner].ravel())[0, 1] > 0.999
    assert found[inner].std() == pytest.approx(expected[inner].std(), rel=0.02)


def test_bands_are_joined_again(photo: torch.Tensor) -> None:
    plane = photo[:64, :80, :1].permute(2, 0, 1)[None].float()
    noise = NoiseResidual()
    bands = noise._split(plane)
    assert bands.shape == (1, 4, 32, 40)
    assert torch.allclose(noise._join(bands), plane, atol=1e-2)


def test_its_gradient_finds_the_pattern(photo: torch.Tensor) -> None:
    """A step along it raises the correlation, which is that of NumPy."""
    picture = (photo[:64, :64].permute(2, 0, 1) / 255)[None].requires_grad_(True)
    pattern = torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0)) + 3
    noise = NoiseResidual()
    before = correlation(noise(picture), pattern)
    numbers = [t.detach().numpy().ravel() for t in (noise(picture), pattern)]
    first = float(before.detach())
    assert first == pytest.approx(np.corrcoef(*numbers)[0, 1], abs=1e-3)
    before.sum().backward()
    assert picture.grad is not None
    step = picture.grad / picture.grad.abs().max() / 255
    after = correlation(noise(picture.detach() + step), pattern)
    assert float(after) > first + 0.01
