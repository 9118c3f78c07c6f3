"""Training needs torch, numpy, pillow, click, rich and safetensors alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

BLOCKED = "cffi _cffi_backend dcncodec._fse backports skimage scipy matplotlib rawpy av"

SCRIPT = """
import sys
for name in sys.argv.pop(1).split():
    sys.modules[name] = None
from dcncodec.cli.main import main
main()
"""


def train(folder: Path, pictures: Path, *more: str) -> str:
    """Train without the other libraries; standard error."""
    options = ["--max-steps", "1", "--batch", "1", "--patch", "16", "--threads", "1", *more]
    folders = ["--out", str(folder / "run"), "--export", str(folder / "model")]
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, BLOCKED, "train", str(pictures), *options, *folders],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_a_run_without_the_other_libraries(tmp_path: Path, pictures: Path) -> None:
    error = train(tmp_path, pictures)
    assert "no learning curve drawn: plots need matplotlib" in error
    assert {p.name for p in (tmp_path / "model").iterdir()} == {
        "model.safetensors",
        "card.json",
        "card.md",
    }


def test_a_fan_without_the_other_libraries(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(2):
        small = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
        small.resize((128, 128), Image.Resampling.BICUBIC).save(photos / f"{i}.png")
    choices = ("--finetune", "forensic", "--channel", "none", "--preset", "paper")
    train(tmp_path, photos, *choices)
    assert (tmp_path / "model" / "fan.safetensors").exists()
