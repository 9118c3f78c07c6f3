"""What users install: the sdist builds a wheel, which works in an environment with nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from PIL import Image
from skimage import data as samples

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
LOADED = (
    "import dcncodec, dcncodec.pillow_plugin, sys; from PIL import Image; "
    "Image.open('photo.dcn').load(); dcncodec.decode('photo.dcn'); "
    "import importlib.util; print(*map(importlib.util.find_spec, ('torch', 'onnxruntime')))"
)


def run(*command: object, folder: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def sdist(folder: Path) -> Path:
    """The sdist of what git knows: building would leave files in the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("needs a git checkout")
    source = folder / "source"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    run(sys.executable, "-c", BUILD, folder, folder=source)
    (found,) = folder.glob("dcncodec-*.tar.gz")
    return found


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_an_empty_environment(tmp_path: Path) -> None:
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    pip = [home / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    probe = [*map(str, pip), "download", "--no-deps", "-d", str(tmp_path / "probe"), "numpy"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs a package index")
    before = size_of(home)
    run(*pip, "install", sdist(tmp_path), folder=tmp_path)
    shutil.rmtree(tmp_path / "source")
    Image.fromarray(samples.astronaut()[:128, :96]).save(tmp_path / "photo.png")
    dcn = home / "bin" / "dcn"
    run(dcn, "encode", "--metrics", "photo.png", "photo.dcn", folder=tmp_path)
    run(dcn, "decode", "photo.dcn", "photo.ppm", folder=tmp_path)
    run(dcn, "encode", "--model", "dcn-16c", "photo.png", "paper.dcn", folder=tmp_path)
    run(dcn, "recode", "--entropy", "global", "paper.dcn", "other.dcn", folder=tmp_path)
    run(dcn, "info", "--verify", "photo.dcn", "other.dcn", folder=tmp_path)
    run(dcn, "models", "verify", folder=tmp_path)
    assert run(home / "bin" / "python", "-c", LOADED, folder=tmp_path).split() == ["None", "None"]
    # A third of it are bundled models, a half NumPy.
    assert size_of(home) - before < 150e6


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    files = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    return sum(path.lstat().st_size for path in files)
