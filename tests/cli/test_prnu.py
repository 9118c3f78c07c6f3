"""``dcn forensics prnu`` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import Runner
from PIL import Image
from sensor_shots import gains, shot

K = gains(7, 160, 192)


@pytest.fixture
def dcn(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Runner:
    """Runs commands of ``dcn forensics prnu``."""
    return Runner(monkeypatch, capfd, "forensics", "prnu")


def save(folder: Path, seeds: range, K: np.ndarray = K) -> Path:
    folder.mkdir(exist_ok=True)
    for seed in seeds:
        Image.fromarray(shot(K, seed)).save(folder / f"{seed:02}.png")
    return folder


@pytest.fixture
def camera(tmp_path: Path, dcn: Runner) -> Path:
    photos = save(tmp_path / "photos", range(20))
    code, _, error = dcn("fingerprint", photos, "-o", tmp_path / "camera", "--processes", "1")
    assert code == 0, error
    return tmp_path / "camera"


def problems(error: str) -> list[str]:
    """Lines of standard error that the command line wrote itself, without progress bars."""
    return [line for line in error.splitlines() if line.startswith("dcn: ")]


def one_line(result: tuple[int, str, str], code: int, expected: str) -> None:
    assert result[0] == code, result
    (line,) = problems(result[2])
    assert expected in line
    assert not result[1]


def test_a_photo_of_the_fingerprint_itself(tmp_path: Path, camera: Path, dcn: Runner) -> None:
    """Its own noise is part of the fingerprint, so it matches whatever took it."""
    other = save(tmp_path / "other", range(30, 31)) / "30.png"
    code, text, error = dcn("match", tmp_path / "photos" / "03.png", other, "--camera", camera)
    assert code == 0, error
    assert "03.png: is one of the photos that camera was estimated from" in error
    assert "30.png" not in error
    code, text, _ = dcn("match", tmp_path / "photos", "--camera", camera, "--json")
    assert all(json.loads(line)["cameras"][0]["own"] for line in text.splitlines())
    assert (
        json.loads(dcn("match", other, "--camera", camera, "--json")[1])["cameras"][0]["own"]
        is False
    )
    more = save(tmp_path / "more", range(31, 36))
    assert dcn("predictor", more, "--camera", camera, "--window", "33")[0] == 0
    photos = (tmp_path / "photos" / "03.png", other)
    code, text, error = dcn("localise", *photos, "--camera", camera, "--json")
    assert code == 0, error
    assert [json.loads(line)["own"] for line in text.splitlines()] == [True, False]
    assert json.loads(text.splitlines()[0])["warnings"]
    (line,) = problems(dcn("localise", *photos, "--camera", camera)[2])
    assert (
        "03.png: is one of the photos that camera was estimated from, whose map finds the" in line
    )


def test_fingerprint_match_localise(tmp_path: Path, camera: Path, dcn: Runner) -> None:
    more = save(tmp_path / "more", range(30, 36))
    code, text, error = dcn("predictor", more, "--camera", camera, "--window", "33")
    assert code == 0, error
    assert "6 photos; R2 0." in text
    own = more / "31.png"
    code, text, error = dcn("match", own, "--camera", camera)
    assert code == 0, error
    assert f"{own}: camera: match (PCE " in text
    assert not error
    changed = shot(K, 31)
    changed[40:120, 50:140] = shot(gains(9, 160, 192), 31)[40:120, 50:140]
    Image.fromarray(changed).save(tmp_path / "changed.png")
    heat = tmp_path / "map.png"
    arguments = ("localise", tmp_path / "changed.png", "--camera", camera)
    code, text, error = dcn(*arguments, "--heatmap", heat, "--json")
    assert code == 0, error
    facts = json.loads(text)
    assert 0.15 < facts["share"] < 0.35
    assert facts["match"]["verdict"] == "match"
    assert np.array(facts["probabilities"]).shape == (16, 20)
    with Image.open(heat) as picture:
        assert picture.width == 192
    assert "% of it probably lacks the fingerprint of camera" in dcn(*arguments)[1]
    one_line(dcn(*arguments, "--heatmap", heat), 2, "--force")
    photo = tmp_path / "changed.png"
    one_line(dcn(*arguments, "--heatmap", photo, "-f"), 2, "is an input and would be lost")
    maps = tmp_path / "maps"
    code, text, error = dcn("localise", more, "--camera", camera, "--heatmap", maps)
    assert code == 0, error
    assert len(text.splitlines()) == len(list(maps.glob("*.png"))) == 6
    code, text, error = dcn("match", more, "--camera", camera, "--json")
    assert code == 0, error
    records = [json.loads(line) for line in text.splitlines()]
    assert [record["cameras"][0]["verdict"] for record in records] == ["match"] * 6
    stranger = save(tmp_path / "other", range(50, 51), gains(9, 160, 192)) / "50.png"
    code, _, error = dcn("localise", stranger, "--camera", camera)
    assert code == 0
    assert "the map tells nothing" in error


def test_several_cameras_and_crops(tmp_path: Path, camera: Path, dcn: Runner) -> None:
    others = save(tmp_path / "others", range(4), gains(9, 160, 192))
    code, text, error = dcn("fingerprint", others, "-o", tmp_path / "second")
    assert code == 0, error
    assert any("4 photos are few, 20 are better" in line for line in problems(error))
    photo = tmp_path / "photo.png"
    Image.fromarray(shot(K, 40)[8:150, 10:160]).save(photo)
    cameras = ("--camera", camera, "--camera", tmp_path / "second")
    one_line(dcn("match", photo, *cameras), 1, "if it was cropped, add --search")
    code, text, error = dcn("match", photo, *cameras, "--search", "--json")
    assert code == 0, error
    first, second = json.loads(text)["cameras"]
    assert (first["verdict"], second["verdict"]) == ("match", "no match")
    assert first["shift"] == [8, 10]
    assert "at column 10, row 8 of the sensor" in dcn("match", photo, *cameras, "--search")[1]
    small = save(tmp_path / "small", range(2), gains(1, 140, 140))
    assert dcn("fingerprint", small, "-o", tmp_path / "third")[0] == 0
    code, text, _ = dcn("match", photo, *cameras, "--camera", tmp_path / "third", "--search")
    assert code == 0
    assert "third: refused (has 150 x 142 pixels" in text


def test_fingerprints_grow(tmp_path: Path, camera: Path, dcn: Runner) -> None:
    more = save(tmp_path / "more", range(20, 24))
    assert dcn("predictor", more, "--camera", camera, "--window", "33")[0] == 0
    code, text, error = dcn("fingerprint", more, "--add", camera, "--json")
    assert code == 0, error
    card = json.loads(text)
    assert card["photos"] == 24
    assert card["source"] == "photos, more"
    assert card["predictor"] is None
    (warning,) = card["warnings"]
    assert "its predictor is of the smaller fingerprint" in warning
    # Photos that are in already do not count again.
    code, text, error = dcn("fingerprint", more, "--add", camera)
    assert code == 0
    assert "4 of 4 photos do not count" in error
    assert "24 photos of 192 x 160 pixels; expect a PCE of about " in text
    half = save(tmp_path / "half", range(30, 33))
    assert dcn("fingerprint", half, "-o", tmp_path / "part")[0] == 0
    code, text, error = dcn("fingerprint", camera, tmp_path / "part", "-o", tmp_path / "all")
    assert code == 0, error
    assert "27 photos" in text
    one_line(dcn("fingerprint", camera, "--add", tmp_path / "all"), 2, "24 photos are in both")


def test_flat_frames_are_welcome(tmp_path: Path, dcn: Runner) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    for seed in range(3):
        Image.fromarray(shot(K, seed, content=0)).save(folder / f"{seed}.png")
    code, _, error = dcn("fingerprint", folder, "-o", tmp_path / "camera")
    assert code == 0
    assert "3 of 3 photos are flat frames, the best kind" in error


def test_photos_of_many_cameras(tmp_path: Path, dcn: Runner) -> None:
    folder = tmp_path / "photos"
    for seed in range(4):
        save(folder, range(seed, seed + 1), gains(seed, 160, 192))
    code, _, error = dcn("fingerprint", folder, "-o", tmp_path / "camera")
    assert code == 0
    assert "two halves of the photos hardly agree" in error


def test_bad_input(tmp_path: Path, camera: Path, dcn: Runner) -> None:
    target = ("-o", tmp_path / "new")
    one = save(tmp_path / "one", range(1))
    one_line(dcn("fingerprint", one, *target), 1, "a fingerprint needs 2 photos, better 20 or")
    same = tmp_path / "same"
    same.mkdir()
    white = tmp_path / "white"
    white.mkdir()
    for i in range(20):
        Image.fromarray(shot(K, 0)).save(same / f"{i:02}.png")
        Image.new("RGB", (192, 160), "white").save(white / f"{i:02}.png")
    one_line(dcn("fingerprint", same, *target), 1, "and 18 more: the same photo as one before")
    one_line(dcn("fingerprint", white, *target), 1, "saturated everywhere")
    mixed = save(tmp_path / "mixed", range(2))
    save(mixed, range(2, 3), gains(1, 160, 160))
    one_line(dcn("fingerprint", mixed, *target), 1, "02.png: has 160 x 160 pixels, those before")
    tiny = save(tmp_path / "tiny", range(2), gains(1, 100, 192))
    one_line(dcn("fingerprint", tiny, *target), 1, "192 x 100 pixels are too few")
    (mixed / "02.png").write_bytes(b"no picture")
    one_line(dcn("fingerprint", mixed, *target), 1, "02.png")
    one_line(dcn("fingerprint", tmp_path / "missing", *target), 2, "no such folder")
    one_line(dcn("fingerprint", one), 2, "-o FOLDER for a new one, or --add FOLDER")
    one_line(dcn("fingerprint", one, "-o", camera), 2, "exists; replace it with --force")
    again = dcn("fingerprint", camera, "-o", camera, "--force")
    one_line(again, 2, f"{camera}: is an input and would be lost")
    unknown = dcn("fingerprint", same, *target, "--pipeline", "nosuch")
    one_line(unknown, 1, "nosuch: no such camera pipeline")
    assert not (tmp_path / "new").exists()
    turned = tmp_path / "turned.png"
    Image.fromarray(np.rot90(shot(K, 3))).save(turned)
    for command in ("match", "localise"):
        one_line(dcn(command, turned, "--camera", tmp_path / "no"), 1, "not a model folder")
    one_line(dcn("match", turned, "--camera", camera), 1, "turned.png: has 160 x 192 pixels")
    one_line(dcn("match", turned, "--camera", camera), 1, "turn it back as the sensor was")
    one_line(dcn("localise", turned, "--camera", camera), 1, "has no predictor")
    one_line(dcn("predictor", mixed, "--camera", camera, "--window", "32"), 2, "an odd number")
    one_line(dcn("predictor", one, "--camera", camera, "--window", "199"), 1, "00.png: 192 x 160")


def test_a_dcn_file_of_another_size(
    tmp_path: Path, camera: Path, dcn: Runner, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dcncodec.codec import Codec

    monkeypatch.setenv("DCN_MODELS", str(tiny_model.parent))
    codec = Codec(tiny_model, device="cpu")
    for name, pixels in (("same", shot(K, 3)), ("other", shot(gains(1, 200, 200), 3))):
        (tmp_path / f"{name}.dcn").write_bytes(codec.encode(pixels))
    code, text, error = dcn("match", tmp_path / "same.dcn", "--camera", camera)
    assert code == 0, error
    assert "camera: no match (PCE " in text
    other = tmp_path / "other.dcn"
    one_line(dcn("match", other, "--camera", camera, "--search"), 1, "cannot be matched")


def test_measurements(tmp_path: Path, dcn: Runner) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("colour_demosaicing")
    pytest.importorskip("matplotlib")
    pictures = save(tmp_path / "pictures", range(6))
    report = tmp_path / "report"
    arguments = (pictures, "--report", report, "--processes", "1")
    code, text, error = dcn("survive", *arguments, "-c", "jpeg:90", "-c", "jpeg:20")
    assert code == 0, error
    facts = json.loads((report / "results.json").read_text())
    assert [row["codec"] for row in facts["rows"]] == ["png", "jpeg", "jpeg"]
    assert "jpeg                    90" in text
    assert "<h2>Survival</h2>" in (report / "report.html").read_text()
    assert (report / "survival.svg").stat().st_size < 60_000
    code, text, error = dcn("transfer", *arguments, "--pipelines", "standard", "--flip", "64:33")
    assert code == 0, error
    assert "F1, 64 px flipped, windows of 33" in text
    assert "<h2>Maps of one photo</h2>" in (report / "report.html").read_text()
    one_line(dcn("survive", *arguments, "-c", "jpeg:0"), 2, "choose a setting from 1 to 95")
    assert dcn("transfer", *arguments, "--flip", "64:32")[0] == 2
    one_line(dcn("transfer", *arguments, "--pipelines", "none"), 1, "none: no such camera pipeline")
    empty = tmp_path / "empty"
    empty.mkdir()
    one_line(dcn("survive", empty, "--report", report), 2, "too few pictures")


def test_help_loads_no_libraries() -> None:
    program = (
        "import sys; from dcncodec.cli.forensics import command; "
        "command.main(['prnu', '--help'], standalone_mode=False); "
        "print(sorted({'numpy', 'pywt', 'scipy', 'torch'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    *text, loaded = result.stdout.decode().splitlines()
    assert loaded == "[]"
    for name in ("fingerprint", "predictor", "match", "localise", "transfer", "survive"):
        assert any(line.startswith(f"  {name} ") for line in text)
