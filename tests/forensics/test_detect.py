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
from dcncodec.forensics.dense import Cells
from dcncodec.forensics.detect import Detection, FanJudge, detect, open_photo
from dcncodec.forensics.folder import ForensicFolder, open_forensic
from dcncodec.forensics.judge import heat_map
from dcncodec.forensics.verdict import Verdict
from dcncodec.notices import Notice

Pixels = NDArray[np.uint8]
Maker = Callable[..., Path]


def open_file(path: Path, fan: str | None) -> tuple[Pixels, ForensicFolder]:
    return open_photo(path.read_bytes(), str(path), fan)


@pytest.fixture
def compressed(tmp_path: Path, photo: Pixels, tiny_model: Path) -> Path:
    (tmp_path / "photo.dcn").write_bytes(Codec(tiny_model, device="cpu").encode(photo))
    return tmp_path / "photo.dcn"


VERDICT = {
    "thresholds": {"0.01": {"whole": 50.0, "part": 50.0}, "0.05": {"whole": -50.0, "part": 50.0}},
    "clear": 0.0,
    "temperature": 2.0,
    "pooling": {"weights": [[0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0]], "bias": [0, 0]},
}
"""By the medians."""


def test_a_verdict_and_what_it_rests_on(photo: Pixels, forensic_folder: Maker) -> None:
    recipe = {"grid": "random", "history": "88-100", "implementations": "field", "batch": 4}
    folder = open_forensic(forensic_folder("fan", verdict=VERDICT, recipe=recipe))
    found = detect(photo, folder)
    assert found.verdict is not None
    assert (found.verdict.answer, found.verdict.extent) == ("manipulated", "whole")
    record = json.loads(json.dumps(found.as_dict()))
    assert record["class"] == "gaussian"
    assert record["false_alarm"] == 0.05
    del recipe["batch"]
    assert record["trained"] == recipe
    assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert sum(record["shares"].values()) == pytest.approx(1, abs=1e-3)
    assert np.array(record["map"]["answers"]).shape == (10, 14)
    assert record["map"]["answers"][0][0] == -1
    strict = detect(photo, folder, 0.01)
    assert strict.verdict is not None
    assert strict.verdict.answer != "manipulated"
    with pytest.raises(ImageError, match="too small for a patch"):
        detect(photo[:20], folder)


def test_without_a_calibration_nothing_is_decided(photo: Pixels, forensic_folder: Maker) -> None:
    found = detect(photo, open_forensic(forensic_folder("fan")))
    assert found.verdict == Verdict("undecided")
    assert found.false_alarm is None
    assert found.as_dict()["judged"] is True


def test_a_fan_without_native_photos(photo: Pixels, forensic_folder: Maker) -> None:
    folder = open_forensic(forensic_folder("fan", classes=["jpeg", "median"]))
    with pytest.raises(ModelError, match="does not know the class native"):
        detect(photo, folder)


def test_a_calibration_of_earlier_scores(photo: Pixels, forensic_folder: Maker) -> None:
    """Its thresholds say nothing of the present ones."""
    pairs = {"0.01": [50.0, 50.0], "0.05": [-50.0, 50.0]}
    folder = open_forensic(forensic_folder("fan", verdict={**VERDICT, "thresholds": pairs}))
    assert folder.calibration is None
    assert detect(photo, folder).verdict == Verdict("undecided")


def test_a_damaged_calibration(forensic_folder: Maker) -> None:
    with pytest.raises(ModelError, match="damaged card"):
        open_forensic(forensic_folder("fan", verdict={"thresholds": []}))


def test_flat_photos_cannot_be_judged(forensic_folder: Maker) -> None:
    folder = open_forensic(forensic_folder("fan", verdict=VERDICT))
    flat = np.full((70, 70, 3), 255, np.uint8)
    found = detect(flat, folder)
    assert found.verdict is None
    record = found.as_dict()
    assert record["verdict"] is record["class"] is record["scores"] is None
    assert record["judged"] is False
    assert (found.answers == -1).all()
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
    notices: list[Notice] = []
    pixels, folder = open_photo(plain.read_bytes(), "p", str(other), notify=notices.append)
    assert (folder.name, pixels.shape) == ("other", photo.shape)
    assert ["not verified" in str(notice) for notice in notices] == [True]
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


def test_heat_map(photo: Pixels, forensic_folder: Maker) -> None:
    """Tinted where the answer is a manipulation, grey elsewhere."""
    logits = torch.zeros(2, 10, 14)
    logits[0], logits[1, :5, 7:] = 4.0, 20.0
    varied = torch.ones(10, 14, dtype=torch.bool)
    varied[0] = False
    cells = Cells(logits.log_softmax(0), varied)
    found = Detection("fan", ("native", "jpeg"), cells, None, None, None, {}, {})
    image = np.asarray(Image.open(io.BytesIO(heat_map(photo, found))))
    assert image.shape[0] > 160
    assert image.shape[1] == 224
    tinted = image[:160].std(2) > 1
    assert tinted[16:80, 112:].mean() > 0.9
    assert not tinted[:16].any()
    assert not tinted[80:].any()
    assert not tinted[:, :112].any()


def test_a_fan_is_a_judge_of_every_pixel(photo: Pixels, forensic_folder: Maker) -> None:
    judge = FanJudge(open_forensic(forensic_folder("fan")))
    finished: list[int] = []
    found = judge.judge(photo, finished.append)
    assert (judge.name, finished) == ("fan", [160 * 224])
    probable = found.manipulated(160, 224)
    assert (probable.shape, probable.dtype) == ((160, 224), np.float32)
    native = found.cells.logs[found.classes.index("native")].exp()
    varied = found.cells.varied
    assert probable[8, 8] == pytest.approx(float((1 - native[0, 0]) * varied[0, 0]), abs=1e-6)
    assert probable[-1, -1] == pytest.approx(float((1 - native[-1, -1]) * varied[-1, -1]), abs=1e-6)
