"""From a training run to a weight folder, and the model card in it.

A weight folder holds ``model.safetensors`` (the averaged weights in float16), ``card.json`` and
``card.md``, which is the first made readable. The schema of ``card.json``::

    name            str, the folder's name; files encoded with the model carry it
    architecture    {"family": "dcn", "latent_channels": int}, or for a camera pipeline
                      {"family": "nip", "network": "inet", "unet" or "dnet"}
    to_srgb         of a camera pipeline: 3 rows of 3 floats, the colours of its camera
    recipe          the fields of ``recipes.Recipe``
    seed            int
    init            str, the model whose weights it began with; empty for random ones
    data            list of {"name": str, "images": int, "megapixels": float}
    steps, seconds  int, float: length of the training
    results         by name of the test set, each a mapping of figures to numbers:
                      "validation": {"bpp", "psnr", "ssim"}, held-out crops, bpp estimated
                      "kodak512" and others, as ``update_card`` adds them
    curve           up to 10 of {"step", "seconds", "bpp", "psnr", "ssim"}, validation figures;
                      pipelines have no bpp
    sha256          str, of model.safetensors in hexadecimal

``models.registry`` refuses weights whose hash is not the card's, so a folder that was left half
replaced is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from dcncodec.errors import ModelError, TrainingError, UsageError
from dcncodec.formats.files import atomic_write, make_folder
from dcncodec.formats.geometry import NAME, NAME_RULE
from dcncodec.models.registry import open_folder
from dcncodec.train.engine.checkpoint import FILE, Header, read_average
from dcncodec.train.engine.log import read_log
from dcncodec.train.engine.run import LOG_FILE

FORMAT = "dcn-weights-1"
CURVE_ROWS = 10
CODEC_FIGURES = ("bpp", "psnr", "ssim")
"""What a codec's validation gives."""
TITLES = {
    "step": "step",
    "seconds": "seconds",
    "bpp": "bpp (estimate)",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "accuracy": "accuracy",
    "nip_psnr": "pipeline's PSNR, dB",
}
"""Columns of a card's learning curve, where it has them."""


