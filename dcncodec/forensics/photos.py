"""Held-out photos: finished pictures, or RAW frames that a camera pipeline develops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.camera.acquisition import acquire
from dcncodec.camera.camera import develop_frame
from dcncodec.errors import UsageError
from dcncodec.forensics.parts import Part, photos_of
from dcncodec.formats.guard import images_in
from dcncodec.formats.image import read_image
from dcncodec.formats.raw import Frame, raw_files, read_raw
from dcncodec.models.families.nip import STANDARD

if TYPE_CHECKING:
    from dcncodec.camera.develop import Developer

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Photo:
    """One of them.

    Attributes:
        name: of the file, without its suffix.
        content: uint8 (H, W, 3), sRGB; or what a sensor gave.
    """

    name: str
    content: Pixels | Frame

    def finished(self) -> Pixels:
        """uint8 (H, W, 3): of a frame what the standard pipeline makes of it."""
        if isinstance(self.content, Frame):
            from dcncodec.camera.develop import Developer

            return Developer(STANDARD).develop(self.content)
        return self.content

    def developed(self, developer: Developer | None, seed: int) -> tuple[Pixels, float | None]:
        """What a camera pipeline makes of it.

        Args:
            developer: the pipeline; None for the finished photo.
            seed: of the camera that is simulated where the photo is finished.

        Returns:
            uint8 (H, W, 3), and of a neural pipeline its PSNR in dB against the standard one.
        """
        if developer is None:
            return self.finished(), None
        frame = self.content
        if not isinstance(frame, Frame):
            frame = acquire(frame, seed, developer.to_srgb)
        pixels = developer.develop(frame)
        if developer.network is None:
            return pixels, None
        error = np.square(pixels / 255 - develop_frame(frame)).mean()
        return pixels, -10 * float(np.log10(error))


class Photos:
    """Those of a folder, read anew by every iteration: RAW files where it holds any.

    Args:
        folder: pictures, or RAW files in it or below it.
        limit: only so many of the first; None for all.
        part: of the pictures in it (``forensics.parts``); None for all.

    Raises:
        UsageError: there is no such folder or part, or it holds no photos.
    """

    def __init__(self, folder: Path, limit: int | None = None, part: Part | None = None) -> None:
        if not folder.is_dir():
            raise UsageError(f"--data {folder}: no such folder")
        self.part = part
        raw = raw_files(folder) if part is None else []
        self.raw = bool(raw)
        found = images_in(folder) if part is None else photos_of(folder, part)
        self.files = (raw or found)[:limit]
        if not self.files:
            raise UsageError(f"--data {folder}: holds no photos")

    def described(self) -> dict[str, Any]:
        """For cards: how many, which part, and the first and the last of them."""
        split = {} if self.part is None else {"part": self.part}
        return {
            "photos": len(self),
            **split,
            "first": self.files[0].name,
            "last": self.files[-1].name,
        }

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Photo]:
        """One after the other; DcnError where a file cannot be read."""
        for file in self.files:
            yield Photo(file.stem, read_raw(file) if self.raw else read_image(file).pixels)
