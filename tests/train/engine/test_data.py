"""Images come from folders and shards as they are, and crops lie where they should."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image

from dcncodec.errors import TrainingError
from dcncodec.notices import DcnWarning, Notice
from dcncodec.train.engine.data import Dataset, Source, augment_gamma, load_images


def shard(path: Path, pictures: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        for picture in sorted(pictures.rglob("*.*")):
            tar.add(picture, picture.name)
        content = b"not an image"
        entry = tarfile.TarInfo("readme.txt")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return path


def test_a_folder_and_a_shard_hold_the_same(tmp_path: Path, pictures: Path) -> None:
    counts: list[int] = []
    folder = load_images([pictures], 16, counts.append)
    tar = load_images([shard(tmp_path / "s.tar", pictures)], 16)
    assert counts == [1, 2, 3, 4, 5]
    assert torch.equal(folder.training.pixels, tar.training.pixels)
    assert torch.equal(folder.validation.pixels, tar.validation.pixels)
    assert tar.sources == [Source("s.tar", 5, 0.01)]


def test_pixels_survive_and_the_last_are_held_out(dataset: Dataset, pictures: Path) -> None:
    assert (len(dataset.training), len(dataset.validation)) == (4, 1)
    for index, name in enumerate(("a.png", "b.png", "c.png", "d.bmp")):
        with Image.open(pictures / name) as image:
            assert np.array_equal(dataset.training.image(index).numpy(), np.asarray(image))


def test_every_source_holds_out_its_own(tmp_path: Path, pictures: Path) -> None:
    both = load_images([pictures, shard(tmp_path / "s.tar", pictures)], 16)
    assert (len(both.training), len(both.validation)) == (8, 2)


def test_crops_are_parts_of_the_images(dataset: Dataset) -> None:
    images = dataset.training
    crops = images.crops(20, 24, torch.Generator().manual_seed(3))
    assert crops.shape == (20, 24, 24, 3)
    assert crops.dtype == torch.uint8
    windows = [
        image.unfold(0, 24, 1).unfold(1, 24, 1).permute(0, 1, 3, 4, 2).reshape(-1, 24 * 24 * 3)
        for image in map(images.image, range(4))
    ]
    every = {row.tobytes() for part in windows for row in part.numpy()}
    unflipped = 0
    for crop in crops:
        variants = [crop.flip(axes) for axes in ([], [0], [1], [0, 1])]
        found = [v.contiguous().numpy().tobytes() in every for v in variants]
        assert any(found)
        unflipped += found[0]
    assert 0 < unflipped < 20


def test_crops_repeat_with_their_generator(dataset: Dataset) -> None:
    first, again, other = (
        dataset.training.crops(4, 16, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_crop_may_be_the_whole_image(dataset: Dataset) -> None:
    assert dataset.training.crops(3, 40, torch.Generator()).shape == (3, 40, 40, 3)


def test_gamma_keeps_the_range_and_the_ends() -> None:
    crops = torch.rand(64, 3, 4, 4)
    crops[:, :, 0, 0], crops[:, :, 0, 1] = 0, 1
    changed = augment_gamma(crops, torch.Generator().manual_seed(0))
    assert changed.amin() >= 0
    assert changed.amax() <= 1
    assert torch.equal(changed[:, :, 0, :2], crops[:, :, 0, :2])
    same = sum(torch.equal(a, b) for a, b in zip(changed, crops, strict=True))
    assert 16 < same < 48


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_any_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    for name in ("1.tif", "2.tif", "._2.tif"):
        Image.new("RGB", (20, 20), (9, 90, 200)).convert(mode).save(tmp_path / name)
    assert load_images([tmp_path], 16).training.image(0).shape == (20, 20, 3)


def test_nothing_to_read(tmp_path: Path, pictures: Path) -> None:
    with pytest.raises(TrainingError, match="no images"):
        load_images([tmp_path], 16)
    with pytest.raises(TrainingError, match="missing: no such folder"):
        load_images([tmp_path / "missing"], 16)
    with pytest.raises(TrainingError, match=r"a\.png: not a folder or whole tar shard"):
        load_images([pictures / "a.png"], 16)
    with pytest.raises(TrainingError, match=r"at least 48 x 48 pixels \(5 were smaller\)"):
        load_images([pictures], 48)


def test_damaged_files(tmp_path: Path, pictures: Path) -> None:
    whole = shard(tmp_path / "whole.tar", pictures).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:3000])
    with pytest.raises(TrainingError, match=r"cut\.tar"):
        load_images([tmp_path / "cut.tar"], 16)


def test_files_that_cannot_be_read_are_left_out(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that another program would have to open: an EPS file by its content."""
    monkeypatch.setattr(EpsImagePlugin.EpsImageFile, "_open", lambda _: pytest.fail("opened"))
    folder = tmp_path / "folder"
    shutil.copytree(pictures, folder)
    (folder / "a-bad.png").write_bytes((pictures / "a.png").read_bytes()[:100])
    (folder / "b-eps.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    )
    notices: list[Notice] = []
    dataset = load_images([folder], 16, notify=notices.append)
    whole = load_images([pictures], 16)
    assert torch.equal(dataset.training.pixels, whole.training.pixels)
    assert [(n.kind, n.source) for n in notices] == [("skipped", str(folder))]
    assert re.match(
        r"2 files are left out, cannot be read: .*a-bad\.png: damaged or truncated", notices[0].text
    )
    for name in ("a-bad.png", "b-eps.png"):
        bad = tmp_path / name
        bad.mkdir()
        shutil.copy(folder / name, bad)
        with pytest.raises(TrainingError), pytest.warns(DcnWarning, match="1 file is left out"):
            load_images([bad], 16)
