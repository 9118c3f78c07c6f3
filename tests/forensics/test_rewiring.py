"""Hand-made features in the place of trained ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dcncodec.forensics.rewiring import free_features, free_trunk, parameters, refit
from dcncodec.models.dcn import ResidualBlock


@pytest.fixture
def features() -> Tensor:
    """The last two of eight are linear in the others, and small."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 6, 16, 16, generator=generator)
    copies = torch.stack([0.1 * values[:, 0] + 3, 0.1 * values[:, 1] - 0.2 * values[:, 2]], 1)
    return torch.cat([values, copies], 1)


@torch.no_grad()
def test_what_others_tell_is_not_lost(features: Tensor) -> None:
    torch.manual_seed(0)
    reader = nn.Conv2d(8, 4, 3)
    before = reader(features)
    assert set(free_features(features, reader, 2).tolist()) == {6, 7}
    assert reader.weight[:, 6:].eq(0).all()
    assert torch.allclose(reader(features), before, atol=1e-3)


@torch.no_grad()
def test_residual_blocks_pass_freed_channels(features: Tensor) -> None:
    torch.manual_seed(0)
    blocks, reader = [ResidualBlock(8), ResidualBlock(8)], nn.Conv2d(8, 4, 3, padding=1)
    before = blocks[1](blocks[0](features))
    free, behind = free_trunk(features, [nn.Identity(), *blocks], reader, 2)
    assert torch.equal(behind, before)
    other = features.clone()
    other[:, free] = 5
    now, passed = (blocks[1](blocks[0](values)) for values in (features, other))
    assert torch.equal(now[:, free], features[:, free])
    assert passed[:, free].eq(5).all()
    assert torch.equal(reader(passed), reader(now))


@torch.no_grad()
def test_refit(features: Tensor) -> None:
    torch.manual_seed(0)
    reader = nn.Conv2d(8, 4, 3, padding=1)
    wanted = reader(features)
    changed = features.clone()
    changed[:, 0] += 2 * changed[:, 3]
    assert not torch.allclose(reader(changed), wanted, atol=0.1)
    refit(reader, changed, wanted)
    assert torch.allclose(reader(changed), wanted, atol=1e-2)


def test_only_convolutions_have_them() -> None:
    layer = nn.Conv2d(3, 4, 3)
    assert parameters(layer) == (layer.weight, layer.bias)
    with pytest.raises(AssertionError):
        parameters(nn.Linear(3, 4))
