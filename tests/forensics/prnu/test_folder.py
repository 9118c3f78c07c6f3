"""Fingerprints on disk, and folders of photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from sensor_shots import gains, shot

from dcncodec.codec import Codec
from dcncodec.errors import ImageError, ModelError, UsageError
from dcncodec.forensics.prnu.fingerprint import Estimator
from dcncodec.forensics.prnu.folder import (
    load_fingerprint,
    load_sums,
    open_fingerprint,
    write_fingerprint,
    write_predictor,
)
from dcncodec.forensics.prnu.photos import add_photos, is_flat, photos_in, read_photo
from dcncodec.models.registry import find_model, list_models, open_folder
from dcncodec.models.roles import Role

K = gains(7, 160, 192)


def estimate(first: int, last: int) -> Estimator:
    estimator = Estimator()
    for seed in range(first, last):
        estimator.add(shot(K, seed))
    return estimator


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    path = tmp_path / "my-camera"
    write_fingerprint(path, estimate(0, 4), "photos", "", overwrite=False)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(4):
        Image.fromarray(shot(K, seed)).save(folder / f"{seed}.png")
    return folder


def test_round_trip(camera: Path) -> None:
    folder = open_fingerprint(camera)
    made = estimate(0, 4)
    expected = made.fingerprint()
    found = load_fingerprint(folder)
    assert np.array_equal(found.values, expected.values)
    assert (found.photos, found.source, found.pipeline) == (4, "photos", "")
    assert found.consistency == pytest.approx(expected.consistency, abs=1e-4)
    sums = load_sums(folder)
    assert np.array_equal(sums.products, made.products)
    assert np.array_equal(sums.halves[1], made.halves[1])
    assert sums.digests == made.digests
    assert "192 x 160 pixels, from 4 photos (photos)" in (camera / "card.md").read_text()


def test_files_are_safetensors(camera: Path) -> None:
    found = load_file(camera / "model.safetensors")
    assert np.array_equal(found["fingerprint"], estimate(0, 4).fingerprint().values)
    sums = load_file(camera / "sums.safetensors")
    assert sorted(sums) == ["half_products", "half_squares", "products", "squares"]


def test_is_a_model_folder_of_its_own_family(
    camera: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCN_MODELS", str(camera.parent))
    assert find_model("my-camera", None).role is Role.FINGERPRINT
    assert open_fingerprint("my-camera").path == camera
    assert "my-camera" in [folder.name for folder in list_models(None)]
    assert "my-camera" not in [folder.name for folder in list_models()]
    with pytest.raises(ModelError, match="is a sensor fingerprint, not a codec"):
        open_folder(camera)
    with pytest.raises(ModelError, match="is a codec, not a sensor fingerprint"):
        open_fingerprint(tiny_model)
    with pytest.raises(ModelError, match="'dcn forensics prnu fingerprint' makes others"):
        open_fingerprint("no-such-camera")


def test_grows(camera: Path) -> None:
    sums = load_sums(open_fingerprint(camera))
    sums.merge(estimate(4, 7))
    grown = write_fingerprint(camera, sums, "photos, more", "", overwrite=True)
    assert np.allclose(grown.values, estimate(0, 7).fingerprint().values, atol=1e-6)
    assert open_fingerprint(camera).card["photos"] == 7


def test_predictors_go_into_the_card(camera: Path) -> None:
    write_predictor(open_fingerprint(camera), {"window": 33})
    assert open_fingerprint(camera).card["predictor"] == {"window": 33}
    assert "windows of 33 pixels" in (camera / "card.md").read_text()


def test_nothing_else_is_overwritten(camera: Path, tiny_model: Path, tmp_path: Path) -> None:
    sums = estimate(0, 2)
    with pytest.raises(UsageError, match="exists; replace it with --force"):
        write_fingerprint(camera, sums, "", "", overwrite=False)
    with pytest.raises(UsageError, match="is a model; name another folder"):
        write_fingerprint(tiny_model, sums, "", "", overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UsageError, match="holds other files"):
        write_fingerprint(tmp_path / "other", sums, "", "", overwrite=True)
    with pytest.raises(ImageError, match="one photo is all content"):
        write_fingerprint(tmp_path / "new", estimate(0, 1), "", "", overwrite=True)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="the folder's name is the fingerprint's"):
        write_fingerprint(tmp_path / "My Camera", sums, "", "", overwrite=True)


def test_damage_is_told(camera: Path) -> None:
    for name, load in (("model.safetensors", load_fingerprint), ("sums.safetensors", load_sums)):
        content = (camera / name).read_bytes()
        (camera / name).write_bytes(content[:-1] + b"x")
        with pytest.raises(ModelError, match="damaged or replaced"):
            load(open_fingerprint(camera))
        (camera / name).write_bytes(content[:-1])
        with pytest.raises(ModelError, match="damaged or replaced"):
            load(open_fingerprint(camera))
        (camera / name).unlink()
        with pytest.raises(ModelError, match="cannot be read"):
            load(open_fingerprint(camera))
    card = json.loads((camera / "card.json").read_text())
    for key, value in (("photos", 9), ("digests", [1] * 4), ("parts", {}), ("predictor", {})):
        (camera / "card.json").write_text(json.dumps(card | {key: value}))
        with pytest.raises(ModelError, match="damaged card"):
            open_fingerprint(camera)


def test_photos_add_up(photos: Path) -> None:
    Image.fromarray(shot(K, 1)).save(photos / "again.png")
    Image.fromarray(np.full((160, 192, 3), 255, np.uint8)).save(photos / "white.png")
    Image.fromarray(shot(K, 8, content=0)).save(photos / "wall.png")
    counted = []
    for processes in (1, 2):
        estimator = Estimator()
        steps: list[int] = []
        tally = add_photos(
            estimator, photos_in(photos), processes=processes, progress=lambda s=steps: s.append(1)
        )
        assert (tally.counted, tally.flat, len(steps)) == (5, 1, 7)
        repeated, white = tally.remarks()
        assert repeated.endswith("the same photo as one before")
        assert repeated.startswith("1 of 7 photos do not count")
        assert white.endswith("white.png: saturated everywhere")
        counted.append(estimator)
    assert counted[0].digests == counted[1].digests
    assert np.array_equal(counted[0].products, counted[1].products)
    assert np.array_equal(counted[0].halves[1], counted[1].halves[1])


def test_photos_of_another_size(photos: Path) -> None:
    Image.fromarray(shot(gains(1, 160, 160), 0)).save(photos / "z.png")
    for processes in (1, 2):
        with pytest.raises(ImageError, match=r"z\.png: has 160 x 160 pixels"):
            add_photos(Estimator(), photos_in(photos), processes=processes)
    with pytest.raises(UsageError, match="no such folder"):
        photos_in(photos / "missing")


def test_photos_lie_as_the_sensor_did(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = shot(K, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_photo(tmp_path / "turned.png"), photo)
    monkeypatch.setenv("DCN_MODELS", str(tiny_model.parent))
    codec = Codec(tiny_model, device="cpu")
    (tmp_path / "photo.dcn").write_bytes(codec.encode(photo))
    assert read_photo(tmp_path / "photo.dcn").shape == photo.shape
    assert [p.name for p in photos_in(tmp_path)] == ["photo.dcn", "turned.png"]


def test_raw_files(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    pytest.importorskip("colour_demosaicing")
    from dataclasses import replace

    from dcncodec.camera.acquisition import acquire
    from dcncodec.formats.dng import write_dng

    frame = acquire(shot(K, 1), 1)
    write_dng(replace(frame, turns=1), tmp_path / "turned.dng")
    for pipeline in ("standard", "libraw"):
        found = read_photo(tmp_path / "turned.dng", pipeline)
        assert found.shape == (160, 192, 3)
        assert np.corrcoef(found.mean(2).ravel(), shot(K, 1).mean(2).ravel())[0, 1] > 0.9


def test_flat_frames() -> None:
    assert is_flat(shot(K, 0, content=0))
    assert not is_flat(shot(K, 0))
