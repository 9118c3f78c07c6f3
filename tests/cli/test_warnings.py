"""Every warning is one line on standard error and an entry of JSON; --quiet leaves out the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Runner
from PIL import Image
from skimage import data as samples

ROUNDED = "16 bits a sample are rounded to 8"


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A grey photo of 16 bits."""
    path = tmp_path / "deep.png"
    Image.fromarray(samples.camera()[:32, :32].astype(np.uint16) * 250).save(path)
    return path


@pytest.fixture
def damaged_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a model in ``$DCN_MODELS``: the warning."""
    card = tmp_path / "models" / "evil" / "card.json"
    card.parent.mkdir(parents=True)
    card.write_text("[")
    monkeypatch.setenv("DCN_MODELS", str(tmp_path / "models"))
    return f"{card}: skipped: damaged card; install the model again"


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_rounding_to_8_bits_is_said(
    dcn: Runner, deep: Path, tmp_path: Path, tiny_model: Path
) -> None:
    command = ("encode", "--json", "--model", tiny_model, "-f", deep, tmp_path / "a.dcn")
    told = dcn(*command)
    assert f"dcn: warning: {deep}: {ROUNDED}\n" in told.err
    (facts,) = objects(told.out)
    assert f"{deep}: {ROUNDED}" in facts["warnings"]
    quiet = dcn(*command, "--quiet")
    assert (quiet.err, objects(quiet.out)[0]["warnings"]) == ("", facts["warnings"])


@pytest.mark.parametrize("command", [("develop",), ("forensics", "detect", "--fan", "fan-none")])
def test_commands_that_only_look_at_pixels_say_so_too(
    dcn: Runner, tmp_path: Path, command: tuple[str, ...]
) -> None:
    pytest.importorskip("torch")
    photo = tmp_path / "photo.png"
    pixels = np.dstack((samples.astronaut()[:128, :128], np.full((128, 128), 9, np.uint8)))
    Image.fromarray(pixels).save(photo)
    target = ("-o", tmp_path / "x.dng") if command == ("develop",) else ()
    told = dcn(*command, photo, *target)
    assert told.code == 0
    assert f"dcn: warning: {photo}: its transparency is left out\n" in told.err
    quiet = dcn(*command, "-qf", photo, *target)
    assert "warning" not in quiet.err


def test_skipped_files_are_told_by_the_first_object(
    dcn: Runner, deep: Path, tmp_path: Path, tiny_model: Path
) -> None:
    (tmp_path / "b.heic").touch()
    Image.new("L", (32, 32), 9).save(tmp_path / "e.png")
    out = tmp_path / "out"
    told = dcn("encode", "--json", "--model", tiny_model, "-d", out, tmp_path)
    first, second = objects(told.out)
    assert first["warnings"][0] == "1 file skipped (.heic 1)"
    assert f"{deep}: {ROUNDED}" in first["warnings"]
    assert not any("file skipped" in text or ROUNDED in text for text in second["warnings"])


def test_skipped_models_are_told(
    dcn: Runner, deep: Path, tmp_path: Path, tiny_model: Path, damaged_card: str
) -> None:
    pytest.importorskip("torch")
    coded = tmp_path / "a.dcn"
    (tmp_path / "models" / "tiny").symlink_to(tiny_model)
    assert dcn("encode", "-q", "--model", "tiny", deep, coded).code == 0
    for command in (
        ("encode", "-f", "--model", "tiny", deep, coded),
        ("decode", "-f", coded, tmp_path / "x.png"),
        ("encode", "--model", "nothing", deep, tmp_path / "y.dcn"),
        ("models", "list"),
        ("forensics", "list"),
    ):
        told = dcn(*command, "--json")
        # Once, however often models are looked for.
        assert told.err.count(f"dcn: warning: {damaged_card}\n") == 1, command
        if "nothing" not in command:
            assert objects(told.out)[0]["warnings"].count(damaged_card) == 1, command
        assert damaged_card not in dcn(*command, "--quiet").err
