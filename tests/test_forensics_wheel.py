"""The wheel of forensic networks holds what dcncodec's own leaves out, and installs beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "models" / "weights"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    script = ROOT / "packaging" / "forensics_wheel.py"
    built = subprocess.run(
        [sys.executable, script, folder], capture_output=True, text=True, check=True
    )
    wheel = Path(built.stdout.strip())
    assert wheel.parent == folder
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", folder / "site", wheel],
        check=True,
    )
    return folder / "site"


def test_every_forensic_network_is_in_it(installed: Path) -> None:
    home = installed / "dcncodec" / "models" / "weights"
    found = {path.relative_to(home) for path in home.rglob("*") if path.is_file()}
    assert {path.name for path in found} <= {
        *("fan.safetensors", "forensic.json", "forensic.md"),
        *("model.safetensors", "card.json", "card.md"),
    }
    networks = {path.parent.relative_to(WEIGHTS) for path in WEIGHTS.rglob("forensic.json")}
    assert len(networks) == 10
    assert {path.parent for path in found} >= networks
    for path in found:
        assert (home / path).read_bytes() == (WEIGHTS / path).read_bytes()
    # Codecs are not: whatever file there is, dcncodec alone decodes it.
    assert not any((home / path).match("dcn-*/model.safetensors") for path in found)


def test_it_says_what_it_needs(installed: Path) -> None:
    (info,) = installed.glob("dcncodec_forensics-*.dist-info")
    version = info.name.removeprefix("dcncodec_forensics-").removesuffix(".dist-info")
    assert f"\nRequires-Dist: dcncodec=={version}\n" in (info / "METADATA").read_text()
