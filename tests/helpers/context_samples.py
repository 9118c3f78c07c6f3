"""Context models made up for tests: valid integers at random, and floats of plausible size."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from dcncodec.formats.context import ContextModel
from dcncodec.models.card import ModelFolder
from dcncodec.models.registry import find_model

Tensors = dict[str, NDArray[Any]]

OFFSETS = [(0, -1), (0, -2)] + [(dy, dx) for dy in (-1, -2) for dx in range(-2, 3)]


def degrees(channels: int, hidden: int) -> NDArray[np.int64]:
    return np.arange(hidden) * channels // hidden


def _layer(
    rng: np.random.Generator, shape: tuple[int, int], largest: int, wild: bool
) -> NDArray[np.int16]:
    """Weights whose sums, with a bias of as much, just fit 32 bits (wild), or are small."""
    weights = rng.normal(size=shape) * (1 if wild else 0.05)
    most = (2**30 - 1) / largest / max(1e-9, float(np.abs(weights).sum(axis=1).max()))
    return (weights * min(most, 30000)).clip(-32768, 32767).astype(np.int16)


def random_model(
    seed: int,
    channels: int,
    hidden: int,
    neighbours: int = 6,
    knots: int = 2,
    scales: int = 5,
    wild: bool = True,
) -> Tensors:
    """A valid integer model; a wild one saturates activations, means and scales."""
    rng = np.random.default_rng(seed)
    squash = np.sort(rng.integers(0, 32768 if wild else 2000, 40))
    squash[0] = 0
    limit = len(squash) - 1
    inputs = neighbours * channels
    top = int(squash.max()) or 1
    first = _layer(rng, (hidden, inputs + channels), top, wild)
    degree, channel = degrees(channels, hidden), np.arange(channels)
    before = first[:, inputs:] * (channel[None] < degree[:, None])
    shown = degree[None] <= channel[:, None]
    linear = _layer(rng, (channels, inputs + channels), limit, wild)
    radius = rng.integers(0, 128 if wild else 6, scales).astype(np.uint8)

    def bias(*shape: int) -> NDArray[np.int32]:
        return rng.integers(-(2**30), 2**30, shape).astype(np.int32) >> (0 if wild else 12)

    def shift(size: int) -> NDArray[np.uint8]:
        low, high = (0, 32) if wild else (8, 14)
        return rng.integers(low, high, size).astype(np.uint8)

    tables = [
        rng.multinomial(2**15 - size, rng.dirichlet(np.full(size, 0.3))) + 1
        for size in np.repeat(2 * radius.astype(int) + 2, 16)
    ]
    return {
        "offsets": np.array(OFFSETS, np.int8)[rng.permutation(len(OFFSETS))[:neighbours]],
        "squash": squash.astype(np.int16),
        "neighbours.weight": first[:, :inputs],
        "before.weight": before.astype(np.int16),
        "first.bias": bias(knots, hidden),
        "first.shift": shift(hidden),
        "hidden.weight": _layer(rng, (hidden, hidden), 2**15, wild)
        * (degree[None] <= degree[:, None]).astype(np.int16),
        "hidden.bias": bias(hidden),
        "hidden.shift": shift(hidden),
        "mean.weight": _layer(rng, (channels, hidden), 2**15, wild) * shown.astype(np.int16),
        "mean.bias": bias(channels),
        "mean.shift": shift(channels),
        "scale.weight": _layer(rng, (channels, hidden), 2**15, wild) * shown.astype(np.int16),
        "scale.bias": bias(knots, channels),
        "scale.shift": shift(channels),
        "linear_neighbours.weight": linear[:, :inputs],
        "linear_before.weight": (linear[:, inputs:] * (channel[None] < channel[:, None])).astype(
            np.int16
        ),
        "linear.shift": shift(channels),
        "radius": radius,
        "low_bits": rng.integers(0, 16 if wild else 3, scales).astype(np.uint8),
        "frequencies": np.concatenate(tables).astype(np.uint16),
    }


def context_file(seed: int, channels: int = 4) -> bytes:
    """A random model as it lies in a weight folder."""
    return save(ContextModel(random_model(seed, channels, 9, wild=False)).to_tensors())


def put_context(folder: Path, content: bytes) -> None:
    """Give a weight folder a context model."""
    (folder / "context.safetensors").write_bytes(content)
    card = json.loads((folder / "card.json").read_text())
    sha256 = hashlib.sha256(content).hexdigest()
    card["parts"] = {"context": {"name": "context.safetensors", "sha256": sha256}}
    (folder / "card.json").write_text(json.dumps(card))


def random_latents(
    seed: int, channels: int, rows: int, columns: int, kind: str = "sparse"
) -> NDArray[np.int16]:
    """Latents: all `zero`, `sparse`, `extreme` or the ends of the range alone (`ends`)."""
    rng = np.random.default_rng(seed)
    shape = (channels, rows, columns)
    if kind == "zero":
        return np.zeros(shape, np.int16)
    if kind == "sparse":
        return np.rint(rng.laplace(size=shape) * 0.6).astype(np.int16)
    if kind == "extreme":
        return rng.integers(-32768, 32768, shape).astype(np.int16)
    return rng.choice(np.array([-32768, 32767], np.int16), shape)


def float_weights(
    seed: int, channels: int, hidden: int, neighbours: int = 6, knots: int = 8
) -> dict[str, NDArray[np.float64]]:
    """A float twin's arrays with sums of the size that training gives."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int, of: float) -> NDArray[np.float64]:
        return rng.normal(size=shape) * of

    inputs = neighbours * channels
    return {
        "neighbours.weight": normal(hidden, inputs, of=1.2 / inputs**0.5),
        "before.weight": normal(hidden, channels, of=1.2 / channels**0.5),
        "bias": normal(hidden, of=0.1),
        "rate_bias": normal(knots, hidden, of=0.3),
        "hidden.weight": normal(hidden, hidden, of=0.7 / hidden**0.5),
        "hidden.bias": normal(hidden, of=0.1),
        "mean.weight": normal(channels, hidden, of=0.3 / hidden**0.5),
        "mean.bias": normal(channels, of=0.05),
        "scale.weight": normal(channels, hidden, of=0.4 / hidden**0.5),
        "scale.bias": normal(channels, of=0.4) - 0.8,
        "rate_scale": np.linspace(-0.3, 0.3, knots)[:, None] + np.zeros((knots, channels)),
        "linear_neighbours.weight": normal(channels, inputs, of=0.15 / inputs**0.5),
        "linear_before.weight": normal(channels, channels, of=0.15 / channels**0.5),
    }


def install_with_context(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ModelFolder:
    """A copy of a model, with a context model, that is found by its name."""
    copy = tmp_path / "models" / model.name
    shutil.copytree(model, copy)
    put_context(copy, context_file(1))
    monkeypatch.setenv("DCN_MODELS", str(copy.parent))
    return find_model(model.name)
