"""What the lattice and the quality of JPEG do to a FAN (Mandelli et al., WIFS 2020).

Table A: all photos are saved as JPEG 100 first, so that they have a lattice and hardly a loss, then
manipulated by the paper's operators; patches are cut at multiples of 8 pixels, or anywhere. Whether
the FAN was trained on aligned patches or on any is in its card.

Table B: photos saved as JPEG of six qualities; the share of patches that are told for what they
are, of the class jpeg, again of either cut. (The paper's task, camera models, has no such class:
there it is the accuracy under this compression.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dcncodec.errors import TrainingError, UsageError, about
from dcncodec.forensics.evaluate import at_rate, classify
from dcncodec.forensics.folder import ForensicFolder
from dcncodec.forensics.history import LATTICE
from dcncodec.forensics.manipulations import manipulate
from dcncodec.forensics.operations.compression import jpeg
from dcncodec.forensics.patches import cut, is_varied
from dcncodec.forensics.photos import Photo
from dcncodec.forensics.transmission import Transmission, transmission_of
from dcncodec.metrics import to_bytes, to_unit
from dcncodec.models.fan import FAN

Pixels = NDArray[np.uint8]

QUALITIES = (50, 60, 70, 80, 90, 99)
CUTS = ("aligned", "random")
JPEG = "jpeg"


@dataclass(frozen=True, eq=False)
class WifsEvaluation:
    """Both tables of one FAN.

    Attributes:
        name: of the forensic folder.
        data: of the set.
        trained: how patches were cut in its training.
        by_cut: accuracy over all classes by how patches are cut (table A).
        by_quality: by the same, share of JPEGs that are told by their quality (table B).
        rate: of the codec; None for its only one, or its default.
    """

    name: str
    data: str
    trained: str
    by_cut: dict[str, float]
    by_quality: dict[str, dict[int, float]]
    rate: int | None = None

    @property
    def title(self) -> str:
        """Of set and protocol."""
        return ", ".join([self.data, "wifs2020", *at_rate(self.rate)])

    @property
    def accuracy(self) -> float:
        """The mean of table A."""
        return sum(self.by_cut.values()) / len(self.by_cut)

    def figures(self) -> dict[str, Any]:
        """For JSON and cards."""
        return {
            "trained": self.trained,
            "accuracy": round(self.accuracy, 4),
            "by_cut": {name: round(value, 4) for name, value in self.by_cut.items()},
            "by_quality": {
                name: {str(quality): round(value, 4) for quality, value in row.items()}
                for name, row in self.by_quality.items()
            },
        }


def evaluate_wifs(
    folder: ForensicFolder,
    photos: Iterable[Photo],
    data: str,
    progress: Callable[[], None] | None = None,
    rate: int | None = None,
) -> WifsEvaluation:
    """Both tables of a FAN behind its channel.

    Args:
        folder: the FAN, its classes, ``jpeg`` among them, and its channel.
        photos: that no training has seen. For a FAN behind a camera pipeline RAW frames are
            simulated from finished ones.
        data: a name for them.
        progress: called after each photo.
        rate: of a codec that has several; None for its default.

    Raises:
        UsageError: the FAN knows no JPEGs.
        ModelError: the FAN or its codec is missing or damaged.
        TrainingError: no patch of the photos varies enough.
        ImageError: a photo cannot be encoded, or is smaller than a patch.
    """
    if JPEG not in folder.classes:
        raise UsageError(f"{folder.name}: does not know the class {JPEG}; choose another FAN")
    fan, side = folder.load_fan(), int(folder.card["patch"])
    transmission, developer = transmission_of(folder, rate), folder.developer()
    told = {name: np.zeros((len(folder.classes), 2)) for name in CUTS}
    jpegs = {name: np.zeros((len(QUALITIES), 2)) for name in CUTS}
    for number, taken in enumerate(photos):
        draws = np.random.default_rng(number)
        noise = torch.Generator().manual_seed(number)
        with about(taken.name):
            pixels, _ = taken.developed(developer, number)
            saved = jpeg(pixels, draws, 100, "4:4:4")
            photo = to_unit(torch.from_numpy(saved)).unsqueeze(0)
            for label, name in enumerate(folder.classes):
                version = to_bytes(manipulate(photo, name, generator=noise))[0].numpy()
                for row, part in zip(told.values(), _cuts(version, draws), strict=True):
                    row[label] += _right(fan, transmission, part, side, label)
            for place, quality in enumerate(QUALITIES):
                version = jpeg(pixels, draws, quality, "4:4:4")
                for row, part in zip(jpegs.values(), _cuts(version, draws), strict=True):
                    right = _right(fan, transmission, part, side, folder.classes.index(JPEG))
                    row[place] += right
        if progress is not None:
            progress()
    if not all((row[:, 1] > 0).all() for row in (*told.values(), *jpegs.values())):
        raise TrainingError(
            f"no patch of {side} pixels varies enough to show traces; give other photos", data
        )
    return WifsEvaluation(
        folder.name,
        data,
        str(folder.card.get("recipe", {}).get("grid", CUTS[0])),
        {name: float((row[:, 0] / row[:, 1]).mean()) for name, row in told.items()},
        {
            name: {q: float(right / all_) for q, (right, all_) in zip(QUALITIES, row, strict=True)}
            for name, row in jpegs.items()
        },
        rate,
    )


def _cuts(pixels: Pixels, draws: np.random.Generator) -> tuple[Pixels, Pixels]:
    """The photo, and what is left of it after a cut by some, but not 8, pixels."""
    top, left = divmod(int(draws.integers(1, LATTICE**2)), LATTICE)
    return pixels, np.ascontiguousarray(pixels[top:, left:])


def _right(
    fan: FAN, transmission: Transmission, pixels: Pixels, side: int, label: int
) -> tuple[int, int]:
    """Patches behind the channel that are given a label, and all of them that vary."""
    received = transmission.send(pixels)
    patches = cut(received.pixels, side)[0][is_varied(to_unit(cut(received.sent, side)[0]))]
    if not len(patches):
        return 0, 0
    return int((classify(fan, patches).argmax(1) == label).sum()), len(patches)
