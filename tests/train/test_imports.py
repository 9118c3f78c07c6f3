"""Training needs torch, numpy, pillow, click, rich and safetensors alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BLOCKED = "cffi _cffi_backend dcncodec._fse zstandard skimage scipy matplotlib rawpy av"

SCRIPT = """
import sys
for name in sys.argv.pop(1).split():
    sys.modules[name] = None
from dcncodec.cli.main import main
main()
"""


def test_a_run_without_the_other_libraries(tmp_path: Path, pictures: Path) -> None:
    options = ["--max-steps", "1", "--batch", "1", "--patch", "16", "--threads", "1"]
    folders = ["--out", str(tmp_path / "run"), "--export", str(tmp_path / "model")]
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, BLOCKED, "train", str(pictures), *options, *folders],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "no learning curve drawn: plots need matplotlib" in result.stderr
    assert {p.name for p in (tmp_path / "model").iterdir()} == {
        "model.safetensors",
        "card.json",
        "card.md",
    }
