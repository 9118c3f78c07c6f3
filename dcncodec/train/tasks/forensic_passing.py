"""What happens to decoded pictures before somebody judges them: a half of them are cut at a random
place, and some turned or mirrored, scaled down, saved as JPEG again, or several of these. All of it
is drawn before a step and done on its device."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dcncodec.forensics.channel import as_bytes
from dcncodec.forensics.djpeg import DJPEG, quantisation_tables
from dcncodec.forensics.history import LATTICE

SMALLEST = 16
"""Side in pixels of what a FAN can judge."""
SAVED, SCALED = 0.3, 0.2
"""Shares of pictures that are saved as JPEG 4:2:0 again, scaled ones like others, and of those that
are scaled."""
UNCUT = 0.5
"""Share of pictures that keep their first rows and columns, and the codec's lattice with them, as
files do."""
TURNED = 0.25
"""Share of pictures that are turned, mirrored, or both."""
QUALITIES = (75, 100)
TABLES = torch.stack([quantisation_tables(q) for q in range(QUALITIES[0], QUALITIES[1] + 1)])
"""Of these qualities, (Q, 2, 64)."""
LEAST_SCALE = 0.75
KERNELS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


class Passing(NamedTuple):
    """What happens to B decoded pictures.

    Attributes:
        order: (B,), a permutation: first those that stay as large as they are, of which the last
            are saved, then those that are scaled, of which the last are saved, too.
        places: (B, 2) in that order, rows and columns that are cut off above and to the left.
        turns: bool (B, 3) in that order, whether what is left has its rows in reverse, its columns
            in reverse, and then columns for rows.
        scales: (S, 2, side after, side before), what rows and columns of the scaled ones are
            multiplied by.
        tables: quantisation tables of those that are saved at their size, (M, 2, 64).
        scaled_tables: of those that are scaled before.
    """

    order: Tensor
    places: Tensor
    turns: Tensor
    scales: Tensor
    tables: Tensor
    scaled_tables: Tensor


def draw_passing(count: int, side: int, generator: torch.Generator) -> Passing:
    """A draw for ``count`` pictures of ``side`` pixels, on the CPU."""
    left = side - _margin(side)
    after = int(LEAST_SCALE * left)
    scaled = round(SCALED * count) if after >= SMALLEST else 0
    both = round(SAVED * scaled)
    saved = round(SAVED * count) - both
    chosen = torch.randint(len(TABLES), (saved + both,), generator=generator)
    scales = [_draw_scale(left, after, generator) for _ in range(scaled)]
    order = torch.randperm(count, generator=generator)
    places = torch.randint(_margin(side) + 1, (count, 2), generator=generator)
    places[torch.rand(count, generator=generator) < UNCUT] = 0
    turns = torch.randint(1, 8, (count,), generator=generator)
    turns[torch.rand(count, generator=generator) >= TURNED] = 0
    return Passing(
        order,
        places,
        (turns.unsqueeze(-1) & torch.tensor([1, 2, 4])) > 0,
        torch.stack(scales) if scales else torch.zeros(0, 2, after, left),
        TABLES[chosen[:saved]],
        TABLES[chosen[saved:]],
    )


def _draw_scale(before: int, after: int, generator: torch.Generator) -> Tensor:
    """``after`` neighbouring rows, and columns, of all that a picture of ``before`` is scaled to,
    (2, after, before)."""
    size = int(torch.randint(after, before, (), generator=generator))
    kernel = KERNELS[int(torch.randint(len(KERNELS), (), generator=generator))]
    tops = torch.randint(size - after + 1, (2,), generator=generator).tolist()
    return torch.stack([_weights(before, size, kernel)[top : top + after] for top in tops])


@cache
def _weights(before: int, size: int, kernel: Image.Resampling) -> Tensor:
    """What Pillow makes each of ``size`` samples of, (size, before)."""
    impulses = Image.fromarray(np.eye(before, dtype=np.float32))
    return torch.from_numpy(np.array(impulses.resize((size, before), kernel)).T.copy())


def passed_on(pictures: Tensor, passing: Passing, jpeg: DJPEG) -> tuple[Tensor, Tensor]:
    """Decoded pictures after all that; the gradient passes a JPEG unchanged.

    Args:
        pictures: float (B, 3, P, P) in [0, 1].
        passing: what happens to them, on their device.
        jpeg: how they are saved.

    Returns:
        Those that kept their size, (B - S, 3, P - 8, P - 8) or as much as the FAN needs, and the
        scaled ones, (S, 3, side after, side after), in the order of the draw.
    """
    ordered = pictures.index_select(0, passing.order)
    cut = _times(_picks(passing.places, passing.turns, pictures.shape[-1]), ordered)
    cut = torch.where(passing.turns[:, 2, None, None, None], cut.transpose(-1, -2), cut)
    count = len(cut) - len(passing.scales)
    scaled = as_bytes(_times(passing.scales, cut[count:]))
    return _saved(cut[:count], passing.tables, jpeg), _saved(scaled, passing.scaled_tables, jpeg)


def _picks(places: Tensor, turns: Tensor, side: int) -> Tensor:
    """Ones where samples are kept, (B, 2, side after, side): as a product, since the gradient of a
    selection adds what it meets in any order, or takes long on a GPU that must not."""
    kept = torch.arange(side - _margin(side), device=places.device)
    kept = torch.where(turns[:, :2, None], kept.flip(0), kept)
    samples = torch.arange(side, device=places.device)
    return ((places.unsqueeze(-1) + kept).unsqueeze(-1) == samples).float()


def _times(weights: Tensor, pictures: Tensor) -> Tensor:
    """Rows and columns (B, 2, after, before) applied to pictures (B, 3, before, before)."""
    rows, columns = weights.to(pictures.dtype).unsqueeze(2).unbind(1)
    return rows @ pictures @ columns.transpose(-1, -2)


def _saved(pictures: Tensor, tables: Tensor, jpeg: DJPEG) -> Tensor:
    """Pictures of which the last ones are saved with these tables."""
    count = len(pictures) - len(tables)
    if not len(tables):
        return pictures
    with torch.no_grad():
        exact = jpeg(pictures[count:], tables).to(pictures.dtype)
    again = pictures[count:] + (exact - pictures[count:]).detach()
    return torch.cat([pictures[:count], again])


def _margin(side: int) -> int:
    """Rows and columns that are cut off."""
    return min(LATTICE, side - SMALLEST)
