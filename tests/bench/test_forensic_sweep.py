"""Many trainings one by one, and the curves of accuracy over rate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import Runner, one_line
from PIL import Image
from skimage import data

from dcncodec.bench import forensic_sweep
from dcncodec.bench.forensic_sweep import Sweep, curves_of, points_of, rates_of
from dcncodec.forensics.folder import ForensicFolder, open_forensic
from dcncodec.forensics.photos import Photos
from dcncodec.models.registry import open_folder
from dcncodec.train.tasks import forensic
from dcncodec.train.tasks.forensic_fans import ForensicSettings


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        part = data.astronaut()[40 * i : 40 * i + 168, 100 : 100 + 168]
        Image.fromarray(part).save(folder / f"{i}.png")
    return folder


def test_points() -> None:
    points = points_of(["dcn-16c", "./mine"], [0.001, 0.1], [20, 50], 2)
    names = [point.name for point in points]
    assert names[:4] == ["jpeg-20", "jpeg-50", "dcn-16c-fixed", "mine-fixed"]
    assert names[4:6] == ["dcn-16c-0.001-0", "dcn-16c-0.1-0"]
    assert len(set(names)) == len(names) == 2 + 2 + 2 * 2 * 2
    assert {p.lambda_c for p in points[:4]} == {None}


def test_jpeg_that_is_trained_already_is_a_point_of_its_curve() -> None:
    """Behind a camera pipeline and halving it is another channel."""
    known = [open_forensic(name) for name in ("jpeg-21-fan", "dnet-fan", "dcn-16c-fan")]
    assert [p.series for p in points_of([], [], [], 1, known)] == [
        "JPEG",
        "dnet-fan",
        "dcn-16c-fan",
    ]


def test_a_sweep_goes_on(
    tmp_path: Path,
    photos: Path,
    dcn: Runner,
    tiny_model: Path,
    rated: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forensic, "VALIDATION_PATCHES", 1)
    monkeypatch.setenv("DCN_MODELS", str(tiny_model.parent))
    out = tmp_path / "sweep"
    arguments = [
        *("forensics", "sweep", photos, "--data", photos, "--minutes", "0.0001", "-o", out),
        *("--batch", "1", "--patch", "16", "--threads", "1", "--jpeg", "30"),
    ]
    found = dcn(*arguments)
    assert found.code == 0, found.err
    first = json.loads((out / "results.json").read_text())
    assert [(r["name"], r["protocol"]) for r in first] == [
        ("jpeg-30", "paper"),
        ("jpeg-30", "field"),
    ]
    assert (first[0]["part"], first[0]["photos"]) == ("tune", 1)
    tuned = ("--model", "tiny", "--lambda-c", "0.01", "--critic", "fan-none", "--fan", "fan-none")
    found = dcn(*arguments, *tuned, "--fan", "fan-spectral", "--protocol", "both")
    assert found.code == 0, found.err
    assert "jpeg-30" not in found.err
    cards = [open_forensic(out / "models" / name).card for name in ("jpeg-30", "tiny-fixed")]
    assert [card["recipe"]["implementations"] for card in cards] == ["field", "both"]
    assert cards[1]["recipe"]["fan"] == "fan-none, fan-spectral"
    judged = open_forensic(out / "models" / "tiny-0.01-0").card["recipe"]["critic"]
    assert (judged, cards[1]["recipe"]["critic"]) == (["fan-none"], [])
    results = json.loads((out / "results.json").read_text())
    assert results[:2] == first
    assert [r["name"] for r in results[2::2]] == ["tiny-fixed", "tiny-0.01-0"]
    assert all(0 <= r["accuracy"] <= 1 and r["bpp"] > 0 for r in results)
    page = (out / "report.html").read_text()
    assert "<h2>Trade-off, field protocol</h2>" in page
    assert "tiny-0.01-0" not in dcn(*arguments, "--part", "report").err
    parts = [r["part"] for r in json.loads((out / "results.json").read_text())]
    assert parts == ["tune"] * 6 + ["report"] * 2
    page = (out / "report.html").read_text()
    assert "jpeg-30" in page
    assert "tiny-fixed" not in page
    _beside(out, rated, photos, dcn)
    (out / "results.json").write_text("[")
    one_line(dcn(*arguments), "results.json: damaged")


def _beside(out: Path, rated: Path, photos: Path, dcn: Runner) -> None:
    """What is trained already is measured at the rates of its codec, without a training."""
    folder = out.parent / "known"
    shutil.copytree(rated, folder)
    for file in (out / "models" / "jpeg-30").iterdir():
        shutil.copy(file, folder)
    card = json.loads((folder / "forensic.json").read_text())
    codec = {"name": "known", "sha256": open_folder(folder).sha256}
    tuned = {"channel": "dcn", "codec": codec, "trainable": ["dcn"], "rates": [60, 100]}
    (folder / "forensic.json").write_text(json.dumps(card | tuned | {"name": "known"}))
    arguments = ("forensics", "sweep", "--data", photos, "-o", out / "other", "--beside", folder)
    for rates in (["--rate", 65], ["--rate", 65, "--rate", 100]):
        found = dcn(*arguments, *rates)
        assert found.code == 0, found.err
    results = json.loads((out / "other" / "results.json").read_text())
    assert [r["rate"] for r in results[::2]] == [65, 100]
    assert {r["lambda_c"] for r in results} == {card["lambda_c"]}
    assert results[0]["bpp"] < results[2]["bpp"]
    jpeg = out / "models" / "jpeg-30"
    one_line(dcn(*arguments, "--beside", jpeg, "--jpeg", 30), "give SOURCES", code=2)
    again = dcn(*arguments, photos, "--beside", jpeg, "--jpeg", 30, "--minutes", 1)
    one_line(again, "jpeg-30: two of the sweep", code=2)


class _Figures:
    """What a FAN that is always right for a share of the patches would give."""

    def __init__(self, accuracy: float) -> None:
        self.accuracy = accuracy

    def figures(self) -> dict[str, float]:
        return {"accuracy": self.accuracy, "bpp": 1.0, "ssim": 0.9}


def test_another_fan_of_the_same_name_is_measured_anew(
    tmp_path: Path, photos: Path, dcn: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exported again, for one: the figures of the earlier one are not its own."""
    folder = tmp_path / "known"
    shutil.copytree(open_forensic("jpeg-21-fan").path, folder)
    out = tmp_path / "out"

    def accuracies(accuracy: float, *options: object) -> list[float]:
        figures = _Figures(accuracy)
        monkeypatch.setattr(forensic_sweep, "evaluate", lambda *_, **__: figures)
        monkeypatch.setattr(forensic_sweep, "evaluate_field", lambda *_, **__: [figures])
        found = dcn(
            *("forensics", "sweep", "--data", photos, "--beside", folder, "-o", out, *options)
        )
        assert found.code == 0, found.err
        return [r["accuracy"] for r in json.loads((out / "results.json").read_text())]

    assert accuracies(0.5) == [0.5, 0.5]
    assert accuracies(0.6) == [0.5, 0.5]
    card = json.loads((folder / "forensic.json").read_text())
    (folder / "forensic.json").write_text(json.dumps(card | {"fan_sha256": "ab" * 32}))
    assert accuracies(0.7, "--part", "report") == [0.5, 0.5, 0.7, 0.7]
    assert accuracies(0.8) == [0.7, 0.7, 0.8, 0.8]


