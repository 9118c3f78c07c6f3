"""The plot of dJPEG beside libjpeg."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from skimage import data

from dcncodec.bench.paper import djpeg


def test_figure_6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hard rounding is libjpeg's; sinusoidal keeps more."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(djpeg, "QUALITIES", (10, 50, 90))
    photo = np.ascontiguousarray(data.astronaut()[:96, 200:320])
    found = djpeg.compare([photo])
    for (_, known, hard, difference), smooth in zip(
        found["hard"], found["sinusoidal"], strict=True
    ):
        assert difference < 0.25
        assert hard == pytest.approx(known, abs=0.05)
        assert smooth[2] > known + 1
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(photo).save(folder / "a.png")
    result = CliRunner().invoke(djpeg.main, ["--data", str(folder), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "sinusoidal" in result.output
    assert (tmp_path / "out" / "fig-6.svg").stat().st_size > 1000
    empty = CliRunner().invoke(djpeg.main, ["--data", str(tmp_path / "x"), "--out", str(tmp_path)])
    assert empty.exit_code == 1
    assert "no images there" in empty.output
