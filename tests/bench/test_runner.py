"""Runs: the same results whatever the number of processes, cached, with failures counted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcncodec.bench import datasets, runner
from dcncodec.bench.cache import Cache
from dcncodec.bench.codecs import BaselineCodec, specs
from dcncodec.errors import DcnError, FormatError, MissingLibraryError, OutputError


def test_workers_do_not_change_results(photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    chosen = specs(["jpeg", str(tiny_model)])
    items = datasets.find(str(photos))[:2]
    threads = torch.get_num_threads()
    one = runner.run(chosen, items, workers=1, cache=Cache(tmp_path))
    two = runner.run(chosen, items, workers=2)
    assert one.points == two.points
    assert torch.get_num_threads() == threads
    assert not one.failures
    settings = len(chosen[0].open().settings)
    assert len(one.points) == 2 * (settings + 1)
    assert [point.codec for point in one.points] == ["jpeg"] * 2 * settings + ["tiny"] * 2
    again = runner.run(chosen, items, cache=Cache(tmp_path))
    assert again.points == one.points
    assert again.cached == len(one.points)


def test_an_interrupted_run_goes_on(photos: Path, tmp_path: Path) -> None:
    items = datasets.find(str(photos))
    seen: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 4:
            raise KeyboardInterrupt

    chosen = specs(["jpeg"])
    with pytest.raises(KeyboardInterrupt):
        runner.run(chosen, items, cache=Cache(tmp_path), progress=stop)
    outcome = runner.run(chosen, items, cache=Cache(tmp_path))
    assert outcome.cached == 4
    assert seen[:2] == [(0, 30), (1, 30)]


def test_a_damaged_cache_is_measured_again(photos: Path, tmp_path: Path) -> None:
    items, chosen = datasets.find(str(photos))[:1], specs(["jpeg"])
    first = runner.run(chosen, items, cache=Cache(tmp_path))
    files = sorted(tmp_path.rglob("*.json"))
    files[0].write_text("{")
    other = json.loads(files[1].read_text())
    other["key"]["setting"] = "of another"
    files[1].write_text(json.dumps(other))
    second = runner.run(chosen, items, cache=Cache(tmp_path))
    assert second.cached == len(first.points) - 2
    assert second.points == first.points


def test_another_image_of_the_same_name_is_another_key(photos: Path, tmp_path: Path) -> None:
    chosen = specs(["jpeg"])
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("cat", "woman"):
        with Image.open(photos / f"{name}.png") as image:
            image.save(folder / "same.png")
        outcome = runner.run(chosen, datasets.find(str(folder)), cache=Cache(tmp_path / "cache"))
        assert outcome.cached == 0


def test_a_cache_that_cannot_be_written(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another --cache-dir"):
        runner.run(
            specs(["jpeg"]), datasets.find(str(photos)), cache=Cache(tmp_path / "file" / "x")
        )


def test_an_unreadable_image_is_skipped_and_counted(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    with Image.open(photos / "cat.png") as image:
        image.save(tmp_path / "good.png")
    outcome = runner.run(specs(["jpeg"]), datasets.find(str(tmp_path)))
    assert {point.image for point in outcome.points} == {"good"}
    (failure,) = outcome.failures
    assert (failure.codec, failure.image) == ("", "bad")
    assert str(failure).startswith("bad: not an image")


def test_an_image_that_a_codec_refuses(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((1, 70_000, 3), np.uint8)).save(tmp_path / "wide.png")
    outcome = runner.run(specs(["jpeg"]), datasets.find(str(tmp_path)))
    assert not outcome.points
    (failure,) = outcome.failures
    assert str(failure).startswith("jpeg, wide: JPEG cannot code 70000 x 1 pixels")


def test_a_setting_that_fails_is_named(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = BaselineCodec.decode
    broken: list[bytes] = []

    def sometimes(self: BaselineCodec, data: bytes) -> datasets.Pixels:
        if not broken or broken[0] == data:
            broken.append(data)
            raise FormatError("broken")
        return decode(self, data)

    monkeypatch.setattr(BaselineCodec, "decode", sometimes)
    outcome = runner.run(specs(["jpeg"]), datasets.find(str(photos))[:1])
    (failure,) = outcome.failures
    assert str(failure) == "jpeg, cat: setting 2: broken"
    assert len(outcome.points) == 9


def test_out_of_memory_is_reported(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: BaselineCodec, data: bytes) -> datasets.Pixels:
        raise MemoryError

    monkeypatch.setattr(BaselineCodec, "decode", full)
    outcome = runner.run(specs(["jpeg"]), datasets.find(str(photos))[:1])
    assert "not enough memory; use fewer --workers" in str(outcome.failures[0])


def test_a_missing_library_is_skipped_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    outcome = runner.run(specs(["jxl", "jpeg"]), datasets.find(str(photos))[:1])
    (failure,) = outcome.failures
    assert (failure.codec, failure.image) == ("jxl", "")
    assert failure.reason.endswith("pip install pillow-jxl-plugin")
    assert {point.codec for point in outcome.points} == {"jpeg"}
    monkeypatch.setitem(sys.modules, "ssimulacra2", None)
    with pytest.raises(MissingLibraryError):
        runner.run(specs(["jpeg"]), datasets.find(str(photos)), perceptual=True)


def test_a_killed_worker_is_explained(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "measure", exit_at_once)
    with pytest.raises(DcnError, match="a worker process was killed"):
        runner.run(specs(["jpeg"]), datasets.find(str(photos))[:1], workers=2)


def exit_at_once(job: runner.Job) -> str:
    import os

    os._exit(1)
