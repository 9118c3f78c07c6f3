"""Weights that are not what they claim are refused when they are loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from dcncodec.errors import ModelError
from dcncodec.models.load import load_codec, load_dcn, load_fan, load_nip
from dcncodec.models.registry import WEIGHTS, open_folder
from dcncodec.models.roles import Role

LAYER = "analysis_net.0.weight"


def changed(model: Path, target: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
    """A copy of a model with other weights, and a card that fits them."""
    weights = load_file(model / "model.safetensors")
    change(weights)
    content = save(weights)
    card = json.loads((model / "card.json").read_text())
    target.mkdir()
    (target / "model.safetensors").write_bytes(content)
    card["sha256"] = hashlib.sha256(content).hexdigest()
    (target / "card.json").write_text(json.dumps(card))
    return target


def put(name: str, value: float) -> Callable[[dict[str, Tensor]], object]:
    """Change one number of a tensor."""

    def change(weights: dict[str, Tensor]) -> None:
        weights[name] = weights[name].clone()
        weights[name].view(-1)[-1] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(LAYER, float("nan")), f"weights {LAYER} are not all finite"),
        (put(LAYER, float("inf")), f"weights {LAYER} are not all finite"),
        (put("latent_scale", 0), "latent scale is not positive"),
        (put("latent_scale", -1), "latent scale is not positive"),
        (lambda w: w.update({LAYER: torch.ones_like(w[LAYER], dtype=torch.int32)}), "floating"),
        (lambda w: w.update({LAYER: w[LAYER][:, :, :3, :3].contiguous()}), "does not fit"),
        (lambda w: w.pop(LAYER), "does not fit"),
        (lambda w: w.update({"more": torch.zeros(1)}), "does not fit"),
    ],
)
def test_weights_that_would_give_black_pictures(
    tiny_model: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Tensor]], object],
    message: str,
) -> None:
    folder = open_folder(changed(tiny_model, tmp_path / "bad", change))
    with pytest.raises(ModelError, match=message) as caught:
        load_codec(folder)
    assert str(folder.weights) in str(caught.value)


def test_models_are_loaded_by_their_family(tiny_model: Path) -> None:
    assert load_dcn(open_folder(tiny_model)).latent_channels == 4
    assert load_fan(open_folder(WEIGHTS / "fan-none", Role.FAN)).classes == 7
    assert load_nip(open_folder(WEIGHTS / "inet", Role.PIPELINE)).halo >= 0
    with pytest.raises(ModelError, match="of the family nip"):
        load_fan(open_folder(WEIGHTS / "inet", Role.PIPELINE))
    with pytest.raises(ValueError, match="no codecs"):
        load_codec(open_folder(WEIGHTS / "inet", Role.PIPELINE))
