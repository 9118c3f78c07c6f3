"""What happened to a photo before it was manipulated, and where it was cut afterwards.

Almost every real photo has been a JPEG, and its 8x8 lattice seldom begins where a patch, or the
lattice of the next codec, does (Mandelli et al., WIFS 2020).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import UsageError
from dcncodec.forensics.channel import NONE
from dcncodec.forensics.operations.compression import SUBSAMPLINGS, jpeg_anywhere

Pixels = NDArray[np.uint8]

LATTICE = 8
"""Pixels after which the lattices of JPEG and of the codecs repeat."""
HISTORY = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?(?::(420|444))?")
GRID = re.compile(r"([0-7]),([0-7])")


@dataclass(frozen=True)
class History:
    """JPEG, as a camera or a program once saved a photo; its lattice begins anywhere.

    Attributes:
        low, high: quality, 1 to 100, drawn between them.
        subsampling: ``4:2:0`` or ``4:4:4``; None for either, by a coin.
    """

    low: int
    high: int
    subsampling: str | None = None

    def __str__(self) -> str:
        quality = str(self.low) if self.low == self.high else f"{self.low}-{self.high}"
        return quality + (f":{self.subsampling.replace(':', '')}" if self.subsampling else "")

    def apply(self, pixels: Pixels, generator: np.random.Generator) -> Pixels:
        """The photo as it comes out of that JPEG, uint8 (H, W, 3)."""
        quality = int(generator.integers(self.low, self.high + 1))
        subsampling = self.subsampling or list(SUBSAMPLINGS)[int(generator.integers(2))]
        return np.ascontiguousarray(jpeg_anywhere(pixels, generator, quality, subsampling))


CAMERA = History(88, 100)
"""What cameras and telephones save."""


def parse_history(text: str) -> History | None:
    """A history's name: ``none``, ``QF`` or ``LO-HI``, with ``:420`` or ``:444`` behind it.

    Raises:
        UsageError: it is none.
    """
    if text == NONE:
        return None
    found = HISTORY.fullmatch(text)
    low, high = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not found or not 1 <= low <= high <= 100:
        raise UsageError(
            f"history {text}: choose none, or a JPEG quality QF or LO-HI of 1 to 100, with :420 or "
            ":444 behind it for one subsampling"
        )
    return History(low, high, ":".join(found[3]) if found[3] else None)


def parse_grid(text: str) -> tuple[int, int]:
    """A shift ``DY,DX`` of 0 to 7 pixels each.

    Raises:
        UsageError: it is none.
    """
    found = GRID.fullmatch(text)
    if not found:
        raise UsageError(f"grid {text}: choose DY,DX of 0 to 7 pixels each")
    return int(found[1]), int(found[2])


@dataclass(frozen=True)
class Condition:
    """Under which photos are evaluated.

    Attributes:
        grid: rows and columns, 0 to 7, that are cut off above and to the left after the
            manipulation: by so much the lattice of a JPEG differs from the codec's.
        history: of every photo before its manipulation.
    """

    grid: tuple[int, int] = (0, 0)
    history: History | None = None

    def __str__(self) -> str:
        history = NONE if self.history is None else str(self.history)
        return f"grid {self.grid[0]},{self.grid[1]}, history {history}"

    def before(self, pixels: Pixels, seed: int) -> Pixels:
        """A photo with its history, uint8 (H, W, 3); without one the photo itself."""
        if self.history is None:
            return pixels
        return self.history.apply(pixels, np.random.default_rng(seed))

    def after(self, pixels: Pixels) -> Pixels:
        """What is left after the cut."""
        return pixels[self.grid[0] :, self.grid[1] :]


AS_IS = Condition()
"""The paper's protocol: no history, all lattices coincide."""
