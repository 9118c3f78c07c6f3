"""From a forensic run to a forensic folder (``dcncodec.forensics.folder``)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dcncodec.camera.develop import STANDARD
from dcncodec.forensics.channel import CODEC, NONE
from dcncodec.forensics.folder import CARD_FILE, FAN_FILE, open_forensic
from dcncodec.formats.files import make_folder
from dcncodec.models.registry import PIPELINE, TUNED
from dcncodec.train.engine.checkpoint import FILE, read_average
from dcncodec.train.engine.export import (
    check_export,
    describe_run,
    half_precision,
    run_lines,
    table,
    write_card,
    write_codec,
    write_file,
    write_model,
)
from dcncodec.train.engine.log import read_log
from dcncodec.train.engine.recipes import PAPER_PATCH, ForensicRecipe
from dcncodec.train.engine.run import LOG_FILE
from dcncodec.train.tasks.forensic import CameraTrainer, ForensicTrainer

FORMAT = "dcn-fan-1"


def export_forensic(run: Path, folder: Path) -> str:
    """Write the averaged FAN of a run, and the codec and the pipeline where those were trained.

    Args:
        run: a run's folder, with its checkpoint.
        folder: the forensic folder; files of an earlier export there are replaced.

    Returns:
        The SHA-256 of the FAN's file in hexadecimal.

    Raises:
        UsageError: the folder's name cannot be a model's.
        TrainingError: there is no checkpoint, it is damaged, or it does not fit into float16.
        OutputError: the folder cannot be written.
    """
    check_export(folder)
    average, header = read_average(run / FILE, ForensicRecipe)
    recipe = header.recipe
    assert isinstance(recipe, ForensicRecipe)
    trainer = CameraTrainer if PIPELINE in header.origins else ForensicTrainer
    rows = read_log(run / LOG_FILE, trainer.COLUMNS)
    # Only codecs estimate a rate, and without a channel nothing is lost.
    void = {CODEC: (), NONE: ("bpp", "psnr", "ssim")}.get(recipe.channel, ("bpp",))
    figures = [name for name in trainer.VALIDATED if name not in void]
    content = half_precision(_part(average, "fan."), f"{FORMAT}: {','.join(recipe.classes)}")
    name = folder.resolve().name
    codec = _identity(header.origins.get(CODEC))
    if CODEC in recipe.trainable:
        sha256 = write_codec(folder, _part(average, "codec."), header, rows)
        codec = {"name": name, "sha256": sha256}
    nip = _identity(header.origins.get(PIPELINE))
    if PIPELINE in recipe.trainable:
        # Of the same camera and network, with other weights.
        camera = header.origins[PIPELINE]
        description = describe_run(header, rows, ("nip_psnr",))
        description |= {"init": camera["name"], "to_srgb": camera["to_srgb"]}
        weights = _part(average, "nip.")
        sha256 = write_model(folder / TUNED, weights, camera["architecture"], description, name)
        nip = {"name": name, "sha256": sha256}
    elif recipe.nip == STANDARD:
        nip = {"name": STANDARD}
    make_folder(folder)
    card = {
        "name": name,
        "classes": list(recipe.classes),
        "channel": recipe.channel,
        "downsample": recipe.downsample,
        "codec": codec,
        "nip": nip,
        "lambda_c": recipe.lambda_c,
        "lambda_n": recipe.lambda_n,
        "trainable": list(recipe.trainable),
        "patch": PAPER_PATCH,
        **describe_run(header, rows, figures),
        "fan_sha256": hashlib.sha256(content).hexdigest(),
    }
    write_file(folder / FAN_FILE, content)
    _write_card(folder, card)
    return str(card["fan_sha256"])


def update_forensic(folder: Path, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Add results by test set to a forensic card; those of the same name are replaced.

    Raises:
        ModelError: the folder is no forensic folder.
        OutputError: it cannot be written.
    """
    card = open_forensic(folder).card
    added = {name: dict(figures) for name, figures in results.items()}
    _write_card(folder, card | {"results": card.get("results", {}) | added})


def _write_card(folder: Path, card: Mapping[str, Any]) -> None:
    write_card(folder / CARD_FILE, card, forensic_text, "damaged card; export the model again")


def forensic_text(card: Mapping[str, Any]) -> str:
    """``forensic.md``: the card as Markdown, with the confusion of each test set in percent."""
    channel = card["channel"]
    if card["codec"]:
        channel += f" ({card['codec']['name']}, weights {card['codec']['sha256'][:16]})"
    if card["downsample"]:
        channel += ", after halving"
    lines = [
        f"# {card['name']}",
        "",
        "Forensic analysis network (Korus & Memon, ICLR 2020): tells how a photo was manipulated.",
        "",
        f"- Channel: {channel}",
    ]
    if card["nip"]:
        nip = card["nip"]["name"]
        if nip != STANDARD:
            nip += f", weights {card['nip']['sha256'][:16]}"
        lines.append(f"- Camera pipeline before it: {nip}")
    origin = f"the FAN of {card['recipe']['fan']}" if card["recipe"]["fan"] else ""
    lines += [
        f"- Learnt with the FAN: {', '.join(card['trainable']) or 'nothing'}",
        f"- SHA-256 of {FAN_FILE}: `{card['fan_sha256']}`",
        *run_lines(card, origin),
    ]
    for name, figures in card["results"].items():
        if "confusion" in figures:
            classes = figures["classes"]
            rows = []
            for true, counts in zip(classes, figures["confusion"], strict=True):
                shares = (f"{100 * count / sum(counts):.0f}" for count in counts)
                rows.append({"": true, **dict(zip(classes, shares, strict=True))})
            lines += ["", f"## Confusion on {name}, % of each true class", ""]
            lines += table(["true class", *classes], rows, ["", *classes])
    return "\n".join(lines) + "\n"


def _identity(origin: Mapping[str, Any] | None) -> dict[str, str] | None:
    """What a forensic card says of a network."""
    if origin is None:
        return None
    return {name: str(origin[name]) for name in ("name", "sha256")}


def _part(weights: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
