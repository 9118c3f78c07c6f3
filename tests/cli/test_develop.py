"""``dcn develop`` and ``dcn train nip`` as a user runs them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import Runner
from PIL import Image
from skimage import data as samples
from torch_threads import one_torch_thread

from dcncodec.cli.main import main
from dcncodec.train.tasks import nip

pytest.importorskip("rawpy")
pytest.importorskip("colour_demosaicing")

QUICK = ["--patch", "32", "--batch", "2", "--threads", "1", "--device", "cpu", "--max-steps", "2"]

Dcn = Callable[..., tuple[int, str]]


@pytest.fixture
def dcn(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Dcn]:
    """Run ``dcn`` in this process; exit code and standard error."""
    monkeypatch.setattr(nip, "VALIDATION_PARTS", 2)
    runner = Runner(monkeypatch, capfd)

    def run(*arguments: str | Path) -> tuple[int, str]:
        result = runner(*arguments)
        return result.code, result.err

    with one_torch_thread():
        yield run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(samples.astronaut()[:96, 200:320]).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(float)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(first - second).mean()))


def one_line(error: str, expected: str) -> None:
    lines = error.strip().splitlines()
    assert len(lines) == 1, error
    assert expected in lines[0]


def test_from_picture_to_raw_and_back(tmp_path: Path, photo: Path, dcn: Dcn) -> None:
    frame = tmp_path / "frame.dng"
    code, error = dcn("develop", photo, "-o", frame, "--seed", "4")
    assert code == 0, error
    assert "120 x 96 samples" in error
    for pipeline, least in (("standard", 25), ("libraw", 15)):
        target = tmp_path / f"{pipeline}.png"
        code, error = dcn("develop", frame, "-o", target, "--pipeline", pipeline)
        assert code == 0, error
        assert "frame.dng" in error
        assert psnr(pixels(target), pixels(photo)) > least
    assert dcn("develop", frame)[0] == 0
    assert np.array_equal(pixels(tmp_path / "frame.png"), pixels(tmp_path / "standard.png"))


def test_sensors_have_fingerprints(tmp_path: Path, photo: Path, dcn: Dcn) -> None:
    flat = tmp_path / "flat.png"
    Image.new("RGB", (128, 96), (150, 150, 150)).save(flat)
    found = {}
    for sensor, seed in ((7, 1), (7, 2), (8, 1)):
        target = tmp_path / f"{sensor}-{seed}.png"
        code, error = dcn("develop", flat, "-o", target, "--sensor", sensor, "--seed", seed)
        assert code == 0, error
        picture = pixels(target)[..., 1]
        found[sensor, seed] = (picture / picture.mean()).ravel()
    assert np.corrcoef(found[7, 1], found[7, 2])[0, 1] > 0.15
    assert abs(np.corrcoef(found[7, 2], found[8, 1])[0, 1]) < 0.05
    frame = tmp_path / "frame.dng"
    assert dcn("develop", photo, "-o", frame)[0] == 0
    one_line(dcn("develop", frame, "--sensor", 7)[1], "is what a sensor gave")


def test_frame_without_header(tmp_path: Path, dcn: Dcn) -> None:
    tile = np.array([[1000, 2000], [2000, 1500]], "<u2")
    (tmp_path / "frame.raw").write_bytes(np.tile(tile, (16, 20)).tobytes())
    arguments = ("develop", tmp_path / "frame.raw")
    size = ("--size", "40x32", "--white", "4000", "--gains", "2,1,1.3333")
    code, error = dcn(*arguments, *size)
    assert code == 0, error
    assert np.abs(pixels(tmp_path / "frame.png") - 188).max() < 2
    one_line(dcn(*arguments, "-f")[1], "give --size WxH")
    one_line(dcn(*arguments, "-f", "--size", "40x31")[1], "give the right --size")
    for option in (("--size", "40"), ("--gains", "1,x,1"), ("--pattern", "RGBG")):
        assert dcn(*arguments, "-f", *option)[0] == 2


def test_bad_input(tmp_path: Path, photo: Path, dcn: Dcn) -> None:
    one_line(dcn("develop", photo)[1], "is input and output")
    one_line(dcn("develop", tmp_path / "missing.nef")[1], "missing.nef")
    (tmp_path / "text.nef").write_text("no photo")
    code, error = dcn("develop", tmp_path / "text.nef")
    assert code == 1
    one_line(error, "no RAW file, or damaged")
    assert not (tmp_path / "text.png").exists()
    code, error = dcn("develop", photo, "-o", tmp_path / "x.png", "--pipeline", "nonsense")
    assert code == 1
    one_line(error, "nonsense: no such camera pipeline")
    code, error = dcn("develop", photo, "-o", tmp_path / "x.png", "--pipeline", "unet")
    assert code == 1
    one_line(error, "'dcn train nip' makes others")
    (tmp_path / "tiny.bin").write_bytes(bytes(8))
    frame = ("develop", tmp_path / "tiny.bin", "-o", tmp_path / "x.png", "--size")
    one_line(dcn(*frame, "2x2", "--pipeline", "inet")[1], "2 x 2 are too few for a sensor")
    one_line(dcn(*frame, "2x2", "--gains", "1e-6,1,1")[1], "three factors")
    Image.new("RGB", (9, 1)).save(tmp_path / "line.png")
    code, error = dcn("develop", tmp_path / "line.png", "-o", tmp_path / "line.dng")
    assert code == 1
    one_line(error, "line.png: 8 x 0 are too few for a sensor")
    assert not (tmp_path / "line.dng").exists()
    (tmp_path / "there.dng").write_text("precious")
    one_line(dcn("develop", photo, "-o", tmp_path / "there.dng")[1], "overwrite it with --force")
    assert (tmp_path / "there.dng").read_text() == "precious"
    arguments = ("develop", photo, "-o", tmp_path / "x.dng", "--pipeline", "libraw")
    one_line(dcn(*arguments)[1], "makes pictures of RAW files only")


def test_train_develop_list(
    tmp_path: Path, photo: Path, dcn: Dcn, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(samples.astronaut()[i * 64 : i * 64 + 80, 200:300]).save(
            folder / f"{i}.png"
        )
    models = tmp_path / "models"
    run = tmp_path / "run"
    arguments = ("train", "nip", folder, "--out", run, "--network", "inet", *QUICK)
    code, error = dcn(*arguments, "--export", models / "my-inet")
    assert code == 0, error
    assert "2 frames for training, 1 for validation" in error
    code, error = dcn(*arguments[:-1], "3", "--export", models / "my-inet2")
    assert code == 0, error
    assert "resuming" in error
    one_line(dcn("train", "nip", "--out", run)[1], "nothing to train on")
    code, error = dcn("train", "nip", "--out", run, "--export", tmp_path / "again")
    assert code == 0, error
    code, error = dcn(*arguments[:5], "--network", "dnet", *QUICK)
    assert code == 1
    assert "trains inet, not dnet" in error
    monkeypatch.setenv("DCN_MODELS", str(models))
    target = tmp_path / "developed.png"
    code, error = dcn("develop", photo, "-o", target, "--pipeline", "my-inet")
    assert code == 0, error
    assert psnr(pixels(target), pixels(photo)) > 20
    monkeypatch.setattr(sys, "argv", ["dcn", "models", "list", "--json"])
    main()
    facts = {row["name"]: row for row in map(json.loads, capfd.readouterr().out.splitlines())}
    assert facts["my-inet"]["family"] == "nip"
    assert facts["my-inet"]["latent_channels"] is None
    code, error = dcn("encode", photo, tmp_path / "x.dcn", "--model", "my-inet")
    assert code != 0
    assert "my-inet" in error
    code, error = dcn("train", "nip", folder, "--out", tmp_path / "more", "--init", "my-inet")
    assert code == 2
    assert "is another network; add --network inet" in error


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--patch", "40"], "--patch 40: choose a multiple of 32"),
        (["--network", "inet", "--init", "dcn-16c"], "no such camera pipeline"),
        (["--export", "Bad Name"], "the folder's name is the model's"),
    ],
)
def test_bad_choices(
    tmp_path: Path, photo: Path, dcn: Dcn, arguments: list[str], expected: str
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    photo.rename(photos / photo.name)
    code, error = dcn("train", "nip", photos, "--out", tmp_path / "run", *arguments)
    assert code != 0
    assert expected in error
    assert "Traceback" not in error
