"""Many trainings one by one, and the curves of accuracy over rate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Runner, one_line
from PIL import Image
from skimage import data

from dcncodec.bench.forensic_sweep import points_of
from dcncodec.train.tasks import forensic


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        part = data.astronaut()[40 * i : 40 * i + 168, 100 : 100 + 168]
        Image.fromarray(part).save(folder / f"{i}.png")
    return folder


def test_points() -> None:
    points = points_of(["dcn-16c", "./mine"], [0.001, 0.1], [20, 50], 2)
    names = [point.name for point in points]
    assert names[:4] == ["jpeg-20", "jpeg-50", "dcn-16c-fixed", "mine-fixed"]
    assert names[4:6] == ["dcn-16c-0.001-0", "dcn-16c-0.1-0"]
    assert len(set(names)) == len(names) == 2 + 2 + 2 * 2 * 2
    assert {p.lambda_c for p in points[:4]} == {None}


def test_a_sweep_goes_on(
    tmp_path: Path,
    photos: Path,
    dcn: Runner,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forensic, "VALIDATION_PATCHES", 1)
    monkeypatch.setenv("DCN_MODELS", str(tiny_model.parent))
    out = tmp_path / "sweep"
    arguments = [
        *("forensics", "sweep", photos, "--data", photos, "--minutes", "0.0001", "-o", out),
        *("--batch", "1", "--patch", "16", "--threads", "1", "--jpeg", "30"),
    ]
    found = dcn(*arguments)
    assert found.code == 0, found.err
    first = json.loads((out / "results.json").read_text())
    assert [(r["name"], r["protocol"]) for r in first] == [
        ("jpeg-30", "paper"),
        ("jpeg-30", "field"),
    ]
    assert (first[0]["part"], first[0]["photos"]) == ("tune", 1)
    found = dcn(*arguments, "--model", "tiny", "--lambda-c", "0.01")
    assert found.code == 0, found.err
    assert "jpeg-30" not in found.err
    results = json.loads((out / "results.json").read_text())
    assert results[:2] == first
    assert [r["name"] for r in results[2::2]] == ["tiny-fixed", "tiny-0.01-0"]
    assert all(0 <= r["accuracy"] <= 1 and r["bpp"] > 0 for r in results)
    page = (out / "report.html").read_text()
    assert "<h2>Trade-off, field protocol</h2>" in page
    (out / "results.json").write_text("[")
    one_line(dcn(*arguments), "results.json: damaged")


def test_nothing_to_train(tmp_path: Path, photos: Path, dcn: Runner) -> None:
    found = dcn("forensics", "sweep", photos, "--data", photos, "--minutes", "1", "-o", tmp_path)
    one_line(found, "give --model or --jpeg", code=2)
