"""Photos of simulated cameras whose sensors are known, for measurements."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dcncodec.camera.acquisition import MEAN_CAMERA, acquire, sensor
from dcncodec.errors import UsageError
from dcncodec.forensics.prnu.photos import LIBRAW, developer
from dcncodec.forensics.prnu.residual import Pixels
from dcncodec.formats.dng import dng_bytes
from dcncodec.formats.guard import images_in
from dcncodec.formats.image import read_image
from dcncodec.formats.raw import Frame, develop_with_libraw

FINGERPRINT_SHARE = 8 / 11
"""Of the photos in ``train``; the others are the predictor's."""
PAPER_SHARES = (0.6, 0.2)
"""Of a folder's photos for fingerprint and predictor, the rest for evaluation (NIP paper: 90, 30
and 30 of 150)."""

SHORT_EXPOSURE = "@"
"""Between a pipeline's name and the share of the light that its frames get (NIP paper, Table 3)."""
LEAST_EXPOSURE = 0.001

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
        """What pipelines make of RAW frames of one scene: by name, uint8 (H, W, 3).

        All get the same frame, LibRaw as a DNG file; those of short exposures (``exposed``) get
        another one, with noise of its own.

        Raises:
            UsageError: there is no such exposure.
            DcnError: the picture cannot be read, or a pipeline or its library is missing.
        """
        seed, path = picture
        pixels = read_image(path).pixels
        height, width = (side // 2 * 2 for side in pixels.shape[:2])
        gains = sensor(self.number, height, width, self.strength)
        frames: dict[float, Frame] = {}
        found = {}
        for name in pipelines:
            pipeline, exposure = exposed(name)
            if exposure not in frames:
                other = seed + (round(1e6 / exposure) if exposure < 1 else 0)
                frames[exposure] = acquire(pixels, other, MEAN_CAMERA, gains, exposure)
            frame = frames[exposure]
            if pipeline == LIBRAW:
                found[name] = develop_with_libraw(dng_bytes(frame))
            else:
                found[name] = developer(pipeline).develop(frame)
        return found


def exposed(name: str) -> tuple[str, float]:
    """Pipeline and exposure of a name: ``dnet``, or ``dnet@0.01`` for a hundredth of the light.

    Raises:
        UsageError: there is no such exposure.
    """
    pipeline, mark, text = name.partition(SHORT_EXPOSURE)
    if not mark:
        return pipeline, 1.0
    with suppress(ValueError):
        if LEAST_EXPOSURE <= float(text) < 1:
            return pipeline, float(text)
    raise UsageError(
        f"--pipelines {name}: choose a share of the light from {LEAST_EXPOSURE:g} to below 1"
    )


def split_pictures(folder: Path) -> Split:
    """The pictures of a folder for each purpose.

    Where it has sub-folders ``train`` and ``val``, the latter is for evaluation alone.

    Raises:
        UsageError: there is no such folder, or it holds too few pictures.
    """
    if not folder.is_dir():
        raise UsageError("no such folder", folder)
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
        raise UsageError("holds too few pictures: 5 at least, better 150", folder)
    return split
