"""Checkpoints that are damaged or of another run are told apart, with one line each."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from dcncodec.errors import TrainingError
from dcncodec.models.dcn import DCN
from dcncodec.train.engine.checkpoint import (
    Header,
    Progress,
    load_checkpoint,
    read_header,
    save_checkpoint,
)
from dcncodec.train.engine.data import Source
from dcncodec.train.engine.optimiser import Optimiser
from dcncodec.train.engine.presets import FORENSIC_RECIPES, RECIPES
from dcncodec.train.engine.recipes import ForensicRecipe, Recipe


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a checkpoint of a DCN with four channels."""
    path: Path = tmp_path_factory.mktemp("checkpoint") / "c.safetensors"
    codec = DCN(4)
    optimiser = Optimiser(codec, muon=True)
    for parameter in codec.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.set_rate(0.0)
    optimiser.update()
    average = {k: v.detach().clone() for k, v in codec.state_dict().items()}
    header = Header(4, RECIPES["fast"], 7, [Source("photos", 3, 1.5)], "dcn-32c", Progress(1, 2.5))
    save_checkpoint(path, codec, average, optimiser, header)
    assert read_header(path) == header
    return path.read_bytes()


def restore(path: Path, channels: int = 4) -> Header:
    codec = DCN(channels)
    average = {k: v.detach().clone() for k, v in codec.state_dict().items()}
    return load_checkpoint(path, codec, average, Optimiser(codec, muon=True))


def changed(content: bytes, **metadata: str) -> bytes:
    header = {
        "format": Recipe.CHECKPOINT,
        "architecture": "dcn-4",
        "progress": '{"step": 1, "seconds": 2.5}',
        "recipe": json.dumps(asdict(RECIPES["fast"])),
    }
    return save(load(content), header | metadata)


def test_what_is_saved_comes_back(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(content)
    assert restore(tmp_path / "c").progress == Progress(1, 2.5)


def test_seed_and_sources_are_optional(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(changed(content))
    assert (restore(tmp_path / "c").seed, restore(tmp_path / "c").sources) == (0, [])


@pytest.mark.parametrize("size", [0, 7, 100, 20_000, -1])
def test_cut_short(tmp_path: Path, content: bytes, size: int) -> None:
    (tmp_path / "c").write_bytes(content[:size])
    with pytest.raises(TrainingError, match=r"c: damaged checkpoint .*; remove it to start anew"):
        restore(tmp_path / "c")


@pytest.mark.parametrize(
    "metadata",
    [
        {"progress": "{"},
        {"progress": "[]"},
        {"recipe": '{"batch": 1}'},
        {"recipe": '{"unknown": 1}'},
        {"recipe": "[]"},
        {"architecture": "unet"},
        {"seed": "x"},
        {"seed": "-1"},
        {"sources": "[1]"},
        {"sources": '[{"name": "a", "images": -1, "megapixels": 1}]'},
        {"architecture": "dcn--4"},
        {"architecture": "dcn-256"},
        {"progress": '{"step": -1, "seconds": 2}'},
        {"progress": '{"step": 1.5, "seconds": 2}'},
        {"progress": '{"step": "1", "seconds": 2}'},
        {"progress": '{"step": 1, "seconds": NaN}'},
        {"recipe": json.dumps(asdict(RECIPES["fast"]) | {"batch": 0})},
        {"recipe": json.dumps(asdict(RECIPES["fast"]) | {"patch": "128"})},
        {"recipe": json.dumps(asdict(RECIPES["fast"]) | {"learning_rate": float("inf")})},
        {"origins": "[" * 100_000},
    ],
)
def test_damaged_header(tmp_path: Path, content: bytes, metadata: dict[str, str]) -> None:
    (tmp_path / "c").write_bytes(changed(content, **metadata))
    with pytest.raises(TrainingError, match="damaged checkpoint"):
        read_header(tmp_path / "c")


def test_another_format(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(changed(content, format="weights"))
    with pytest.raises(TrainingError, match="not a training checkpoint of this version"):
        read_header(tmp_path / "c")


def test_fields_that_recipes_had(tmp_path: Path, content: bytes) -> None:
    """What a run never used is passed over; what it did use is named."""
    recipe = replace(FORENSIC_RECIPES["fast"], classes=("native", "jpeg"))
    entries, kind = asdict(recipe), {"format": ForensicRecipe.CHECKPOINT}
    for had in ({}, {"gauges": False, "encoder_rest": 0.0}):
        (tmp_path / "c").write_bytes(changed(content, recipe=json.dumps(entries | had), **kind))
        assert read_header(tmp_path / "c", ForensicRecipe).recipe == recipe
    for had, name in (
        ({"gauges": True, "encoder_rest": 0.6}, "gauges"),
        ({"gauges": True, "encoder_rest": 0.0}, "gauges"),
        ({"gauges": False, "encoder_rest": 0.6}, "encoder_rest"),
        ({"gauges": None, "encoder_rest": 0.0}, "gauges"),
    ):
        (tmp_path / "c").write_bytes(changed(content, recipe=json.dumps(entries | had), **kind))
        with pytest.raises(TrainingError, match=f"c: was trained with {name}, which this version"):
            read_header(tmp_path / "c", ForensicRecipe)
    # Of other trainings' recipes they never were fields.
    entries = asdict(RECIPES["fast"]) | {"gauges": False}
    (tmp_path / "c").write_bytes(changed(content, recipe=json.dumps(entries)))
    with pytest.raises(TrainingError, match="damaged checkpoint"):
        read_header(tmp_path / "c")


@pytest.mark.parametrize(("kept", "critics"), [("", ()), ("fan-none", ("fan-none",))])
def test_one_critic_of_earlier_checkpoints(
    tmp_path: Path, content: bytes, kept: str, critics: tuple[str, ...]
) -> None:
    recipe = replace(FORENSIC_RECIPES["fast"], classes=("native", "jpeg"))
    entries = json.dumps(asdict(recipe) | {"critic": kept})
    (tmp_path / "c").write_bytes(changed(content, recipe=entries, format=ForensicRecipe.CHECKPOINT))
    assert read_header(tmp_path / "c", ForensicRecipe).recipe == replace(recipe, critic=critics)


def test_missing_tensor(tmp_path: Path, content: bytes) -> None:
    tensors = load(content)
    del tensors["average.latent_scale"]
    (tmp_path / "c").write_bytes(changed(save(tensors)))
    with pytest.raises(TrainingError, match="damaged checkpoint"):
        restore(tmp_path / "c")


@pytest.mark.parametrize("part", ["model", "average", "optimiser"])
def test_tensors_that_are_not_finite(tmp_path: Path, content: bytes, part: str) -> None:
    tensors = load(content)
    name = next(n for n, t in tensors.items() if n.startswith(part) and t.is_floating_point())
    tensors[name].flatten()[:1] = float("nan")
    (tmp_path / "c").write_bytes(changed(save(tensors)))
    with pytest.raises(TrainingError, match="not finite"):
        restore(tmp_path / "c")


def test_another_network(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(TrainingError, match="damaged checkpoint"):
        restore(tmp_path / "c", channels=8)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no checkpoint; train first"):
        read_header(tmp_path / "c")