def check_export(folder: Path) -> None:
    """Tell before a long training whether ``folder`` can become a weight folder.

    Raises:
        UsageError: its name cannot be a model's, or it is a file.
    """
    name = folder.resolve().name
    if not NAME.fullmatch(name):
        raise UsageError(f"--export {folder}: the folder's name is the model's; use {NAME_RULE}")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--export {folder}: is a file; name a folder")


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
    check_export(folder)
    average, header = read_average(run / FILE)
    rows = read_log(run / LOG_FILE)
    return write_codec(folder, average, header, rows)


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
) -> str:
    """Write a network's weights and card.

    Args:
        folder: the weight folder.
        weights: by name.
        architecture: the card's entry; its values describe the weight file's content.
        description: the card's other entries.
        name: the model's; by default the folder's.

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
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    make_folder(folder)
    write_file(folder / "model.safetensors", content)
    _write_card(folder, card)
    return str(card["sha256"])


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


def describe_run(
    header: Header, rows: list[dict[str, float]], figures: Sequence[str]
) -> dict[str, Any]:
    """What a card says about a training: recipe to learning curve.

    Args:
        header: of the run.
        rows: its log.
        figures: names of the validation's figures, without their prefix.
    """
    curve = [
        {"step": int(row["step"]), "seconds": round(row["seconds"], 1)}
        | {name: round(row[f"validation_{name}"], 4) for name in figures}
        for row in rows
    ]
    results = {"validation": {name: curve[-1][name] for name in figures}} if curve else {}
    return {
        "recipe": asdict(header.recipe),
        "seed": header.seed,
        "init": header.init,
        "data": [asdict(source) for source in header.sources],
        "steps": header.progress.step,
        "seconds": round(header.progress.seconds, 1),
        "results": results,
        "curve": _thinned(curve),
    }


def update_card(folder: Path, results: Mapping[str, Mapping[str, float]]) -> None:
    """Add results to a model's card, and rewrite ``card.md`` from it.

    Args:
        folder: a weight folder.
        results: figures by test set, such as ``{"kodak512": {"bpp": 0.8, "psnr": 32.1, "ssim":
            0.93}}``; those of the same name are replaced.

    Raises:
        ModelError: the folder is no model.
        OutputError: it cannot be written.
    """
    card = open_folder(folder, None).card
    added = {name: dict(figures) for name, figures in results.items()}
    _write_card(folder, card | {"results": card.get("results", {}) | added})


def _thinned(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """At most ``CURVE_ROWS`` rows, evenly spaced, the first and the last among them."""
    if len(rows) <= CURVE_ROWS:
        return rows
    last = len(rows) - 1
    return [rows[round(i * last / (CURVE_ROWS - 1))] for i in range(CURVE_ROWS)]


def _write_card(folder: Path, card: Mapping[str, Any]) -> None:
    write_card(folder / "card.json", card, card_text, "damaged model card; export it again")


def write_card(
    path: Path, card: Mapping[str, Any], text: Callable[[Mapping[str, Any]], str], complaint: str
) -> None:
    """Write a card, and its readable form beside it with the suffix ``.md``.

    Args:
        path: of the card, ``.json``.
        card: what goes there.
        text: makes it readable.
        complaint: said of a card that lacks something.

    Raises:
        ModelError: it lacks something; neither file is touched.
        OutputError: a file cannot be written.
    """
    try:
        readable = text(card)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ModelError(f"{path}: {complaint}") from None
    write_file(path, (json.dumps(card, indent=2) + "\n").encode())
    write_file(path.with_suffix(".md"), readable.encode())


def write_file(path: Path, content: bytes) -> None:
    """Write or replace a file as a whole; OutputError where that fails."""
    with atomic_write(path, overwrite=True) as file:
        file.write(content)


def card_text(card: Mapping[str, Any]) -> str:
    """``card.md``: the card as Markdown."""
    lines = [
        f"# {card['name']}",
        "",
        _about(card["architecture"]),
        "",
        f"- SHA-256 of model.safetensors: `{card['sha256']}`",
        *run_lines(card, f"the weights of {card['init']}" if card["init"] else ""),
    ]
    return "\n".join(lines) + "\n"


def run_lines(card: Mapping[str, Any], origin: str) -> list[str]:
    """What a card says of a training and its results, as Markdown that goes on in a list.

    Args:
        card: with the entries that ``describe_run`` gives.
        origin: what it began with; empty for random weights.
    """
    recipe = ", ".join(f"{k} {v}" for k, v in card["recipe"].items())
    minutes = card["seconds"] / 60
    lines = [
        f"- Training: {card['steps']:,} steps in {minutes:,.1f} minutes, seed {card['seed']}, "
        f"from {origin or 'its initial weights'}",
        f"- Recipe: {recipe}",
        "",
        "## Data",
        "",
        *table(("source", "images", "megapixels"), card["data"], ("name", "images", "megapixels")),
        "",
        "## Results",
        "",
    ]
    for name, figures in card["results"].items():
        shown = (f"{k} {v:.4g}" for k, v in figures.items() if isinstance(v, int | float))
        lines.append(f"- {name}: {', '.join(shown)}")
    columns = [name for name in TITLES if all(name in row for row in card["curve"])]
    lines += [
        "",
        "## Learning curve",
        "",
        "Averaged weights on held-out crops.",
        "",
        *table([TITLES[name] for name in columns], card["curve"], columns),
    ]
    return lines


def _about(architecture: Mapping[str, Any]) -> str:
    if architecture["family"] == "nip":
        network = architecture["network"]
        return f"Camera pipeline {network} (Korus & Memon, CVPR 2019): RGGB stack to sRGB."
    channels = architecture["latent_channels"]
    return f"DCN codec (Korus & Memon, ICLR 2020) with {channels} latent channels."


def table(
    titles: Sequence[str], rows: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> list[str]:
    """Lines of a Markdown table: of every row the values of ``keys`` under ``titles``."""
    head = ["| " + " | ".join(titles) + " |", "| " + " | ".join("---" for _ in titles) + " |"]
    return head + ["| " + " | ".join(str(row[key]) for key in keys) + " |" for row in rows]
