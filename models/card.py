"""Models on disk: weight folders with their cards; reading, checking and writing cards.

A card lies in its weight folder as JSON, with a readable form (``.md``) beside it:

    card.json        a codec or a camera pipeline; its weights are in model.safetensors
    forensic.json    a FAN; its weights are in fan.safetensors (schema: ``families.fan``)

A folder may hold both: a codec that was tuned together with its FAN. The schema of ``card.json``::

    name            str, the model's name, by default the folder's; files encoded with it carry it
    architecture    {"family": str, ...}, the rest by family: "latent_channels", int, of codecs;
                      "network", "inet", "unet" or "dnet", of camera pipelines
    to_srgb         of a camera pipeline: 3 rows of 3 floats, the colours of its camera
    recipe          the fields of the recipe that it was trained with
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
    parts           optional, further files by role: {"context": {"name": str, "sha256": str}}

Weights whose hash is not the card's are refused, so a folder that was left half replaced is
noticed. Nothing here imports torch, so that ``dcn info`` and ``dcn models`` start at once.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property

from dcncodec.errors import ModelError, UsageError
from dcncodec.formats.coding import Coding
from dcncodec.formats.files import atomic_write
from dcncodec.formats.geometry import HASH_BYTES, NAME, NAME_RULE, Geometry
from dcncodec.models.families import find_codec, find_family
from dcncodec.models.roles import Role
from dcncodec.records import record
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, TypeGuard

    from dcncodec.formats.coder import ModelCoder

CARD_FILE, WEIGHTS_FILE = "card.json", "model.safetensors"
FAN_CARD, FAN_FILE = "forensic.json", "fan.safetensors"
WEIGHTS = "weights"
"""The part that every model has."""
MAX_CARD_BYTES = 2**20
"""Of a card; the largest that trainings write have 12 KB."""
MIN_PATCH, MAX_PATCH = 16, 4096
"""Pixels along a side of the patches that a FAN judges; smaller ones have no place of its map."""

TITLES = {
    "step": "step",
    "seconds": "seconds",
    "bpp": "bpp (estimate)",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "bd": "BD-rate, %",
    "accuracy": "accuracy",
    "auc": "pixel AUC",
    "nip_psnr": "pipeline's PSNR, dB",
}
"""Columns of a card's learning curve, where it has them."""


@record
class Part:
    """A file of a model: its name in the folder, and its SHA-256 in hexadecimal."""

    name: str
    sha256: str


class ModelFolder:
    """A model on disk whose card can be read.

    Args:
        card_path: where the card lies, in the model's folder.
        card: its contents.
        family: name of the model's family (``models.families``).
    """

    def __init__(self, card_path: str, card: dict[str, Any], family: str) -> None:
        self.card, self.family = card, family
        self._folder, self._card_name = os.path.split(card_path)

    @cached_property
    def path(self) -> Path:
        """The folder."""
        # Most of the standard library's parser of URLs comes with it: not where pictures are to be
        # decoded at once.
        from pathlib import Path

        return Path(self._folder)

    @property
    def card_path(self) -> Path:
        """Where the card lies."""
        return self.path / self._card_name

    @property
    def name(self) -> str:
        """The model's name; files encoded with a codec carry it."""
        return str(self.card["name"])

    @property
    def role(self) -> Role:
        """What the model is for."""
        return find_family(self.family).ROLE

    @property
    def geometry(self) -> Geometry:
        """What a codec's latents are.

        Raises:
            ValueError: the model is no codec.
        """
        return find_codec(self.family).geometry(self.card)

    @cached_property
    def own_coder(self) -> ModelCoder | None:
        """The coder that a codec brings along, None without one.

        Raises:
            ModelError: its model is missing or damaged.
        """
        return find_codec(self.family).coder(self)

    def coder_for(self, coding: Coding) -> ModelCoder:
        """That coder, for a file with a coding.

        Raises:
            ModelError: the file was coded with another one, or as ``own_coder``.
        """
        coder = self.own_coder
        own = None if coder is None else coder.sha256[:HASH_BYTES]
        if coder is None or own != coding.digest:
            raise ModelError(
                f"coded with context model {coding.digest.hex()}, not with "
                f"{'none' if own is None else own.hex()}, as {self.name} has it; install the "
                "model again"
            )
        return coder

    @property
    def to_srgb(self) -> list[list[float]]:
        """A camera pipeline's colours, rows of camera RGB to linear sRGB (``formats.raw``)."""
        return [[float(value) for value in row] for row in self.card["to_srgb"]]

    @cached_property
    def parts(self) -> dict[str, Part]:
        """The model's files by role, ``WEIGHTS`` among them."""
        return _parts(self.card, self._card_name)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the weight file that the card states, in hexadecimal."""
        return self.parts[WEIGHTS].sha256

    @property
    def prefix(self) -> bytes:
        """The part of the hash that a file records."""
        return bytes.fromhex(self.sha256)[:HASH_BYTES]

    @property
    def weights(self) -> Path:
        """The weight file."""
        return self.path / self.parts[WEIGHTS].name

    @cached_property
    def content(self) -> bytes:
        """The bytes of the weight file, checked against the card.

        Raises:
            ModelError: as ``part``.
        """
        return self.part(WEIGHTS)

    def part_path(self, role: str) -> str:
        """Where one of ``parts`` lies."""
        return os.path.join(self._folder, self.parts[role].name)

    def part(self, role: str) -> bytes:
        """The bytes of one of ``parts``, checked against the card.

        Raises:
            ModelError: the file is missing or is not the one that the card describes.
        """
        part, path = self.parts[role], self.part_path(role)
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise ModelError(f"cannot be read ({error.strerror})", path) from None
        found = hashlib.sha256(content).hexdigest()
        if found != part.sha256:
            raise ModelError(
                f"damaged or replaced (SHA-256 {found[:16]}, the card says "
                f"{part.sha256[:16]}); install the model again",
                path,
            )
        return content


def _parts(card: Mapping[str, Any], file: str) -> dict[str, Part]:
    if file == FAN_CARD:
        return {WEIGHTS: Part(FAN_FILE, card["fan_sha256"])}
    parts = {
        role: Part(part["name"], part["sha256"]) for role, part in card.get("parts", {}).items()
    }
    return parts | {WEIGHTS: Part(WEIGHTS_FILE, card["sha256"])}


def read_model(card_path: str | Path) -> ModelFolder:
    """The model of a card, which has the entries that loading needs.

    Raises:
        FileNotFoundError: there is no such card.
        ModelError: the card cannot be read, or lacks something.
    """
    try:
        with open(card_path, "rb") as file:
            content = file.read(MAX_CARD_BYTES + 1)
        if len(content) > MAX_CARD_BYTES:
            raise ValueError
        card = json.loads(content, parse_float=_finite, parse_constant=_finite)
        is_fan = os.path.basename(card_path) == FAN_CARD
        family = "fan" if is_fan else card["architecture"]["family"]
        folder = ModelFolder(os.fspath(card_path), card, family)
        valid = (
            NAME.fullmatch(card["name"]) is not None
            and all(is_sha256(p.sha256) and _is_file(p.name) for p in folder.parts.values())
            and all(isinstance(card.get(name, {}), dict) for name in ("recipe", "results"))
            and find_family(family).check(card)
        )
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", card_path) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        valid = False
    if not valid:
        raise ModelError("damaged card; install the model again", card_path)
    return folder


def _finite(text: str) -> float:
    """JSON's numbers without infinity (1e400, too) and without what is no number."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number


