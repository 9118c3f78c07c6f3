"""Training images: read once, kept as uint8 in one flat tensor, cropped where they lie.

A source is a folder of images or a tar shard. The last ``HOLD_OUT`` of each source, in the order
of its names (a shard's own order), is held out for validation.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcncodec.errors import DcnError, TrainingError
from dcncodec.formats.files import read_bytes
from dcncodec.formats.image import read_image, suffixes_read
from dcncodec.notices import Notice, Notify, warn

HOLD_OUT = 0.05
GAMMA_RANGE = 0.4
"""Gamma augmentation raises pixels to a power of exp(u), u uniform in +- this range."""
READ_AHEAD = 64
"""Files decoded in parallel; bounds how many encoded ones wait in memory."""


@dataclass(frozen=True)
class ImageSet:
    """Images of different sizes in one buffer.

    Attributes:
        pixels: (P, 3) uint8, the images' pixels row by row, one image after the other.
        starts: (n,) int64, index of each image's first pixel.
        heights, widths: (n,) int64, pixels. Like ``starts`` they stay on the CPU, where crops are
            drawn, so that a draw needs no answer from the GPU.
    """

    pixels: Tensor
    starts: Tensor
    heights: Tensor
    widths: Tensor

    def __len__(self) -> int:
        return len(self.starts)

    def to(self, device: torch.device) -> ImageSet:
        """The same images with their pixels on another device."""
        return ImageSet(self.pixels.to(device), self.starts, self.heights, self.widths)

    def image(self, index: int) -> Tensor:
        """Image ``index`` as uint8 (H, W, 3)."""
        start, height, width = (int(t[index]) for t in (self.starts, self.heights, self.widths))
        return self.pixels[start : start + height * width].view(height, width, 3)

    def crops(self, count: int, size: int, generator: torch.Generator) -> Tensor:
        """Random square crops with random flips (section 3.4).

        Images are drawn with probability proportional to their area, so every pixel counts alike.

        Args:
            count: B, crops in the batch.
            size: side in pixels, at most the smallest image's.
            generator: a CPU generator; the same state gives the same crops on every device.

        Returns:
            uint8 (B, size, size, 3) on the device of the images.
        """
        device = self.pixels.device
        area = (self.heights * self.widths).double()
        chosen = torch.multinomial(area, count, replacement=True, generator=generator)
        heights, widths = self.heights[chosen], self.widths[chosen]
        place = torch.rand(2, count, generator=generator, dtype=torch.float64)
        top = (place[0] * (heights - size + 1)).long()
        left = (place[1] * (widths - size + 1)).long()
        flips = torch.randint(2, (2, count, 1), generator=generator)
        line = torch.arange(size).unsqueeze(0)
        rows = torch.where(flips[0] > 0, size - 1 - line, line) + top.unsqueeze(1)
        columns = torch.where(flips[1] > 0, size - 1 - line, line) + left.unsqueeze(1)
        first = self.starts[chosen].unsqueeze(1) + rows * widths.unsqueeze(1)
        index = sent(first, device).unsqueeze(2) + sent(columns, device).unsqueeze(1)
        return self.pixels[index]


def sent(draws: Tensor, device: torch.device) -> Tensor:
    """Numbers drawn on the CPU, on a device, whose work at hand is not waited for."""
    if device.type == "cpu":
        return draws
    return draws.pin_memory().to(device, non_blocking=True)


def seeded(*numbers: int) -> torch.Generator:
    """A CPU generator that all of some numbers, 0 or more, decide about."""
    entropy = np.random.SeedSequence(numbers)
    return torch.Generator().manual_seed(int(entropy.generate_state(1)[0]))


def on_device(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """A generator of ``device``: a CPU generator itself, or one seeded from it elsewhere."""
    if device.type == "cpu":
        return generator
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.Generator(device).manual_seed(seed)


@dataclass(frozen=True)
class Source:
    """A folder or shard that was read: its name without the path, images used, megapixels."""

    name: str
    images: int
    megapixels: float


@dataclass(frozen=True)
class Dataset:
    """Training images, held-out images, and where they came from."""

    training: ImageSet
    validation: ImageSet
    sources: list[Source]

    def to(self, device: torch.device) -> Dataset:
        """The same images with their pixels on another device."""
        return Dataset(self.training.to(device), self.validation.to(device), self.sources)


def augment_gamma(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Random gamma on half of the batch: float (B, 3, H, W) in [0, 1] to the same."""
    count = len(crops)
    draw = torch.rand(2, count, generator=generator)
    exponent = torch.exp((draw[0] * 2 - 1) * GAMMA_RANGE)
    exponent = torch.where(draw[1] < 0.5, exponent, torch.ones(()))
    return crops.pow(exponent.to(crops.device).view(-1, 1, 1, 1))


