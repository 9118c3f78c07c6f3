"""The FAN that judges spectra."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dcncodec.models.spectral_fan import (
    COLOURS,
    FLOOR,
    FREQUENCIES,
    HOP,
    MARGIN,
    WINDOW,
    SpectralFAN,
)


def test_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in SpectralFAN(7).parameters()) == 255_751
    with pytest.raises(ValueError, match="at least 2 classes"):
        SpectralFAN(1)


def test_features_are_logarithms_of_windows_spectra() -> None:
    """The plain way: window by window with NumPy's transform, in double precision."""
    torch.manual_seed(0)
    pixels = torch.rand(2, 3, 32, 48)
    found = SpectralFAN(2).traces(pixels).numpy()
    assert found.shape == (2, 2 * len(COLOURS) * FREQUENCIES, 2, 3)
    planes = np.einsum("cd,bdhw->bchw", np.array(COLOURS) * 255, pixels.double().numpy())
    edges = ((0, 0), (0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN))
    padded = np.pad(planes, edges, mode="reflect")
    hann = np.hanning(WINDOW + 1)[:-1]
    weights = np.outer(hann, hann)
    for cell in ((0, 0), (1, 2)):
        logs = []
        for window in range(4):
            top, left = (2 * cell[0] + window // 2) * HOP, (2 * cell[1] + window % 2) * HOP
            part = padded[1, :, top : top + WINDOW, left : left + WINDOW]
            part = (part - part.mean((1, 2), keepdims=True)) * weights
            power = np.abs(np.fft.rfft2(part)) ** 2 / np.square(weights).sum()
            logs.append(np.log(power + FLOOR).reshape(len(COLOURS), -1))
        means = np.stack([np.mean(logs, 0), np.mean(np.square(logs), 0)], 1).reshape(-1)
        assert np.allclose(found[1, :, cell[0], cell[1]], means, atol=2e-3)


def test_logits() -> None:
    torch.manual_seed(0)
    fan = SpectralFAN(7)
    pixels = torch.rand(2, 3, 40, 56)
    for size in ((128, 128), (16, 40)):
        assert fan(torch.rand(2, 3, *size)).shape == (2, 7)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = fan(pixels)
    assert mixed.dtype == torch.float32
    assert torch.allclose(mixed, fan(pixels), atol=0.05)


def test_flat_pictures_have_a_finite_gradient() -> None:
    pixels = torch.full((1, 3, 32, 32), 0.4, requires_grad=True)
    SpectralFAN(3)(pixels).square().sum().backward()
    assert pixels.grad is not None
    assert bool(torch.isfinite(pixels.grad).all())


def test_blur_is_learned_from_few_pictures() -> None:
    """Noise and the same smoothed: what no mean of pixels tells."""
    torch.manual_seed(0)
    fan = SpectralFAN(2)
    optimiser = torch.optim.Adam(fan.parameters(), 1e-3)
    labels = torch.arange(2).repeat_interleave(8)

    def pictures() -> torch.Tensor:
        noise = torch.rand(8, 3, 48, 48)
        smooth = torch.nn.functional.avg_pool2d(noise, 3, 1, 1, count_include_pad=False)
        weaker = 0.5 + (noise - 0.5) * smooth.std() / noise.std()
        return torch.cat([weaker, smooth])

    for _ in range(10):
        loss = torch.nn.functional.cross_entropy(fan(pictures()), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert bool((fan(pictures()).argmax(1) == labels).all())
