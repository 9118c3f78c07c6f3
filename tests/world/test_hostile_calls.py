"""A scripted run of hostile calls: no traceback, no input lost, nothing left behind."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

CALLS, SOAK_CALLS = 60, 500


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hostile", Path(__file__).with_name("hostile.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input as a service has it: nothing that a test could wait for."""
    before = os.dup(0)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    yield
    os.dup2(before, 0)
    os.close(before)


@pytest.mark.usefixtures("no_input")
@pytest.mark.parametrize(
    ("calls", "seed"),
    [(CALLS, 1), *(pytest.param(SOAK_CALLS, seed, marks=pytest.mark.soak) for seed in (2, 3, 4))],
)
def test_hostile_calls(
    calls: int, seed: int, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert load().broken_promises(calls, tiny_model, seed) == []