@pytest.mark.parametrize("change", [{"accuracy": None}, {"series": 3}, {"rate": "x"}, None])
def test_damaged_results(
    tmp_path: Path, photos: Path, dcn: Runner, change: dict[str, object] | None
) -> None:
    row: dict[str, object] = {
        **{"name": "jpeg-21-fan", "series": "JPEG", "protocol": "paper", "lambda_c": None},
        **{"rate": None, "accuracy": 0.5, "false_alarms": None, "bpp": 1.0, "ssim": 0.9},
        **{"data": "photos (tune)"},
        **Photos(photos, None, "tune").described(),
    }
    content = row if change is None else [row | change]
    (tmp_path / "results.json").write_text(json.dumps(content))
    found = dcn(
        *("forensics", "sweep", "--data", photos, "--beside", "jpeg-21-fan", "-o", tmp_path)
    )
    one_line(found, "results.json: damaged; remove it", code=1)


def test_rates_that_a_codec_learns_and_is_measured_at(tmp_path: Path, photos: Path) -> None:
    point = points_of(["dcn-vr"], [0.1], [], 1)[1]
    for rates, learned in (((80, 100, 90), (80, 100)), ((), (None, None))):
        chosen = Sweep(
            *(
                tmp_path,
                (photos,),
                Photos(photos, None, "tune"),
                "",
                ForensicSettings((), tmp_path),
            ),
            rates,
        ).settings_of(point, tmp_path)
        found = tuple(chosen.overrides.get(name) for name in ("rate_low", "rate_high"))
        assert found == learned


