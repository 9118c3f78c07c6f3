"""How well manipulations are told in the field (``forensics.field``), and how often in vain.

Every photo is manipulated in every way, sent through the channel as a real file, and judged patch
by patch and as a whole. Accuracies are means over the classes, so that no class counts more for
having more patches that vary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dcncodec.errors import TrainingError, about
from dcncodec.forensics.dense import cells_of
from dcncodec.forensics.evaluate import Losses, at_rate, classify, losses
from dcncodec.forensics.field import Version, resave, version
from dcncodec.forensics.folder import ForensicFolder
from dcncodec.forensics.manipulations import NATIVE
from dcncodec.forensics.patches import cut, is_varied
from dcncodec.forensics.photos import Photo
from dcncodec.forensics.transmission import Received, transmission_of
from dcncodec.forensics.verdict import Verdict, photo_figures, scores_of
from dcncodec.metrics import to_unit
from dcncodec.models.fan import FAN

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Row:
    """One version of one photo.

    Attributes:
        name: of its class.
        implementation, history, aligned: see ``field.Version``.
        answers: (K,), patches by the FAN's answer.
        verdicts: on the whole photo by rate of false alarms; empty without a calibration.
        losses: of the channel.
        outsider: of native photos, patches that a FAN without channel takes for manipulated, and
            all of them, after the channel; None without one.
    """

    name: str
    implementation: str
    history: bool
    aligned: bool
    answers: Counts
    verdicts: dict[float, Verdict]
    losses: Losses
    outsider: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class FieldEvaluation:
    """What was measured of one FAN and its channel in the field.

    Attributes:
        name: of the forensic folder.
        data: of the set.
        classes: of the FAN.
        rows: all versions of all photos.
        outsider: name of the FAN without channel; empty without one.
        resaved: what became of decoded pictures (``field.resave``); empty for nothing.
        rate: of the codec; None for its only one, or its default.
    """

    name: str
    data: str
    classes: tuple[str, ...]
    rows: list[Row]
    outsider: str = ""
    resaved: str = ""
    rate: int | None = None

    @property
    def title(self) -> str:
        """Of set and protocol."""
        then = [f"then {self.resaved}"] if self.resaved else []
        return ", ".join([self.data, "field", *at_rate(self.rate), *then])

    @property
    def confusion(self) -> Counts:
        """(K, K), patches by true class (row) and the FAN's answer (column)."""
        return _confusion(self.rows, self.classes)

    @property
    def accuracy(self) -> float:
        """Share of patches whose manipulation was told, a mean over the classes."""
        return _accuracy(self.rows, self.classes)

    def groups(self, key: Callable[[Row], str]) -> dict[str, dict[str, float]]:
        """Versions and accuracy by what a key says of rows, in the order of their first ones."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(key(row), []).append(row)
        return {
            name: {"versions": len(rows), "accuracy": round(_accuracy(rows, self.classes), 4)}
            for name, rows in found.items()
        }

    def figures(self) -> dict[str, Any]:
        """For JSON and cards."""
        confusion = self.confusion
        values: dict[str, Any] = {
            "versions": len(self.rows),
            "patches": int(confusion.sum()),
            "accuracy": round(self.accuracy, 4),
        }
        native = [row for row in self.rows if row.name == NATIVE]
        if native:
            label = self.classes.index(NATIVE)
            answers = np.sum([row.answers for row in native], axis=0)
            values["false_alarms"] = round(1 - float(answers[label] / answers.sum()), 4)
        values |= photo_figures((row.name, row.verdicts) for row in self.rows)
        lossy = any(row.losses[2] is not None for row in self.rows)
        for index, name in enumerate(("psnr", "ssim", "bpp")):
            if lossy:
                values[name] = round(fmean(row.losses[index] or 0.0 for row in self.rows), 4)
        judged = [row.outsider for row in native if row.outsider is not None]
        if judged:
            alarms, patches = np.sum(judged, axis=0)
            values["outsider"] = {
                "name": self.outsider,
                "false_alarms": round(float(alarms / patches), 4),
            }
        values["by_implementation"] = self.groups(lambda r: f"{r.name}: {r.implementation}")
        values["by_grid"] = self.groups(lambda r: "aligned" if r.aligned else "shifted")
        values["by_history"] = self.groups(lambda r: "JPEG" if r.history else "none")
        values["jpeg_by_grid"] = {
            name: group
            for name, group in self.groups(
                lambda r: f"{r.name}, {'aligned' if r.aligned else 'shifted'}"
            ).items()
            if name.startswith("jpeg, ")
        }
        values["classes"] = list(self.classes)
        values["confusion"] = confusion.tolist()
        return values


def evaluate_field(
    folder: ForensicFolder,
    photos: Iterable[Photo],
    data: str,
    progress: Callable[[], None] | None = None,
    draws: int = 1,
    resaves: Sequence[str] = ("",),
    outsider: ForensicFolder | None = None,
    rate: int | None = None,
) -> list[FieldEvaluation]:
    """Measure a FAN behind its channel in the field.

    Args:
        folder: the FAN, its classes and its channel.
        photos: that no training has seen. For a FAN behind a camera pipeline RAW frames are
            simulated from finished ones.
        data: a name for them.
        progress: called after each photo.
        draws: versions of each photo and class.
        resaves: what becomes of decoded pictures, see ``field.resave``, or "" for nothing: the same
            pictures are judged after each of them.
        outsider: a FAN without channel that judges native photos after this channel, too.
        rate: of a codec that has several; None for its default.

    Returns:
        One for each of ``resaves``.

    Raises:
        ModelError: a FAN or a codec is missing or damaged.
        TrainingError: no patch of the photos varies enough.
        ImageError: a photo cannot be encoded, or is smaller than a patch.
    """
    court = _Court(folder, outsider)
    transmission, developer = transmission_of(folder, rate), folder.developer()
    found: dict[str, list[Row]] = {how: [] for how in resaves}
    for number, taken in enumerate(photos):
        pixels, _ = taken.developed(developer, number)
        for label, name in enumerate(folder.classes):
            for turn in range(draws):
                sent = version(pixels, name, np.random.default_rng((number, label, turn)))
                received = transmission.send(sent.pixels)
                lost = losses(received)
                for how, rows in found.items():
                    with about(taken.name):
                        row = court.judge(sent, received, lost, how)
                    if row is not None:
                        rows.append(row)
        if progress is not None:
            progress()
    if not all(found.values()):
        raise TrainingError(
            f"no patch of {court.side} pixels varies enough to show traces; give other photos", data
        )
    stranger = "" if outsider is None else outsider.name
    return [
        FieldEvaluation(folder.name, data, folder.classes, rows, stranger, how, rate)
        for how, rows in found.items()
    ]


class _Court:
    """The FANs that judge what comes out of a channel, loaded once."""

    def __init__(self, folder: ForensicFolder, outsider: ForensicFolder | None) -> None:
        self.fan, self.side = folder.load_fan(), int(folder.card["patch"])
        self.classes, self.calibration = folder.classes, folder.calibration
        self.stranger = None if outsider is None else (outsider.load_fan(), outsider.classes)

    def judge(self, sent: Version, received: Received, lost: Losses, how: str) -> Row | None:
        """What is said of a version when it was resaved; None where no patch varies enough.

        Raises:
            ImageError: it is smaller than a patch.
        """
        arrived = resave(received.pixels, how) if how else received.pixels
        patches = cut(arrived, self.side)[0]
        # By what was sent, as long as places are the same: a channel may flatten.
        seen = patches if how else cut(received.sent, self.side)[0]
        patches = patches[is_varied(to_unit(seen))]
        if not len(patches):
            return None
        answers = classify(self.fan, patches).argmax(1).numpy()
        verdicts = {}
        if self.calibration is not None:
            cells = cells_of(self.fan, arrived, self.side)
            scores = scores_of(cells, self.classes, self.calibration)
            verdicts = self.calibration.verdicts(scores)
        alarms = None
        if self.stranger is not None and sent.name == NATIVE:
            alarms = _alarms(*self.stranger, patches)
        counts = np.bincount(answers, minlength=len(self.classes))
        return Row(
            *(sent.name, sent.implementation, sent.history, sent.aligned),
            counts,
            verdicts,
            lost,
            alarms,
        )


def _confusion(rows: Iterable[Row], classes: Sequence[str]) -> Counts:
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    for row in rows:
        confusion[classes.index(row.name)] += row.answers
    return confusion


def _accuracy(rows: Iterable[Row], classes: Sequence[str]) -> float:
    """The mean over those classes that there are rows of."""
    confusion = _confusion(rows, classes)
    there = confusion.sum(1) > 0
    return float((confusion.diagonal()[there] / confusion.sum(1)[there]).mean())


def _alarms(fan: FAN, classes: Sequence[str], patches: Tensor) -> tuple[int, int]:
    """Patches that a FAN takes for manipulated, and all of them."""
    answers = classify(fan, patches).argmax(1)
    return int((answers != classes.index(NATIVE)).sum()), len(answers)
