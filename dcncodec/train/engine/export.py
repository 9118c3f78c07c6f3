"""From a training run to a weight folder, and the model card in it.

The weights are the averaged ones, in float16; what the card says is in ``models.card``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save
from torch import Tensor

from dcncodec.errors import TrainingError
from dcncodec.formats.files import make_folder
from dcncodec.models.card import (
    CARD_FILE,
    WEIGHTS_FILE,
    check_export,
    write_file,
    write_model_card,
)
from dcncodec.train.engine.checkpoint import FILE, Header, read_average
from dcncodec.train.engine.log import read_log
from dcncodec.train.engine.recipes import Recipe
from dcncodec.train.engine.run import LOG_FILE

FORMAT = "dcn-weights-1"
CURVE_ROWS = 10
CODEC_FIGURES = ("bpp", "psnr", "ssim")
"""What a codec's validation gives."""

R = TypeVar("R", bound=Recipe)


def export_model(run: Path, folder: Path) -> str:
    """Write the averaged weights of a run as a weight folder, replacing an earlier model there.

    Args:
        run: a run's folder, with its checkpoint.
        folder: the weight folder; its name becomes the model's.

    Returns:
        The SHA-256 of the weight file in hexadecimal.

    Raises:
        UsageError: the folder's name cannot be a model's.
        TrainingError: there is no checkpoint, or it is damaged.
        OutputError: the folder cannot be written.
    """
    average, header, _ = read_run(run, folder, Recipe)
    rows = read_log(run / LOG_FILE)
    return write_codec(folder, average, header, rows)


def read_run(run: Path, folder: Path, recipe: type[R]) -> tuple[dict[str, Tensor], Header, R]:
    """What every export begins with: averaged weights by name, their run, and its recipe.

    Args:
        run: a run's folder, with its checkpoint.
        folder: the weight folder to be written.
        recipe: the kind that the run had.

    Raises:
        UsageError: the folder's name cannot be a model's.
        TrainingError: there is no checkpoint, it is damaged, or of another training.
    """
    check_export(folder)
    average, header = read_average(run / FILE, recipe)
    assert isinstance(header.recipe, recipe)
    return average, header, header.recipe


def write_codec(
    folder: Path, weights: Mapping[str, Tensor], header: Header, rows: list[dict[str, float]]
) -> str:
    """Write a codec's weights and card.

    Args:
        folder: the weight folder.
        weights: of the codec, by name.
        header: of the run that they come from.
        rows: its log, with columns ``validation_bpp``, ``_psnr`` and ``_ssim``.

    Returns:
        The SHA-256 of the weight file in hexadecimal.

    Raises:
        TrainingError: the weights do not fit into float16.
        OutputError: the folder cannot be written.
    """
    architecture = {"family": "dcn", "latent_channels": header.latent_channels}
    return write_model(folder, weights, architecture, describe_run(header, rows, CODEC_FIGURES))


def write_model(
    folder: Path,
    weights: Mapping[str, Tensor],
    architecture: Mapping[str, Any],
    description: Mapping[str, Any],
    name: str = "",
    parts: Mapping[str, tuple[str, bytes]] | None = None,
) -> str:
    """Write a network's weights and card.

    Args:
        folder: the weight folder.
        weights: by name.
        architecture: the card's entry; its values describe the weight file's content.
        description: the card's other entries.
        name: the model's; by default the folder's.
        parts: further files by role, each its name and content.

    Returns:
        The SHA-256 of the weight file in hexadecimal.

    Raises:
        TrainingError, OutputError: as ``write_codec``.
    """
    content = half_precision(weights, f"{FORMAT}: {' '.join(map(str, architecture.values()))}")
    card = {
        "name": name or folder.resolve().name,
        "architecture": dict(architecture),
        **description,
        **_described(parts or {}),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    make_folder(folder)
    write_file(folder / WEIGHTS_FILE, content)
    for file, part in (parts or {}).values():
        write_file(folder / file, part)
    write_model_card(folder / CARD_FILE, card)
    return str(card["sha256"])


def _described(parts: Mapping[str, tuple[str, bytes]]) -> dict[str, Any]:
    if not parts:
        return {}
    return {
        "parts": {
            role: {"name": name, "sha256": hashlib.sha256(content).hexdigest()}
            for role, (name, content) in parts.items()
        }
    }


def half_precision(weights: Mapping[str, Tensor], kind: str) -> bytes:
    """A safetensors file of weights in float16, the same bytes for the same weights.

    Args:
        weights: by name.
        kind: what they are. The only entry of the metadata: the order of several is random.

    Raises:
        TrainingError: they do not fit into it.
    """
    halves = {name: tensor.half().contiguous() for name, tensor in sorted(weights.items())}
    if not halves or not all(bool(torch.isfinite(tensor).all()) for tensor in halves.values()):
        raise TrainingError("the weights do not fit into float16; train anew")
    return save(halves, {"format": kind})


def shortened(weights: Mapping[str, Tensor], bits: int, part: str = "") -> dict[str, Tensor]:
    """Weights with fewer significant bits, so that files of them pack better.

    A float16 has 11, of which a product in bfloat16 takes 8; trainings compute with such products.

    Args:
        weights: by name.
        bits: how many are left.
        part: prefix of the names of those that are shortened; the others stay as they are.
    """
    return {
        name: _rounded(tensor, bits) if name.startswith(part) else tensor
        for name, tensor in weights.items()
    }


def _rounded(tensor: Tensor, bits: int) -> Tensor:
    significand, exponent = torch.frexp(tensor.float())
    return torch.ldexp((significand * 2**bits).round() / 2**bits, exponent)


def describe_run(
    header: Header, rows: list[dict[str, float]], figures: Sequence[str]
) -> dict[str, Any]:
    """What a card says about a training: recipe to learning curve.

    Args:
        header: of the run.
        rows: its log.
        figures: names of the validation's figures, without their prefix; those that are no
            numbers, for want of a peer to compare with, are left out.
    """
    curve = [
        {"step": int(row["step"]), "seconds": round(row["seconds"], 1)}
        | {
            name: round(value, 4)
            for name in figures
            if math.isfinite(value := row[f"validation_{name}"])
        }
        for row in rows
    ]
    last = {name: curve[-1][name] for name in figures if name in curve[-1]} if curve else {}
    return {
        "recipe": asdict(header.recipe),
        "seed": header.seed,
        "init": header.init,
        "data": [asdict(source) for source in header.sources],
        "steps": header.progress.step,
        "seconds": round(header.progress.seconds, 1),
        "results": {"validation": last} if curve else {},
        "curve": _thinned(curve),
    }


def _thinned(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """At most ``CURVE_ROWS`` rows, evenly spaced, the first and the last among them."""
    if len(rows) <= CURVE_ROWS:
        return rows
    last = len(rows) - 1
    return [rows[round(i * last / (CURVE_ROWS - 1))] for i in range(CURVE_ROWS)]
