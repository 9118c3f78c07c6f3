"""Forensic folders: a FAN, what it was trained to see, and the codec that it belongs to.

A folder holds ``fan.safetensors`` (float16), ``forensic.json`` and ``forensic.md``, which is the
second made readable. Where the codec was tuned together with the FAN it is a codec's weight folder,
too (``models.registry``); a camera pipeline that was tuned lies in its sub-folder ``TUNED``. The
schema of ``forensic.json``::

    name         str, the folder's name
    classes      list of str, in the order of the FAN's outputs (``manipulations``)
    channel      "dcn", "jpeg:QF" or "none"
    downsample   bool, whether the channel halves pictures first
    codec        {"name", "sha256"} of a dcn channel's weights, else null
    nip          {"name", "sha256"} of the weights of the camera pipeline before it (of the standard
                   pipeline the name alone), else null
    lambda_c     float, lambda_n, float, and trainable, list of str: how it was trained
    patch        int, side in pixels of the patches that it judges
    recipe, seed, init, data, steps, seconds, results, curve   as in a codec's card
    fan_sha256   str, of fan.safetensors in hexadecimal
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from dcncodec.camera.develop import STANDARD, Developer
from dcncodec.codec import Codec
from dcncodec.errors import ModelError, UsageError
from dcncodec.forensics.channel import CODEC, parse_channel
from dcncodec.forensics.manipulations import DEFAULTS
from dcncodec.formats.geometry import HASH_BYTES
from dcncodec.models.fan import FAN
from dcncodec.models.registry import (
    PIPELINE,
    TUNED,
    find_by_prefix,
    find_model,
    open_folder,
    search_path,
)

CARD_FILE = "forensic.json"
FAN_FILE = "fan.safetensors"


@dataclass(frozen=True, eq=False)
class ForensicFolder:
    """A forensic folder with a readable card.

    Attributes:
        path: the folder.
        card: the contents of ``forensic.json``.
    """

    path: Path
    card: dict[str, Any]

    @property
    def name(self) -> str:
        """The folder's name."""
        return str(self.card["name"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the FAN's classes."""
        return tuple(self.card["classes"])

    @property
    def channel(self) -> str:
        """What the FAN sees pictures through (``channel.parse_channel``)."""
        return str(self.card["channel"])

    @property
    def downsample(self) -> bool:
        """Whether that halves them first."""
        return bool(self.card["downsample"])

    @property
    def codec_sha256(self) -> str | None:
        """SHA-256 of the weights of a dcn channel's codec, in hexadecimal."""
        return str(self.card["codec"]["sha256"]) if self.card["codec"] else None

    @property
    def content(self) -> bytes:
        """The bytes of the FAN's file, checked against the card.

        Raises:
            ModelError: the file is missing, or not the one that the card describes.
        """
        path = self.path / FAN_FILE
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
        if hashlib.sha256(content).hexdigest() != self.card["fan_sha256"]:
            raise ModelError(f"{path}: damaged or replaced (SHA-256); install the model again")
        return content

    def load_fan(self) -> FAN:
        """The classifier, in float32, ready for inference.

        Raises:
            ModelError: the weight file is missing, or not the one that the card describes.
        """
        content = self.content
        with torch.device("meta"):
            fan = FAN(len(self.classes))
        try:
            weights = {name: tensor.float() for name, tensor in load(content).items()}
            fan.load_state_dict(weights, assign=True)
        except (SafetensorError, RuntimeError):
            raise ModelError(
                f"{self.path / FAN_FILE}: does not fit the classes in its card"
            ) from None
        return fan.eval().requires_grad_(False)

    def codec(self, device: str = "auto") -> Codec | None:
        """The codec of a dcn channel, None for others.

        Raises:
            ModelError: it is not installed, or the FAN was trained with other weights.
        """
        if self.codec_sha256 is None:
            return None
        if (self.path / "card.json").exists():
            folder = open_folder(self.path)
            if folder.sha256 != self.codec_sha256:
                raise ModelError(
                    f"{self.path}: its FAN does not match its codec (trained with weights "
                    f"{self.codec_sha256[:16]}, not {folder.sha256[:16]}); export both again"
                )
        else:
            prefix = bytes.fromhex(self.codec_sha256)[:HASH_BYTES]
            folder = find_by_prefix(self.card["codec"]["name"], prefix)
        return Codec(folder, device=device)

    def developer(self, device: str = "auto") -> Developer | None:
        """The camera pipeline that gave the FAN its photos, None for finished photos.

        Raises:
            ModelError: it is not installed, or the FAN was trained with other weights.
        """
        if not self.card["nip"]:
            return None
        if self.card["nip"]["name"] == STANDARD:
            return Developer(STANDARD)
        own = self.path / TUNED
        camera = find_model(own if own.is_dir() else self.card["nip"]["name"], PIPELINE)
        if camera.sha256 != self.card["nip"]["sha256"]:
            raise ModelError(
                f"{self.path}: its FAN does not match the pipeline {camera.name} (trained with "
                f"weights {self.card['nip']['sha256'][:16]}, not {camera.sha256[:16]})"
            )
        return Developer(camera.path, device)


def open_forensic(name_or_path: str | Path) -> ForensicFolder:
    """A forensic folder by path, or one beside the installed models by name.

    Raises:
        ModelError: there is none, or its card is damaged.
    """
    places = [Path(name_or_path), *(root / name_or_path for root in search_path())]
    for path in places:
        if (path / CARD_FILE).is_file():
            return _open(path)
    known = ", ".join(folder.name for folder in list_forensic()) or "none"
    raise ModelError(
        f"{name_or_path}: no forensic model or folder ({CARD_FILE}); installed are: {known}"
    )


def list_forensic() -> list[ForensicFolder]:
    """Every installed forensic folder, by name; earlier folders of the search path win."""
    found: dict[str, ForensicFolder] = {}
    for root in search_path():
        for card in sorted(root.glob(f"*/{CARD_FILE}")):
            folder = _open(card.parent)
            found.setdefault(folder.name, folder)
    return [found[name] for name in sorted(found)]


def find_for_codec(sha256: str) -> ForensicFolder:
    """The installed forensic folder whose FAN was trained on a codec, for photos in full size.

    One for finished photos comes before one behind a camera pipeline.

    Args:
        sha256: of the codec's weight file, in hexadecimal, or the beginning of it.

    Raises:
        ModelError: there is none.
    """
    for folder in sorted(list_forensic(), key=lambda folder: bool(folder.card["nip"])):
        known = folder.codec_sha256
        if known is not None and known.startswith(sha256) and not folder.downsample:
            return folder
    raise ModelError(
        f"no installed FAN was trained on the codec with weights {sha256[:16]}; give one with --fan"
    )


def _open(path: Path) -> ForensicFolder:
    card_path = path / CARD_FILE
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        folder = ForensicFolder(path, card)
        parse_channel(folder.channel)
        valid = (
            len(folder.classes) >= 2
            and set(folder.classes) <= set(DEFAULTS)
            and (folder.channel == CODEC) == (folder.codec_sha256 is not None)
            and isinstance(card["downsample"], bool)
            and _is_sha256(card["fan_sha256"])
            and (folder.codec_sha256 is None or _is_sha256(folder.codec_sha256))
            and (not card["nip"] or _is_pipeline(**card["nip"]))
            and bool(folder.name)
        )
    except OSError as error:
        raise ModelError(f"{card_path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, UsageError):
        valid = False
    if not valid:
        raise ModelError(f"{card_path}: damaged card; export the model again")
    return folder


def _is_pipeline(name: str, sha256: str = "") -> bool:
    return name == STANDARD or _is_sha256(sha256)


def _is_sha256(text: str) -> bool:
    return len(bytes.fromhex(text)) == 32
