"""``dcn forensics`` as a user runs it."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Runner
from PIL import Image
from safetensors.torch import save
from skimage import data

from dcncodec.codec import Codec
from dcncodec.models.fan import ConvolutionalFAN
from dcncodec.models.registry import open_folder


@pytest.fixture
def dcn(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Runner:
    """Runs commands of ``dcn forensics``."""
    return Runner(monkeypatch, capfd, "forensics")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(2):
        Image.fromarray(data.astronaut()[:144, 100 * i : 100 * i + 160]).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def fan(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A FAN with random weights, trained on nothing, behind the tiny codec."""
    folder = tmp_path / "models" / "tiny-fan"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    content = save({k: v.half().contiguous() for k, v in ConvolutionalFAN(2).state_dict().items()})
    (folder / "fan.safetensors").write_bytes(content)
    model = open_folder(tiny_model)
    card = {
        "name": "tiny-fan",
        "classes": ["native", "median"],
        "channel": "dcn",
        "downsample": False,
        "codec": {"name": model.name, "sha256": model.sha256},
        "trainable": [],
        "init": "tiny",
        "patch": 64,
        "nip": None,
        "recipe": {"fan": ""},
        "seed": 0,
        "data": [],
        "steps": 0,
        "seconds": 0.0,
        "results": {},
        "curve": [],
        "fan_sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "forensic.json").write_text(json.dumps(card))
    monkeypatch.setenv("DCN_MODELS", f"{folder.parent}:{tiny_model.parent}")
    return folder


def test_list(fan: Path, dcn: Runner) -> None:
    code, text, error = dcn("list")
    assert code == 0, error
    line = next(line for line in text.splitlines() if line.startswith("tiny-fan "))
    assert line.split() == ["tiny-fan", "dcn", "(tiny)", "native,median", "(not", "calibrated)"]
    _, text, _ = dcn("list", "--json")
    cards = {card["name"]: card for card in map(json.loads, text.splitlines())}
    card = json.loads((fan / "forensic.json").read_text())
    assert cards["tiny-fan"] == card | {"warnings": []}


def test_show(fan: Path, dcn: Runner) -> None:
    code, text, error = dcn("show", "tiny-fan")  # a folder without the readable card
    assert code == 0, error
    assert json.loads(text)["name"] == "tiny-fan"
    (fan / "forensic.md").write_text("# tiny-fan")
    assert dcn("show", fan)[1] == "# tiny-fan\n"
    assert json.loads(dcn("show", "tiny-fan", "--json")[1])["patch"] == 64


def test_evaluate(tmp_path: Path, photos: Path, fan: Path, dcn: Runner) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    code, text, error = dcn("evaluate", "tiny-fan", "--data", photos, "-o", out, "--update-card")
    assert code == 0, error
    assert "tiny-fan on photos: accuracy " in text
    (result,) = json.loads((out / "results.json").read_text())
    assert 0 < result["patches"] <= 8
    assert sum(map(sum, result["confusion"])) == 2 * result["patches"]
    assert result["bpp"] > 0
    card = json.loads((fan / "forensic.json").read_text())
    assert card["results"]["photos"]["accuracy"] == result["accuracy"]
    assert "## Confusion on photos, % of each true class" in (fan / "forensic.md").read_text()
    page = (out / "report.html").read_text()
    for title in ("Confusion", "Trade-off", "Attenuation of frequencies"):
        assert f"<h2>{title}</h2>" in page
    assert "http:" not in page.split("base64")[0]
    code, text, error = dcn("evaluate", fan, "--data", photos, "--limit", "1", "--json", "-o", out)
    assert code == 0, error
    assert 0 < json.loads(text)[0]["patches"] < result["patches"]


def test_a_tuned_codec_beside_its_base(
    tmp_path: Path, photos: Path, fan: Path, tiny_model: Path, dcn: Runner
) -> None:
    pytest.importorskip("matplotlib")
    for name in ("model.safetensors", "card.json"):
        (fan / name).write_bytes((tiny_model / name).read_bytes())
    card = json.loads((fan / "forensic.json").read_text())
    # Of tuning upon tuning the first is what counts.
    changes = {"trainable": ["dcn"], "init": "tiny-fan", "untuned": "tiny"}
    (fan / "forensic.json").write_text(json.dumps(card | changes))
    second = tmp_path / "more"
    second.mkdir()
    Image.fromarray(data.astronaut()[200:344, 200:360]).save(second / "x.png")
    out = tmp_path / "out"
    code, _, error = dcn("evaluate", fan, "--data", photos, "--data", second, "-o", out)
    assert code == 0, error
    page = (out / "report.html").read_text()
    assert "<h2>SSIM change of tiny-fan</h2>" in page
    assert "<h2>A photo through tiny-fan</h2>" in page
    assert "<h2>Transfer</h2>" in page


def test_folders_of_the_same_name(tmp_path: Path, photos: Path, fan: Path, dcn: Runner) -> None:
    """And a tuned codec without the one it began with."""
    pytest.importorskip("matplotlib")
    card = json.loads((fan / "forensic.json").read_text())
    changes = {"trainable": ["dcn"], "init": "gone"}
    (fan / "forensic.json").write_text(json.dumps(card | changes))
    sets = [tmp_path / name / "val" for name in ("native", "mixed")]
    for folder in sets:
        shutil.copytree(photos, folder)
    out = tmp_path / "out"
    arguments = ("evaluate", fan, "--data", sets[0], "--data", sets[1], "--limit", "1", "-o", out)
    code, _, error = dcn(*arguments)
    assert code == 0, error
    results = json.loads((out / "results.json").read_text())
    assert [result["data"] for result in results] == ["native/val", "mixed/val"]
    assert "no SSIM change of tiny-fan drawn: gone: no such model" in error
    assert "<h2>Transfer</h2>" in (out / "report.html").read_text()
    code, _, error = dcn("evaluate", fan, "--data", photos, "--data", photos, "-o", out)
    assert code == 2
    assert "names a folder twice" in error
    (fan / "forensic.json").write_text(json.dumps(card | changes | {"init": "tiny-fan"}))
    code, _, error = dcn("evaluate", fan, "--data", photos, "--limit", "1", "-o", out)
    assert code == 0, error
    assert "no SSIM change of tiny-fan drawn: it began with an earlier tiny-fan" in error


def test_rates_beside_a_codec_that_has_none(
    tmp_path: Path, photos: Path, fan: Path, rated: Path, dcn: Runner
) -> None:
    arguments = ("--data", photos, "--limit", "1", "--rate", "60", "--rate", "90")
    arguments += ("--json", "-o", tmp_path / "out")
    code, _, error = dcn("evaluate", fan, *arguments)
    assert code == 2
    assert "--rate: tiny-fan stands behind one rate only" in error
    many = tmp_path / "many"
    shutil.copytree(rated, many)
    shutil.copy(fan / "fan.safetensors", many)
    card = json.loads((fan / "forensic.json").read_text())
    codec = {"name": "many", "sha256": open_folder(many).sha256}
    changes = {"name": "many", "codec": codec, "rates": [50, 80]}
    (many / "forensic.json").write_text(json.dumps(card | changes))
    code, text, error = dcn("evaluate", fan, many, *arguments)
    assert code == 0, error
    assert "many has seen rates 50 to 80, not 90" in error
    names = [(found["name"], found["data"]) for found in json.loads(text)]
    assert names == [
        ("tiny-fan", "photos"),
        ("many", "photos, rate 60"),
        ("many", "photos, rate 90"),
    ]
    assert not (tmp_path / "out" / "transfer.svg").exists()
    assert (tmp_path / "out" / "trade-off.svg").exists()


def test_detect(tmp_path: Path, photos: Path, fan: Path, tiny_model: Path, dcn: Runner) -> None:
    pixels = data.astronaut()[:144, :160]
    photo = tmp_path / "photo.dcn"
    photo.write_bytes(Codec(tiny_model, device="cpu").encode(pixels))
    code, text, error = dcn("detect", photo, "--heatmap", tmp_path / "map.png")
    assert code == 0, error
    assert "undecided, " in text
    assert "; not calibrated, see dcn forensics calibrate (by tiny-fan); places: " in text
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.size[0] == 160
    code, text, _ = dcn("detect", photo, "--json")
    record = json.loads(text)
    assert code == 0
    assert record["photo"] == str(photo)
    assert record["verdict"] == "undecided"
    assert record["judged"] is True
    assert len(record["map"]["answers"]) == 9
    for name in ("map.jpg", "photo.dcn"):
        code, _, error = dcn("detect", photo, "--heatmap", tmp_path / name, "-f")
        assert code == 2
        assert "a heat map is a .png file" in error
    code, _, error = dcn("detect", photo, "--heatmap", tmp_path / "map.png")
    assert code == 2
    assert "map.png" in error
    code, _, error = dcn("detect", photos / "0.png")
    assert code == 2
    assert error.startswith("dcn: ")
    assert len(error.splitlines()) == 1


def test_detect_in_several_photos(
    tmp_path: Path,
    photos: Path,
    fan: Path,
    dcn: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = json.loads((fan / "forensic.json").read_text())
    (fan / "forensic.json").write_text(json.dumps(card | {"channel": "none", "codec": None}))
    (photos / "sub").mkdir()
    flat = Image.new("RGB", (80, 70), "white")
    flat.save(photos / "sub" / "flat.png")
    (photos / "notes.txt").touch()
    code, text, error = dcn("detect", "--fan", fan, photos, "--heatmap", tmp_path / "maps")
    assert code == 0, error
    assert len(text.splitlines()) == 2
    assert error == "dcn: warning: 2 files skipped (.txt 1, folders 1)\n"
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {"0.png", "1.png"}
    code, text, error = dcn("detect", "--fan", fan, "-r", "-q", "--json", photos, "nothing.png")
    assert code == 1
    assert "nothing.png: no such file" in error
    assert "skipped" not in error
    records = [json.loads(line) for line in text.splitlines()]
    assert "nothing.png: no such file" in records[0]["error"]
    assert [record["judged"] for record in records[1:]] == [True, True, False]
    assert records[3]["class"] is None
    stream = io.BytesIO()
    flat.save(stream, "PNG")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stream.getvalue())))
    code, text, error = dcn("detect", "--fan", fan, "-")
    assert code == 0, error
    assert text.startswith("standard input: cannot be judged, it is flat (by tiny-fan)")


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["evaluate", "absent", "--data", "."], 1, "absent: no such forensic network"),
        (["evaluate", "tiny-fan", "--data", "nowhere"], 2, "nowhere: no such folder"),
        (["detect", "nothing.dcn"], 2, "nothing.dcn: no such file"),
    ],
)
def test_bad_input(fan: Path, dcn: Runner, arguments: list[str], code: int, expected: str) -> None:
    found, _, error = dcn(*arguments)
    assert found == code
    assert expected in error
    assert "Traceback" not in error


