"""``dcn recode``: one file, many, streams; nothing is lost where it fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Runner, one_line
from context_samples import context_file, put_context
from PIL import Image, ImageCms
from skimage import data as samples

import dcncodec


@pytest.fixture
def coded(dcn: Runner, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two files and one below, of an installed model with a context model."""
    model = tmp_path / "models" / "tiny"
    shutil.copytree(tiny_model, model)
    put_context(model, context_file(1))
    monkeypatch.setenv("DCN_MODELS", str(model.parent))
    folder = tmp_path / "coded"
    (folder / "below").mkdir(parents=True)
    photo = tmp_path / "photo.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(samples.astronaut()[:64, :80]).save(photo, icc_profile=profile)
    assert (
        dcn("encode", "--model", "tiny", "--entropy", "channel", photo, folder / "a.dcn").code == 0
    )
    shutil.copy(folder / "a.dcn", folder / "b.dcn")
    shutil.copy(folder / "a.dcn", folder / "below" / "c.dcn")
    return folder


def test_one_file(dcn: Runner, coded: Path) -> None:
    new = coded / "new.dcn"
    result = dcn("recode", "--entropy", "context", coded / "a.dcn", new)
    assert result.code == 0, result.err
    assert f"a.dcn -> {new}: {new.stat().st_size:,} bytes" in result.out
    assert dcncodec.info(new.read_bytes())["blocks"][0]["mode"] == "context"
    back = coded / "back.dcn"
    assert dcn("recode", "--entropy", "channel", new, back).code == 0
    assert back.read_bytes() == (coded / "a.dcn").read_bytes()


def test_several_files(dcn: Runner, coded: Path, tmp_path: Path) -> None:
    (coded / "b.dcn").write_bytes((coded / "a.dcn").read_bytes()[:-9])
    out = tmp_path / "out"
    result = dcn("recode", "--json", "--strip", "-r", "-d", out, coded)
    assert result.code == 1
    facts = {Path(f["input"]).name: f for f in map(json.loads, result.out.splitlines())}
    assert "b.dcn" in facts["b.dcn"]["error"]
    for name in ("a.dcn", "c.dcn"):
        assert facts[name]["bytes"] < facts[name]["input_bytes"]
        assert facts[name]["warnings"] == [
            f"{facts[name]['input']}: its colour profile is left out; colours are taken as sRGB"
        ]
    assert sorted(p.name for p in out.rglob("*.dcn")) == ["a.dcn", "c.dcn"]
    assert dcncodec.info((out / "below" / "c.dcn").read_bytes())["metadata"] == {}
    result = dcn("recode", "-q", "--strip", "icc", "-f", "-d", out, coded / "*.dcn")
    # The damaged file, and how many failed.
    assert len(result.err.splitlines()) == 2, result.err


def test_metadata_from_files(dcn: Runner, coded: Path, tmp_path: Path) -> None:
    packet, new = tmp_path / "photo.xmp", tmp_path / "new.dcn"
    packet.write_bytes(b"<x:xmpmeta/>")
    assert dcn("recode", "--xmp", packet, coded / "a.dcn", new).code == 0
    assert set(dcncodec.info(new.read_bytes())["metadata"]) == {"icc", "xmp"}
    before = packet.read_bytes()
    one_line(dcn("recode", "-f", "--xmp", packet, coded / "a.dcn", packet), "is an input", code=2)
    assert packet.read_bytes() == before
    result = dcn("recode", "--exif", packet, coded / "a.dcn", tmp_path / "other.dcn")
    one_line(result, "a.dcn", "no TIFF structure", code=2)
    one_line(dcn("recode", "--icc", tmp_path / "none", coded / "a.dcn", tmp_path / "c.dcn"), code=2)
    assert not (tmp_path / "other.dcn").exists()


@pytest.mark.parametrize("force", [(), ("-f",)])
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.dcn"], "is an input"),
        (["a.dcn", "a.dcn"], "is an input"),
        (["a.dcn", "soft.dcn"], "is an input"),
        (["-d", ".", "a.dcn"], "is an input"),
        (["a.dcn", "new.png"], "suffix of another format"),
        (["a.dcn", "picture"], "is a picture"),
        (["a.dcn", "b.dcn", "c.dcn"], "--output-dir"),
    ],
)
def test_inputs_and_pictures_stay(
    dcn: Runner,
    coded: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    words: str,
    force: tuple[str, ...],
) -> None:
    monkeypatch.chdir(coded)
    Path("soft.dcn").symlink_to("a.dcn")
    shutil.copy(coded.parent / "photo.png", "picture")
    before = {path.name: path.read_bytes() for path in coded.glob("*") if path.is_file()}
    one_line(dcn("recode", *names, *force), words, code=2)
    assert {p.name: p.read_bytes() for p in coded.glob("*") if p.is_file()} == before


def test_failures_leave_no_output(
    dcn: Runner, coded: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new.dcn"
    one_line(dcn("recode", tmp_path / "photo.png", out), "'dcn encode' makes one of it")
    damaged = bytearray((coded / "a.dcn").read_bytes())
    damaged[-20] ^= 1
    (coded / "b.dcn").write_bytes(damaged)
    one_line(dcn("recode", coded / "b.dcn", out), "b.dcn")
    one_line(dcn("recode", "--max-pixels", 9, coded / "a.dcn", out), "--max-pixels")
    monkeypatch.setenv("DCN_MODELS", str(tiny_model.parent))
    result = dcn("recode", "--entropy", "context", coded / "a.dcn", out)
    one_line(result, "a.dcn: entropy mode context: model tiny does not have it", code=2)
    monkeypatch.delenv("DCN_MODELS")
    one_line(dcn("recode", coded / "a.dcn", out), "needs model tiny")
    assert not out.exists()
    assert dcn("recode", "--model", tiny_model, coded / "a.dcn", out).code == 0


def test_streams_without_torch(coded: Path) -> None:
    program = (
        "import sys; from dcncodec.cli.main import main; main(); "
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, "recode", "--entropy", "context", "-", "-"]
    content = (coded / "a.dcn").read_bytes()
    result = subprocess.run(command, input=content, capture_output=True, check=True)
    assert result.stderr == b"False\n"
    assert result.stdout == dcncodec.recode(content, entropy="context")