def test_critics_judge_where_a_codec_is_tuned(tmp_path: Path, photos: Path) -> None:
    """Elsewhere nothing would learn from them, and a training refuses them."""
    settings = ForensicSettings(
        (), tmp_path, fan=("fan-none",), critic=("fan-none", "fan-spectral")
    )
    sweep = Sweep(tmp_path, (photos,), Photos(photos, None, "tune"), "", settings)
    points = points_of(["dcn-16c"], [0.1], [30], 1)
    chosen = {point.name: sweep.settings_of(point, tmp_path) for point in points}
    assert {name: own.critic for name, own in chosen.items()} == {
        "jpeg-30": (),
        "dcn-16c-fixed": (),
        "dcn-16c-0.1-0": ("fan-none", "fan-spectral"),
    }
    assert {own.fan for own in chosen.values()} == {("fan-none",)}


def test_rates_to_measure_at(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_forensic("dcn-16c-fan")
    assert rates_of(folder, (70,)) == (None,)
    monkeypatch.setattr(ForensicFolder, "rates", (60, 100))
    assert rates_of(folder, ()) == [70, 80, 90]
    assert rates_of(folder, (70,)) == (70,)


def test_curves() -> None:
    """JPEG of all qualities is one line, every other training one over its rates."""
    ways = [("jpeg-20", "JPEG"), ("jpeg-50", "JPEG"), ("a-0.1-0", "a"), ("a-0.1-0", "a")]
    ways += [("a-0.1-1", "a")]
    results = [{"name": name, "series": series} for name, series in ways]
    curves = curves_of(results)
    assert [(series, len(curve)) for series, curve in curves] == [("JPEG", 2), ("a", 2), ("a", 1)]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "give --model, --jpeg or --beside"),
        (["--jpeg", 30], "give --minutes"),
        (["--beside", "fan-none"], "fan-none: has no channel"),
        (["--jpeg", 30, "--minutes", 1, "--rate", 30], "--rate: none of the codecs"),
        (["--jpeg", 30, "--minutes", 1, "--critic", "fan-none"], "--critic fan-none: no codec is"),
    ],
)
def test_choices_that_make_no_sense(
    tmp_path: Path, photos: Path, dcn: Runner, arguments: list[object], complaint: str
) -> None:
    out = tmp_path / "out"
    found = dcn("forensics", "sweep", photos, "--data", photos, "-o", out, *arguments)
    one_line(found, complaint, code=2)
    assert not out.exists()


def test_a_source_that_is_missing_is_told_before_any_work(
    tmp_path: Path, photos: Path, dcn: Runner
) -> None:
    out = tmp_path / "out"
    options = ("--data", photos, "-o", out, "--jpeg", 30, "--minutes", 1)
    one_line(dcn("forensics", "sweep", tmp_path / "none", *options), "no such folder or tar shard")
    assert not out.exists()
