"""Batches that other processes make."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from skimage import data

from dcncodec.errors import TrainingError
from dcncodec.train.engine.ahead import Ahead, default_loaders
from dcncodec.train.engine.data import pack
from dcncodec.train.engine.presets import FORENSIC_RECIPES
from dcncodec.train.tasks.forensic_field import FieldPhotos


def source() -> FieldPhotos:
    recipe = replace(FORENSIC_RECIPES["fast"], patch=32, classes=("native", "median"))
    return FieldPhotos(pack([data.astronaut()[:100, 100:200].copy()]), recipe, 1, 0, 0)


def test_signals_that_end_a_training_do_not_end_its_loaders() -> None:
    """A terminal, or what stops a container, sends them to all processes of a group."""
    ahead = Ahead(source(), 1)
    try:
        ahead.begin(0)
        assert ahead.pool is not None
        for process in ahead.pool._processes:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(process, number)
        for step in range(8):
            assert len(ahead.take(step)) == 2
    finally:
        ahead.close()


ORPHANS = """
import os, signal
from test_ahead import Ahead, source
if __name__ == "__main__":
    ahead = Ahead(source(), 1)
    ahead.begin(0)
    print(*ahead.pool._processes, ahead.folder.name, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_loaders_end_with_their_training(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(ORPHANS)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "TMPDIR": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment, check=False
    )
    assert found.returncode == -signal.SIGKILL, found.stderr
    loader = Path("/proc", found.stdout.split()[0])
    for _ in range(100):
        if not loader.exists():
            return
        time.sleep(0.1)
    pytest.fail("the loader runs on")


def test_no_room_for_the_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail] No space left on device\nframes")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"No space left on device\); choose another \$TMPDIR"):
        Ahead(source(), 1)


def test_how_many_loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert default_loaders(torch.device("cpu")) == 0
    assert default_loaders(torch.device("cuda")) == 15
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert default_loaders(torch.device("cuda")) == 3
