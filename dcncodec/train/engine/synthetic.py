"""Pictures that are no photos, for codecs that must not fall apart on them.

Flat colours of the whole gamut, gradients, checkerboards, line art and text. Some of each are made
once a training, from its seed, and take the place of a share of the crops of every batch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dcncodec.train.engine.data import sent

COUNT = 768
"""Pictures that are made."""

COARSE, FAINT = 4, 24
"""Checkerboards with smaller squares (pixels) differ by at most so many grey levels."""

Colour = tuple[int, int, int]
Pixels = NDArray[np.uint8]


def synthetic_pictures(size: int, seed: int, count: int = COUNT) -> Tensor:
    """Pictures of every kind in turn, uint8 (count, size, size, 3); the same for one seed."""
    random = np.random.default_rng(seed)
    kinds = [KINDS[i % len(KINDS)](size, random) for i in range(count)]
    return torch.from_numpy(np.stack(kinds))


def replace_some(
    crops: Tensor, pictures: Tensor, share: float, generator: torch.Generator
) -> Tensor:
    """Crops (B, P, P, 3) uint8, each with the probability ``share`` replaced by a picture of the
    same device."""
    draw = torch.rand(len(crops), generator=generator)
    index = torch.randint(len(pictures), (len(crops),), generator=generator)
    chosen = sent(draw < share, crops.device).view(-1, 1, 1, 1)
    return torch.where(chosen, pictures[sent(index, pictures.device)], crops)


def _colour(random: np.random.Generator) -> Colour:
    """Of the whole cube, its corners and edges as often as its inside."""
    levels = random.integers(256, size=3)
    ends = random.integers(2, size=3) * 255
    red, green, blue = np.where(random.integers(2, size=3) > 0, levels, ends).tolist()
    return red, green, blue


def _flat(size: int, random: np.random.Generator) -> Pixels:
    """One colour, or squares of several."""
    side = min(size, int(random.choice([32, 64, 128, size])))
    count = -(-size // side)
    palette = np.array([_colour(random) for _ in range(count**2)], np.uint8)
    squares: Pixels = palette.reshape(count, count, 3).repeat(side, 0).repeat(side, 1)
    return squares[:size, :size]


def _gradient(size: int, random: np.random.Generator) -> Pixels:
    """From one colour to another in any direction."""
    angle = random.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    share = np.clip(0.5 + (rows * np.sin(angle) + columns * np.cos(angle)), 0, 1)[..., None]
    low, high = np.array(_colour(random)), np.array(_colour(random))
    return np.asarray((low + share * (high - low)).round(), np.uint8)


def _checkerboard(size: int, random: np.random.Generator) -> Pixels:
    side = int(random.choice([1, 2, 3, 4, 8, 16, 32]))
    rows, columns = np.mgrid[:size, :size] // side
    palette = np.array([_colour(random), _colour(random)])
    if side < COARSE:
        # What no latent can hold would outweigh all photos of a batch.
        palette[1] = (palette[0] + random.integers(-FAINT, FAINT + 1, 3)).clip(0, 255)
    board: Pixels = palette.astype(np.uint8)[(rows + columns) % 2]
    return board


def _lines(size: int, random: np.random.Generator) -> Pixels:
    picture = Image.new("RGB", (size, size), _colour(random))
    draw = ImageDraw.Draw(picture)
    for _ in range(random.integers(3, 20)):
        ends = [int(value) for value in random.integers(0, size, 4)]
        box = (*sorted(ends[::2]), *sorted(ends[1::2]))
        colour, width = _colour(random), int(random.integers(1, 4))
        shape = random.integers(4)
        if shape == 0:
            draw.ellipse((box[0], box[2], box[1], box[3]), outline=colour, width=width)
        elif shape == 1:
            draw.rectangle((box[0], box[2], box[1], box[3]), fill=colour)
        else:
            draw.line(ends, fill=colour, width=width)
    return np.asarray(picture)


def _text(size: int, random: np.random.Generator) -> Pixels:
    picture = Image.new("RGB", (size, size), _colour(random))
    draw = ImageDraw.Draw(picture)
    height, ink = int(random.integers(8, 33)), _colour(random)
    font = ImageFont.load_default(height)
    for top in range(0, size, height + 4):
        letters = random.integers(33, 127, max(1, 2 * size // height))
        draw.text((2, top), "".join(map(chr, letters)), fill=ink, font=font)
    return np.asarray(picture)


KINDS: tuple[Callable[[int, np.random.Generator], Pixels], ...] = (
    _flat,
    _gradient,
    _checkerboard,
    _lines,
    _text,
)
