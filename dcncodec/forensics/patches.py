"""Patches to learn from and to judge: those with something in them (NIP paper, section 5)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcncodec.errors import ImageError

FLAT_VARIANCE = 0.005
"""Patches of less variance (samples in [0, 1]) show no traces of anything and are left out. The
paper's authors leave out all below 0.01 and half of those below 0.02: fewer and rougher ones."""


def is_varied(patches: Tensor) -> Tensor:
    """Which patches (B, 3, H, W), float in [0, 1], vary enough: (B,) of bool."""
    return patches.flatten(1).var(1) >= FLAT_VARIANCE


def cut(pixels: NDArray[np.uint8], side: int) -> tuple[Tensor, list[tuple[int, int]]]:
    """The whole squares of a photo, row by row, without overlap.

    Args:
        pixels: uint8 (H, W, 3), at least ``side`` in either direction.
        side: in pixels.

    Returns:
        uint8 (B, side, side, 3), and the row and column of each one's first pixel.

    Raises:
        ImageError: the photo is smaller.
    """
    rows, columns = (range(0, length - side + 1, side) for length in pixels.shape[:2])
    places = [(top, left) for top in rows for left in columns]
    if not places:
        height, width = pixels.shape[:2]
        raise ImageError(f"{width} x {height} pixels: too small for a patch of {side} x {side}")
    squares = [pixels[top : top + side, left : left + side] for top, left in places]
    return torch.from_numpy(np.stack(squares)), places
