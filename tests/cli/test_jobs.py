"""Several processes work on the files of a batch, and nobody sees it in what comes out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Runner, one_line
from PIL import Image

from dcncodec.cli import work, workers
from dcncodec.cli.batch import Batch
from dcncodec.cli.plan import Job, Plan
from dcncodec.cli.work import Outcome, Watch, choose_jobs, default_jobs, share_of
from dcncodec.errors import FormatError, ModelError
from dcncodec.notices import Notice, warn


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four small pictures in a folder."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for number in range(4):
        pixels = rng.integers(0, 256, (3, 4 + number, 3), np.uint8)
        picture = Image.fromarray(pixels).resize((40, 24 + 8 * number), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number}.png")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_bytes_whatever_the_number(
    dcn: Runner, tmp_path: Path, photos: Path, tiny_model: Path
) -> None:
    (photos / "1.png").write_bytes(b"no picture")
    lines, outputs = [], []
    for jobs in (1, 2):
        coded, shown, again = (tmp_path / f"{name}{jobs}" for name in ("coded", "shown", "again"))
        batch = ("--jobs", jobs, "--json", "-d")
        encoded = dcn("encode", "--model", tiny_model, photos, *batch, coded)
        assert encoded.code == 1
        assert encoded.err.splitlines()[-1] == "dcn: 1 of 4 files failed"
        decoded = dcn("decode", "--model", tiny_model, coded, *batch, shown)
        recoded = dcn("recode", "--entropy", "global", coded, *batch, again)
        assert decoded.code == recoded.code == 0
        outputs.append([content(folder) for folder in (coded, shown, again)])
        facts = [
            json.loads(line)
            for r in (encoded, decoded, recoded)
            for line in r.out.split("\n")
            if line
        ]
        lines.append([(Path(f["input"]).name, f.get("error"), f["warnings"]) for f in facts])
    assert outputs[0] == outputs[1]
    assert lines[0] == lines[1]
    assert [name for name, *_ in lines[0][:4]] == ["0.png", "1.png", "2.png", "3.png"]


@dataclass(frozen=True)
class Tricks:
    """Work whose files say what happens to them."""

    def read(self, job: Job) -> str:
        return Path(job.source).read_text()

    def load(self, watch: Watch) -> list[int]:
        watch.notice(Notice("model", "loaded"))
        return [os.getpid()]

    def convert(self, job: Job, content: str, loaded: list[int], watch: Watch) -> dict[str, Any]:
        watch.begin(job.name, 5)
        watch.advance(5)
        if content == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if content == "wrong":
            raise FormatError("is wrong")
        if content == "slow":
            time.sleep(0.3)
        if content == "warn":
            warn(Notice("model", "skipped", "folder"))
        watch.notice(Notice("colour", f"is {content}", job.source))
        if job.target:
            Path(job.target).write_text(content)
        return {"name": job.source}


class Unloadable(Tricks):
    """Nothing can be done."""

    def load(self, watch: Watch) -> list[int]:
        raise ModelError("no model")


def batch_of(tmp_path: Path, *contents: str, target: str = "") -> Batch:
    jobs = []
    for number, text in enumerate(contents):
        path = tmp_path / f"{number}"
        path.write_text(text)
        jobs.append(Job(str(path), target))
    return Batch(Plan(jobs), as_json=False, quiet=False)


def test_results_come_in_order_and_a_killed_process_fails_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = batch_of(tmp_path, "slow", "a", "kill", "wrong", "b", "c")
    with pytest.raises(SystemExit, match="1"):
        batch.run_work(Tricks(), lambda result: Path(result["name"]).name, 2)
    out, err = capsys.readouterr()
    assert out.split() == ["0", "1", "4", "5"]
    lines = [line.replace(f"{tmp_path}/", "") for line in err.splitlines()]
    assert any("loaded" in line for line in lines)
    lines = [line for line in lines if "loaded" not in line]
    assert lines == [
        "dcn: warning: 0: is slow",
        "dcn: warning: 1: is a",
        "dcn: 2: its process was killed, probably for lack of memory; try fewer --jobs",
        "dcn: 3: is wrong",
        "dcn: warning: 4: is b",
        "dcn: warning: 5: is c",
        "dcn: 2 of 6 files failed",
    ]


def test_what_cannot_be_loaded_ends_the_batch(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no model") as caught:
        batch_of(tmp_path, *"abcd").run_work(Unloadable(), str, 2)
    assert caught.value.exit_code == 1  # type: ignore[attr-defined]


def test_two_files_with_one_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "target"
    batch = batch_of(tmp_path, "wrong", "a", "b", target=str(target))
    with pytest.raises(SystemExit):
        batch.run_work(Tricks(), lambda result: Path(result["name"]).name, 2)
    out, err = capsys.readouterr()
    assert out.split() == ["1"]
    assert "another input of this run has that output" in err
    assert target.read_text() == "a"


def test_warnings_of_processes_are_warnings_here(tmp_path: Path) -> None:
    batch = batch_of(tmp_path, "warn", "a")
    with pytest.warns(UserWarning, match="folder: skipped"):
        batch.run_work(Tricks(), str, 2)


def test_ended_by_a_signal(tmp_path: Path, photos: Path, tiny_model: Path) -> None:
    """No process and no part of a file is left."""
    coded = tmp_path / "coded"
    command = [
        Path(sys.executable).with_name("dcn"),
        "encode",
        "--model",
        tiny_model,
        "--jobs",
        "2",
    ]
    for number in range(4, 60):
        (photos / f"{number}.png").write_bytes((photos / "3.png").read_bytes())
    process = subprocess.Popen([*command, photos, "-d", coded], stderr=subprocess.PIPE, text=True)
    while len(list(coded.glob("*.dcn"))) < 2:
        time.sleep(0.02)
        assert process.poll() is None
    children = set(children_of(process.pid))
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert err.splitlines()[-1] == "dcn: ended by SIGTERM"
    assert children
    # Python's own helper, which watches what processes share, ends a moment later.
    end = time.monotonic() + 20
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert {path.suffix for path in coded.iterdir()} == {".dcn"}


def children_of(parent: int) -> Iterator[int]:
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc")
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            yield int(path.parent.name)


def test_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = batch_of(tmp_path, *["12345"] * 16).plan.jobs
    monkeypatch.setattr(work, "free_memory", lambda: 2**40)
    assert choose_jobs(None, plan, 3, 5) == 3
    assert choose_jobs(None, plan, 8, 5) == 4
    assert choose_jobs(None, plan, 8, 4) == 1
    assert choose_jobs(None, plan[:3], 8, 5) == 1
    assert choose_jobs(None, [Job("-", "-")], 8, 5) == 1
    assert choose_jobs(100, plan, 1, 4) == 16
    monkeypatch.setattr(work, "free_memory", lambda: 2 * work.WORKER_BYTES)
    assert (choose_jobs(100, plan, 1, 4), choose_jobs(1, plan, 1, 4)) == (2, 1)
    monkeypatch.setattr(work, "free_memory", lambda: 0)
    assert choose_jobs(100, plan, 1, 4) == 1


def test_threads_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "choose_threads", lambda threads: threads or 6)
    monkeypatch.setattr(work, "has_gpu", lambda: True)
    assert (share_of(None, 1), share_of(None, 4), share_of(2, 3)) == (None, 1, 1)
    assert [default_jobs(name, None) for name in ("cpu", "auto", "cuda:0")] == [6, 1, 1]
    monkeypatch.setattr(work, "has_gpu", lambda: False)
    assert default_jobs("auto", 2) == 2


def test_wrong_numbers(dcn: Runner) -> None:
    one_line(dcn("decode", "--jobs", "0", "a.dcn"), "--jobs", code=2)


def test_a_watch_that_keeps_notices(tmp_path: Path) -> None:
    recorder = work.Recorder()
    outcome = workers._convert(Tricks(), Job(str(tmp_path / "missing")), [], recorder)
    assert outcome == Outcome(error=outcome.error)
    assert outcome.error is not None
    assert "No such file" in str(outcome.error)
