"""Train, tune and report."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from dcncodec.errors import UsageError
from dcncodec.forensics.parts import PARTS, photos_of
from dcncodec.forensics.photos import Photos


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        Image.new("RGB", (8, 8)).save(folder / f"{name}.png")
    return folder


def test_a_set_with_folders(tmp_path: Path) -> None:
    fill(tmp_path / "train", "c", "d")
    fill(tmp_path / "val", "5", "1", "3", "2", "4")
    found = {part: [path.stem for path in photos_of(tmp_path, part)] for part in PARTS}
    assert found == {"train": ["c", "d"], "tune": ["1", "2"], "report": ["3", "4", "5"]}
    assert [photo.name for photo in Photos(tmp_path, 2, "report")] == ["3", "4"]


def test_any_other_folder(tmp_path: Path) -> None:
    folder = fill(tmp_path / "photos", "1", "2", "3")
    assert [path.stem for path in photos_of(folder, "tune")] == ["1"]
    assert [path.stem for path in photos_of(folder, "report")] == ["2", "3"]
    with pytest.raises(UsageError, match="has no part train"):
        photos_of(folder, "train")
    with pytest.raises(UsageError, match="1 photos cannot be split"):
        photos_of(fill(tmp_path / "one", "1"), "tune")


def test_the_parts_of_pristine(shared_data: Path) -> None:
    """No photo is in two of them, and what was trained on is in none but the first."""
    parts = [{p.name for p in photos_of(shared_data / "pristine", part)} for part in PARTS]
    assert [len(part) for part in parts] == [110, 15, 15]
    assert len(set().union(*parts)) == 140
