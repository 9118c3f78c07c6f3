"""Batches, and what is checked before the work begins: no input is lost, nothing is silent."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from commands import Runner, one_line
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from skimage import data as samples

from dcncodec import codec
from dcncodec.cli import plan


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos of 16 x 16 pixels."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(samples.astronaut()[:16, :16]).save(folder / name)
    return folder


@pytest.fixture
def coded(photos: Path, dcn: Runner, tiny_model: Path) -> Path:
    """Their .dcn files beside them."""
    for name in ("a.png", "b.png"):
        assert dcn("encode", "--model", tiny_model, photos / name).code == 0
    return photos


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("force", [(), ("-f",)])
@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("encode", ["a.png", "b.png"]),
        ("encode", ["a.png", "a.png"]),
        ("encode", ["a.png", "out.JPG"]),
        ("encode", ["a.png", "out.heic"]),
        ("encode", ["a.png", "out.nef"]),
        ("encode", ["a.png", "hard"]),
        ("encode", ["a.png", "soft"]),
        ("encode", ["a.png", "soft.dcn"]),
        ("encode", ["a.png", "IMG_1"]),
        ("decode", ["a.dcn", "b.dcn"]),
        ("decode", ["a.dcn", "a.dcn", "--format", "png"]),
        ("decode", ["a.dcn", "hard-dcn.png"]),
        ("decode", ["a.dcn", "soft-dcn.png"]),
        ("decode", ["a.dcn", "b", "--format", "png"]),
        ("decode", ["a.dcn", "new.jpg", "--format", "png"]),
        ("decode", ["a.dcn", "new.dcn", "--format", "png"]),
        ("develop", ["a.png", "-o", "a.png"]),
        ("develop", ["a.png", "-o", "hard.png"]),
        ("develop", ["a.png", "-o", "out.dcn"]),
    ],
)
def test_an_output_is_never_an_input_or_named_like_another_format(
    dcn: Runner,
    coded: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    names: list[str],
    force: tuple[str, ...],
) -> None:
    monkeypatch.chdir(coded)
    os.link("a.png", "hard")
    os.link("a.png", "hard.png")
    os.link("a.dcn", "hard-dcn.png")
    Path("soft").symlink_to("a.png")
    Path("soft.dcn").symlink_to("soft")
    Path("soft-dcn.png").symlink_to("a.dcn")
    shutil.copy("b.png", "IMG_1")
    shutil.copy("b.dcn", "b")
    before = content(coded)
    result = dcn(command, *names, *force)
    one_line(result, code=2)
    if command != "develop":
        assert "-d" in result.err or not force, result.err
    assert content(coded) == before


def test_outputs_of_a_batch_are_no_inputs(dcn: Runner, coded: Path) -> None:
    (coded / "a.png").rename(coded / "c.png")
    (coded / "a.png").symlink_to(coded / "b.dcn")
    before = content(coded)
    one_line(dcn("decode", "-f", "-d", coded, coded), "is an input", "-d", code=2)
    assert content(coded) == before


def test_outputs_that_are_one_file_through_links(
    dcn: Runner, photos: Path, tmp_path: Path, tiny_model: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.dcn").touch()
    (out / "b.dcn").symlink_to("a.dcn")
    result = dcn("encode", "--model", tiny_model, "-f", "-d", out, photos)
    assert result.code == 1
    assert "another input of this run has that output" in result.err


@pytest.fixture
def mixed(photos: Path) -> Path:
    """The photos among much else."""
    for name in ("c.HEIC", "d.heic", "e.dng", "notes", ".hidden.png", ".DS_Store"):
        (photos / name).write_bytes(b"x")
    (photos / "sub" / "deep").mkdir(parents=True)
    shutil.copy(photos / "a.png", photos / "sub" / "a.png")
    shutil.copy(photos / "a.png", photos / "sub" / "deep" / "f.png")
    (photos / "round").symlink_to(photos)
    os.mkfifo(photos / "pipe.png")
    return photos


def test_skipped_files_are_counted_by_kind(
    dcn: Runner, mixed: Path, tmp_path: Path, tiny_model: Path
) -> None:
    out = tmp_path / "new" / "out"
    result = dcn("encode", "--model", tiny_model, "-d", out, mixed)
    assert result.code == 0
    assert result.err == (
        "dcn: warning: 7 files skipped (.dng 1, .heic 2, folders 1, links to folders 1, special "
        "files 1, without suffix 1)\n"
    )
    assert sorted(content(out)) == ["a.dcn", "b.dcn"]
    quiet = dcn("encode", "--model", tiny_model, "-q", "-f", "-d", out, mixed)
    assert (quiet.code, quiet.err) == (0, "")


def test_folders_within_folders(dcn: Runner, mixed: Path, tmp_path: Path, tiny_model: Path) -> None:
    out = tmp_path / "out"
    result = dcn("encode", "--model", tiny_model, "-r", "-d", out, mixed)
    assert result.code == 0
    assert sorted(content(out)) == ["a.dcn", "b.dcn", "sub/a.dcn", "sub/deep/f.dcn"]
    back = tmp_path / "back"
    assert dcn("decode", "--model", tiny_model, "-rd", back, out).code == 0
    assert sorted(content(back)) == ["a.png", "b.png", "sub/a.png", "sub/deep/f.png"]


def test_patterns(dcn: Runner, mixed: Path, tmp_path: Path, tiny_model: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--model", tiny_model, "-d", out)
    assert dcn("encode", *arguments, f"{mixed}/sub/**/*.png").code == 0
    assert sorted(content(out)) == ["a.dcn", "f.dcn"]
    one_line(dcn("encode", *arguments, f"{mixed}/*.bmp"), "no file matches", code=2)
    one_line(dcn("encode", "--model", tiny_model, f"{mixed}/sub/*.png"), "-d", code=2)


def test_a_failed_input_leaves_its_name_to_others(
    dcn: Runner, photos: Path, tmp_path: Path, tiny_model: Path
) -> None:
    (photos / "a.jpg").write_bytes(b"no image")
    out = tmp_path / "out"
    arguments = ("--model", tiny_model, "-d", out, photos / "a.jpg", photos / "a.png")
    result = dcn("encode", *arguments)
    assert result.code == 1
    assert "1 of 2 files failed" in result.err
    assert sorted(content(out)) == ["a.dcn"]


def test_json_tells_of_failures(
    dcn: Runner, photos: Path, tmp_path: Path, tiny_model: Path
) -> None:
    (photos / "broken.png").write_bytes(b"no image")
    paths = [photos / name for name in ("missing.png", "broken.png", "a.png")]
    result = dcn("encode", "--json", "--model", tiny_model, "-d", tmp_path / "out", *paths)
    assert result.code == 1
    facts = {Path(f["input"]).name: f for f in map(json.loads, result.out.splitlines())}
    assert "no such file" in facts["missing.png"]["error"]
    assert "broken.png" in facts["broken.png"]["error"]
    assert "error" not in facts["a.png"]
    assert all(isinstance(f["warnings"], list) for f in facts.values())
    single = dcn("encode", "--json", "--model", tiny_model, photos / "broken.png")
    assert single.code == 1
    assert "broken.png" in json.loads(single.out)["error"]
    info = dcn("info", "--json", photos / "a.png")
    assert "a.png" in json.loads(info.out)["error"]


def test_unreadable_folders_are_failures(
    dcn: Runner, mixed: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(plan.os, "scandir", refuse)
    result = dcn("encode", "--model", tiny_model, "-rqd", tmp_path / "out", mixed)
    assert result.code == 1
    assert "sub: cannot be read (Permission denied)" in result.err
    assert sorted(content(tmp_path / "out")) == ["a.dcn", "b.dcn"]


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["encode", "a.dcn"], "is a .dcn file already; 'dcn decode'", 2),
        (["encode", "raw.NEF", "x.dcn"], "RAW file; 'dcn develop'", 1),
        (["decode", "a.png", "x.png"], "'dcn encode'", 1),
        (["decode", "a.dcn", "x.heic"], "no image format is called '.heic'", 2),
        (["decode", "a.dcn", "x.png", "--format", "a/b"], "a/b: choose one of png", 2),
        (["encode", "a.png", "none/x.dcn"], "its folder does not exist", 1),
        (["encode", "-d", "a.png", "b.png"], "is a file; name a folder", 2),
        (["encode", "-d", "out", "a.png", "-"], "cannot be one of several", 2),
        (["encode", "a.png", "x.dcn", "--threads", "100000"], "--threads", 2),
        (["encode", "a.png", "x.dcn", "--device", "tpu"], "tpu: choose auto", 2),
        (["encode", "a.png", "x.dcn", "--strip=iptc"], "choose icc, exif, xmp", 2),
        (["develop", "a.png", "--seed", str(2**64)], "--seed", 2),
        (["develop", "a.png", "--size", "9" * 5000 + "x1"], "--size", 2),
        (["develop", "a.png", "--white", "nan"], "--white", 2),
        (["develop", "a.png", "--gains", "1,inf,1"], "--gains", 2),
        (["train", "photos", "--out", "run", "--seed", str(2**64)], "--seed", 2),
        (["train", "photos", "--out", "run", "--batch", str(10**9)], "--batch", 2),
    ],
)
def test_what_can_be_checked_is_told_at_once(
    dcn: Runner,
    coded: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
    code: int,
) -> None:
    monkeypatch.chdir(coded)
    Path("raw.NEF").write_bytes(b"II*\0....")
    monkeypatch.setattr(codec, "open_engine", None)
    one_line(dcn(*arguments), words, code=code)


@pytest.mark.parametrize(
    ("strip", "left"),
    [
        ((), {"icc", "exif", "xmp"}),
        (("--strip",), set()),
        (("--strip", "exif,xmp"), {"icc"}),
        (("--strip=icc",), {"exif", "xmp"}),
    ],
)
def test_strip_chooses(
    dcn: Runner, tmp_path: Path, tiny_model: Path, strip: tuple[str, ...], left: set[str]
) -> None:
    photo = tmp_path / "m.png"
    exif = Image.Exif()
    exif[0x013B] = "Somebody"
    picture = Image.new("RGB", (8, 8), "red")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = PngInfo()
    xmp.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    picture.save(photo, icc_profile=profile, exif=exif, pnginfo=xmp)
    coded = tmp_path / "m.dcn"
    # Photo and output follow the option, which must not take them for its value.
    assert dcn("encode", "--model", tiny_model, *strip, photo, coded).code == 0
    assert set(json.loads(dcn("info", "--json", coded).out)["metadata"]) == left
    back = tmp_path / "back.png"
    assert dcn("encode", "--model", tiny_model, "-f", photo, coded).code == 0
    assert dcn("decode", "--model", tiny_model, *strip, coded, back).code == 0
    with Image.open(back) as opened:
        kept = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
        assert {name for name, key in kept.items() if opened.info.get(key)} == left
