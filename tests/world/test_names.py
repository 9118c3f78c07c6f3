"""Names of files that are odd: told apart, told in one line, and harmless for a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Runner, one_line
from PIL import Image

from dcncodec.cli.lines import escaped

DCN = str(Path(sys.executable).with_name("dcn"))
NAMES = {
    "escape": "a\x1b]0;title\x07\x1b[31m.png",
    "line": "a\nb\rc.png",
    "c1": "a\x9b31m.png",
    "delete": "a\x7f.png",
    "direction": "a\u202egnp.exe",
    "bytes": os.fsdecode(b"a\xff\xfe.png"),
    "option": "-a.png",
    "brackets": "[red]a[bold].png",
    "spaces": "  .png",
    "umlaut": "ä.png",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_photos_of_any_name(dcn: Runner, tmp_path: Path, tiny_model: Path, name: str) -> None:
    photo = tmp_path / name
    Image.new("RGB", (8, 8)).save(photo, "PNG")
    out = tmp_path / "out.dcn"
    result = dcn("encode", "--model", tiny_model, photo, out)
    assert result.code == 0
    assert result.out.count("\n") == 1
    assert result.out.strip().isprintable()
    facts = json.loads(dcn("encode", "--json", "-f", "--model", tiny_model, photo, out).out)
    assert facts["input"] == str(photo)
    batch = dcn("encode", "--model", tiny_model, "-d", tmp_path / "batch", photo)
    assert batch.code == 0
    assert len(list((tmp_path / "batch").iterdir())) == 1


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_missing_files_of_any_name(dcn: Runner, tmp_path: Path, name: str) -> None:
    for command in (("encode",), ("decode",), ("info",), ("develop",), ("forensics", "detect")):
        result = dcn(*command, tmp_path / name)
        one_line(result, "no ", code=1 if command == ("info",) else 2)
        assert "no such file" in result.err or "no file matches" in result.err
        assert result.err.strip().isprintable()


@pytest.mark.parametrize("name", ["x" * 255 + ".png", "x" * 5000, "", ".", "..", "/", "a/" * 3000])
def test_names_that_cannot_be(dcn: Runner, tmp_path: Path, name: str, tiny_model: Path) -> None:
    photo = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(photo)
    for arguments in (("encode", name), ("decode", name), ("info", name), ("develop", name)):
        result = dcn(*arguments)
        assert result.code in {1, 2}
        one_line(result, code=result.code)
    for arguments in (("encode", photo, name), ("develop", photo, "-o", name)):
        result = dcn(*arguments)
        one_line(result, code=result.code)
        assert result.code in {1, 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_names_as_long_as_they_may_be(dcn: Runner, tmp_path: Path, tiny_model: Path) -> None:
    photo = tmp_path / ("x" * 251 + ".png")
    Image.new("RGB", (8, 8)).save(photo)
    assert dcn("encode", "--model", tiny_model, photo).code == 0
    assert photo.with_suffix(".dcn").exists()


def test_escapes() -> None:
    assert escaped("photo ä 照片 👩‍👩‍👧.png") == "photo ä 照片 👩‍👩‍👧.png"
    assert escaped("a\x1b[31m\x07\n\t\x9b\x7f") == r"a\x1b[31m\x07\n\t\x9b\x7f"
    assert escaped("a\u202eb\u2028c\udcff") == r"a\u202eb\u2028c\xff"
    assert escaped("two\nlines\t\x1b", keep="\n\t") == "two\nlines\t\\x1b"


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"LC_ALL": "xx_YY.nonsense", "LANG": "nonsense"},
        {"COLUMNS": "1"},
        {"COLUMNS": "x", "TERM": "nonsense"},
        {"OMP_NUM_THREADS": "x", "DCN_MODELS": "/dev/null:\x1b:::/nowhere"},
        {"HOME": "/nowhere", "TMPDIR": "/nowhere"},
    ],
)
def test_any_environment(tmp_path: Path, environment: dict[str, str]) -> None:
    name = str(tmp_path / "ä照\x1b.dcn")
    for command in (["info", name], ["encode", name], ["models", "list"], ["--help"]):
        done = subprocess.run(
            [DCN, *command], check=False, capture_output=True, env=os.environ | environment
        )
        expected = {"info": 1, "encode": 2}.get(command[0], 0)
        assert done.returncode == expected, done.stderr
        assert b"Traceback" not in done.stderr
        assert b"\x1b" not in done.stderr + done.stdout
        if expected:
            assert done.stderr.count(b"\n") == 1
