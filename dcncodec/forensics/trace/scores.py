"""How well maps agree with masks (CVPR 2019, section 5.3): pixel AUC, F1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVELS = 1024
"""Steps into which the range of scores is divided: the error of an AUC is below one in a thousand
where scores spread over the range."""

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]


def histograms(scores: Floats, mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many scores in [0, 1] there are of each of ``LEVELS`` inside a mask, and outside."""
    level = (scores * LEVELS).astype(np.int64).clip(0, LEVELS - 1)
    return (
        np.bincount(level[mask], minlength=LEVELS),
        np.bincount(level[~mask], minlength=LEVELS),
    )


def auc(scores: Floats, mask: Mask) -> float:
    """Area under the ROC curve: how often a score inside a mask is above one outside.

    Args:
        scores: in [0, 1], of any shape.
        mask: of that shape.

    Returns:
        0.5 for chance; nan where nothing or everything is inside.
    """
    inside, outside = histograms(scores, mask)
    if not inside.sum() or not outside.sum():
        return float("nan")
    below = np.cumsum(outside) - outside
    wins = (inside * (below + outside / 2)).sum()
    return float(wins / (inside.sum() * outside.sum()))


def f1(scores: Floats, mask: Mask, threshold: float = 0.5) -> float:
    """F1 of the pixels whose score is above a threshold."""
    found = scores > threshold
    hits = int((found & mask).sum())
    return 2 * hits / max(1, int(found.sum()) + int(mask.sum()))


def best_f1(scores: Floats, mask: Mask) -> float:
    """The highest F1 of any threshold, of ``LEVELS``."""
    inside, outside = histograms(scores, mask)
    hits = inside[::-1].cumsum()
    found = hits + outside[::-1].cumsum()
    return float((2 * hits / np.maximum(1, found + inside.sum())).max())
