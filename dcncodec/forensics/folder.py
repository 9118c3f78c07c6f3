"""Forensic models: a FAN, what it was trained to see, and the codec that it belongs to.

Its folder holds ``fan.safetensors`` (float16), ``forensic.json`` and ``forensic.md``, which is the
second made readable; the schema is in ``models.families.fan``. Where the codec was tuned together
with the FAN the folder is a codec's, too (``models.card``); a camera pipeline that was tuned lies
in its sub-folder ``TUNED``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcncodec.camera.develop import Developer
from dcncodec.codec import Codec
from dcncodec.errors import ModelError, UsageError
from dcncodec.forensics.channel import parse_channel
from dcncodec.forensics.manipulations import DEFAULTS
from dcncodec.forensics.verdict import Calibration, read_calibration
from dcncodec.formats.geometry import MAX_RATE
from dcncodec.models.card import CARD_FILE, ModelFolder
from dcncodec.models.families.nip import STANDARD
from dcncodec.models.fan import FAN
from dcncodec.models.load import load_fan
from dcncodec.models.registry import TUNED, find_by_hash, find_model, list_models, open_folder
from dcncodec.models.roles import Role
from dcncodec.notices import Notice, Notify, warn


@dataclass(frozen=True, eq=False)
class ForensicFolder:
    """A FAN on disk, and what it belongs to.

    Attributes:
        model: its folder and card.
    """

    model: ModelFolder

    @property
    def path(self) -> Path:
        """The folder."""
        return self.model.path

    @property
    def card(self) -> dict[str, Any]:
        """The contents of ``forensic.json``."""
        return self.model.card

    @property
    def name(self) -> str:
        """The FAN's name."""
        return self.model.name

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
    def rates(self) -> tuple[int, int] | None:
        """The lowest and the highest rate that the FAN has seen; None of a codec without rates."""
        if "rates" not in self.card:
            return None
        low, high = self.card["rates"]
        return int(low), int(high)

    def tell_unseen(self, rates: Sequence[int], notify: Notify = warn) -> None:
        """Tell of rates that the FAN has not seen, behind which it says little."""
        low, high = self.rates or (0, MAX_RATE)
        if unseen := [rate for rate in rates if not low <= rate <= high]:
            text = f"{self.name} has seen rates {low} to {high}, not {', '.join(map(str, unseen))}"
            notify(Notice("model", text))

    @property
    def calibration(self) -> Calibration | None:
        """What is known of the FAN's scores; None where it was not calibrated for them."""
        return read_calibration(self.card)

    def load_fan(self) -> FAN:
        """The classifier, in float32, ready for inference.

        Raises:
            ModelError: the weight file is missing, or not the one that the card describes.
        """
        return load_fan(self.model)

    def codec(self, device: str = "auto") -> Codec | None:
        """The codec of a dcn channel, None for others.

        Raises:
            ModelError: it is not installed, or the FAN was trained with other weights.
        """
        if self.codec_sha256 is None:
            return None
        if (self.path / CARD_FILE).exists():
            folder = open_folder(self.path)
            if folder.sha256 != self.codec_sha256:
                raise ModelError(
                    "its FAN does not match its codec (trained with weights "
                    f"{self.codec_sha256[:16]}, not {folder.sha256[:16]}); export both again",
                    self.path,
                )
        else:
            folder = find_by_hash(self.card["codec"]["name"], self.codec_sha256)
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
        camera = find_model(own if own.is_dir() else self.card["nip"]["name"], Role.PIPELINE)
        if camera.sha256 != self.card["nip"]["sha256"]:
            raise ModelError(
                f"its FAN does not match the pipeline {camera.name} (trained with "
                f"weights {self.card['nip']['sha256'][:16]}, not {camera.sha256[:16]})",
                self.path,
            )
        return Developer(camera.path, device)


def open_forensic(name_or_path: str | Path) -> ForensicFolder:
    """A forensic model by name, or its folder by path (see ``registry.find_model``).

    Raises:
        ModelError: there is none, or its card is damaged.
    """
    return _checked(find_model(name_or_path, Role.FAN))


def list_forensic(notify: Notify = warn) -> list[ForensicFolder]:
    """Every installed forensic model, by name.

    Args:
        notify: told of folders that are damaged, and skipped.
    """
    found = []
    for model in list_models(Role.FAN, notify):
        try:
            found.append(_checked(model))
        except ModelError as error:
            notify(Notice("model", f"skipped: {error.reason}", str(model.card_path)))
    return found


def find_for_codec(sha256: str) -> ForensicFolder:
    """The installed forensic model whose FAN was trained on a codec, for photos in full size.

    One for finished photos comes before one behind a camera pipeline, and one in the codec's own
    folder before others.

    Args:
        sha256: of the codec's weight file, in hexadecimal, or the beginning of it.

    Raises:
        ModelError: there is none.
    """
    names: dict[str, None] = {}
    for folder in sorted(list_forensic(), key=_further_off):
        known = folder.codec_sha256
        if known is None or folder.downsample:
            continue
        if known.startswith(sha256):
            return folder
        names[folder.card["codec"]["name"]] = None
    others = f" (there are some for {', '.join(names)})" if names else ""
    raise ModelError(
        f"no installed FAN was trained on the codec with weights {sha256[:16]}{others}; encode "
        "with a codec that has one, or give a FAN with --fan"
    )


def _further_off(folder: ForensicFolder) -> tuple[bool, bool]:
    """By which ``find_for_codec`` sorts."""
    codec = folder.card["codec"]
    return bool(folder.card["nip"]), codec is not None and codec["name"] != folder.name


def _checked(model: ModelFolder) -> ForensicFolder:
    """A forensic model whose channel and classes exist, and whose calibration is whole."""
    folder = ForensicFolder(model)
    try:
        parse_channel(folder.channel)
        known = set(folder.classes) <= set(DEFAULTS)
        read_calibration(folder.card)
        low, high = folder.rates or (0, MAX_RATE)
        known = known and 0 <= low <= high <= MAX_RATE
    except (UsageError, AttributeError, LookupError, OverflowError, TypeError, ValueError):
        known = False
    if not known:
        raise ModelError("damaged card; export the model again", model.card_path)
    return folder
