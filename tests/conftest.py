"""Fixtures for all tests."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path

import pytest
from commands import Runner

SHARED = Path(__file__).parents[2] / "shared"


def pytest_configure() -> None:
    """Under nohup or in a script's background, tests would hand on that signals are ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


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
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight folder with random weights and four latent channels, named ``tiny``."""
    import torch
    from safetensors.torch import save

    from dcncodec.models.dcn import DCN

    torch.manual_seed(1)
    codec = DCN(4)
    content = save({name: t.half().contiguous() for name, t in codec.state_dict().items()})
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
