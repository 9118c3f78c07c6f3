"""Tells how a photo was manipulated, patch by patch and as a whole, with a heat map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dcncodec.errors import ModelError, UsageError
from dcncodec.forensics.evaluate import classify
from dcncodec.forensics.folder import ForensicFolder, find_for_codec, open_forensic
from dcncodec.forensics.heatmap import paint
from dcncodec.forensics.manipulations import NATIVE
from dcncodec.forensics.patches import cover, is_varied
from dcncodec.formats import container
from dcncodec.formats.geometry import MAX_PIXELS
from dcncodec.formats.image import read_image
from dcncodec.formats.sections import SIGNATURE
from dcncodec.metrics import to_unit

Pixels = NDArray[np.uint8]

COLOURS = (
    (60, 160, 80),
    (230, 80, 60),
    (70, 110, 230),
    (240, 170, 40),
    (160, 80, 200),
    (40, 180, 200),
    (230, 110, 180),
    (120, 120, 120),
)


@dataclass(frozen=True)
class Patch:
    """What a FAN says of one patch.

    Attributes:
        top, left: of its first pixel.
        probabilities: by class; they sum to one.
        flat: varies too little to show traces, and does not count for the photo.
    """

    top: int
    left: int
    probabilities: dict[str, float]
    flat: bool

    @property
    def answer(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])


@dataclass(frozen=True)
class Detection:
    """What a FAN says of a photo.

    Attributes:
        fan: name of its forensic folder.
        side: of the patches in pixels.
        patches: row by row.
        probabilities: of the photo by class: the normalised geometric mean over the patches that
            vary enough; empty where none does.
    """

    fan: str
    side: int
    patches: list[Patch]
    probabilities: dict[str, float]

    @property
    def answer(self) -> str | None:
        """The most probable class of the photo; None where it cannot be judged."""
        if not self.probabilities:
            return None
        return max(self.probabilities, key=lambda name: self.probabilities[name])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "fan": self.fan,
            "class": self.answer,
            "judged": self.answer is not None,
            "probabilities": _rounded(self.probabilities),
            "patch": self.side,
            "patches": [
                {
                    "top": patch.top,
                    "left": patch.left,
                    "class": patch.answer,
                    "flat": patch.flat,
                    "probabilities": _rounded(patch.probabilities),
                }
                for patch in self.patches
            ],
        }


def open_photo(
    data: bytes, name: str, fan: str | None, max_pixels: int | None = MAX_PIXELS
) -> tuple[Pixels, ForensicFolder]:
    """A photo's pixels and the FAN that knows their history.

    Args:
        data: of a .dcn file, or any other image, as the channel gave it: with ``downsample`` it is
            what has been halved already.
        name: how messages call it.
        fan: forensic folder by name or path; None for the one whose FAN was trained on the model
            of a .dcn file.
        max_pixels: refuse larger photos; None for no limit.

    Raises:
        UsageError: an image without a codec needs ``fan``.
        ModelError: no FAN knows the codec, or ``fan`` knows another one.
        DcnError: the photo cannot be read.
    """
    if not data.startswith(SIGNATURE):
        if fan is None:
            raise UsageError(f"{name}: no .dcn file; say with --fan which FAN knows its channel")
        folder = open_forensic(fan)
        if folder.codec_sha256 is not None:
            raise ModelError(f"{name}: no .dcn file, but the FAN {folder.name} knows those only")
        return read_image(data, max_pixels=max_pixels, name=name).pixels, folder
    prefix = container.read_header(data).model_hash.hex()
    folder = find_for_codec(prefix) if fan is None else open_forensic(fan)
    if folder.codec_sha256 is None or not folder.codec_sha256.startswith(prefix):
        raise ModelError(
            f"{name}: the FAN {folder.name} does not match its codec (weights {prefix}); choose "
            "another --fan"
        )
    codec = folder.codec()
    assert codec is not None
    return codec.decode(data, max_pixels=max_pixels).pixels, folder


def detect(pixels: Pixels, folder: ForensicFolder) -> Detection:
    """Judge all of a photo, uint8 (H, W, 3), with the FAN of a forensic folder.

    Where its sides are no multiples of a patch's, the last patches overlap those before them.

    Raises:
        ImageError: the photo is smaller than a patch.
        ModelError: the FAN is missing or damaged.
    """
    side = int(folder.card["patch"])
    squares, places = cover(pixels, side)
    logs = classify(folder.load_fan(), squares)
    varied = is_varied(to_unit(squares))
    patches = [
        Patch(top, left, _by_class(folder, row.exp()), not bool(counts))
        for (top, left), row, counts in zip(places, logs, varied, strict=True)
    ]
    judged = _by_class(folder, logs[varied].mean(0).softmax(0)) if bool(varied.any()) else {}
    return Detection(folder.name, side, patches, judged)


def heat_map(pixels: Pixels, detection: Detection) -> bytes:
    """A PNG of the photo in grey, its patches tinted by class: the surer, the stronger.

    Native and flat patches stay grey; a legend of the classes follows below.
    """
    names = list(detection.patches[0].probabilities)
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    tint = np.zeros((*pixels.shape[:2], 4), np.uint8)
    for patch in detection.patches:
        if patch.flat or patch.answer == NATIVE:
            continue
        rows = slice(patch.top, patch.top + detection.side)
        columns = slice(patch.left, patch.left + detection.side)
        certainty = round(255 * patch.probabilities[patch.answer])
        tint[rows, columns] = (*colours[patch.answer], certainty)
    return paint(pixels, tint, {name: colours[name] for name in names if name != NATIVE})


def _by_class(folder: ForensicFolder, probabilities: torch.Tensor) -> dict[str, float]:
    return dict(zip(folder.classes, probabilities.tolist(), strict=True))


def _rounded(probabilities: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in probabilities.items()}