def with_entries(fan: Path, **entries: object) -> None:
    card = json.loads((fan / "forensic.json").read_text())
    (fan / "forensic.json").write_text(json.dumps(card | entries))


def test_calibrated_verdicts(tmp_path: Path, photos: Path, fan: Path, dcn: Runner) -> None:
    with_entries(fan, channel="none", codec=None)
    code, text, error = dcn("detect", photos / "0.png", "--fan", fan)
    assert code == 0, error
    assert "undecided, " in text
    assert "; not calibrated, see dcn forensics calibrate (by tiny-fan); places: " in text
    code, text, error = dcn("calibrate", fan, "--data", photos, "--json")
    assert code == 0, error
    record = json.loads(text)
    assert (record["photos"], record["part"], record["first"]) == (1, "tune", "0.png")
    card = json.loads((fan / "forensic.json").read_text())
    assert card["verdict"] | {"name": record["name"], "warnings": record["warnings"]} == record
    assert record["warnings"] == [
        "tiny-fan: 6 untouched versions tell no share of false alarms; give more photos"
    ]
    assert error == f"dcn: warning: {record['warnings'][0]}\n"
    assert "## Verdicts" in (fan / "forensic.md").read_text()
    for rate in ("0.01", "0.05"):
        code, text, error = dcn("detect", photos, "--fan", fan, "--false-alarm", rate)
        assert code == 0, error
        assert f"false alarms {float(rate):.0%} (by tiny-fan)" in text
    code, _, error = dcn("detect", photos, "--fan", fan, "--false-alarm", "0.5")
    assert code == 2
    assert "0.5" in error
    out = tmp_path / "out"
    arguments = ("evaluate", fan, "--data", photos, "--part", "report", "-o", out)
    code, text, error = dcn(*arguments, "--protocol", "field", "--json", "--update-card")
    assert code == 0, error
    (found,) = json.loads(text)
    assert found["data"] == "photos (report), field"
    assert set(found["photos_0.05"]) >= {"false_alarms", "detected", "told"}
    assert "<h2>Implementations, accuracy in %</h2>" in (out / "report.html").read_text()
    results = json.loads((fan / "forensic.json").read_text())["results"]
    assert results["photos (report), field"]["first"] == "1.png"


