"""Models are found by name, path and hash, and never used when they are not what they claim."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from dcncodec.errors import ModelError
from dcncodec.formats.geometry import HASH_BYTES
from dcncodec.models.load import load_dcn
from dcncodec.models.registry import (
    PIPELINE,
    TUNED,
    WEIGHTS,
    find_by_prefix,
    find_model,
    list_models,
    open_folder,
)


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "models" / "tiny"))


def _edit(model: Path, **changes: object) -> None:
    card = json.loads((model / "card.json").read_text())
    card.update(changes)
    (model / "card.json").write_text(json.dumps(card))


def test_bundled_models_are_what_their_cards_say() -> None:
    bundled = [folder for folder in list_models() if folder.path.parent == WEIGHTS]
    assert {"dcn-16c", "dcn-32c"} <= {folder.name for folder in bundled}
    for folder in bundled:
        codec = load_dcn(folder)
        assert codec.latent_channels == folder.latent_channels
        assert folder.weights.stat().st_size <= 16 * 2**20
        assert folder.prefix.hex() == folder.sha256[: 2 * HASH_BYTES]


def test_found_by_path_name_and_hash(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_path = find_model(model)
    monkeypatch.setenv("DCN_MODELS", str(model.parent))
    assert find_model(by_path.name).path == model
    assert find_by_prefix(by_path.name, by_path.prefix).path == model


def test_a_pipeline_tuned_with_a_fan_goes_by_its_forensic_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = tmp_path / "my-camera" / TUNED
    shutil.copytree(WEIGHTS / "inet", tuned)
    assert find_model(tmp_path / "my-camera", PIPELINE).path == tuned
    with pytest.raises(ModelError, match="my-camera: no such model"):
        find_model("my-camera", PIPELINE)
    monkeypatch.setenv("DCN_MODELS", str(tmp_path))
    assert find_model("my-camera", PIPELINE).path == tuned
    with pytest.raises(ModelError, match="my-camera: no such model"):
        find_model("my-camera")


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"no-such: no such model.*dcn-32c"):
        find_model("no-such")


def test_other_weights_of_the_same_name_are_not_taken(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCN_MODELS", str(model.parent))
    with pytest.raises(ModelError, match="has other weights"):
        find_by_prefix(find_model(model).name, b"\0" * HASH_BYTES)


def test_a_model_that_is_not_installed_is_named() -> None:
    with pytest.raises(ModelError, match=r"needs model my-own .weights 0000.*not installed"):
        find_by_prefix("my-own", b"\0" * HASH_BYTES)


def test_replaced_weights_are_refused(model: Path) -> None:
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="damaged or replaced"):
        load_dcn(open_folder(model))


def test_missing_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_dcn(open_folder(model))


def test_weights_of_another_architecture(model: Path) -> None:
    _edit(model, architecture={"family": "dcn", "latent_channels": 5})
    with pytest.raises(ModelError, match="does not fit the architecture"):
        load_dcn(open_folder(model))


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "xyz"},
        {"sha256": "00"},
        {"architecture": {"family": "other", "latent_channels": 4}},
        {"architecture": {"family": "dcn", "latent_channels": 0}},
        {"architecture": None},
    ],
)
def test_damaged_cards(model: Path, changes: dict[str, object]) -> None:
    _edit(model, **changes)
    with pytest.raises(ModelError, match="damaged model card"):
        open_folder(model)


def test_a_card_that_is_not_json(model: Path) -> None:
    (model / "card.json").write_text("{")
    with pytest.raises(ModelError, match="damaged model card"):
        open_folder(model)


def test_a_folder_without_a_card(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a model folder"):
        find_model(tmp_path)


def test_loaded_weights_are_float32(tiny_model: Path) -> None:
    codec = load_dcn(open_folder(tiny_model))
    assert {p.dtype for p in codec.parameters()} == {torch.float32}
    assert not codec.training
