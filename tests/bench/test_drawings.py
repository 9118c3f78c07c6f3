"""Pictures that are no photos, and what lossless coding takes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcncodec.bench import drawings


def test_twelve_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drawings, "QUALITIES", (50,))
    monkeypatch.setattr(sys, "argv", ["drawings", str(tmp_path / "out")])
    drawings.main()
    paths = sorted((tmp_path / "out").iterdir())
    assert len(paths) == 12
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    assert {picture.shape for picture in pictures} == {(384, 512, 3)}
    # All different, none empty, and the same in every run.
    assert len({picture.tobytes() for picture in pictures}) == 12
    assert min(picture.std() for picture in pictures) > 10
    assert np.array_equal(drawings.drawing(drawings.strokes), pictures[6])
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 14
    assert rows[2].startswith("| page | ")
    # The last one is smooth, not drawn.
    assert [row.split(" | ")[-1] for row in rows[2:]] == ["100% |"] * 11 + ["0% |"]
