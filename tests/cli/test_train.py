"""``dcn train`` from outside: killed, stopped, resumed, exported, and given bad input."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Runner
from PIL import Image
from safetensors.torch import load_file
from torch_threads import one_torch_thread

from dcncodec.train.engine.log import read_log

QUICK = ["--patch", "16", "--batch", "2", "--threads", "1", "--device", "cpu"]

EAGER = """
from dcncodec.train.engine import run
from dcncodec.train.tasks import codec
run.CHECKPOINT_SECONDS = run.VALIDATION_PAUSE = 0.0
codec.VALIDATION_CROPS = 1
from dcncodec.cli.main import main
main()
"""
"""The command with a checkpoint after every step."""

Dcn = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(3):
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        small.resize((32, 32), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def dcn(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Dcn]:
    """Run ``dcn train`` in this process; gives the exit code and standard error."""
    runner = Runner(monkeypatch, capfd, "train")

    def run(*arguments: str | Path) -> tuple[int, str]:
        result = runner(*arguments)
        return result.code, result.err

    with one_torch_thread():
        yield run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """The folder of a run of two steps with 16 channels."""
    folder: Path = tmp_path_factory.mktemp("finished") / "run"
    arguments = ["train", str(pictures), "--out", str(folder), "--max-steps", "2"]
    arguments += ["--channels", "16", "--seed", "5", *QUICK]
    subprocess.run([sys.executable, "-c", EAGER, *arguments], check=True, capture_output=True)
    return folder


def copy(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def start(folder: Path, pictures: Path, steps: int) -> subprocess.Popen[str]:
    """``dcn train`` in a process of its own, once it has a checkpoint."""
    arguments = ["train", str(pictures), "--out", str(folder), "--max-steps", str(steps)]
    process = subprocess.Popen(
        [sys.executable, "-c", EAGER, *arguments, "--channels", "16", *QUICK],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (folder / "checkpoint.safetensors").exists() and process.poll() is None:
        time.sleep(0.01)
    return process


def one_line(error: str) -> str:
    lines = error.strip().splitlines()
    assert len(lines) == 1, error
    assert lines[0].startswith("dcn: ")
    return lines[0]


def test_killed_and_resumed_is_as_never_killed(tmp_path: Path, pictures: Path, dcn: Dcn) -> None:
    process = start(tmp_path / "killed", pictures, 12)
    time.sleep(random.uniform(0, 1.0))
    process.kill()
    process.communicate()
    arguments = [pictures, "--max-steps", "12", "--channels", "16", *QUICK]
    code, error = dcn(*arguments, "--out", tmp_path / "killed")
    assert code == 0
    assert "resuming" in error
    assert dcn(*arguments, "--out", tmp_path / "whole")[0] == 0
    killed, whole = (
        load_file(tmp_path / n / "checkpoint.safetensors") for n in ("killed", "whole")
    )
    assert killed.keys() == whole.keys()
    assert all(torch.equal(killed[k], whole[k]) for k in killed)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_saves_and_ends(
    tmp_path: Path, pictures: Path, number: signal.Signals, code: int
) -> None:
    process = start(tmp_path / "run", pictures, 100_000)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code, error
    assert "the same command goes on from there" in error
    assert "Traceback" not in error
    assert re.search(r"^step 1 of 100,000  \d+ s, .*\d+:\d\d:\d\d left  loss ", error, re.M), error
    step = int(read_log(tmp_path / "run" / "log.csv")[-1]["step"])
    assert f"stopped at step {step:,};" in error


def test_a_run_is_resumed_as_it_was(
    finished: Path, tmp_path: Path, pictures: Path, dcn: Dcn
) -> None:
    """Without options, recipe, channels and seed are those of the run."""
    folder = copy(finished, tmp_path)
    code, error = dcn(pictures, "--out", folder, "--max-steps", "3", "--export", tmp_path / "tiny")
    assert code == 0
    assert f"resuming {folder / 'checkpoint.safetensors'} at step 2" in error
    assert "step 3 " in error
    assert "validation: bpp" in error
    card = (tmp_path / "tiny" / "card.md").read_text()
    for fact in ("16 latent channels", "patch 16", "3 steps", "seed 5"):
        assert fact in card


def test_minutes_alone_set_no_limit_of_steps(
    finished: Path, tmp_path: Path, pictures: Path, dcn: Dcn
) -> None:
    folder = copy(finished, tmp_path)
    code, error = dcn(pictures, "--out", folder, "--max-minutes", "0.02")
    assert code == 0
    assert int(read_log(folder / "log.csv")[-1]["step"]) > 2
    assert "finished at step" in error


def test_export_without_sources(finished: Path, tmp_path: Path, dcn: Dcn) -> None:
    code, error = dcn("--out", finished, "--export", tmp_path / "my-model")
    assert code == 0
    assert "my-model: exported, SHA-256 " in error
    assert (tmp_path / "my-model" / "card.json").exists()


@pytest.mark.parametrize("inner", [".", "run"])
def test_no_run_within_what_it_trains_on(pictures: Path, dcn: Dcn, inner: str) -> None:
    before = sorted(pictures.iterdir())
    code, error = dcn(pictures, "--out", pictures / inner, "--max-steps", "1")
    assert code == 2
    assert f"lies in {pictures}, which it learns from" in error
    assert sorted(pictures.iterdir()) == before


def test_start_from_another_model(
    tmp_path: Path, pictures: Path, tiny_model: Path, dcn: Dcn
) -> None:
    options = ["--channels", "16", "--max-steps", "1", "--init", tiny_model, *QUICK]
    code, error = dcn(pictures, "--out", tmp_path / "run", *options)
    assert code == 0
    assert "37 of 37 tensors start from tiny (its 4 latent channels come first), 0 at" in error
    weights = load_file(tmp_path / "run" / "checkpoint.safetensors")
    theirs = load_file(tiny_model / "model.safetensors")
    name = "analysis_net.4.conv1.weight"
    assert torch.allclose(weights[f"model.{name}"], theirs[name].float(), atol=0.01)


def test_a_learning_curve_is_drawn(
    finished: Path, tmp_path: Path, pictures: Path, dcn: Dcn
) -> None:
    pytest.importorskip("matplotlib")
    folder = copy(finished, tmp_path)
    assert dcn(pictures, "--out", folder, "--max-steps", "3")[0] == 0
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (folder / "curve.svg").read_bytes()


def test_a_full_disk_keeps_the_last_checkpoint(
    finished: Path, tmp_path: Path, pictures: Path, dcn: Dcn, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy(finished, tmp_path)
    checkpoint = folder / "checkpoint.safetensors"
    good = checkpoint.read_bytes()
    write = os.fsync

    def full(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 1_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    code, error = dcn(pictures, "--out", folder, "--max-steps", "3")
    assert code == 1
    assert "checkpoint.safetensors: the disk is full; make room" in error
    assert "Traceback" not in error
    assert checkpoint.read_bytes() == good
    assert not list(folder.glob(".dcn-*"))


def test_a_damaged_checkpoint(finished: Path, tmp_path: Path, pictures: Path, dcn: Dcn) -> None:
    folder = copy(finished, tmp_path)
    checkpoint = folder / "checkpoint.safetensors"
    damaged = checkpoint.read_bytes()[:-100]
    checkpoint.write_bytes(damaged)
    code, error = dcn(pictures, "--out", folder)
    assert code == 1
    assert "damaged checkpoint" in one_line(error)
    assert checkpoint.read_bytes() == damaged


def test_another_architecture_or_optimiser(finished: Path, pictures: Path, dcn: Dcn) -> None:
    before = (finished / "checkpoint.safetensors").read_bytes()
    code, error = dcn(pictures, "--out", finished, "--channels", "32")
    assert (code, "has 16 latent channels, not 32" in one_line(error)) == (1, True)
    code, error = dcn(pictures, "--out", finished, "--preset", "paper")
    assert (code, "optimiser of another preset" in one_line(error)) == (1, True)
    assert (finished / "checkpoint.safetensors").read_bytes() == before


def test_bad_input(tmp_path: Path, pictures: Path, dcn: Dcn) -> None:
    out = tmp_path / "run"
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "file").write_bytes(b"x")
    for arguments, code, message in (
        (["--out", out], 2, "nothing to train on"),
        ([empty, "--out", out], 1, f"{empty}: no images"),
        ([tmp_path / "no", "--out", out], 1, "no such folder or tar shard"),
        ([tmp_path / "file", "--out", out], 1, "not a folder or whole tar shard of images"),
        ([pictures, "--out", out], 1, "fewer than 2 images of at least 128 x 128"),
        ([pictures, "--out", out, "--patch", "20"], 2, "--patch 20: choose a multiple of 8"),
        ([pictures, "--out", tmp_path / "file" / "run"], 1, "run: cannot be made"),
        ([pictures, "--out", out, "--init", "nothing"], 1, "nothing: no such model"),
        ([pictures, "--out", out, "--device", "tpu"], 2, "tpu: choose auto, cpu"),
        ([pictures, "--out", out, "--export", tmp_path / "A B"], 2, "the folder's name"),
        (["--out", out, "--export", tmp_path / "model"], 1, "there is no checkpoint"),
    ):
        found, error = dcn(*arguments)
        assert (found, message in one_line(error)) == (code, True), (arguments, error)
        assert not list(tmp_path.rglob("*.safetensors"))
        assert not out.exists()


@pytest.mark.parametrize("training", ["vr", "trace", "forensic --channel none"])
def test_a_run_that_cannot_begin_leaves_no_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    training: str,
) -> None:
    (tmp_path / "empty").mkdir()
    found = Runner(monkeypatch, capfd)(
        "train", *training.split(), tmp_path / "empty", "--out", tmp_path / "run"
    )
    assert found.code == 1
    assert "no images" in one_line(found.err)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "option",
    [
        ["--max-steps", "0"],
        ["--max-minutes", "0"],
        ["--batch", "0"],
        ["--patch", "7"],
        ["--learning-rate", "0"],
        ["--lambda-h", "-1"],
        ["--lambda-ssim", "-1"],
        ["--seed", "-1"],
        ["--channels", "24"],
        ["--preset", "slow"],
    ],
)
def test_values_out_of_range(tmp_path: Path, pictures: Path, dcn: Dcn, option: list[str]) -> None:
    code, error = dcn(pictures, "--out", tmp_path / "run", *option)
    assert code == 2
    assert f"Invalid value for '{option[0]}'" in error
