"""What runtimes have in common: a codec whose every layer counts, and comparison with torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save
from skimage import data as samples
from vr_models import write_vr

from dcncodec.errors import ModelError
from dcncodec.formats.geometry import Area
from dcncodec.formats.means import CHANNELS, MOST, Means, regions
from dcncodec.models.card import ModelFolder
from dcncodec.models.load import load_codec
from dcncodec.models.registry import open_folder
from dcncodec.runtime.engine import Engine
from dcncodec.runtime.native_engine import NativeEngine
from dcncodec.runtime.torch_engine import TorchEngine
from dcncodec.runtime.windows import Transforms

if TYPE_CHECKING:
    from dcncodec.runtime.native_engine import Path as Instructions

PHOTO = np.ascontiguousarray(samples.astronaut()[96:253, 130:310])


def write_random_vr(folder: Path) -> ModelFolder:
    """A model of the family vr with random weights where its trainings begin with zeros."""
    write_vr(folder)
    torch.manual_seed(3)
    weights = load_file(folder / "model.safetensors")
    for name in weights:
        if name.startswith(("analysis_net.", "synthesis_net.")):
            weights[name] += 0.01 * torch.randn_like(weights[name])
    rewrite(folder, weights)
    return open_folder(folder)


def rewrite(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Give a model other weights, and a card that fits them."""
    content = save(weights)
    (folder / "model.safetensors").write_bytes(content)
    card = json.loads((folder / "card.json").read_text())
    card["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


def transforms(folder: ModelFolder, engine: Engine) -> Transforms:
    """An engine's, which tell nobody what they do."""
    return Transforms(engine, folder.geometry, [].append)


def engine_of(folder: ModelFolder, path: Instructions = "auto", bf16: bool = False) -> NativeEngine:
    """One that works, or the test is left out."""
    made = NativeEngine(folder, 1, bf16=bf16, path=path)
    try:
        made.synthesis(np.zeros((folder.geometry.channels, 1, 1), np.int16), 0)
    except ModelError as error:
        if "lacks these instructions" not in str(error):
            raise
        pytest.skip(f"this processor has no {path} with bf16 {bf16}")
    return made


def check_alike(
    folder: ModelFolder, engine: Engine, pixels: np.ndarray, rates: tuple[int, ...]
) -> None:
    """Compare an engine in float32 with torch: pixels within a grey level, at most one in a
    hundred; latents within a code word, one in a thousand."""
    torch_engine = TorchEngine(load_codec(folder), torch.device("cpu"), torch.float32)
    peer, own = transforms(folder, torch_engine), transforms(folder, engine)
    plane = Area(0, 0, -(-pixels.shape[0] // 8), -(-pixels.shape[1] // 8))
    for rate in rates:
        latents = peer.analyse(pixels, plane, rate)
        found = own.analyse(pixels, plane, rate)
        # Another order of summation may move a value across a rounding threshold, rarely, by one.
        assert np.abs(latents.astype(int) - found).max() <= 1
        assert (latents != found).mean() < 1e-3
        expected = peer.synthesise(latents, plane, plane, rate).astype(int)
        shown = own.synthesise(latents, plane, plane, rate)
        assert np.abs(expected - shown).max() <= 1
        assert (expected != shown).mean() < 1e-2
        means = _some_means(plane)
        raised = peer.synthesise(latents, plane, plane, rate, means).astype(int)
        found = own.synthesise(latents, plane, plane, rate, means)
        assert np.abs(raised - found).max() <= 1
        assert (raised != expected).any()


def _some_means(plane: Area) -> Means:
    rows, columns = regions(plane)
    random = np.random.default_rng(0)
    values = random.integers(-MOST, MOST + 1, CHANNELS * rows * columns).astype(np.int8)
    return Means(values.tobytes(), rows, columns)


MISFITS: list[tuple[Any, str]] = [
    (lambda w: w.pop("synthesis_net.tail.0.bias"), "does not fit"),
    (lambda w: w.update({"synthesis_net.tail.9.bias": torch.zeros(3)}), "does not fit"),
    (lambda w: w.update({"fine.weight": torch.zeros(3)}), "does not fit"),
    (lambda w: w.update({"degain": torch.zeros(8, 3)}), "does not fit"),
    (lambda w: w.update({"degain": w["degain"].int()}), "weights degain are not all finite"),
]
"""Changes of the weights of ``write_vr``, and what is said of them."""
