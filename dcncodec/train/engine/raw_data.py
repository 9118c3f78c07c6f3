"""RAW frames to train with, each beside the picture that the standard pipeline makes of it.

They come from RAW files of one camera, or are simulated from finished pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcncodec.camera.acquisition import MEAN_CAMERA, acquire
from dcncodec.camera.camera import develop
from dcncodec.errors import DcnError, MissingLibraryError, TrainingError
from dcncodec.forensics.patches import is_varied
from dcncodec.formats.raw import Frame, raw_files, read_raw
from dcncodec.metrics import to_unit
from dcncodec.notices import Notify, warn
from dcncodec.train.engine.data import (
    HOLD_OUT,
    Dataset,
    ImageSet,
    Source,
    load_images,
    pack,
    tell_unread,
)
from dcncodec.train.engine.varied import ATTEMPTS, first_of

SAME_CAMERA = 1e-3
"""Most by which the colour matrices of one camera's files differ."""

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class RawSet:
    """Frames and their pictures.

    Attributes:
        stacks: float32 (4, h, w) each, white-balanced R, G, G, B in [0, 1].
        pictures: uint8 (2h, 2w, 3) each, sRGB.
    """

    stacks: list[Tensor]
    pictures: list[Tensor]

    def __len__(self) -> int:
        return len(self.stacks)

    def to(self, device: torch.device) -> RawSet:
        """The same on another device."""
        return RawSet(
            [stack.to(device) for stack in self.stacks],
            [picture.to(device) for picture in self.pictures],
        )

    def crops(
        self,
        count: int,
        size: int,
        generator: torch.Generator,
        varied: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Random square parts, every frame as likely as any other.

        Args:
            count: B.
            size: side in pixels of the picture, even, at most the smallest one's.
            generator: a CPU generator.
            varied: only such as vary enough (``forensics.patches``).

        Returns:
            Stacks (B, 4, size/2, size/2) and pictures (B, 3, size, size), float32 in [0, 1].

        Raises:
            TrainingError: too few of ``ATTEMPTS`` times as many do.
        """
        attempts = count * ATTEMPTS if varied else count
        chosen = torch.randint(len(self), (attempts,), generator=generator).tolist()
        places = torch.rand(attempts, 2, generator=generator, dtype=torch.float64).tolist()
        half = size // 2
        stacks, pictures = [], []
        for index, (y, x) in zip(chosen, places, strict=True):
            _, height, width = self.stacks[index].shape
            top, left = int(y * (height - half + 1)), int(x * (width - half + 1))
            stacks.append(self.stacks[index][:, top : top + half, left : left + half])
            rows, columns = slice(2 * top, 2 * top + size), slice(2 * left, 2 * left + size)
            pictures.append(self.pictures[index][rows, columns])
        found = torch.stack(stacks), to_unit(torch.stack(pictures))
        if not varied:
            return found
        good = first_of(is_varied(found[1]), count, size)
        return found[0][good], found[1][good]


@dataclass(frozen=True)
class RawDataset:
    """Frames to train with, held-out frames, where they came from, and their camera.

    Attributes:
        to_srgb: (3, 3), its colours; see ``formats.raw.Frame``.
    """

    training: RawSet
    validation: RawSet
    sources: list[Source]
    to_srgb: NDArray[np.float64]

    def to(self, device: torch.device) -> RawDataset:
        """The same on another device."""
        return RawDataset(
            self.training.to(device), self.validation.to(device), self.sources, self.to_srgb
        )

    def finished(self) -> Dataset:
        """The pictures without their frames."""
        training, validation = (
            pack([picture.numpy() for picture in part.pictures])
            for part in (self.training, self.validation)
        )
        return Dataset(training, validation, self.sources)


def load_frames(
    sources: Sequence[Path], minimum_size: int, seed: int, notify: Notify = warn
) -> RawDataset:
    """Read RAW files, or pictures from which frames are simulated, and develop them.

    The last 5% of each source are held out.

    Args:
        sources: folders with RAW files of one camera; or folders and tar shards of pictures.
        minimum_size: frames with a smaller side (pixels) are left out.
        seed: of the simulation.
        notify: as of ``load_images``.

    Raises:
        TrainingError: a source is missing or unreadable, or has pictures where others have RAW
            files; there are too few frames, or they come from several cameras.
        MissingLibraryError: as ``formats.raw.read_raw``.
    """
    folders = [(source, raw_files(source)) for source in sources]
    if not any(files for _, files in folders):
        return _simulated(sources, minimum_size, seed, notify)
    training: list[Frame] = []
    validation: list[Frame] = []
    described = []
    for source, files in folders:
        if not files:
            raise TrainingError("holds no RAW files, unlike the other sources", source)
        read = _map(_frame, files)
        tell_unread([error for error in read if isinstance(error, DcnError)], source, notify)
        frames = [
            frame
            for frame in read
            if isinstance(frame, Frame) and min(frame.mosaic.shape) >= minimum_size + 2
        ]
        pixels = sum(frame.mosaic.size for frame in frames)
        described.append(Source(source.resolve().name, len(frames), round(pixels / 1e6, 2)))
        held_out = round(len(frames) * HOLD_OUT) or int(len(frames) > 1)
        training += frames[: len(frames) - held_out]
        validation += frames[len(frames) - held_out :]
    names = ", ".join(map(str, sources))
    if not training or not validation:
        raise TrainingError(
            f"{names}: fewer than 2 RAW files of at least {minimum_size} x {minimum_size} pixels"
        )
    to_srgb = training[0].to_srgb
    for frame in training + validation:
        if np.abs(frame.to_srgb - to_srgb).max() > SAME_CAMERA:
            raise TrainingError(f"{names}: RAW files of several cameras; a pipeline learns one")
    return RawDataset(_developed(training), _developed(validation), described, to_srgb)


def _frame(path: Path) -> Frame | DcnError:
    """A file's frame, or why it cannot be read."""
    try:
        return read_raw(path)
    except MissingLibraryError:
        raise
    except DcnError as error:
        return error


def _simulated(sources: Sequence[Path], minimum_size: int, seed: int, notify: Notify) -> RawDataset:
    data = load_images(sources, minimum_size, notify=notify)

    def acquired(images: ImageSet, first: int) -> list[Frame]:
        pictures = [images.image(i).numpy() for i in range(len(images))]
        seeds = range(first, first + len(pictures))
        return _map(lambda pair: acquire(*pair, MEAN_CAMERA), zip(pictures, seeds, strict=True))

    begin = seed * (len(data.training) + len(data.validation))
    training = acquired(data.training, begin)
    validation = acquired(data.validation, begin + len(training))
    return RawDataset(_developed(training), _developed(validation), data.sources, MEAN_CAMERA)


def _developed(frames: Sequence[Frame]) -> RawSet:
    def pair(frame: Frame) -> tuple[Tensor, Tensor]:
        stack = frame.stack()
        picture = np.rint(develop(stack, frame.to_srgb) * 255).astype(np.uint8)
        return torch.from_numpy(stack).permute(2, 0, 1).contiguous(), torch.from_numpy(picture)

    pairs = _map(pair, frames)
    return RawSet([stack for stack, _ in pairs], [picture for _, picture in pairs])


def _map(function: Callable[[T], U], values: Iterable[T]) -> list[U]:
    """Of all values, in as many threads as torch uses."""
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(function, values))
