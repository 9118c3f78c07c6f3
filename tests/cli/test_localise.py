"""``dcn forensics localise``, ``forge`` and ``evaluate-masks`` as a user runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import Runner
from PIL import Image
from skimage import data
from trace_models import write_trace

from dcncodec.cli import forensics_masks
from dcncodec.forensics.trace.synthesis import KINDS

PHOTO = np.ascontiguousarray(data.astronaut()[:96, 100:220])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("models") / "my-trace", threshold=0.9)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def dcn(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Runner:
    """Runs commands of ``dcn forensics``."""
    return Runner(monkeypatch, capfd, "forensics")


def test_a_map_and_a_heat_map(dcn: Runner, model: Path, photo: Path) -> None:
    targets = photo.parent / "heat.png", photo.parent / "map.npy"
    options = ["--model", model, "--heatmap", targets[0], "--map", targets[1], "--json"]
    code, out, _ = dcn("localise", photo, *options)
    assert code == 0
    record = json.loads(out)
    found = np.load(targets[1])
    assert (found.shape, found.dtype) == ((96, 120), np.float32)
    assert record["score"] == pytest.approx(found.mean(), abs=1e-4)
    assert record["verdict"] == "native"
    with Image.open(targets[0]) as heat:
        assert heat.width == 120
    code, _, err = dcn("localise", photo, *options)
    assert code == 2
    assert "exists" in err
    code, out, _ = dcn("localise", photo, *options[:-1], "--force")
    assert code == 0
    assert "threshold 0.900; false alarms 5%" in out


def test_maps_of_a_folder(dcn: Runner, model: Path, photo: Path, tmp_path: Path) -> None:
    Image.fromarray(PHOTO[::-1].copy()).save(tmp_path / "other.png")
    maps = tmp_path / "maps"
    code, out, _ = dcn("localise", tmp_path, "--model", model, "--map", maps)
    assert code == 0
    assert len(out.splitlines()) == 2
    assert sorted(file.name for file in maps.iterdir()) == ["other.npy", "photo.npy"]
    (maps / "other.npy").unlink()
    code, out, err = dcn("localise", tmp_path, "--model", model, "--map", maps)
    assert code == 1
    assert "photo.npy" in err
    assert [line.split(":")[0] for line in out.splitlines()] == [str(tmp_path / "other.png")]


def test_maps_of_photos_of_the_same_name(
    dcn: Runner, model: Path, photo: Path, tmp_path: Path
) -> None:
    """The second does not replace the first, which is of another photo."""
    (tmp_path / "more").mkdir()
    Image.fromarray(PHOTO[::-1, :100].copy()).save(tmp_path / "more" / "photo.png")
    maps = tmp_path / "maps"
    options = ("--model", model, "--map", maps, "--force")
    code, out, err = dcn("localise", photo, tmp_path / "more" / "photo.png", *options)
    assert (code, len(out.splitlines())) == (1, 1)
    assert "photo.npy: another input of this run has that output" in err
    assert np.load(maps / "photo.npy").shape == (96, 120)


def test_what_a_map_leaves_out_of_a_picture_is_told(dcn: Runner, model: Path, photo: Path) -> None:
    Image.fromarray(PHOTO).convert("RGBA").save(photo)
    with Image.open(photo) as picture:
        picture.putalpha(77)
        picture.save(photo)
    code, out, err = dcn("localise", photo, "--model", model, "--json")
    assert (code, err) == (0, f"dcn: warning: {photo}: its transparency is left out\n")
    assert json.loads(out)["warnings"] == [f"{photo}: its transparency is left out"]


def test_the_bundled_network_is_asked_where_no_other_is_named(dcn: Runner, photo: Path) -> None:
    code, out, _ = dcn("localise", photo, "--json")
    assert code == 0
    record = json.loads(out)
    assert (record["model"], record["false_alarm"]) == ("trace-8", 0.05)
    assert record["verdict"] in {"native", "manipulated"}


def test_a_drawing_is_said_to_be_no_photo(dcn: Runner, model: Path, photo: Path) -> None:
    """All the same it has a map; photos have no such line."""
    drawn = PHOTO.copy()
    drawn[:, :, 0] = drawn[0, :, 0]
    drawn[:, :, 1:] = 255
    Image.fromarray(drawn).save(photo)
    code, out, err = dcn("localise", photo, "--model", model)
    assert (code, err.count("\n")) == (0, 1)
    assert "photo.png: is no photo (99% of its pixels repeat others)" in err
    assert "photo.png: native" in out
    Image.fromarray(PHOTO).save(photo)
    code, _, err = dcn("localise", photo, "--model", model)
    assert (code, err) == (0, "")


def test_what_cannot_be_localised(dcn: Runner, model: Path, photo: Path, tmp_path: Path) -> None:
    Image.new("RGB", (63, 70)).save(tmp_path / "small.png")
    for arguments, code, text in (
        (
            [tmp_path / "small.png", "--model", model],
            1,
            "small.png: 63 x 70 pixels: a map needs 64",
        ),
        ([photo, "--model", "dcn-16c"], 1, "dcn-16c: no such localising network"),
        ([photo, "--model", model, "--map", tmp_path / "m.png"], 2, "is to be a .npy file"),
        ([photo, "--model", model, "--map", photo], 2, "photo.png"),
        ([photo, "--model", model, "--map", "-"], 2, "name a .npy file"),
    ):
        found, out, err = dcn("localise", *arguments)
        assert (found, out) == (code, "")
        assert text in err
        assert err.count("\n") == 1
    assert (np.asarray(Image.open(photo)) == PHOTO).all()


def test_forge_and_evaluate(dcn: Runner, model: Path, photo: Path, tmp_path: Path) -> None:
    Image.fromarray(PHOTO[::-1].copy()).save(tmp_path / "other.png")
    forged = tmp_path / "forged"
    arguments = ["forge", tmp_path, "-o", forged, "--kinds", "splice,enhance", "--seed", "3"]
    code, out, _ = dcn(*arguments)
    assert (code, out) == (0, f"{forged}: 4 forgeries\n")
    code, _, err = dcn(*arguments)
    assert code == 1
    assert "holds forgeries already" in err
    code, out, _ = dcn(*arguments, "--force", "--json")
    assert [json.loads(line)["kind"] for line in out.splitlines()] == ["splice", "enhance"] * 2
    report = tmp_path / "report"
    options = ["--data", forged, "--clean", tmp_path, "--report", report, "--limit", "2"]
    code, out, _ = dcn("evaluate-masks", model, *options, "--update-card", "forged")
    assert code == 0
    assert "pixel AUC" in out
    assert "clean ones accused" in out
    (result,) = json.loads((report / "results.json").read_text())
    assert result["kinds"].keys() == {"enhance", "splice", "all"}
    assert "Manipulated parts" in (report / "report.html").read_text()
    card = json.loads((model / "card.json").read_text())
    assert card["results"]["forged"]["auc_all"] == result["kinds"]["all"]["auc"]
    copy = tmp_path / "copy" / model.name
    shutil.copytree(model, copy)
    code, out, err = dcn("evaluate-masks", model, copy, "--data", forged)
    doubt = f"dcn: {model.name}: two models have this name; measure them one by one\n"
    assert (code, out, err) == (2, "", doubt)


def test_cards_of_fans_keep_no_results_of_masks(dcn: Runner, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(data.astronaut()[:160, 100:260]).save(tmp_path / "photos" / "photo.png")
    forged = tmp_path / "forged"
    assert dcn("forge", tmp_path / "photos", "-o", forged, "--kinds", "removal").code == 0
    options = ("--data", forged, "--update-card", "forged", "--json")
    code, out, err = dcn("evaluate-masks", "fan-spectral", *options)
    doubt = "fan-spectral: is no localising network; its card keeps no such results"
    assert (code, err) == (0, f"dcn: warning: {doubt}\n")
    assert json.loads(out)["warnings"] == [doubt]


def test_what_cannot_be_forged(dcn: Runner, photo: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, text in (
        ([empty, "-o", tmp_path / "f"], "holds no photos"),
        ([tmp_path / "none", "-o", tmp_path / "f"], "no such folder"),
        ([tmp_path, "-o", tmp_path / "f"], "a splice needs another one"),
        ([tmp_path, "-o", tmp_path, "--kinds", "removal"], "is the folder of the photos"),
        ([tmp_path, "-o", tmp_path / "f", "--kinds", "magic"], "--kinds magic: choose of splice"),
    ):
        code, _, err = dcn("forge", *arguments)
        assert code == 2
        assert err.count("\n") == 1
        assert text in err
    small = tmp_path / "small"
    small.mkdir()
    Image.fromarray(PHOTO[:60, :80]).save(small / "small.png")
    code, _, err = dcn("forge", small, "-o", tmp_path / "f", "--kinds", "removal")
    assert (code, "80 x 60 pixels; 64 are needed" in err) == (1, True)
    assert not (tmp_path / "f").exists()


def test_forging_replaces_nothing_unasked(dcn: Runner, photo: Path, tmp_path: Path) -> None:
    forged = tmp_path / "forged"
    arguments = ["forge", tmp_path, "-o", forged, "--kinds", "removal"]
    (forged / "masks").mkdir(parents=True)
    for there in (forged / "photo-removal.png", forged / "masks" / "photo-removal.png"):
        there.write_text("mine")
        code, _, err = dcn(*arguments)
        assert (code, err) == (
            1,
            f"dcn: {forged}: holds forgeries already; use --force, or name another folder\n",
        )
        assert there.read_text() == "mine"
        there.unlink()
    masks = tmp_path / "set" / "masks"
    masks.mkdir(parents=True)
    Image.fromarray(PHOTO).save(masks / "photo.png")
    code, _, err = dcn("forge", masks, "-o", masks.parent, "--kinds", "removal", "--force")
    assert (code, "is the folder of the photos" in err) == (2, True)
    assert [file.name for file in masks.iterdir()] == ["photo.png"]


def test_photos_whose_forgeries_would_have_one_name(
    dcn: Runner, photo: Path, tmp_path: Path
) -> None:
    Image.fromarray(PHOTO[::-1].copy()).save(tmp_path / "photo.bmp")
    code, _, err = dcn("forge", tmp_path, "-o", tmp_path / "f", "--kinds", "splice")
    assert code == 2
    expected = f"{photo}: would give photo-splice.png as {tmp_path / 'photo.bmp'} does; rename one"
    assert err == f"dcn: {expected}\n"
    assert not (tmp_path / "f").exists()


def test_calibrate(dcn: Runner, tmp_path: Path) -> None:
    model = write_trace(tmp_path / "my-trace")
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(2):
        Image.fromarray(PHOTO[:, i:]).save(photos / f"{i}.png")
    code, out, err = dcn("calibrate", model, "--data", photos)
    assert code == 0
    doubt = "my-trace: 4 untouched versions tell no share of false alarms; give more photos"
    assert err == f"dcn: warning: {doubt}\n"
    card = json.loads((model / "card.json").read_text())
    assert out == f"my-trace: threshold {card['threshold']:.4f}, false alarms 5%\n"
    assert card["false_alarm"] == 0.05


def test_the_kinds_of_forgeries_are_the_commands() -> None:
    assert forensics_masks.KINDS == KINDS
