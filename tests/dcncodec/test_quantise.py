"""The quantiser against the paper's definition (section 3.2, A.1), written out in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dcncodec.formats.geometry import CODEBOOK_MAX, CODEBOOK_MIN, CODEBOOK_SIZE
from dcncodec.quantise import (
    Histogram,
    Kernel,
    Quantiser,
    clamp_inward,
    entropy,
    quantise_hard,
    quantise_in_training,
)

WORDS = torch.arange(CODEBOOK_MIN, CODEBOOK_MAX + 1, dtype=torch.float64)
KERNELS: list[Kernel] = ["student", "gaussian"]


def paper_weights(latent: Tensor, kernel: Kernel, gamma: float, nu: float = 50.0) -> Tensor:
    """The paper's formula as it stands, (..., CODEBOOK_SIZE) float64; may underflow."""
    squared = (latent.double().unsqueeze(-1) - WORDS) ** 2
    if kernel == "gaussian":
        weights = torch.exp(-gamma * squared)
    else:
        weights = (1 + gamma * squared / nu) ** (-(nu + 1) / 2)
    return weights / weights.sum(-1, keepdim=True)


def reference(latent: Tensor, kernel: Kernel, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
    """Soft values, (N, CODEBOOK_SIZE) bins, and gradient of both for fixed cotangents."""
    values = latent.double().requires_grad_()
    weights = paper_weights(values, kernel, gamma)
    soft, bins = (weights * WORDS).sum(-1), weights.sum((0, 2, 3))
    (gradient,) = torch.autograd.grad(probe(soft, bins), values)
    return soft.detach(), bins.detach(), gradient


def probe(soft: Tensor, bins: Tensor) -> Tensor:
    """A scalar in which every value and every bin has its own weight."""
    generator = torch.Generator().manual_seed(5)
    a = torch.randn(soft.shape, generator=generator, dtype=torch.float64)
    b = torch.randn(bins.shape, generator=generator, dtype=torch.float64)
    return (soft.double() * a).sum() + (bins.double() * b).sum()


def latents(scale: float, seed: int = 0) -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("gamma", [1.0, 5.0, 25.0])
@pytest.mark.parametrize("scale", [0.2, 3.0, 12.0])
def test_values_histogram_and_gradient_are_the_papers(
    kernel: Kernel, gamma: float, scale: float
) -> None:
    latent = latents(scale).clamp(-17, 18)  # further out the reference's Gaussian underflows
    soft, bins, gradient = reference(latent, kernel, gamma)
    latent.requires_grad_()
    my_soft, my_bins = Quantiser(kernel, gamma).assign(latent)
    torch.testing.assert_close(my_soft.double(), soft, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(my_bins.double(), bins, rtol=1e-5, atol=1e-4)
    (mine,) = torch.autograd.grad(probe(my_soft, my_bins), latent)
    torch.testing.assert_close(mine.double(), gradient, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [0.4, 6.0, 30.0])
def test_the_window_equals_all_words(
    kernel: Kernel, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantiser = Quantiser(kernel)
    assert quantiser.narrow
    latent = latents(scale).double().requires_grad_()
    soft, bins = quantiser.assign(latent)
    (gradient,) = torch.autograd.grad(probe(soft, bins), latent)
    monkeypatch.setattr(Quantiser, "narrow", False)
    full_soft, full_bins = quantiser.assign(latent)
    (full_gradient,) = torch.autograd.grad(probe(full_soft, full_bins), latent)
    torch.testing.assert_close(soft, full_soft, rtol=0, atol=1e-9)
    torch.testing.assert_close(bins, full_bins, rtol=0, atol=1e-9)
    torch.testing.assert_close(gradient, full_gradient, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kernel", KERNELS)
@given(st.floats(-1e6, 1e6, width=32))
@settings(max_examples=80, deadline=None)
def test_float32_is_stable_far_outside(kernel: Kernel, value: float) -> None:
    latent = torch.tensor([value])
    weights = Quantiser(kernel).soft_assign(latent)
    exact = Quantiser(kernel).soft_assign(latent.double())
    torch.testing.assert_close(weights.double(), exact, rtol=1e-3, atol=1e-6)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("value", [-1e6, -3e4, -200.0, -16.0, 17.0, 300.0, 7e4, 1e6])
def test_the_stable_form_is_the_papers_form(value: float) -> None:
    latent = torch.tensor([value], dtype=torch.float64)
    expected = paper_weights(latent, "student", 25.0)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        weights = Quantiser().soft_assign(latent.to(dtype))
        torch.testing.assert_close(weights.double(), expected, rtol=tolerance, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("value", [-3e38, -1e30, -1e10, 1e10, 1e19, 1e30, 3e38])
def test_any_finite_value(kernel: Kernel, value: float) -> None:
    latent = torch.zeros(1, 2, 2, 2)
    latent[0, 0, 0, 0] = value
    latent.requires_grad_()
    quantised, bits = Quantiser(kernel)(latent)
    (quantised.sum() + bits).backward()
    assert latent.grad is not None
    assert torch.isfinite(latent.grad).all()
    assert torch.isfinite(bits.detach())
    assert float(quantised.detach()[0, 0, 0, 0]) == (CODEBOOK_MAX if value > 0 else CODEBOOK_MIN)


def test_hard_forwards_soft_backwards() -> None:
    latent = latents(5.0).requires_grad_()
    quantised, _ = Quantiser()(latent)
    nearest = (latent.detach().double().unsqueeze(-1) - WORDS).abs().argmin(-1) + CODEBOOK_MIN
    assert torch.equal(quantised.detach().round().long(), nearest)
    (mine,) = torch.autograd.grad(quantised.sum(), latent)
    values = latent.detach().double().requires_grad_()
    soft = (paper_weights(values, "student", 25.0) * WORDS).sum(-1)
    (expected,) = torch.autograd.grad(soft.sum(), values)
    torch.testing.assert_close(mine.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("histogram", ["global", "channel"])
def test_the_entropy_estimate_is_near_the_true_one(histogram: Histogram) -> None:
    latent = torch.cat([latents(4.0), latents(1.0, 1)]).repeat(1, 1, 4, 4)
    _, bits = Quantiser()(latent, histogram)
    indices = quantise_hard(latent).long() - CODEBOOK_MIN
    planes = indices.movedim(1, 0).flatten(1)
    if histogram == "global":
        planes = planes.reshape(1, -1)
    counts = torch.stack([torch.bincount(plane, minlength=CODEBOOK_SIZE) for plane in planes])
    assert float(bits) == pytest.approx(float(entropy(counts.double()).mean()), rel=0.03)


def test_entropy_of_known_histograms() -> None:
    bins = torch.zeros(3, CODEBOOK_SIZE)
    bins[0] = 1
    bins[1, :2] = 7
    bins[2, 4] = 3
    assert entropy(bins).tolist() == pytest.approx([5, 1, 0], abs=1e-5)


def test_hard_quantisation_ends_with_the_codebook() -> None:
    values = torch.tensor([-1e9, -15.6, -15.4, -0.4, 0.6, 15.6, 16.4, 17.0, 1e9])
    assert quantise_hard(values).tolist() == [-15, -15, -15, 0, 1, 16, 16, 16, 16]


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_smaller_codebooks(bits: int) -> None:
    """Their first and last words, the paper's weights among them, and what a training sees."""
    quantiser = Quantiser(bits=bits)
    words = [word for word in WORDS.tolist() if quantiser.lowest <= word <= quantiser.highest]
    assert len(words) == 2**bits
    assert {0, 1} <= set(words)
    latent = latents(2.0)
    weights = paper_weights(latent, "student", 25.0)
    kept = [int(word) - CODEBOOK_MIN for word in words]
    expected = weights[..., kept] / weights[..., kept].sum(-1, keepdim=True)
    inside = (latent > quantiser.lowest - 0.5) & (latent < quantiser.highest + 0.5)
    found = quantiser.soft_assign(latent).double()
    assert torch.allclose(found[inside], expected[inside], atol=1e-5)
    soft, bins = quantiser.assign(latent)
    assert bins.shape == (3, 2**bits)
    assert torch.allclose(bins.sum(1), torch.full((3,), 128.0), rtol=1e-4)
    assert torch.allclose(soft[inside].double(), (found * torch.tensor(words)).sum(-1)[inside])
    hard, entropy_bits = quantise_in_training(quantiser, latent, "channel", True)
    assert set(hard.unique().tolist()) <= set(words)
    assert 0 < float(entropy_bits) <= bits


def test_the_clamp_only_pulls_inwards() -> None:
    latent = torch.tensor([-20.0, -20.0, 0.0, 0.0, 20.0, 20.0], requires_grad=True)
    clamped = clamp_inward(latent, Quantiser())
    assert clamped.tolist() == [-15.5, -15.5, 0, 0, 16.5, 16.5]
    clamped.backward(torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]))
    assert latent.grad is not None
    # A descent step subtracts the gradient: outwards at both ends is masked.
    assert latent.grad.tolist() == [0, -1, 1, -1, 1, 0]
