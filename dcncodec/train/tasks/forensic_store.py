"""What a channel that does not learn makes of photos, kept in files and used again.

Drawing photos and coding them takes half of a step behind a codec, with a spectral FAN nearly all
of it. So a number of photos can be put through the channel before the first step, and each step
takes some of those. Of a FAN whose traces have no weights what it describes is kept, and not the
pictures.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dcncodec.formats.files import atomic_write
from dcncodec.train.engine.checkpoint import Header
from dcncodec.train.tasks.forensic_field import DRAWN

TOLD_SECONDS = 60.0
FOLDER = "pictures"
"""Within that of the run."""
DRAWS = 4
"""Of what becomes of a decoded picture, where descriptions are kept."""
VERSION = 2
"""Grows when pictures of the same recipe are drawn or described otherwise: stored ones are drawn
again."""
DECIDING = (
    *("channel", "downsample", "classes", "vary_strengths", "patch", "rate_low", "rate_high"),
    *("resave", *DRAWN),
)
"""Fields of the recipe that pictures depend on."""


class Pictures(NamedTuple):
    """Photos in all of their K versions, as the channel gives them.

    Attributes:
        seen: pixels, uint8 (B, K, 1, P, P, 3), or what the FAN describes of D draws of what becomes
            of pictures, float32 (B, K, D, C); on the CPU. Of a step one draw each: (B, K, P, P, 3)
            or (B, K, C).
        mse: mean squared error of the channel, in [0, 1].
        bpp: what it sent, a mean.
    """

    seen: Tensor
    mse: Tensor
    bpp: Tensor


class PictureStore:
    """Batches that are made once. Files that are missing or damaged are made again: what is in them
    is a function of their number.

    Args:
        make: from a batch's number to the batch.
        folder: where they are kept, and nothing else.
        batches: how many, 1 or more.
        count: B, photos of a batch and of a step.
    """

    def __init__(
        self, make: Callable[[int], Pictures], folder: Path, batches: int, count: int
    ) -> None:
        self.make, self.folder = make, folder
        self.batches, self.count = batches, count

    def first(self) -> int:
        """Number of the first batch that has to be made; that of all if there is none."""
        numbers = range(self.batches)
        return next((n for n in numbers if not self._file(n).exists()), self.batches)

    def fill(self, stopping: Callable[[], bool], told: Callable[[int], None]) -> None:
        """Make what is missing.

        Args:
            stopping: whether to leave it unfinished, asked before each batch.
            told: is given the number of batches that are there, at first and about once a minute.

        Raises:
            OutputError: a file cannot be written.
            DcnError: what ``make`` raises.
        """
        reported = -math.inf
        for number in range(self.first(), self.batches):
            if stopping():
                return
            if time.monotonic() - reported >= TOLD_SECONDS:
                told(number)
                reported = time.monotonic()
            if not self._file(number).exists():
                self._write(number)

    def take(self, generator: torch.Generator) -> Pictures:
        """Photos of a step.

        Args:
            generator: which.

        Raises:
            OutputError: a file cannot be written.
            DcnError: what ``make`` raises.
        """
        chosen = torch.randint(self.batches * self.count, (self.count,), generator=generator)
        found = [self._photo(*divmod(photo, self.count)) for photo in chosen.tolist()]
        seen, mse, bpp = zip(*found, strict=True)
        draws = torch.randint(seen[0].shape[1], (len(seen), len(seen[0])), generator=generator)
        kinds = torch.arange(draws.shape[1])
        drawn = [photo[kinds, own] for photo, own in zip(seen, draws, strict=True)]
        return Pictures(torch.stack(drawn), torch.stack(mse).mean(), torch.stack(bpp).mean())

    def _photo(self, number: int, place: int) -> Pictures:
        """One photo of a batch, and the batch's figures."""
        try:
            return self._read(number, place)
        except (SafetensorError, OSError):
            self._write(number)
            return self._read(number, place)

    def _read(self, number: int, place: int) -> Pictures:
        with safe_open(self._file(number), "pt") as file:
            return Pictures(
                file.get_slice("seen")[place], file.get_tensor("mse"), file.get_tensor("bpp")
            )

    def _write(self, number: int) -> None:
        content = save(self.make(number)._asdict())
        with atomic_write(self._file(number), overwrite=True) as file:
            file.write(content)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.safetensors"


def store_folder(run: Path, header: Header, count: int, rank: int, described: str = "") -> Path:
    """Where a process of a run keeps its pictures, or what the FAN of a kind describes of them:
    another folder for whatever changes them."""
    recipe = asdict(header.recipe)
    deciding = [
        VERSION,
        described,
        *(recipe[name] for name in DECIDING),
        *(header.seed, count, [asdict(source) for source in header.sources]),
        *(origin["sha256"] for origin in header.origins.values()),
    ]
    digest = hashlib.sha256(json.dumps(deciding).encode()).hexdigest()
    return run / FOLDER / f"{digest[:16]}-{rank}"
