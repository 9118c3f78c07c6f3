"""Measures the thresholds of a FAN's verdicts (``forensics.verdict``) on photos that are told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dcncodec.errors import TrainingError, UsageError, about
from dcncodec.forensics.dense import cells_of
from dcncodec.forensics.field import version
from dcncodec.forensics.folder import ForensicFolder
from dcncodec.forensics.manipulations import NATIVE
from dcncodec.forensics.photos import Photos
from dcncodec.forensics.transmission import transmission_of
from dcncodec.forensics.verdict import Calibration, Scores, calibrate, scores_of

NATIVE_DRAWS = 6
"""Versions of each photo with nothing done to it: half of them were JPEGs, of many qualities."""


def measure(
    folder: ForensicFolder, photos: Photos, data: str, progress: Callable[[], None] | None = None
) -> Calibration:
    """Versions of photos under the field protocol, sent through the FAN's channel and scored.

    A FAN behind a camera pipeline gets what that makes of them, of simulated RAW frames.
    A codec with rates sends each at one of those that the FAN has seen, drawn at random.

    Args:
        folder: the FAN, its classes, ``native`` among them, and its channel.
        photos: that are only ever used to choose by.
        data: a name for them.
        progress: called after each photo.

    Raises:
        UsageError: the FAN knows no native photos.
        ModelError: the FAN or its codec is missing or damaged.
        TrainingError: no photo can be judged.
        ImageError: a photo cannot be encoded, or is smaller than a patch.
    """
    if NATIVE not in folder.classes:
        raise UsageError(f"{folder.name}: does not know the class {NATIVE}; choose another FAN")
    fan, side = folder.load_fan(), int(folder.card["patch"])
    transmission, rates = transmission_of(folder), folder.rates
    developer = folder.developer()
    found: list[tuple[str, int, Scores]] = []
    for number, taken in enumerate(photos):
        with about(taken.name):
            pixels, _ = taken.developed(developer, number)
            for label, name in enumerate(folder.classes):
                for turn in range(NATIVE_DRAWS if name == NATIVE else 1):
                    draws = np.random.default_rng((number, label, turn))
                    changed = version(pixels, name, draws).pixels
                    rate = None if rates is None else int(draws.integers(*rates, endpoint=True))
                    received = transmission.send(changed, rate)
                    scores = scores_of(cells_of(fan, received.pixels, side), folder.classes)
                    if scores is not None:
                        found.append((name, number, scores))
        if progress is not None:
            progress()
    if {name == NATIVE for name, _, _ in found} != {True, False}:
        raise TrainingError("holds no photos that can be judged; give others", data)
    return calibrate(found, folder.classes, {"data": data, **photos.described()})
