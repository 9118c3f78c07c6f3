"""Random crops that show traces: those with something in them (NIP paper, section 5)."""

from __future__ import annotations

import torch
from torch import Tensor

from dcncodec.errors import TrainingError
from dcncodec.forensics.patches import is_varied
from dcncodec.metrics import to_unit
from dcncodec.train.engine.data import ImageSet

ATTEMPTS = 4
"""Random patches drawn for every one that is asked for."""


def varied_crops(images: ImageSet, count: int, size: int, generator: torch.Generator) -> Tensor:
    """Random crops that vary enough.

    Args:
        images: where they come from.
        count: B.
        size: side in pixels.
        generator: a CPU generator.

    Returns:
        uint8 (B, size, size, 3).

    Raises:
        TrainingError: too few of ``ATTEMPTS`` times as many crops do.
    """
    crops = images.crops(count * ATTEMPTS, size, generator)
    return crops[first_of(is_varied(to_unit(crops)), count, size)]


def first_of(varied: Tensor, count: int, size: int) -> Tensor:
    """Indices (count,) of the first patches that vary enough.

    Args:
        varied: which of all do, (N,) of bool.
        count: how many are wanted.
        size: side of the patches in pixels.

    Raises:
        TrainingError: there are fewer.
    """
    found = varied.nonzero().squeeze(1)
    if len(found) < count:
        raise TrainingError(
            f"only {len(found)} of {len(varied)} random patches of {size} pixels vary enough to "
            "show traces; give photographs with more texture"
        )
    return found[:count]
