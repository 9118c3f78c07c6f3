"""Finds models on disk: the bundled ones, those in ``$DCN_MODELS``, or any weight folder.

A weight folder holds ``model.safetensors`` (float16), ``card.json`` and ``card.md``. Its card names
the family: ``dcn`` for codecs, ``nip`` for camera pipelines; they are never mixed up. Nothing here
imports torch, so that ``dcn info`` and ``dcn models`` start at once.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dcncodec.errors import ModelError
from dcncodec.formats.geometry import HASH_BYTES, MAX_SIDE

WEIGHTS = Path(__file__).parent / "weights"
SEARCH_VARIABLE = "DCN_MODELS"
QUALITIES = {"low": "dcn-16c", "medium": "dcn-32c", "high": "dcn-64c"}
"""The model behind each quality: more latent channels, more bits."""
CODEC, PIPELINE = "dcn", "nip"
FAMILIES = {CODEC: "codec", PIPELINE: "camera pipeline"}
TUNED = "nip"
"""Sub-folder of a forensic folder with the camera pipeline that was tuned with its FAN."""


@dataclass(frozen=True, eq=False)
class ModelFolder:
    """A weight folder with a readable card.

    Attributes:
        path: the folder.
        card: the contents of ``card.json``.
    """

    path: Path
    card: dict[str, Any]

    @property
    def name(self) -> str:
        """The name that files encoded with this model carry."""
        return str(self.card["name"])

    @property
    def family(self) -> str:
        """A key of ``FAMILIES``."""
        return str(self.card["architecture"]["family"])

    @property
    def latent_channels(self) -> int:
        """N, the channels of a codec's latent."""
        return int(self.card["architecture"]["latent_channels"])

    @property
    def to_srgb(self) -> list[list[float]]:
        """A camera pipeline's colours, rows of camera RGB to linear sRGB (``formats.raw``)."""
        return [[float(value) for value in row] for row in self.card["to_srgb"]]

    @property
    def sha256(self) -> str:
        """The SHA-256 of the weight file that the card states, in hexadecimal."""
        return str(self.card["sha256"])

    @property
    def prefix(self) -> bytes:
        """The part of the hash that a file records."""
        return bytes.fromhex(self.sha256)[:HASH_BYTES]

    @property
    def weights(self) -> Path:
        """The weight file."""
        return self.path / "model.safetensors"

    @cached_property
    def content(self) -> bytes:
        """The bytes of the weight file, checked against the card.

        Raises:
            ModelError: the file is missing or is not the one that the card describes.
        """
        try:
            content = self.weights.read_bytes()
        except OSError as error:
            raise ModelError(f"{self.weights}: cannot be read ({error.strerror})") from None
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise ModelError(
                f"{self.weights}: damaged or replaced (SHA-256 {found[:16]}, the card says "
                f"{self.sha256[:16]}); install the model again"
            )
        return content


def open_folder(path: Path, family: str | None = CODEC) -> ModelFolder:
    """A weight folder, with its card checked for the entries that loading needs.

    Args:
        path: the folder.
        family: that it must be of; None for any.

    Raises:
        ModelError: there is no card, it lacks something, or it is of another family.
    """
    card_path = path / "card.json"
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        folder = ModelFolder(path, card)
        valid = (
            folder.name.isascii()
            and folder.family in FAMILIES
            and (folder.family != CODEC or 1 <= folder.latent_channels <= MAX_SIDE)
            and (folder.family != PIPELINE or [len(row) for row in folder.to_srgb] == [3] * 3)
            and len(bytes.fromhex(folder.sha256)) == 32
        )
    except FileNotFoundError:
        raise ModelError(
            f"{path}: not a model folder (no card.json); 'dcn train --export' writes one"
        ) from None
    except OSError as error:
        raise ModelError(f"{card_path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        raise ModelError(f"{card_path}: damaged model card; install the model again")
    if family not in {None, folder.family}:
        raise ModelError(
            f"{path}: is a {FAMILIES[folder.family]}, not a {FAMILIES[family or CODEC]}"
        )
    return folder


def search_path() -> list[Path]:
    """Folders that hold weight folders: those in ``$DCN_MODELS``, then the bundled ones."""
    extra = os.environ.get(SEARCH_VARIABLE, "")
    return [Path(part) for part in extra.split(os.pathsep) if part] + [WEIGHTS]


def list_models(family: str | None = CODEC) -> list[ModelFolder]:
    """Every installed model of a family (None: of any), by name; the search path's first win."""
    found: dict[str, ModelFolder] = {}
    for root in search_path():
        if root.is_dir():
            for path in sorted(root.iterdir()):
                if (path / "card.json").exists():
                    folder = open_folder(path, None)
                    if family in {None, folder.family}:
                        found.setdefault(folder.name, folder)
    return [found[name] for name in sorted(found)]


def find_model(name_or_path: str | Path, family: str | None = CODEC) -> ModelFolder:
    """An installed model of a family (None: of any) by name, or a weight folder by path.

    A camera pipeline that was tuned with a FAN goes by its forensic folder's name or path.

    Raises:
        ModelError: there is none of that name, or the folder is not such a model.
    """
    path = Path(name_or_path)
    if family == PIPELINE:
        for place in (path, *(root / path for root in search_path())):
            if (place / TUNED / "card.json").is_file():
                return open_folder(place / TUNED, family)
    if path.is_dir():
        return open_folder(path, family)
    models = list_models(family)
    for folder in models:
        if folder.name == str(name_or_path):
            return folder
    known = ", ".join(folder.name for folder in models) or "none"
    hint = "; 'dcn train nip' makes others" if family == PIPELINE else ""
    raise ModelError(f"{name_or_path}: no such model or model folder; installed are: {known}{hint}")


def find_by_prefix(name: str, prefix: bytes) -> ModelFolder:
    """The installed model with which a file was encoded.

    Args:
        name: the model's name as the file states it.
        prefix: the first ``HASH_BYTES`` of its weight file's SHA-256.

    Raises:
        ModelError: it is not installed; the message says which one is missing.
    """
    models = list_models()
    for folder in models:
        if folder.prefix == prefix:
            return folder
    if any(folder.name == name for folder in models):
        raise ModelError(
            f"needs model {name} with weights {prefix.hex()}, but the installed {name} has other "
            f"weights; give the right folder with --model or in ${SEARCH_VARIABLE}"
        )
    raise ModelError(
        f"needs model {name} (weights {prefix.hex()}), which is not installed; give its folder "
        f"with --model or in ${SEARCH_VARIABLE}"
    )
