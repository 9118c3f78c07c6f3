"""Small versions of ManTra-Net's Table 4 and Fig. 4."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from skimage import data
from trace_models import write_trace

from dcncodec.bench.paper import mantranet
from dcncodec.bench.paper.mantranet import Decay, _scaled, chosen, families_by_level, main
from dcncodec.forensics.operations.hierarchy import KINDS
from dcncodec.train.engine.data import load_images
from dcncodec.train.engine.run import Budget
from dcncodec.train.tasks import trace as task


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(2):
        Image.fromarray(data.astronaut()[40:168, 100 + i : 228 + i]).save(folder / f"{i}.png")
    return folder


def test_a_few_strengths_from_end_to_end() -> None:
    assert [leaf.name for leaf in chosen(KINDS[0])] == [f"box side={k}" for k in (3, 13, 23, 33)]
    assert len(chosen(next(kind for kind in KINDS if len(kind) == 1))) == 1


def test_masks_are_scaled_with_their_photos() -> None:
    mask = np.zeros((100, 80), bool)
    mask[:50, :40] = True
    pixels, small = _scaled(np.zeros((100, 80, 3), np.uint8), mask, 0.5)
    assert (pixels.shape, small.shape) == ((50, 40, 3), (50, 40))
    assert small[:25, :20].all()
    assert small.sum() == 500


def test_levels_are_trained_alike(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "VALIDATION_PATCHES", 2)
    monkeypatch.setattr(task, "VALIDATION_BATCH", 2)
    recipe = mantranet.TRACE_RECIPES["fast"].__class__(
        batch=2, patch=64, learning_rate=1e-3, schedule="constant", max_steps=1
    )
    monkeypatch.setitem(mantranet.TRACE_RECIPES, "fast", recipe)
    found = list(
        families_by_level(load_images([photos], 96), (7, 49), Budget(1), torch.device("cpu"), 0)
    )
    assert [classes for classes, _ in found] == [7, 49]
    assert found[0][1]["validation_accuracy"] == found[0][1]["validation_families"]


def test_the_report(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [kind for kind in KINDS if kind[0].kind in {"jpeg", "gamma"}]
    monkeypatch.setattr(mantranet, "KINDS", kinds)
    monkeypatch.setattr(mantranet, "SIDE", 72)
    model = write_trace(tmp_path / "my-trace")
    arguments = ["strengths", str(model), "--data", str(photos), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [*arguments, "--limit", "1"])
    assert result.exit_code == 1  # three quarters of 72 pixels are too few
    assert "Error: 54 x 54 pixels: a map needs 64" in result.output
    monkeypatch.setattr(mantranet, "SCALES", (1.0, 0.9))
    monkeypatch.setattr(mantranet, "QUALITIES", (90,))
    result = CliRunner().invoke(main, [*arguments, "--limit", "1"])
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(rows["strengths"]) == 4 + 3
    assert [Decay(**row).how for row in rows["decays"]] == ["scale", "scale", "quality"]
    assert (tmp_path / "out" / "strengths.svg").exists()
    assert "gamma exponent=0.5" in result.output
