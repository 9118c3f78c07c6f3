"""Figs. A.3 and A.4 of models at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from skimage import data

from dcncodec.bench.paper import latents
from dcncodec.quantise import entropy
from dcncodec.train.engine.data import load_images


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        part = data.astronaut()[: 136 + 8 * number, 40 * number : 40 * number + 136]
        Image.fromarray(part.copy()).save(folder / f"{number}.png")
    return folder


def test_both_figures(pictures: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    arguments = ["--data", str(pictures), "--model", str(tiny_model), "--out", str(out)]
    result = CliRunner().invoke(latents.main, arguments)
    assert result.exit_code == 0, result.output
    assert "tiny" in result.output
    assert sorted(file.name for file in out.glob("*.svg")) == ["fig-a3.svg", "fig-a4.svg"]
    wrong = CliRunner().invoke(latents.main, [*arguments[:2], "--model", "none", *arguments[4:]])
    assert wrong.exit_code == 1
    assert "Error: none: no such model" in wrong.output


def test_what_is_drawn(pictures: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "CROPS", 2)
    found = latents.measure(str(tiny_model), load_images([pictures], 128).training)
    assert (found.bits, found.actual.shape) == (5, torch.Size([32]))
    assert float(found.actual.sum()) == pytest.approx(1)
    assert float(found.soft.sum()) == pytest.approx(1, abs=1e-6)
    assert float(entropy(found.soft)) == pytest.approx(float(entropy(found.actual)), abs=0.5)
    assert found.maps.shape == (4, 17, 17)
    variances = found.maps.reshape(4, -1).var(1)
    assert np.all(np.diff(variances) <= 0)
