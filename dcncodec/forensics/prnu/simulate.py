"""Photos of simulated cameras whose sensors are known, for measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dcncodec.camera.acquisition import MEAN_CAMERA, acquire, sensor
from dcncodec.errors import UsageError
from dcncodec.forensics.prnu.photos import LIBRAW, developer
from dcncodec.forensics.prnu.residual import Pixels
from dcncodec.formats.dng import dng_bytes
from dcncodec.formats.guard import images_in
from dcncodec.formats.image import read_image
from dcncodec.formats.raw import develop_with_libraw

FINGERPRINT_SHARE = 8 / 11
"""Of the photos in ``train``; the others are the predictor's."""
PAPER_SHARES = (0.6, 0.2)
"""Of a folder's photos for fingerprint and predictor, the rest for evaluation (NIP paper: 90, 30
and 30 of 150)."""

Numbered = tuple[int, Path]
"""A picture and the seed of the noise with which it is taken."""


@dataclass(frozen=True)
class Split:
    """Disjoint pictures, in the order of their names."""

    fingerprint: list[Numbered]
    predictor: list[Numbered]
    evaluation: list[Numbered]


@dataclass(frozen=True)
class Camera:
    """A simulated camera.

    Attributes:
        number: which sensor (``acquisition.sensor``).
        strength: standard deviation of its gains.
    """

    number: int
    strength: float

    def take(self, picture: Numbered, pipelines: Sequence[str]) -> dict[str, Pixels]:
        """What pipelines make of one RAW frame: by name, uint8 (H, W, 3).

        LibRaw gets it as a DNG file.

        Raises:
            DcnError: the picture cannot be read, or a pipeline or its library is missing.
        """
        seed, path = picture
        pixels = read_image(path).pixels
        height, width = (side // 2 * 2 for side in pixels.shape[:2])
        gains = sensor(self.number, height, width, self.strength)
        frame = acquire(pixels, seed, MEAN_CAMERA, gains)
        return {
            pipeline: develop_with_libraw(dng_bytes(frame))
            if pipeline == LIBRAW
            else developer(pipeline).develop(frame)
            for pipeline in pipelines
        }


def split_pictures(folder: Path) -> Split:
    """The pictures of a folder for each purpose.

    Where it has sub-folders ``train`` and ``val``, the latter is for evaluation alone.

    Raises:
        UsageError: there is no such folder, or it holds too few pictures.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    train, val = folder / "train", folder / "val"
    if train.is_dir() and val.is_dir():
        files = images_in(train)
        first = round(FINGERPRINT_SHARE * len(files))
        second = len(files)
        files = files + images_in(val)
    else:
        files = images_in(folder)
        first = round(PAPER_SHARES[0] * len(files))
        second = first + round(PAPER_SHARES[1] * len(files))
    numbered = list(enumerate(files))
    split = Split(numbered[:first], numbered[first:second], numbered[second:])
    if first < 2 or not split.predictor or not split.evaluation:
        raise UsageError(f"{folder}: holds too few pictures: 5 at least, better 150")
    return split
