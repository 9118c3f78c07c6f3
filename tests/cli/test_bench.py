"""``dcn bench`` as a user gives it: outputs, one-line errors, exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from commands import Runner, one_line
from PIL import Image
from skimage import data

from dcncodec.bench import codecs, datasets
from dcncodec.runtime.engine import DEVICE_NAMES


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Runner:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(datasets.DATA_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return Runner(monkeypatch, capfd, "bench")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, left in (("a", 60), ("b", 130)):
        Image.fromarray(data.astronaut()[:176, left : left + 192]).save(folder / f"{name}.png")
    return folder


def test_a_run_and_its_outputs(bench: Runner, photos: Path, tiny_model: Path) -> None:
    options = ("--dataset", photos, "-c", tiny_model, "-c", "jpeg", "--workers", 1)
    first = bench(*options, "-o", "one")
    assert first.code == 0, first.err
    for words in ("BD-rate against JPEG 4:4:4", "tiny", "Speed as a multiple", "one/report.html"):
        assert words in first.out
    folder = Path("one")
    assert {"results.json", "points.csv", "speed.csv", "report.html", "plots"} == {
        path.name for path in folder.iterdir()
    }
    content = json.loads((folder / "results.json").read_text())
    assert content["format"] == "dcn-bench-1"
    assert len(content["points"]) == 2 * 11
    assert "measured 22 of 22" in first.err
    second = bench(*options, "--no-speed", "-o", "two")
    assert second.code == 0
    # Everything comes from the cache.
    assert second.err.splitlines() == ["measured 22 of 22"]
    again = json.loads(Path("two/results.json").read_text())
    assert again["points"] == content["points"]
    same = bench("compare", "one", "two/results.json")
    assert same.code == 0
    assert "+0.00 %" in same.out
    assert "Settings that changed" not in same.out


def test_skipped_codecs_and_images_give_exit_code_1(
    bench: Runner, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    (photos / "bad.png").write_bytes(b"no image")
    result = bench("--dataset", photos, "-c", "jpeg", "-c", "jxl", "--workers", 1)
    assert result.code == 1
    assert "dcn: skipped jxl: JPEG XL needs pillow-jxl-plugin" in result.err
    assert "pip install pillow-jxl-plugin" in result.err
    assert "dcn: skipped bad: " in result.err
    assert "bad.png" not in result.err
    assert result.err.strip().endswith("dcn: 2 skipped")
    assert Path("out/bench/report.html").exists()


def test_nothing_measured(bench: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "bad.png").write_bytes(b"no image")
    result = bench("--dataset", folder, "-c", "jpeg")
    assert result.code == 1
    assert result.err.strip().endswith("dcn: nothing was measured")
    assert not Path("out").exists()


def test_wrong_requests_are_one_line(bench: Runner, photos: Path) -> None:
    one_line(bench("--dataset", "nowhere"), "choose kodak, clic, raw", code=2)
    one_line(bench("--dataset", "clic"), "no images in", code=2)
    one_line(bench("--dataset", photos, "-c", "gif"), "--codec gif: choose dcn", code=2)
    one_line(bench("compare", "one", "two"), "no such file", code=2)
    one_line(bench("speed", "--dataset", photos, "--size", "big"), "WIDTHxHEIGHT", code=2)
    one_line(bench("figure6", "--dataset", photos, "--image", "z"), "no such image", code=2)
    one_line(bench("figure6", "--dataset", photos, "-c", "jpeg"), "needs dcn or a model", code=2)
    one_line(
        bench("--dataset", photos, "-c", "jpeg", "--anchor", "bpg"), "was not measured", code=2
    )


def test_offline(bench: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "KODAK_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    result = bench("-c", "jpeg")
    assert result.code == 1
    assert "go online, or give a folder" in result.err.splitlines()[-1]


def test_speed(bench: Runner, photos: Path, tiny_model: Path) -> None:
    options = ("--dataset", photos, "-c", tiny_model, "-c", "jpeg", "--size", "64x64")
    result = bench("speed", *options, "--rounds", 1, "--threads", 1, "--no-memory")
    assert result.code == 0, result.err
    for words in ("1 threads at most", "tiny", "Parts of dcn's time", "entropy / networks"):
        assert words in result.out
    content = json.loads(Path("out/bench-speed/results.json").read_text())
    assert [row["codec"] for row in content["speed"]] == ["tiny", "jpeg"]


def test_coder(bench: Runner, photos: Path, tiny_model: Path) -> None:
    pytest.importorskip("av")
    result = bench("coder", "--dataset", photos, "-c", tiny_model, "--limit", 1, "--rounds", 1)
    assert result.code == 0, result.err
    for words in ("The coder of latents alone", "tiny", "of FFmpeg's decode"):
        assert words in result.out
    one_line(bench("coder", "--dataset", photos, "-c", "jpeg"), "name models", code=2)


def test_figures(bench: Runner, photos: Path, tiny_model: Path) -> None:
    options = ("--dataset", photos, "-c", tiny_model)
    result = bench("figure5", *options, "-c", "jpeg", "--workers", 1)
    assert result.code == 0, result.err
    result = bench("figure6", *options, "--crop", 128, "--image", "b")
    assert result.code == 0, result.err
    assert "same SSIM" in result.out
    names = {path.name for path in Path("out/figures").iterdir()}
    assert names == {"figure5.svg", "figure5.png", "figure6.svg", "figure6.png"}


def test_help_names_every_codec_and_device(bench: Runner) -> None:
    result = bench("--help")
    assert result.code == 0
    for name in (*codecs.BASELINES, "dcn", "kodak", "clic", "raw", f" {DEVICE_NAMES}."):
        assert name in result.out
