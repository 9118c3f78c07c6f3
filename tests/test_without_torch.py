"""Commands that compute with torch say in one line what brings it, where it is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

SCRIPT = """
import sys
sys.modules["torch"] = None
from dcncodec.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("train", "photos", "--out", "run", "--max-steps", "1"), "train"),
        (("train", "vr", "photos", "--out", "run", "--max-steps", "1"), "train"),
        (("develop", "photo.png", "--sensor", "7", "-o", "photo2.png"), "train"),
        (("forensics", "detect", "--fan", "fan-none", "photo.png"), "forensics"),
        (("bench", "--dataset", "photos", "--no-speed", "-c", "dcn-16c"), "bench"),
    ],
)
def test_a_missing_extra(tmp_path: Path, arguments: tuple[str, ...], extra: str) -> None:
    (tmp_path / "photos").mkdir()
    for path in ("photo.png", "photos/photo.png"):
        Image.new("RGB", (128, 128), "teal").save(tmp_path / path)
    before = sorted(tmp_path.rglob("*"))
    command = [sys.executable, "-c", SCRIPT, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("dcn: ")
    assert line.endswith(f"this needs torch: pip install 'dcncodec[{extra}]'")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_effort_takes_none(tmp_path: Path) -> None:
    Image.fromarray(data.astronaut()[40:101, 180:263]).save(tmp_path / "photo.png")
    files = []
    for effort in ("0", "4"):
        command = [sys.executable, "-c", SCRIPT, "encode", "--effort", effort, "--device", "cpu"]
        subprocess.run([*command, "photo.png", f"{effort}.dcn"], cwd=tmp_path, check=True)
        files.append((tmp_path / f"{effort}.dcn").read_bytes())
    assert files[0] != files[1]
