"""From which mean of a map on does a photo count as manipulated?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dcncodec.errors import about
from dcncodec.forensics.field import version
from dcncodec.forensics.judge import Judge
from dcncodec.forensics.manipulations import NATIVE
from dcncodec.forensics.photos import Photos

FALSE_ALARM = 0.05
VERSIONS = 4
"""Of each clean photo: half of them were JPEGs, all are cut somewhere."""


def threshold_of(judge: Judge, photos: Photos, progress: Callable[[], object]) -> float:
    """The score that ``FALSE_ALARM`` of clean photos exceed.

    Args:
        judge: whose maps are measured.
        photos: clean, and only ever used to choose by.
        progress: called after each photo.

    Raises:
        ImageError: a photo is too small.
    """
    scores = []
    for number, photo in enumerate(photos):
        pixels = photo.finished()
        for turn in range(VERSIONS):
            clean = version(pixels, NATIVE, np.random.default_rng((number, turn))).pixels
            with about(photo.name):
                found = judge.judge(clean).manipulated(*clean.shape[:2])
            scores.append(float(found.mean(dtype=np.float64)))
        progress()
    return float(np.quantile(scores, 1 - FALSE_ALARM, method="higher"))
