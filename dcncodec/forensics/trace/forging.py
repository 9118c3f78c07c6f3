"""Folders of forged photos, their masks beside them (``dcn forensics forge``)."""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dcncodec.errors import ImageError, OutputError, UsageError
from dcncodec.forensics.operations.operation import Pixels, denoise_wavelet, opencv
from dcncodec.forensics.trace.localise import SMALLEST
from dcncodec.forensics.trace.synthesis import SPLICE, Forgery, forge
from dcncodec.formats.files import atomic_write, make_folder
from dcncodec.formats.guard import images_in
from dcncodec.formats.image import read_image

MASKS = "masks"
"""Sub-folder of a folder of forgeries: white where a photo was manipulated, by the same names."""
LIST_FILE = "forgeries.json"


def forge_folder(
    photos: Path,
    output: Path,
    kinds: Sequence[str],
    seed: int,
    limit: int | None,
    overwrite: bool,
    progress: Callable[[], object],
) -> list[dict[str, Any]]:
    """Forge every photo of a folder in every kind.

    Args:
        photos: the folder; the next photo in it is the donor of a splice.
        output: receives PHOTO-KIND.png, ``MASKS`` with the same names, and ``LIST_FILE``.
        kinds: of ``synthesis.KINDS``.
        seed: of all choices; those of a photo depend on its name alone, not on the others.
        limit: only so many of the first photos; None for all.
        overwrite: whether files are replaced.
        progress: called after each forgery.

    Returns:
        What ``LIST_FILE`` holds: for each forgery its photo, mask, source, donor, kind and detail.

    Raises:
        UsageError: there is no such folder, it holds too few photos, two of the same name but for
            the suffix, or it is the output.
        ImageError: a photo cannot be read, or is too small.
        MissingLibraryError: a library of the extra ``forensics`` is not installed.
        OutputError: the output exists, or cannot be written.
    """
    files = sources(photos, limit)
    if photos.resolve() in {output.resolve(), (output / MASKS).resolve()}:
        raise UsageError("is the folder of the photos; name another one", output)
    if SPLICE in kinds and len(files) < 2:
        raise UsageError("holds one photo; a splice needs another one", photos)
    made: dict[str, Path] = {}
    for file, kind in product(files, kinds):
        if (other := made.setdefault(_name(file, kind), file)) != file:
            raise UsageError(f"would give {_name(file, kind)} as {other} does; rename one", file)
    taken = [LIST_FILE, *made, *(f"{MASKS}/{name}" for name in made)]
    if not overwrite and any(os.path.lexists(output / name) for name in taken):
        raise OutputError("holds forgeries already; use --force, or name another folder", output)
    opencv()
    denoise_wavelet()
    rows = []
    for file, photo, donor_file, donor in _with_donors(files):
        make_folder(output / MASKS)  # Not before a photo could be read.
        beside = fitted(donor, *photo.shape[:2])
        for kind in kinds:
            key = zlib.crc32(f"{file.name} {kind}".encode())
            forgery = forge(kind, photo, beside, np.random.default_rng((seed, key)))
            name = _name(file, kind)
            _write(output / name, forgery.pixels)
            _write(output / MASKS / name, np.uint8(255) * forgery.mask)
            rows.append(_row(name, file, donor_file, forgery))
            progress()
    with atomic_write(output / LIST_FILE, overwrite=True) as target:
        target.write((json.dumps(rows, indent=2) + "\n").encode())
    return rows


def _name(file: Path, kind: str) -> str:
    """Of a photo's forgery."""
    return f"{file.stem}-{kind}.png"


def sources(photos: Path, limit: int | None) -> list[Path]:
    """The photos of a folder.

    Raises:
        UsageError: there is no such folder, or it holds none.
    """
    if not photos.is_dir():
        raise UsageError("no such folder", photos)
    files = images_in(photos)[:limit]
    if not files:
        raise UsageError("holds no photos", photos)
    return files


def _with_donors(files: Sequence[Path]) -> Iterator[tuple[Path, Pixels, Path, Pixels]]:
    """Each photo and the next one in the folder, after the last the first; each is read once."""
    first = photo = _read(files[0])
    for number, file in enumerate(files):
        donor_file = files[(number + 1) % len(files)]
        donor = first if number + 1 == len(files) else _read(donor_file)
        yield file, photo, donor_file, donor
        photo = donor


def fitted(donor: Pixels, height: int, width: int) -> Pixels:
    """The first rows and columns of a photo, which goes on by reflection where it is smaller."""
    below, beside = max(0, height - donor.shape[0]), max(0, width - donor.shape[1])
    return np.pad(donor, ((0, below), (0, beside), (0, 0)), mode="reflect")[:height, :width]


def _read(file: Path) -> Pixels:
    pixels = read_image(file).pixels
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST:
        raise ImageError(f"{width} x {height} pixels; {SMALLEST} are needed either way", file)
    return pixels


def _row(name: str, file: Path, donor: Path, forgery: Forgery) -> dict[str, Any]:
    return {
        "photo": name,
        "mask": f"{MASKS}/{name}",
        "source": file.name,
        "donor": donor.name if forgery.kind == SPLICE else None,
        "kind": forgery.kind,
        "detail": forgery.detail,
        "share": round(float(forgery.mask.mean()), 4),
    }


def _write(path: Path, pixels: Pixels) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    with atomic_write(path, overwrite=True) as target:
        target.write(file.getvalue())
