"""What a photo's own suspicious parts tell of the rest of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dcncodec.forensics.trace.scores import auc
from dcncodec.forensics.trace.second_look import Cells, second_look
from dcncodec.formats.geometry import Area
from dcncodec.models.trace import SIZES, Anomaly, Statistics

PLANE = Area(0, 0, 40, 50)
PART = torch.zeros(40, 50, dtype=torch.bool)
PART[8:24, 10:32] = True
SUSPECTED = torch.zeros(40, 50)
SUSPECTED[8:24, 10:16] = 1
"""A quarter of the part."""


@pytest.fixture
def anomaly() -> Anomaly:
    return Anomaly(SIZES["8"])


def cells(anomaly: Anomaly, shift: float, side: int = 64) -> Cells:
    """Noise, of which one feature is another one in the part."""
    adapted = torch.randn(len(anomaly.floor), 40, 50, generator=torch.Generator().manual_seed(0))
    adapted[3] += shift * PART
    return Cells(PLANE, list(PLANE.windows(side)), adapted.half(), statistics_of(adapted))


def statistics_of(adapted: Tensor) -> Statistics:
    return Anomaly.statistics(adapted.half().float()[None])


def of_part(logits: Tensor) -> float:
    return auc(logits.sigmoid().numpy(), PART.numpy())


@pytest.fixture
def logits() -> Tensor:
    return 3 * SUSPECTED + 0.3 * torch.randn(40, 50, generator=torch.Generator().manual_seed(1)) - 2


def test_the_rest_of_a_part_is_found(anomaly: Anomaly, logits: Tensor) -> None:
    found = second_look(anomaly, cells(anomaly, 2), logits)
    assert of_part(logits) < 0.7
    assert of_part(found) > 0.95
    # As sure of the photo as before, and hardly surer of any part.
    torch.testing.assert_close(found.mean(), logits.mean(), atol=1e-3, rtol=0)
    assert 0.5 < found.std() / logits.std() < 1.01


def test_where_nothing_differs_little_changes(anomaly: Anomaly, logits: Tensor) -> None:
    found = second_look(anomaly, cells(anomaly, 0), logits)
    assert of_part(found) < 0.7
    assert found[8:24, 10:16].mean() > found[~PART].mean() + 1


@pytest.mark.parametrize("averaged", [(), (1, 3, 7, 15)])
def test_windows_give_what_the_whole_does(averaged: tuple[int, ...], logits: Tensor) -> None:
    anomaly = Anomaly(replace(SIZES["8"], averaged=averaged))
    whole, parts = (second_look(anomaly, cells(anomaly, 1, side), logits) for side in (64, 11))
    torch.testing.assert_close(parts, whole, atol=1e-4, rtol=0)


def test_a_flat_map_stays(anomaly: Anomaly) -> None:
    flat = torch.full((40, 50), -2.0)
    assert torch.equal(second_look(anomaly, cells(anomaly, 1), flat), flat)


def test_cells_that_do_not_vary_change_nothing(anomaly: Anomaly, logits: Tensor) -> None:
    adapted = torch.ones(len(anomaly.floor), 40, 50)
    known = Cells(PLANE, [PLANE], adapted.half(), statistics_of(adapted))
    assert torch.equal(second_look(anomaly, known, logits), logits)
