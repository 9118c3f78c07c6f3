"""The context model sees only what a decoder knows, and its bits are those of a distribution."""

from __future__ import annotations

import math

import pytest
import torch

from dcncodec.models.context import ContextModel, at_rate, bits, squash
from dcncodec.models.context_export import NEIGHBOURS


def model(channels: int = 5, hidden: int = 12) -> ContextModel:
    """Random weights everywhere, so that no dependence hides behind a zero."""
    torch.manual_seed(0)
    context = ContextModel(channels, hidden).double()
    with torch.no_grad():
        for parameter in context.parameters():
            parameter.normal_(0, 0.5)
    return context


def test_what_a_latent_depends_on() -> None:
    """Moving one latent changes its own channel's figures nowhere before it, and only there."""
    context = model()
    latent = torch.randn(1, 5, 6, 7, dtype=torch.float64).round()
    rate = torch.tensor([77.0], dtype=torch.float64)
    before = torch.stack(context(latent, rate))
    channel, row, column = 2, 2, 3
    moved = latent.clone()
    moved[0, channel, row, column] += 3
    changed = (torch.stack(context(moved, rate)) != before).any(0)[0]
    expected = torch.zeros(5, 6, 7, dtype=torch.bool)
    expected[channel + 1 :, row, column] = True
    for down, right in NEIGHBOURS:
        expected[:, row - down, column - right] = True
    assert torch.equal(changed, expected)


def test_beyond_the_edges_is_zero() -> None:
    context, rate = model(), torch.tensor([10.0], dtype=torch.float64)
    latent = torch.randn(1, 5, 4, 4, dtype=torch.float64).round()
    framed = torch.zeros(1, 5, 8, 8, dtype=torch.float64)
    framed[..., 2:6, 2:6] = latent
    for whole, part in zip(context(framed, rate), context(latent, rate), strict=True):
        assert torch.allclose(whole[..., 2:6, 2:6], part)


def test_the_rate_matters_and_is_interpolated() -> None:
    knots = torch.arange(8.0)[:, None] ** 2
    rates = torch.tensor([0.0, 255.0, 255 / 7, 255 / 14])
    assert at_rate(knots, rates)[:, 0].tolist() == pytest.approx([0, 49, 1, 0.5], abs=1e-4)
    alone = torch.tensor([[3.0, 4.0]])
    assert at_rate(alone, rates).tolist() == [[3.0, 4.0]] * 4


@pytest.mark.parametrize("log_scale", [-3.0, 0.0, 2.0])
@pytest.mark.parametrize("mean", [0.0, 0.3, -7.5])
def test_masses_sum_to_one(log_scale: float, mean: float) -> None:
    words = torch.arange(-400.0, 401.0)
    spent = bits(words, torch.full_like(words, mean), torch.full_like(words, log_scale))
    assert float(spent.min()) >= 0
    assert float((2.0**-spent).sum()) == pytest.approx(1, abs=2e-3)


def test_far_tails_are_finite_and_rise() -> None:
    words = torch.tensor([10.0, 100.0, 1000.0])
    spent = bits(words, torch.zeros(3), torch.zeros(3))
    assert spent[1] - spent[0] == pytest.approx(90 / math.log(2), rel=1e-3)
    assert spent[2] - spent[1] == pytest.approx(900 / math.log(2), rel=1e-3)


def test_squash() -> None:
    assert squash(torch.tensor([0.0, 1.0, -1.0])).tolist() == pytest.approx(
        [0, math.log(2), -math.log(2)]
    )
