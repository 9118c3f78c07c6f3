"""What is set before torch is loaded: how threads wait, and how many there are."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from dcncodec.cli.common import load_torch

CORES = len(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("load", "given", "expected"),
    [
        (0.0, None, None),
        (CORES / 2 - 0.01, None, None),
        (CORES / 2 + 0.01, None, "passive"),
        (100.0, "active", "active"),
        (0.0, "passive", "passive"),
    ],
)
def test_waiting_threads_sleep_on_a_busy_machine(
    monkeypatch: pytest.MonkeyPatch, load: float, given: str | None, expected: str | None
) -> None:
    # Set first, so that what `load_torch` sets is undone, too.
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        del os.environ["OMP_WAIT_POLICY"]
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 50.0, 50.0))
    load_torch(None)
    assert os.environ.get("OMP_WAIT_POLICY") == expected


@pytest.mark.parametrize(("asked", "used"), [(1, 1), (CORES, CORES), (1024, CORES)])
def test_threads_are_at_most_the_cores(asked: int, used: int) -> None:
    load_torch(asked)
    assert torch.get_num_threads() == used