def _is_file(name: str) -> bool:
    return os.path.basename(name) == name and name.endswith(".safetensors")


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256 in hexadecimal; ValueError and TypeError also mean no."""
    return len(bytes.fromhex(text)) == 32


def is_whole(value: object, least: int, most: int) -> bool:
    """Whether a value is a whole number in a range."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number, and finite."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return -math.inf < value < math.inf


def is_positive(value: object) -> bool:
    """Whether a value is a number above 0, and finite."""
    return is_number(value) and value > 0


def write_model_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write a card, and its readable form beside it with the suffix ``.md``.

    Args:
        path: of the card; its name tells what it describes.
        card: what goes there.

    Raises:
        ModelError: it lacks something; neither file is touched.
        OutputError: a file cannot be written.
    """
    content = json.dumps(card, indent=2)
    try:
        family = "fan" if path.name == FAN_CARD else card["architecture"]["family"]
        # Of what is read again: JSON knows no tuples.
        readable = find_family(family).text(json.loads(content))
    except (KeyError, OverflowError, TypeError, ValueError, AttributeError):
        raise ModelError("damaged card; export the model again", path) from None
    write_file(path, (content + "\n").encode())
    write_file(path.with_suffix(".md"), readable.encode())


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


def write_file(path: Path, content: bytes) -> None:
    """Write or replace a file as a whole; OutputError where that fails."""
    with atomic_write(path, overwrite=True) as file:
        file.write(content)


def update_card(folder: ModelFolder, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Add results to a model's card, and rewrite its readable form from it.

    Args:
        folder: of the model.
        results: figures by test set, such as ``{"kodak512": {"bpp": 0.8, "psnr": 32.1, "ssim":
            0.93}}``; those of the same name are replaced.

    Raises:
        ModelError: the card is no longer what it was.
        OutputError: it cannot be written.
    """
    card = read_model(folder.card_path).card
    added = {name: dict(figures) for name, figures in results.items()}
    write_model_card(folder.card_path, card | {"results": card.get("results", {}) | added})


def card_text(card: Mapping[str, Any], about: str) -> str:
    """``card.md``: the card as Markdown.

    Args:
        card: of a codec or camera pipeline.
        about: what its family says of it.
    """
    lines = [
        f"# {card['name']}",
        "",
        about,
        "",
        f"- SHA-256 of {WEIGHTS_FILE}: `{card['sha256']}`",
        *run_lines(card, f"the weights of {card['init']}" if card["init"] else ""),
    ]
    return "\n".join(lines) + "\n"


def run_lines(card: Mapping[str, Any], origin: str) -> list[str]:
    """What a card says of a training and its results, as Markdown that goes on in a list.

    Args:
        card: with the entries from recipe to learning curve.
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


def table(
    titles: Sequence[str], rows: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> list[str]:
    """Lines of a Markdown table: of every row the values of ``keys`` under ``titles``."""
    head = ["| " + " | ".join(titles) + " |", "| " + " | ".join("---" for _ in titles) + " |"]
    return head + ["| " + " | ".join(str(row[key]) for key in keys) + " |" for row in rows]
