"""The forensic analysis network."""

from __future__ import annotations

import pytest
import torch

from dcncodec.models.card import MIN_PATCH
from dcncodec.models.fan import STEP, ConstrainedConv, ConvolutionalFAN


@pytest.mark.parametrize(("classes", "count"), [(5, 1_341_990), (7, 1_342_248)])
def test_number_of_parameters(classes: int, count: int) -> None:
    """Table 6, and two more outputs of 128 weights and a bias each."""
    assert sum(parameter.numel() for parameter in ConvolutionalFAN(classes).parameters()) == count


def test_residuals() -> None:
    layer = ConstrainedConv()
    with torch.no_grad():
        layer.weight.add_(torch.randn_like(layer.weight) * 0.01)
        layer.constrain()
    kernel = layer.kernel
    for i in range(3):
        assert float(kernel[i, i, 2, 2].detach()) == -1
    assert torch.allclose(kernel.sum((1, 2, 3)), torch.zeros(3), atol=1e-5)
    flat = torch.full((1, 3, 16, 16), 0.7)
    assert float(layer(flat).detach().abs().max()) < 1e-5
    assert float(layer(torch.rand(1, 3, 16, 16)).detach().abs().max()) > 0.1


def test_rounded_filters_outlive_a_step() -> None:
    """Those of long trainings are large beside their sums, which rounding then changes."""
    torch.manual_seed(0)
    layer, own = ConstrainedConv(), torch.arange(3)
    with torch.no_grad():
        layer.weight.normal_(0, 50)
        layer.constrain()
        exact = layer.weight.clone()
        significand, exponent = torch.frexp(exact)
        layer.weight.copy_(torch.ldexp((significand * 2**6).round() / 2**6, exponent))
        assert float(layer.weight.sum(1).abs().max()) > 1
        layer.constrain()
        assert torch.equal(layer.kernel[own, own, 2, 2], -torch.ones(3))
        errors = (layer.weight - exact).norm(dim=1) / exact.norm(dim=1)
    assert float(errors.max()) < 0.02


def test_filters_keep_their_size() -> None:
    """A step alike for all weights, which constant light alone would see, is undone."""
    torch.manual_seed(0)
    layer = ConstrainedConv()
    with torch.no_grad():
        layer.weight.mul_(100)
        layer.constrain()
        before = layer.weight.clone()
        layer.weight.add_(0.005)
        layer.constrain()
    assert torch.allclose(layer.weight, before, atol=1e-5)


def test_logits() -> None:
    torch.manual_seed(0)
    fan = ConvolutionalFAN(7)
    for size in ((128, 128), (16, 40)):
        logits = fan(torch.rand(2, 3, *size))
        assert logits.shape == (2, 7)
        assert logits.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert fan(torch.rand(1, 3, 32, 32)).dtype == torch.float32


def test_too_few_classes() -> None:
    with pytest.raises(ValueError, match="at least 2 classes"):
        ConvolutionalFAN(1)


def test_cards_allow_patches_of_a_cell_or_more() -> None:
    """Cards are read without torch, and so have a number of their own."""
    assert MIN_PATCH == STEP
