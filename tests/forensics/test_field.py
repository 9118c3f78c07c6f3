"""The field protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dcncodec.errors import ImageError, TrainingError, UsageError
from dcncodec.forensics import field
from dcncodec.forensics.field import by_paper, draw, implementations, resave, version
from dcncodec.forensics.field_evaluation import evaluate_field
from dcncodec.forensics.folder import open_forensic
from dcncodec.forensics.manipulations import CLASSES, manipulate
from dcncodec.forensics.photos import Photo
from dcncodec.forensics.transmission import Received, Transmission
from dcncodec.metrics import to_bytes, to_unit

Pixels = NDArray[np.uint8]
Maker = Callable[..., Path]


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_in_several_implementations(name: str, photo: Pixels) -> None:
    seen = set()
    for seed in range(12):
        changed, kind = draw(photo, name, np.random.default_rng(seed))
        assert changed.shape == photo.shape
        assert changed.dtype == np.uint8
        assert np.array_equal(changed, photo) == (name == "native")
        seen.add(kind)
    assert (len(seen) > 1) == (name != "native")


def test_a_jpeg_of_the_class_is_below_a_camera_s() -> None:
    qualities = [
        operation.parameters["quality"]
        for operations in implementations("jpeg").values()
        for operation in operations
    ]
    assert max(map(float, qualities)) <= field.JPEG_AT_MOST < field.CAMERA.low


def blockiness(pixels: Pixels) -> list[float]:
    """Mean second difference across columns by column, modulo 8."""
    grey = pixels.astype(float).mean(2)
    steps = np.abs(grey[:, :-3] - 3 * grey[:, 1:-2] + 3 * grey[:, 2:-1] - grey[:, 3:]).mean(0)
    return [float(steps[phase::8].mean()) for phase in range(8)]


def test_where_a_jpeg_begins(photo: Pixels) -> None:
    """At the first pixel, or anywhere."""
    phases = {}
    for aligned in (True, False):
        found = [
            int(
                np.argmax(
                    blockiness(by_paper(photo, "jpeg", np.random.default_rng(s), aligned, 20))
                )
            )
            for s in range(8)
        ]
        phases[aligned] = set(found)
    assert phases[True] == {6}
    assert len(phases[False]) > 3


def test_the_paper_s_operator(photo: Pixels) -> None:
    changed = by_paper(photo, "median", np.random.default_rng(0), strength=3)
    unit = to_unit(torch.from_numpy(photo.copy())).unsqueeze(0)
    assert np.array_equal(changed, to_bytes(manipulate(unit, "median"))[0].numpy())


def test_versions(photo: Pixels) -> None:
    versions = [version(photo, "native", np.random.default_rng(seed)) for seed in range(40)]
    assert {v.history for v in versions} == {True, False}
    for v in versions:
        assert v.aligned == (v.pixels.shape == photo.shape)
        if v.aligned and not v.history:
            assert np.array_equal(v.pixels, photo)
    assert 3 < sum(v.aligned for v in versions) < 20
    same = version(photo, "awgn", np.random.default_rng(5))
    again = version(photo, "awgn", np.random.default_rng(5))
    assert np.array_equal(same.pixels, again.pixels)


def test_pictures_that_are_passed_on(photo: Pixels) -> None:
    assert resave(photo, "resize:0.5").shape == (80, 112, 3)
    assert 0 < np.abs(resave(photo, "jpeg:90").astype(int) - photo).mean() < 5
    assert np.array_equal(resave(photo, "crop:3,5"), photo[3:, 5:])
    assert np.array_equal(resave(photo, "turn:90")[0], photo[::-1, 0])
    assert np.array_equal(resave(photo, "turn:180"), photo[::-1, ::-1])
    assert np.array_equal(resave(photo, "turn:270")[0], photo[:, -1])
    assert np.array_equal(resave(photo, "mirror"), photo[:, ::-1])
    wrong = "jpeg:0", "jpeg:90.5", "resize:9", "crop:3", "crop:-1,0", "crop:1.5,0", "jpeg"
    for how in (*wrong, "resize:nan", "crop:inf,0", "resize:1,1", "turn:45", "turn", "mirror:1"):
        with pytest.raises(UsageError, match="choose jpeg:QF"):
            resave(photo, how)


def test_figures(photo: Pixels, forensic_folder: Maker) -> None:
    classes = ["native", "jpeg", "median"]
    folder = open_forensic(forensic_folder("fan", "jpeg:60", classes=classes))
    outsider = open_forensic(forensic_folder("outsider", classes=classes))
    photos = [Photo(str(i), np.roll(photo, 8 * i, 1)) for i in range(3)]
    found = evaluate_field(folder, photos, "set", draws=2, outsider=outsider)[0]
    figures = json.loads(json.dumps(found.figures()))
    assert figures["versions"] == 3 * 3 * 2
    confusion = np.array(figures["confusion"])
    assert confusion.sum() == figures["patches"]
    shares = confusion.diagonal() / confusion.sum(1)
    assert figures["accuracy"] == pytest.approx(shares.mean(), abs=1e-4)
    assert figures["false_alarms"] == pytest.approx(1 - shares[0], abs=1e-4)
    assert figures["bpp"] > 0.3
    for group in ("by_implementation", "by_grid", "by_history"):
        assert sum(entry["versions"] for entry in figures[group].values()) == 18
    assert figures["outsider"]["name"] == "outsider"
    assert 0 <= figures["outsider"]["false_alarms"] <= 1
    assert found.title == "set, field"
    assert "photos_0.05" not in figures


def test_each_version_is_sent_once_for_all_that_becomes_of_it(
    photo: Pixels, forensic_folder: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_forensic(forensic_folder("fan", "jpeg:60", classes=["native", "median"]))
    photos = [Photo("a", photo)]
    sent: list[Pixels] = []
    send = Transmission.send

    def spy(self: Transmission, pixels: Pixels) -> Received:
        sent.append(pixels)
        return send(self, pixels)

    monkeypatch.setattr(Transmission, "send", spy)
    plain, small = evaluate_field(folder, photos, "set", resaves=("", "resize:0.5"))
    assert len(sent) == 2
    assert small.confusion.sum() < plain.confusion.sum()
    assert small.title == "set, field, then resize:0.5"
    alone = evaluate_field(folder, photos, "set", resaves=("resize:0.5",))[0]
    assert np.array_equal(alone.confusion, small.confusion)
    assert np.array_equal(evaluate_field(folder, photos, "set")[0].confusion, plain.confusion)


def test_a_lossless_channel_has_no_rate(photo: Pixels, forensic_folder: Maker) -> None:
    folder = open_forensic(forensic_folder("f"))
    figures = evaluate_field(folder, [Photo("a", photo)], "s")[0].figures()
    assert not {"bpp", "psnr", "outsider"} & set(figures)


def test_photos_that_cannot_be_judged(photo: Pixels, forensic_folder: Maker) -> None:
    folder = open_forensic(forensic_folder("fan"))
    with pytest.raises(TrainingError, match="no patch of 32 pixels varies enough"):
        evaluate_field(folder, [Photo("flat", np.full_like(photo, 9))], "flat")
    with pytest.raises(ImageError, match=r"narrow: .* too small for a patch"):
        evaluate_field(folder, [Photo("narrow", photo[:, :24])], "narrow")
