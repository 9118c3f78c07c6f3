"""Two processes under torchrun train as one: same weights, one writer, exact resume."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dcncodec.train.engine import processes
from dcncodec.train.engine.checkpoint import FILE
from dcncodec.train.engine.processes import own_device, rank_and_world

SCRIPT = """
import os, shutil, sys
from pathlib import Path
from safetensors.torch import save_file
from dcncodec.cli.train import command
from dcncodec.train.engine import run as base
from dcncodec.train.engine import session
from dcncodec.train.tasks import codec_setup as start

pictures, folder, name = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
rank = os.environ["RANK"]
run, save_checkpoint = base.Run.run, base.save_checkpoint
base.CHECKPOINT_SECONDS = 0.0

def recorded(self, *arguments):
    finished = run(self, *arguments)
    assert str(self.rank) == rank and self.world == 2
    save_file({k: v.contiguous() for k, v in self.codec.state_dict().items()},
              folder / f"{name}-rank{rank}.safetensors")
    return finished

def kept(path, *arguments):
    save_checkpoint(path, *arguments)
    if arguments[-1].progress.step == 2 and name == "whole":
        shutil.copytree(path.parent, folder / "parts")

def forbidden(*arguments, **options):
    raise AssertionError("only the first process writes")

base.Run.run, base.save_checkpoint = recorded, kept
if rank != "0":
    base.save_checkpoint = base.Log = session.plot_log = start.export_model = forbidden

command([pictures, "--out", str(folder / name), "--batch", "2", "--patch", "16", "--threads", "1",
         "--max-steps", "4", "--device", "cpu", "--precision", "fp32"], standalone_mode=False)
"""


def torchrun(tmp_path: Path, pictures: Path, name: str) -> tuple[dict[str, Tensor], str]:
    """Train in two processes up to step 4: the weights, equal in both, and standard error."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    result = subprocess.run(
        [*launcher, "--nproc-per-node", "2", str(script), str(pictures), str(tmp_path), name],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    first, second = (load_file(tmp_path / f"{name}-rank{rank}.safetensors") for rank in ("0", "1"))
    assert all(torch.equal(first[k], second[k]) for k in first)
    return first, result.stderr


def test_two_processes(tmp_path: Path, pictures: Path) -> None:
    whole, _ = torchrun(tmp_path, pictures, "whole")
    resumed, error = torchrun(tmp_path, pictures, "parts")
    assert error.count("resuming") == 1
    assert f"{FILE} at step 2" in error
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_alone_without_torchrun() -> None:
    assert rank_and_world() == (0, 1)
    with processes.process_group(torch.device("cpu")):
        assert rank_and_world() == (0, 1)
    assert processes.largest([3.0, 1.0], torch.device("cpu")) == [3.0, 1.0]


@pytest.mark.parametrize(("name", "expected"), [("auto", "cuda:1"), ("cuda:0", "cuda:0")])
def test_every_process_has_its_gpu(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device(name) == torch.device(expected)