def test_two_fans_of_one_name(tmp_path: Path, photos: Path, fan: Path, dcn: Runner) -> None:
    """Their plots and tables would run into each other."""
    copy = tmp_path / "copy" / fan.name
    shutil.copytree(fan, copy)
    out = tmp_path / "o"
    code, _, error = dcn("evaluate", fan, copy, "--data", photos, "-o", out)
    assert code == 2
    assert error == f"dcn: {fan.name}: two models have this name; measure them one by one\n"
    assert not out.exists()


def test_conditions_of_the_paper_s_protocol(
    tmp_path: Path, photos: Path, fan: Path, dcn: Runner
) -> None:
    """The first is the protocol as ever, to the last digit."""
    arguments = ("evaluate", fan, "--data", photos, "--limit", "1", "--json", "-o", tmp_path / "o")
    plain = json.loads(dcn(*arguments)[1])
    code, text, error = dcn(*arguments, "--grid", "0,0", "--grid", "3,5", "--history", "none")
    assert code == 0, error
    first, second = json.loads(text)
    assert [first] == plain
    assert second["data"] == "photos, grid 3,5, history none"
    assert second["bpp"] != first["bpp"]
    for option, value, words in (
        ("--grid", "9,0", "choose DY,DX"),
        ("--history", "0", "choose none, or a JPEG quality"),
        ("--draws", "2", "--draws belongs to --protocol field"),
        ("--resave", "jpeg:90", "--resave belongs to --protocol field"),
    ):
        code, _, error = dcn(*arguments, option, value)
        assert code == 2
        assert words in error
    code, _, error = dcn(*arguments, "--protocol", "field", "--outsider", fan)
    assert code == 2
    assert "--outsider tiny-fan: has a channel" in error


