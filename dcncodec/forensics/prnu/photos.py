"""Photos as the sensor saw them: whole, and turned as it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from dcncodec.errors import UsageError, about
from dcncodec.forensics.prnu.fingerprint import SATURATED, Estimator, Fingerprint
from dcncodec.forensics.prnu.localise import Samples, samples_of
from dcncodec.forensics.prnu.parallel import each
from dcncodec.forensics.prnu.residual import Pixels
from dcncodec.formats import raw, suffixes
from dcncodec.formats.files import read_bytes
from dcncodec.formats.guard import files_in, suffixes_read
from dcncodec.formats.image import read_image
from dcncodec.formats.sections import SIGNATURE
from dcncodec.notices import Notice, Notify, warn

if TYPE_CHECKING:
    from dcncodec.camera.develop import Developer

STANDARD, LIBRAW = "standard", "libraw"
FLAT = 0.05
"""Standard deviation of a flat frame's cells, as a share of their mean."""
CELL = 32
"""Side in pixels of the cells whose means tell whether a frame is flat."""
REPEATED, SATURATED_PHOTO = "the same photo as one before", "saturated everywhere"
ONE_PROCESS_PIXELS = 8_000_000
"""Photos with more pixels are read by one process, so that all fits into 1 GiB."""


def photos_in(folder: Path) -> list[Path]:
    """Pictures, RAW files and .dcn files in a folder, by name.

    Raises:
        UsageError: there is no such folder, or it holds none.
    """
    if not folder.is_dir():
        raise UsageError("no such folder", folder)
    known = suffixes_read() | suffixes.RAW | {suffixes.DCN}
    found = files_in(folder, known)
    if not found:
        raise UsageError("holds no photos", folder)
    return found


def read_photo(source: Path | bytes, pipeline: str = STANDARD, notify: Notify = warn) -> Pixels:
    """A photo's pixels, uint8 (H, W, 3).

    Args:
        source: a picture, a .dcn file or a RAW file; of the first two also the bytes.
        pipeline: what develops RAW files: ``standard``, ``libraw``, or a neural one.
        notify: called with what is dropped from the pixels, converted or doubtful.

    Raises:
        DcnError: it cannot be read.
    """
    if isinstance(source, Path) and is_raw(source):
        return develop_raw(source, pipeline)
    data = read_bytes(source) if isinstance(source, Path) else source
    if data.startswith(SIGNATURE):
        from dcncodec.oneline import codec_for

        return codec_for(data).decode(data).pixels
    name = str(source) if isinstance(source, Path) else None
    return read_image(data, name=name, upright=False).pixels_alone(notify)


def _say_nothing(_: Notice) -> None:
    """For many photos in several processes, in which each hardly matters."""


def is_raw(path: Path) -> bool:
    """Whether a file is a camera's RAW file, by its suffix."""
    return path.suffix.lower() in suffixes.RAW


def develop_raw(path: Path, pipeline: str) -> Pixels:
    """A RAW file's picture, turned as the sensor was; raises as ``read_photo``."""
    if pipeline == LIBRAW:
        return raw.develop_with_libraw(path, upright=False)
    return developer(pipeline).develop(replace(raw.read_raw(path), turns=0))


@lru_cache(maxsize=4)
def developer(pipeline: str) -> Developer:
    """A camera pipeline, loaded once."""
    from dcncodec.camera.develop import Developer

    return Developer(pipeline)


@dataclass
class Tally:
    """What became of photos.

    Attributes:
        counted: how many count.
        flat: how many of those are flat frames.
        skipped: the others, by reason.
    """

    counted: int = 0
    flat: int = 0
    skipped: dict[str, list[Path]] = field(default_factory=dict)

    def remarks(self) -> list[str]:
        """One line for each reason why photos do not count."""
        total = self.counted + sum(map(len, self.skipped.values()))
        return [
            f"{len(files)} of {total} photos do not count: {files[0]}"
            + (f" and {len(files) - 1} more: " if files[1:] else ": ")
            + reason
            for reason, files in self.skipped.items()
        ]


def add_photos(
    estimator: Estimator,
    files: Sequence[Path],
    pipeline: str = STANDARD,
    processes: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> Tally:
    """Add photos to the sums of their camera.

    Args:
        estimator: is added to.
        files: photos; those that are saturated everywhere, or were added before, do not count.
        pipeline: of RAW files.
        processes: the most; photos of more than ``ONE_PROCESS_PIXELS`` take one.
        progress: called after each photo.

    Raises:
        DcnError: one has another size, is too small, or cannot be read.
    """
    tally = Tally()

    def take(file: Path, found: tuple[Estimator, str, bool]) -> None:
        sums, reason, flat = found
        if sums is not estimator and not reason:
            if set(sums.digests) <= set(estimator.digests):
                reason = REPEATED
            else:
                with about(file):
                    estimator.merge(sums)
        if reason:
            tally.skipped.setdefault(reason, []).append(file)
        else:
            tally.counted += 1
            tally.flat += flat
        progress()

    # In this process, which has the sums at hand; the first one tells how large photos are.
    take(files[0], _sums(files[0], pipeline, estimator))
    rest = files[1:]
    if processes > 1 and math.prod(estimator.size) <= ONE_PROCESS_PIXELS:
        results = each(partial(_sums, pipeline=pipeline), rest, processes)
    else:
        results = (_sums(file, pipeline, estimator) for file in rest)
    for file, found in zip(rest, results, strict=True):
        take(file, found)
    return tally


def sample_photos(
    files: Sequence[Path], fingerprint: Fingerprint, window: int, processes: int = 1
) -> Iterator[Samples]:
    """What a predictor learns from each of some unchanged photos; raises as ``samples_of``.

    Args:
        files: photos of the fingerprint's camera.
        window: side in pixels of the windows, odd.
        processes: the most; large photos take one, as in ``add_photos``.
    """
    if fingerprint.values.size > ONE_PROCESS_PIXELS:
        processes = 1
    work = partial(_samples, fingerprint=fingerprint, window=window)
    return each(work, list(enumerate(files)), processes)


def _samples(item: tuple[int, Path], fingerprint: Fingerprint, window: int) -> Samples:
    number, file = item
    pixels = read_photo(file, fingerprint.pipeline or STANDARD, _say_nothing)
    with about(file):
        return samples_of(pixels, fingerprint, window, number)


def _sums(
    file: Path, pipeline: str, estimator: Estimator | None = None
) -> tuple[Estimator, str, bool]:
    """The sums with a photo, why it does not count (or ""), and whether it is a flat frame."""
    estimator = estimator or Estimator()
    pixels = read_photo(file, pipeline, _say_nothing)
    if pixels.min() >= SATURATED:
        return estimator, SATURATED_PHOTO, False
    with about(file):
        counts = estimator.add(pixels)
    return estimator, "" if counts else REPEATED, is_flat(pixels)


def is_flat(pixels: Pixels) -> bool:
    """Whether a photo shows hardly anything: a frame of sky or of a lit wall."""
    height, width = (side // CELL * CELL for side in pixels.shape[:2])
    cells = pixels[:height, :width].reshape(height // CELL, CELL, width // CELL, CELL, 3)
    means = cells.mean((1, 3))
    return bool((means.std((0, 1)) < FLAT * means.mean((0, 1)).clip(1)).all())
