"""What a FAN says of every place of a photo: a map with a step of 16 pixels.

A FAN has features for every cell, up to its pooling. They are computed once for all of a photo; the
means over boxes as large as the patches that it was trained on, at every step, go through its
last layers. So every pixel counts, and a change is seen wherever it lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dcncodec.errors import ImageError
from dcncodec.forensics.patches import FLAT_VARIANCE
from dcncodec.metrics import to_unit
from dcncodec.models.fan import FAN, STEP

TILE, HALO = 32, 4
"""Cells that are computed at once along a side, and those around them: the features of one depend
on 47 pixels beyond it at most, less than four others. A tile takes about 110 MB, and
features of a whole photo 4 MB a megapixel, 14 MB those of spectra, 18 MB both."""
ROWS = 4096
"""Places that go through the last layers at once."""


@dataclass(frozen=True, eq=False)
class Cells:
    """A FAN's answers all over a photo.

    Attributes:
        logs: (K, h, w), log-probabilities of the classes, one column for every ``STEP`` pixels.
        varied: (h, w) of bool, false where the photo varies too little to show traces.
    """

    logs: Tensor
    varied: Tensor


@torch.no_grad()
def cells_of(fan: FAN, pixels: NDArray[np.uint8], side: int) -> Cells:
    """The answers for a photo.

    Args:
        fan: the classifier.
        pixels: uint8 (H, W, 3); what the last row and column of cells lacks is reflected.
        side: of the patches that the FAN judges, in pixels: boxes are as large, rounded to an odd
            number of cells; at the borders they are what is left of them.

    Raises:
        ImageError: the photo is smaller than a patch.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < side:
        raise ImageError(f"{width} x {height} pixels: too small for a patch of {side} x {side}")
    whole = to_unit(torch.from_numpy(np.array(pixels))).unsqueeze(0)
    padded = functional.pad(whole, (0, -width % STEP, 0, -height % STEP), mode="reflect")
    box = 2 * (side // (2 * STEP)) + 1
    features = _boxes(_features(fan, padded), box)[0]
    parts = torch.split(features.flatten(1).T, ROWS)
    logs = torch.cat([fan.head(part).log_softmax(1) for part in parts])
    rows, columns = features.shape[1:]
    return Cells(logs.T.reshape(-1, rows, columns), _varied(padded, box))


def _features(fan: FAN, padded: Tensor) -> Tensor:
    """Of (1, 3, H, W), H and W multiples of ``STEP``: (1, C, H / STEP, W / STEP), tile by tile."""
    rows, columns = (side // STEP for side in padded.shape[2:])
    lines = []
    for top in range(0, rows, TILE):
        line = []
        for left in range(0, columns, TILE):
            first = max(0, top - HALO), max(0, left - HALO)
            last = min(rows, top + TILE + HALO), min(columns, left + TILE + HALO)
            part = padded[
                ..., first[0] * STEP : last[0] * STEP, first[1] * STEP : last[1] * STEP
            ].contiguous(memory_format=torch.channels_last)
            found = fan.traces(part)
            inside = found[..., top - first[0] :, left - first[1] :]
            line.append(inside[..., :TILE, :TILE])
        lines.append(torch.cat(line, 3))
    return torch.cat(lines, 2)


def _boxes(values: Tensor, box: int) -> Tensor:
    """Means over boxes around every place; beyond the borders nothing counts."""
    return functional.avg_pool2d(values, box, 1, box // 2, count_include_pad=False)


def _varied(padded: Tensor, box: int) -> Tensor:
    """Where boxes vary enough, as ``patches.is_varied`` has it: (h, w) of bool."""
    moments = torch.cat([padded.mean(1, True), padded.square().mean(1, True)], 1).double()
    mean, square = _boxes(functional.avg_pool2d(moments, STEP), box)[0]
    varied: Tensor = square - mean.square() >= FLAT_VARIANCE
    return varied
