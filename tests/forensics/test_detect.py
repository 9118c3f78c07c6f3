"""Detection in photos and .dcn files."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from dcncodec.codec import Codec
from dcncodec.errors import ImageError, ModelError, UsageError
from dcncodec.forensics.detect import Detection, Patch, detect, heat_map, open_photo
from dcncodec.forensics.folder import ForensicFolder, open_forensic
from dcncodec.metrics import to_unit

Pixels = NDArray[np.uint8]
Maker = Callable[..., Path]


def open_file(path: Path, fan: str | None) -> tuple[Pixels, ForensicFolder]:
    return open_photo(path.read_bytes(), str(path), fan)


@pytest.fixture
def compressed(tmp_path: Path, photo: Pixels, tiny_model: Path) -> Path:
    (tmp_path / "photo.dcn").write_bytes(Codec(tiny_model, device="cpu").encode(photo))
    return tmp_path / "photo.dcn"


def test_patches_and_the_photo(photo: Pixels, forensic_folder: Maker) -> None:
    folder = open_forensic(forensic_folder("fan"))
    found = detect(photo, folder)
    assert [(p.top, p.left) for p in found.patches[:2]] == [(0, 0), (0, 32)]
    assert len(found.patches) == 35
    assert found.as_dict()["judged"] is True
    assert found.patches[0].flat
    patch = to_unit(torch.from_numpy(photo[32:64, 64:96].copy())).unsqueeze(0)
    expected = folder.load_fan()(patch).softmax(1)[0]
    assert list(found.patches[9].probabilities.values()) == pytest.approx(expected.tolist())
    for probabilities in (found.probabilities, *(p.probabilities for p in found.patches)):
        assert sum(probabilities.values()) == pytest.approx(1)
    logs = [
        [np.log(max(p.probabilities[name], 1e-30)) for name in folder.classes]
        for p in found.patches
        if not p.flat
    ]
    assert found.answer == folder.classes[int(np.mean(logs, 0).argmax())]
    record = json.loads(json.dumps(found.as_dict()))
    assert record["class"] == found.answer
    assert record["patches"][0]["flat"] is True
    with pytest.raises(ImageError, match="too small for a patch"):
        detect(photo[:20], folder)


def test_all_of_a_photo_is_covered(photo: Pixels, forensic_folder: Maker) -> None:
    folder = open_forensic(forensic_folder("fan"))
    part = photo[:107, :131]
    found = detect(part, folder)
    covered = np.zeros(part.shape[:2], bool)
    for patch in found.patches:
        assert part[patch.top : patch.top + 32, patch.left : patch.left + 32].shape == (32, 32, 3)
        covered[patch.top : patch.top + 32, patch.left : patch.left + 32] = True
    assert covered.all()
    assert len(found.patches) == 4 * 5


def test_flat_photos_cannot_be_judged(forensic_folder: Maker) -> None:
    folder = open_forensic(forensic_folder("fan"))
    flat = np.full((70, 70, 3), 255, np.uint8)
    found = detect(flat, folder)
    assert found.answer is None
    assert found.as_dict()["class"] is None
    assert found.as_dict()["judged"] is False
    assert all(patch.flat for patch in found.patches)
    image = np.asarray(Image.open(io.BytesIO(heat_map(flat, found))))
    assert (image[:70] == 255).all()


def test_the_fan_that_knows_the_codec(
    compressed: Path,
    photo: Pixels,
    forensic_folder: Maker,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = forensic_folder("tiny-fan", "dcn")
    monkeypatch.setenv("DCN_MODELS", f"{folder.parent}:{tiny_model.parent}")
    pixels, found = open_file(compressed, None)
    assert found.name == "tiny-fan"
    assert np.array_equal(pixels, Codec(tiny_model).decode(compressed.read_bytes()).pixels)
    pixels, found = open_file(compressed, str(folder))
    assert found.path == folder


def test_a_fan_that_does_not_match(
    compressed: Path, tmp_path: Path, photo: Pixels, forensic_folder: Maker
) -> None:
    other = forensic_folder("other", "dcn", codec={"name": "other", "sha256": "ab" * 32})
    for fan in (other, forensic_folder("jpeg", "jpeg:50")):
        with pytest.raises(ModelError, match="does not match its codec"):
            open_file(compressed, str(fan))
    with pytest.raises(ModelError, match="no installed FAN was trained on the codec"):
        open_file(compressed, None)
    plain = tmp_path / "photo.png"
    Image.fromarray(photo).save(plain)
    with pytest.raises(UsageError, match="say with --fan which FAN"):
        open_file(plain, None)
    with pytest.raises(ModelError, match="knows those only"):
        open_file(plain, str(other))
    pixels, _ = open_file(plain, str(forensic_folder("plain")))
    assert np.array_equal(pixels, photo)


def test_a_codec_and_a_fan_of_down_sampled_photos(
    compressed: Path, forensic_folder: Maker, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only who asks for it knows that the photo was halved before."""
    small = forensic_folder("small", "dcn", downsample=True)
    monkeypatch.setenv("DCN_MODELS", f"{small.parent}:{tiny_model.parent}")
    _, folder = open_file(compressed, str(small))
    assert folder.downsample
    with pytest.raises(ModelError, match="no installed FAN was trained on the codec"):
        open_file(compressed, None)


def test_heat_map(photo: Pixels) -> None:
    sure = {"native": 0.0, "jpeg": 1.0}
    native = {"native": 1.0, "jpeg": 0.0}
    patches = [
        Patch(0, 0, native, flat=False),
        Patch(0, 80, sure, flat=False),
        Patch(80, 0, sure, flat=True),
    ]
    picture = heat_map(photo, Detection("fan", 80, patches, sure))
    image = np.asarray(Image.open(io.BytesIO(picture)))
    assert image.shape[0] > 160
    assert image.shape[1] == 224
    tinted = image[:160].std(2) > 1
    assert tinted[:80, 80:160].mean() > 0.9
    assert not tinted[:80, :80].any()
    assert not tinted[80:].any()
