"""Fixtures for all tests."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from commands import Runner
from safetensors.numpy import save

SHARED = Path(__file__).parents[2] / "shared"

TINY = {
    "analysis_net.0": (64, 3, 5),
    "analysis_net.2": (128, 64, 5),
    **{f"analysis_net.{i}.conv{j}": (128, 128, 3) for i in (4, 5, 6) for j in (1, 2)},
    "analysis_net.7": (4, 128, 5),
    "synthesis_net.0": (512, 4, 3),
    **{f"synthesis_net.{i}.conv{j}": (128, 128, 3) for i in (3, 4, 5) for j in (1, 2)},
    "synthesis_net.6": (256, 128, 3),
    "synthesis_net.9": (12, 64, 3),
}
"""Convolutions of the family dcn with four latent channels: outputs, inputs, side of the kernel."""

WITHOUT_TORCH = "DCN_TESTS_WITHOUT_TORCH"
"""Where this variable is set, importing torch fails, and tests that need it are left out."""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what imports torch."""
    if not os.environ.get(WITHOUT_TORCH) or collection_path.suffix != ".py":
        return None
    helpers = "|".join(sorted(_helpers_with_torch()))
    needs = rf"^(import torch|from (torch|dcncodec\.bench|{helpers})\b)"
    return True if re.search(needs, collection_path.read_text(), re.M) else None


@cache
def _helpers_with_torch() -> set[str]:
    """Modules of tests/helpers that import torch."""
    modules = (Path(__file__).parent / "helpers").glob("*.py")
    return {m.stem for m in modules if re.search(r"^(import|from) torch\b", m.read_text(), re.M)}


def pytest_configure() -> None:
    """Under nohup or in a script's background, tests would hand on that signals are ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Beside other busy processes, threads that wait for each other do nothing else.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if os.environ.get(WITHOUT_TORCH):
        sys.modules["torch"] = None  # type: ignore[assignment]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of images beside the checkout; tests that need it skip without it."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs ../shared/data")
    return SHARED / "data"


@pytest.fixture
def dcn(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Runner:
    """Runs ``dcn`` in this process."""
    return Runner(monkeypatch, capfd)


@pytest.fixture(scope="session")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for all rates, which codes photos as their KLT does, named ``my-vr``."""
    pytest.importorskip("torch")
    from vr_models import write_vr

    return write_vr(tmp_path_factory.mktemp("models") / "my-vr")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight folder with random weights and four latent channels, named ``tiny``."""
    rng = np.random.default_rng(1)
    weights = {"latent_scale": np.float16(4)[...]}
    for name, (outputs, inputs, side) in TINY.items():
        # As ``models.dcn`` begins: without normalisation, variances stay.
        gain = 0.1 if name.endswith("conv2") else 1.4
        shape = (outputs, inputs, side, side)
        kernel = rng.normal(0, gain / (inputs * side * side) ** 0.5, shape)
        weights[f"{name}.weight"] = kernel.astype(np.float16)
        weights[f"{name}.bias"] = np.zeros(outputs, np.float16)
    content = save(weights)
    folder: Path = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(content)
    card = {
        "name": "tiny",
        "architecture": {"family": "dcn", "latent_channels": 4},
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "card.json").write_text(json.dumps(card))
    return folder
