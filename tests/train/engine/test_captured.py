"""Steps that are replayed by a GPU are the steps that Python would make."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from dcncodec.train.engine.captured import CapturedStep
from dcncodec.train.engine.optimiser import Optimiser

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def weights(captured: bool) -> list[Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.LeakyReLU(), nn.Conv2d(8, 4, 3)).cuda()
    optimiser = Optimiser(model, muon=True)

    def work(inputs: Sequence[Tensor]) -> Tensor:
        optimiser.zero_grad()
        loss: Tensor = (model(inputs[0]) - inputs[1]).square().mean()
        loss.backward()
        optimiser.update()
        return loss.detach()

    step = CapturedStep(work) if captured else work
    losses = []
    for number in range(9):
        torch.manual_seed(number)
        optimiser.set_rate(0.01 * (number + 1))
        losses.append(step([torch.randn(2, 3, 9, 9).cuda(), torch.ones((), device="cuda")]))
    return [*losses, *(parameter.detach() for parameter in model.parameters())]


@needs_gpu
def test_replays_with_new_inputs_and_rates() -> None:
    for replayed, made in zip(weights(True), weights(False), strict=True):
        torch.testing.assert_close(replayed, made, rtol=1e-4, atol=1e-5)
