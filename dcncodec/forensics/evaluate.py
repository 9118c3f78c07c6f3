"""How well manipulations are told after a channel, and what the channel costs (section 4.3).

Every held-out photo is manipulated as a whole in every way, sent through the channel as a real
file, and cut into patches that the FAN classifies. Where the FAN is calibrated, there is a verdict
on the whole photo, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcncodec.errors import TrainingError, about
from dcncodec.forensics.channel import NONE
from dcncodec.forensics.dense import cells_of
from dcncodec.forensics.folder import ForensicFolder
from dcncodec.forensics.history import AS_IS, Condition
from dcncodec.forensics.manipulations import NATIVE, manipulate
from dcncodec.forensics.patches import cut, is_varied
from dcncodec.forensics.photos import Photo
from dcncodec.forensics.transmission import Received, transmission_of
from dcncodec.forensics.verdict import Judged, photo_figures, scores_of
from dcncodec.metrics import psnr, ssim, to_bytes, to_unit
from dcncodec.models.fan import FAN

BATCH = 32

Losses = tuple[float, float, float | None]
"""PSNR in dB (at most 99), SSIM, and bits per pixel, None without a file."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured of one FAN and its channel on one set of photos.

    Attributes:
        name: of the forensic folder.
        data: of the set.
        classes: names of the K manipulations.
        confusion: (K, K) int64, patches by true class (row) and the FAN's answer (column).
        psnr, ssim: what the channel preserves of the manipulated photos, by class, means over the
            photos; None without losses.
        bpp: payload bits per pixel, likewise; None without a file.
        nip_psnr: of the camera pipeline's pictures against the standard pipeline's, a mean;
            None without a pipeline.
        condition: under which the photos were judged.
        rate: of the codec; None for its only one, or its default.
        judged: the photos' verdicts; empty without a calibration.
    """

    name: str
    data: str
    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    psnr: dict[str, float] | None
    ssim: dict[str, float] | None
    bpp: dict[str, float] | None
    nip_psnr: float | None = None
    condition: Condition = AS_IS
    rate: int | None = None
    judged: tuple[Judged, ...] = ()

    @property
    def title(self) -> str:
        """Of the set, and of the condition where that is another than the paper's."""
        parts = [self.data, *at_rate(self.rate)]
        return ", ".join(parts if self.condition == AS_IS else [*parts, str(self.condition)])

    @property
    def patches(self) -> int:
        """Patches of every class."""
        return int(self.confusion[0].sum())

    @property
    def accuracy(self) -> float:
        """Share of patches whose manipulation was told."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    def figures(self) -> dict[str, Any]:
        """For JSON and cards: accuracy, means over the classes, and those of native photos."""
        values: dict[str, Any] = {"patches": self.patches, "accuracy": round(self.accuracy, 4)}
        if NATIVE in self.classes:
            native = self.classes.index(NATIVE)
            told = self.confusion[native, native] / self.confusion[native].sum()
            values["false_alarms"] = round(1 - float(told), 4)
        values |= photo_figures(self.judged)
        for name, found in (("bpp", self.bpp), ("psnr", self.psnr), ("ssim", self.ssim)):
            if found is not None:
                values[name] = round(fmean(found.values()), 4)
                if NATIVE in found:
                    values[f"native_{name}"] = round(found[NATIVE], 4)
        if self.nip_psnr is not None:
            values["nip_psnr"] = round(self.nip_psnr, 4)
        values["classes"] = list(self.classes)
        values["confusion"] = self.confusion.tolist()
        return values


def evaluate(
    folder: ForensicFolder,
    photos: Iterable[Photo],
    data: str,
    progress: Callable[[], None] | None = None,
    condition: Condition = AS_IS,
    rate: int | None = None,
) -> Evaluation:
    """Measure a FAN behind its channel.

    Args:
        folder: the FAN, its classes and its channel.
        photos: that no training has seen. For a FAN behind a camera pipeline RAW frames are
            simulated from finished ones.
        data: a name for them.
        progress: called after each photo.
        condition: history and grid of the photos.
        rate: of a codec that has several; None for its default.

    Raises:
        ModelError: the FAN or its codec is missing or damaged.
        TrainingError: no patch of the photos varies enough.
        ImageError: a photo cannot be encoded, or is smaller than a patch.
    """
    fan = folder.load_fan()
    transmission = transmission_of(folder, rate)
    count, side = len(folder.classes), int(folder.card["patch"])
    confusion = np.zeros((count, count), np.int64)
    lost: dict[str, list[Losses]] = {name: [] for name in folder.classes}
    developer, calibration = folder.developer(), folder.calibration
    nip_psnrs: list[float] = []
    judged: list[Judged] = []
    for number, taken in enumerate(photos):
        pixels, nip_psnr = taken.developed(developer, number)
        if nip_psnr is not None:
            nip_psnrs.append(nip_psnr)
        generator = torch.Generator().manual_seed(number)
        photo = to_unit(torch.from_numpy(np.array(condition.before(pixels, number)))).unsqueeze(0)
        chosen = None
        for label, name in enumerate(folder.classes):
            version = to_bytes(manipulate(photo, name, generator=generator))[0].numpy()
            received = transmission.send(np.ascontiguousarray(condition.after(version)))
            if chosen is None:
                # The same patches in every class: those that vary in the first one.
                with about(taken.name):
                    patches, _ = cut(received.sent, side)
                chosen = is_varied(to_unit(patches))
            if not bool(chosen.any()):
                continue
            answers = classify(fan, cut(received.pixels, side)[0][chosen]).argmax(1)
            confusion[label] += np.bincount(answers.numpy(), minlength=count)
            lost[name].append(losses(received))
            if calibration is not None:
                cells = cells_of(fan, received.pixels, side)
                scores = scores_of(cells, folder.classes, calibration)
                judged.append((name, calibration.verdicts(scores)))
        if progress is not None:
            progress()
    if not confusion.any():
        raise TrainingError(
            f"no patch of {side} pixels varies enough to show traces; give other photos", data
        )
    lossless = folder.channel == NONE

    def means(index: int) -> dict[str, float]:
        return {name: fmean(row[index] or 0.0 for row in rows) for name, rows in lost.items()}

    return Evaluation(
        folder.name,
        data,
        folder.classes,
        confusion,
        None if lossless else means(0),
        None if lossless else means(1),
        None if lossless else means(2),
        fmean(nip_psnrs) if nip_psnrs else None,
        condition,
        rate,
        tuple(judged),
    )


@torch.no_grad()
def classify(fan: FAN, patches: Tensor) -> Tensor:
    """Log-probabilities (B, K) of patches, uint8 (B, P, P, 3)."""
    parts = [fan(to_unit(part)).log_softmax(1) for part in torch.split(patches, BATCH)]
    return torch.cat(parts)


def at_rate(rate: int | None) -> list[str]:
    """What a title says of a rate: nothing where it is the default."""
    return [] if rate is None else [f"rate {rate}"]


def losses(received: Received) -> Losses:
    """What a channel preserved of a picture, and at which rate."""
    x, y = (
        to_unit(torch.from_numpy(np.array(p))).unsqueeze(0)
        for p in (received.sent, received.pixels)
    )
    payload, (height, width) = received.bytes_payload, received.sent.shape[:2]
    bpp = None if payload is None else payload * 8 / (height * width)
    return float(psnr(x, y).clamp_max(99)), float(ssim(x, y)), bpp
