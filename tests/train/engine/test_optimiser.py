"""Muon orthogonalises, both optimisers go on exactly from their state, schedules are as stated."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dcncodec.train.engine.optimiser import Optimiser, orthogonalise
from dcncodec.train.engine.presets import RECIPES
from dcncodec.train.engine.recipes import Recipe


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3), nn.LeakyReLU(), nn.Conv2d(8, 4, 3))
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def train(model: nn.Module, optimiser: Optimiser, steps: range) -> float:
    loss = torch.zeros(())
    for step in steps:
        x = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(step))
        loss = (model(x) - 1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.set_rate(0.01)
        optimiser.update()
    return float(loss.detach())


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    matrices = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1)) * 50
    found = orthogonalise(matrices)
    values = torch.linalg.svdvals(found)
    assert matrices.shape == found.shape
    assert float(values.min()) > 0.3
    assert float(values.max()) < 1.4
    for matrix, one in zip(matrices, found, strict=True):
        torch.testing.assert_close(orthogonalise(matrix[None])[0], one, rtol=0, atol=0.05)


def test_what_muon_steps() -> None:
    """Kernels that mix channels; neither depthwise ones nor those named."""
    model = nn.ModuleDict(
        {
            "linear": nn.Conv2d(4, 4, 1),
            "mix": nn.Conv2d(4, 4, 1),
            "deep": nn.Conv2d(4, 4, 3, groups=4),
        }
    )
    optimiser = Optimiser(model, muon=True, adam=("linear",))
    assert list(optimiser.kernels) == ["mix.weight"]
    assert set(optimiser.rest) == {
        *("linear.weight", "linear.bias", "mix.bias", "deep.weight", "deep.bias")
    }


@pytest.mark.parametrize("muon", [False, True])
def test_a_restored_optimiser_goes_on_exactly(muon: bool) -> None:
    model = net()
    optimiser = Optimiser(model, muon)
    assert len(optimiser.kernels) == (2 if muon else 0)
    train(model, optimiser, range(5))
    copy = net()
    copy.load_state_dict(model.state_dict())
    resumed = Optimiser(copy, muon)
    resumed.restore({k: v.clone() for k, v in optimiser.state().items()}, 5)
    assert train(model, optimiser, range(5, 9)) == train(copy, resumed, range(5, 9))


@pytest.mark.parametrize("muon", [False, True])
def test_a_part_with_its_share_of_the_rate(muon: bool) -> None:
    """The first step of Adam, and every one of Muon, has a length that only the rate sets."""
    moved = []
    for shares in ({}, {"slow": 0.25}):
        model = torch.nn.ModuleDict({"fast": net(), "slow": net()})
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        optimiser = Optimiser(model, muon, shares)
        x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        (model["fast"](x).square().mean() + model["slow"](x).square().mean()).backward()
        optimiser.set_rate(1e-3)
        optimiser.update()
        moved.append({n: (p - before[n]).detach() for n, p in model.named_parameters()})
    for name, step in moved[0].items():
        share = 0.25 if name.startswith("slow.") else 1.0
        torch.testing.assert_close(moved[1][name], share * step, rtol=1e-3, atol=2e-7)


def test_the_state_of_another_optimiser_does_not_fit() -> None:
    model = net()
    adam = Optimiser(model, muon=False)
    train(model, adam, range(1))
    with pytest.raises(KeyError):
        Optimiser(model, muon=True).restore(adam.state(), 1)


def test_the_papers_schedule() -> None:
    recipe = RECIPES["paper"]
    assert (recipe.batch, recipe.patch, recipe.lambda_h) == (50, 128, 250)
    rates = [recipe.rate_at(step, 0, epoch_steps=10) for step in (0, 9_999, 10_000, 20_000)]
    assert rates == [1e-4, 1e-4, 5e-5, 2.5e-5]


def test_warm_up_and_cosine() -> None:
    recipe = Recipe(8, 128, 1e-3, "cosine", 1000, warmup_steps=10)
    assert recipe.rate_at(0, 0, 1) == pytest.approx(1e-4)
    assert recipe.rate_at(500, 0.5, 1) == pytest.approx(5e-4)
    assert recipe.rate_at(1000, 1.0, 1) == pytest.approx(0)


def test_a_short_run_is_not_all_warm_up() -> None:
    recipe = Recipe(8, 128, 1e-3, "linear", 20, warmup_steps=100)
    rates = [recipe.rate_at(step, step / 20, 1) for step in range(20)]
    assert rates[:2] == pytest.approx([1e-5, 4.75e-4])
    assert rates[2:] == pytest.approx([1e-3 * (1 - step / 20) for step in range(2, 20)])


def test_constant_and_linear() -> None:
    recipe = Recipe(8, 128, 1e-3, "constant", 1000, warmup_steps=10)
    assert [recipe.rate_at(s, p, 1) for s, p in ((0, 0), (9, 0), (999, 1.0))] == pytest.approx(
        [1e-4, 1e-3, 1e-3]
    )
    falling = Recipe(8, 128, 1e-3, "linear", 1000)
    assert [falling.rate_at(0, p, 1) for p in (0, 0.25, 1.0)] == pytest.approx([1e-3, 7.5e-4, 0])
