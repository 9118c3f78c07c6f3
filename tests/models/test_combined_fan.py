"""The FAN of both kinds."""

from __future__ import annotations

import pytest
import torch

from dcncodec.models.combined_fan import CombinedFAN


@pytest.fixture
def fan() -> CombinedFAN:
    torch.manual_seed(0)
    return CombinedFAN(3)


def test_logits_are_sums(fan: CombinedFAN) -> None:
    pixels = torch.rand(2, 3, 40, 56)
    with torch.no_grad():
        parts = [part(pixels) for part in fan.parts]
        assert fan(pixels).shape == (2, 3)
        assert torch.allclose(fan(pixels), sum(parts[1:], parts[0]), atol=1e-4)
    assert float((parts[0] - parts[1]).abs().min()) > 0
    with torch.autocast("cpu", torch.bfloat16):
        assert fan(pixels).dtype == fan.traces(pixels).dtype == torch.float32


def test_both_learn_and_stay_what_they_are(fan: CombinedFAN) -> None:
    fan(torch.rand(2, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is not None for parameter in fan.parameters())
    residual = fan.convolutional.residual
    with torch.no_grad():
        residual.weight.add_(0.1)
    fan.constrain()
    assert torch.allclose(residual.kernel.sum((1, 2, 3)), torch.zeros(3), atol=1e-5)


def test_every_weight_has_one_name(fan: CombinedFAN) -> None:
    """Files of weights hold no tensor twice."""
    pointers = [tensor.data_ptr() for tensor in fan.state_dict().values()]
    assert len(set(pointers)) == len(pointers)
