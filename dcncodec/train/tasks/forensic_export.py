"""From a forensic run to a forensic folder (``dcncodec.forensics.folder``)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from dcncodec.forensics.channel import DCN_FILE, NONE
from dcncodec.formats.files import make_folder
from dcncodec.models.card import FAN_CARD, FAN_FILE, write_file, write_model_card
from dcncodec.models.coders import CONTEXT
from dcncodec.models.families.fan import (
    COMBINED,
    CONVOLUTIONAL,
    LEARNS_CODEC,
    LEARNS_NIP,
    SPECTRAL,
    UNTUNED,
)
from dcncodec.models.families.nip import STANDARD
from dcncodec.models.registry import TUNED
from dcncodec.train.engine.checkpoint import Header
from dcncodec.train.engine.context_part import CONTEXT_FILE, context_part
from dcncodec.train.engine.export import (
    CODEC_FIGURES,
    describe_run,
    half_precision,
    read_run,
    shortened,
    write_model,
)
from dcncodec.train.engine.log import read_log
from dcncodec.train.engine.presets import PAPER_PATCH
from dcncodec.train.engine.recipes import ForensicRecipe
from dcncodec.train.engine.run import LOG_FILE
from dcncodec.train.tasks.forensic_fans import check_network
from dcncodec.train.tasks.forensic_sensor import trainer_of
from dcncodec.train.tasks.vr import as_read

FORMAT = "dcn-fan-1"
FAN_BITS = {
    CONVOLUTIONAL: {"": 6},
    SPECTRAL: {"": 8},
    COMBINED: {"convolutional": 6, "spectral": 8},
}
CODEC_BITS = {"analysis_net": 7, "synthesis_net": 8, "context_model": 7}
"""Significant bits that are kept of the weights of FANs, and of the networks of a codec for all
rates, by the first part of their names. A codec's linear parts keep theirs: at high rates their
rounding would show. Its coder reads integers made of all of the context model's."""


def export_forensic(run: Path, folder: Path) -> str:
    """Write the averaged FAN of a run, and the codec and the pipeline where those were trained.

    Args:
        run: a run's folder, with its checkpoint.
        folder: the forensic folder, or without classes the codec's weight folder; files of an
            earlier export there are replaced.

    Returns:
        The SHA-256 of the FAN's file in hexadecimal; without classes that of the codec's.

    Raises:
        UsageError: the folder's name cannot be a model's.
        TrainingError: there is no checkpoint, it is damaged, it does not fit into float16, or its
            FAN is no network that is known.
        OutputError: the folder cannot be written.
    """
    average, header, recipe = read_run(run, folder, ForensicRecipe)
    check_network(recipe, run)
    trainer = trainer_of(recipe)
    rows = read_log(run / LOG_FILE, trainer.COLUMNS)
    if not recipe.classes:
        return _write_tuned(folder, _part(average, "codec."), header, rows, trainer.VALIDATED)
    # Only codecs estimate a rate, and without a channel nothing is lost.
    void = {DCN_FILE: (), NONE: ("bpp", "psnr", "ssim")}.get(recipe.channel, ("bpp",))
    figures = [name for name in trainer.VALIDATED if name not in void]
    fan = _part(average, "fan.")
    for part, bits in FAN_BITS[recipe.network].items():
        fan = shortened(fan, bits, part)
    content = half_precision(fan, f"{FORMAT}: {','.join(recipe.classes)}")
    name = folder.resolve().name
    codec = _identity(header.origins.get(LEARNS_CODEC))
    if LEARNS_CODEC in recipe.trainable:
        sha256 = _write_tuned(folder, _part(average, "codec."), header, rows, CODEC_FIGURES)
        codec = _identity(header.origins[LEARNS_CODEC] | {"name": name, "sha256": sha256})
    nip = _identity(header.origins.get(LEARNS_NIP))
    if LEARNS_NIP in recipe.trainable:
        # Of the same camera and network, with other weights.
        camera = header.origins[LEARNS_NIP]
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
        **_untuned(header),
        **_rates(header),
        "patch": PAPER_PATCH,
        "network": recipe.network,
        **describe_run(header, rows, figures),
        "fan_sha256": hashlib.sha256(content).hexdigest(),
    }
    write_file(folder / FAN_FILE, content)
    write_model_card(folder / FAN_CARD, card)
    return str(card["fan_sha256"])


def _identity(origin: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What a forensic card says of a network."""
    if origin is None:
        return None
    return {name: origin[name] for name in ("name", "sha256") if name in origin}


def _untuned(header: Header) -> dict[str, str]:
    """Of a tuned codec what it was before all tuning, which may have gone on several times."""
    origin = header.origins.get(LEARNS_CODEC, {})
    recipe = header.recipe
    assert isinstance(recipe, ForensicRecipe)
    first = origin["name"] if LEARNS_CODEC in recipe.trainable else ""
    name = origin.get(UNTUNED, first)
    return {UNTUNED: name} if name else {}


def _part(weights: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def _is_rated(header: Header) -> bool:
    """Whether the run's codec is one for all rates."""
    architecture = header.origins.get(LEARNS_CODEC, {}).get("architecture", {})
    return bool(architecture.get("family") == "vr")


def _rates(header: Header) -> dict[str, list[int]]:
    """The lowest and the highest rate that the FAN has seen, of a codec with rates."""
    recipe = header.recipe
    assert isinstance(recipe, ForensicRecipe)
    return {"rates": [recipe.rate_low, recipe.rate_high]} if _is_rated(header) else {}


def _write_tuned(
    folder: Path,
    weights: Mapping[str, Tensor],
    header: Header,
    rows: list[dict[str, float]],
    figures: Sequence[str],
) -> str:
    """A tuned codec's weights and card, with the integers of its coder where it has rates."""
    description = _untuned(header) | describe_run(header, rows, figures)
    if not _is_rated(header):
        shape = {"family": "dcn", "latent_channels": header.latent_channels}
        return write_model(folder, weights, shape, description)
    shape = header.origins[LEARNS_CODEC]["architecture"]
    parts = {CONTEXT: (CONTEXT_FILE, context_part(as_read(weights, shape).context_model))}
    for network, bits in CODEC_BITS.items():
        weights = shortened(weights, bits, network)
    return write_model(folder, weights, shape, description, parts=parts)