def test_lattices_and_qualities(tmp_path: Path, photos: Path, fan: Path, dcn: Runner) -> None:
    out = tmp_path / "out"
    arguments = ("evaluate", fan, "--data", photos, "--protocol", "wifs2020", "--limit", "1")
    code, _, error = dcn(*arguments, "-o", out)
    assert code == 2
    assert "does not know the class jpeg" in error
    with_entries(fan, classes=["native", "jpeg"])
    code, text, error = dcn(*arguments, "-o", out, "--json")
    assert code == 0, error
    (found,) = json.loads(text)
    assert list(found["by_quality"]["aligned"]) == ["50", "60", "70", "80", "90", "99"]
    assert set(found["by_cut"]) == {"aligned", "random"}
    page = (out / "report.html").read_text()
    assert "A: accuracy over the lattice" in page
    assert "<h2>JPEGs told by quality</h2>" in page


def test_a_class_of_which_no_patch_varies(
    tmp_path: Path, photos: Path, fan: Path, dcn: Runner
) -> None:
    """Noise that shows enough, and is gone behind a median filter."""
    with_entries(fan, channel="none", codec=None)
    noise = np.random.default_rng(0).normal(128, 22, (144, 160, 3)).clip(0, 255)
    for photo in photos.iterdir():
        Image.fromarray(noise.astype(np.uint8)).save(photo)
    arguments = ("evaluate", fan, "--data", photos, "--protocol", "field", "--update-card")
    code, _, error = dcn(*arguments, "-o", tmp_path / "out")
    assert (code, error) == (0, "")
    (result,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert result["confusion"][1] == [0, 0]
    assert "| median | 0 | 0 |" in (fan / "forensic.md").read_text()


@pytest.mark.parametrize(
    "entries", [{"recipe": None}, {"recipe": []}, {"results": []}, {"results": None}, {"patch": 8}]
)
def test_damaged_cards(fan: Path, dcn: Runner, entries: dict[str, object]) -> None:
    with_entries(fan, **entries)
    code, _, error = dcn("show", fan)
    expected = f"dcn: {fan / 'forensic.json'}: damaged card; install the model again\n"
    assert (code, error) == (1, expected)


def test_results_stay_where_a_card_cannot_be_written(
    tmp_path: Path, photos: Path, fan: Path, dcn: Runner
) -> None:
    with_entries(fan, curve=3)
    arguments = ("evaluate", fan, "--data", photos, "--limit", "1", "--update-card")
    code, _, error = dcn(*arguments, "-o", tmp_path / "out")
    assert (code, "forensic.json: damaged card" in error) == (1, True)
    assert json.loads((tmp_path / "out" / "results.json").read_text())[0]["name"] == "tiny-fan"


def test_a_photo_that_is_too_small_is_named(
    tmp_path: Path, photos: Path, fan: Path, dcn: Runner
) -> None:
    with_entries(fan, channel="none", codec=None, classes=["native", "jpeg"])
    for photo in photos.iterdir():
        Image.fromarray(data.astronaut()[:40, :50]).save(photo)
    for command in ("calibrate", "evaluate --protocol wifs2020 -o out"):
        words = [tmp_path / word if word == "out" else word for word in command.split()]
        code, _, error = dcn(*words, fan, "--data", photos)
        assert code == 1
        assert error.startswith("dcn: 0: ")
        assert "too small for a patch of 64 x 64" in error