def load_images(
    sources: Sequence[Path],
    minimum_size: int,
    progress: Callable[[int], None] | None = None,
    notify: Notify = warn,
) -> Dataset:
    """Read folders and tar shards into memory.

    Args:
        sources: folders (searched recursively) and ``.tar`` files; of the files in them those with
            suffixes of ``formats.image``.
        minimum_size: images with a smaller side (pixels) are left out.
        progress: called after every file with the number of files read so far.
        notify: called for each source with files that cannot be read, which are left out.

    Returns:
        The images, on the CPU.

    Raises:
        TrainingError: a source is missing or unreadable, or too few images are large enough.
    """
    training: list[NDArray[np.uint8]] = []
    validation: list[NDArray[np.uint8]] = []
    described = []
    too_small = count = 0
    for source in sources:
        images = []
        unread: list[DcnError] = []
        for image in _images(source):
            count += 1
            if progress is not None:
                progress(count)
            if isinstance(image, DcnError):
                unread.append(image)
            elif min(image.shape[:2]) < minimum_size:
                too_small += 1
            else:
                images.append(image)
        tell_unread(unread, source, notify)
        pixels = sum(image.shape[0] * image.shape[1] for image in images)
        described.append(Source(source.resolve().name, len(images), round(pixels / 1e6, 2)))
        held_out = round(len(images) * HOLD_OUT) or int(len(images) > 1)
        training += images[: len(images) - held_out]
        validation += images[len(images) - held_out :]
    names = ", ".join(map(str, sources))
    if not count:
        raise TrainingError(f"{names}: no images; give folders or tar shards that hold some")
    if not training or not validation:
        raise TrainingError(
            f"{names}: fewer than 2 images of at least {minimum_size} x {minimum_size} pixels "
            f"({too_small} were smaller); give more or larger images"
        )
    return Dataset(pack(training), pack(validation), described)


def tell_unread(errors: Sequence[DcnError], source: Path, notify: Notify) -> None:
    """Say how many files of a source are left out, and why the first one is."""
    if errors:
        files = "1 file is" if len(errors) == 1 else f"{len(errors)} files are"
        text = f"{files} left out, cannot be read: {errors[0]}"
        notify(Notice("skipped", text, str(source)))


def _images(source: Path) -> Iterator[NDArray[np.uint8] | DcnError]:
    """Every image of a source, uint8 (H, W, 3), in order, or why it cannot be read."""
    files = _files(source)
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        while batch := list(islice(files, READ_AHEAD)):
            yield from pool.map(_decode, batch)


def _files(source: Path) -> Iterator[tuple[str, bytes | DcnError]]:
    """Name and bytes of every image file in a folder or shard, or why it cannot be read."""
    try:
        if source.is_dir():
            for path in sorted(p for p in source.rglob("*") if _is_image(p) and p.is_file()):
                yield str(path), _content(path)
            return
        with tarfile.open(source) as shard:
            for member in shard:
                if member.isfile() and _is_image(Path(member.name)):
                    content = shard.extractfile(member)
                    assert content is not None
                    yield f"{source}:{member.name}", content.read()
    except FileNotFoundError:
        raise TrainingError("no such folder or tar shard", source) from None
    except tarfile.TarError:
        raise TrainingError("not a folder or whole tar shard of images", source) from None
    except OSError as error:
        raise TrainingError(f"cannot be read ({error.strerror})", source) from None


def _content(path: Path) -> bytes | DcnError:
    try:
        return read_bytes(path)
    except DcnError as error:
        return error


def _is_image(path: Path) -> bool:
    """By suffix; hidden files such as macOS's ``._photo.jpg`` are not images."""
    return path.suffix.lower() in suffixes_read() and not path.name.startswith(".")


def _decode(item: tuple[str, bytes | DcnError]) -> NDArray[np.uint8] | DcnError:
    name, content = item
    if isinstance(content, DcnError):
        return content
    try:
        return read_image(content, name=name).pixels
    except DcnError as error:
        return error


def pack(images: list[NDArray[np.uint8]]) -> ImageSet:
    """Images, uint8 (H, W, 3), in one buffer; the list is empty in the end."""
    heights = torch.tensor([image.shape[0] for image in images])
    widths = torch.tensor([image.shape[1] for image in images])
    areas = heights * widths
    pixels = torch.empty(int(areas.sum()), 3, dtype=torch.uint8)
    starts = areas.cumsum(0) - areas
    while images:
        # Taken off the list one by one, so that the peak is one image over the buffer.
        image = images.pop()
        start = int(starts[len(images)])
        flat = torch.from_numpy(np.array(image, copy=True)).view(-1, 3)
        pixels[start : start + len(flat)] = flat
    return ImageSet(pixels, starts, heights, widths)
