"""Fingerprints on disk: weight folders of the family ``fingerprint`` (``models.families``)."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from dcncodec.errors import ModelError, UsageError
from dcncodec.forensics.prnu.fingerprint import Estimator, Fingerprint, finished, sum_shapes
from dcncodec.forensics.prnu.residual import Floats
from dcncodec.formats.files import atomic_write, make_folder
from dcncodec.formats.geometry import NAME, NAME_RULE
from dcncodec.models.card import (
    CARD_FILE,
    WEIGHTS,
    WEIGHTS_FILE,
    ModelFolder,
    read_model,
    write_model_card,
)
from dcncodec.models.families.fingerprint import SUMS
from dcncodec.models.registry import find_model
from dcncodec.models.roles import Role

SUMS_FILE = "sums.safetensors"


def open_fingerprint(name_or_path: str | Path) -> ModelFolder:
    """A fingerprint's folder by path, or beside the installed models by name.

    Raises:
        ModelError: there is none, it is something else, or its card is damaged.
    """
    return find_model(name_or_path, Role.FINGERPRINT)


def load_fingerprint(folder: ModelFolder) -> Fingerprint:
    """The fingerprint in a folder.

    Raises:
        ModelError: its file is missing, or not the one that the card describes.
    """
    card = folder.card
    found = _read(folder, WEIGHTS, {"fingerprint": _size(folder)})
    return Fingerprint(
        found["fingerprint"], card["photos"], card["source"], card["pipeline"], card["consistency"]
    )


def load_sums(folder: ModelFolder) -> Estimator:
    """The sums in a folder; raises as ``load_fingerprint``."""
    whole, half = sum_shapes(*_size(folder))
    shapes = {"products": whole, "squares": whole, "half_products": half, "half_squares": half}
    found = _read(folder, SUMS, shapes)
    return Estimator(
        found["products"],
        found["squares"],
        (found["half_products"], found["half_squares"]),
        list(folder.card["digests"]),
    )


def write_fingerprint(
    path: Path, estimator: Estimator, source: str, pipeline: str, *, overwrite: bool
) -> Fingerprint:
    """Write a folder, all of it or nothing.

    Args:
        path: of the folder; it is made where it does not exist.
        estimator: the sums; empty afterwards, so that they do not lie in memory beside what is
            made of them.
        source, pipeline: for the card.
        overwrite: whether a fingerprint there is replaced; a predictor is dropped with it.

    Returns:
        The fingerprint.

    Raises:
        UsageError: there is something else or, without ``overwrite``, a fingerprint.
        ImageError: there are fewer than two photos.
        OutputError: it cannot be written.
    """
    check_target(path, overwrite)
    height, width = estimator.size
    consistency, values = estimator.consistency(), estimator.estimate()
    photos, digests = estimator.photos, list(estimator.digests)
    make_folder(path)
    with (
        atomic_write(path / WEIGHTS_FILE, overwrite=overwrite) as weights_file,
        atomic_write(path / SUMS_FILE, overwrite=overwrite) as sums_file,
    ):
        sums_sha256 = _write(sums_file, _sums(estimator))
        estimator.clear()
        values = finished(values)
        sha256 = _write(weights_file, {"fingerprint": values})
    fingerprint = Fingerprint(values, photos, source, pipeline, consistency)
    card = {
        "name": path.resolve().name,
        "architecture": {"family": "fingerprint", "height": height, "width": width},
        "photos": photos,
        "source": source,
        "pipeline": pipeline,
        "consistency": round(consistency, 5),
        "expected_pce": fingerprint.expected_pce,
        "predictor": None,
        "digests": digests,
        "sha256": sha256,
        "parts": {SUMS: {"name": SUMS_FILE, "sha256": sums_sha256}},
    }
    write_model_card(path / CARD_FILE, card)
    return fingerprint


def write_predictor(folder: ModelFolder, predictor: Mapping[str, Any]) -> None:
    """Put a predictor into a fingerprint's card; OutputError where that is not possible."""
    write_model_card(folder.card_path, folder.card | {"predictor": dict(predictor)})


def check_target(path: Path, overwrite: bool) -> None:
    """Tell whether a fingerprint may be written to a folder.

    Raises:
        UsageError: it holds something else or, without ``overwrite``, a fingerprint; or its name
            is none for a model.
    """
    if not NAME.fullmatch(path.resolve().name):
        raise UsageError(f"the folder's name is the fingerprint's: {NAME_RULE}", path)
    card = path / CARD_FILE
    if card.exists():
        if read_model(card).role is not Role.FINGERPRINT:
            raise UsageError("is a model; name another folder", path)
        if not overwrite:
            raise UsageError("exists; replace it with --force, or go on with --add", path)
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError("holds other files; name a new folder", path)


def _size(folder: ModelFolder) -> tuple[int, int]:
    architecture = folder.card["architecture"]
    return int(architecture["height"]), int(architecture["width"])


def _sums(estimator: Estimator) -> dict[str, Floats]:
    return {
        "products": estimator.products,
        "squares": estimator.squares,
        "half_products": estimator.halves[0],
        "half_squares": estimator.halves[1],
    }


def _header(shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """How a safetensors file begins that holds tensors of float32."""
    entries: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        span = [end, end := end + 4 * math.prod(shape)]
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": span}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write(file: IO[bytes], tensors: Mapping[str, Floats]) -> str:
    """A safetensors file; its SHA-256. The library's writer copies all tensors first."""
    header = _header({name: tensor.shape for name, tensor in tensors.items()})
    content = hashlib.sha256(header)
    file.write(header)
    for tensor in tensors.values():
        data = np.ascontiguousarray(tensor, "<f4").data
        content.update(data)
        file.write(data)
    return content.hexdigest()


def _read(
    folder: ModelFolder, role: str, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Floats]:
    """What ``_write`` wrote: one of a folder's parts, with tensors of known names and shapes.

    Neither through ``ModelFolder.part`` nor through the library's reader, which hold the whole file
    in memory beside the tensors.
    """
    part = folder.parts[role]
    path = folder.path / part.name
    damaged = ModelError("damaged or replaced; make the fingerprint again", path)
    header = _header(shapes)
    size = len(header) + 4 * sum(map(math.prod, shapes.values()))
    found: dict[str, Floats] = {}
    try:
        with path.open("rb") as file:
            # Before anything is allocated.
            if os.fstat(file.fileno()).st_size != size or file.read(len(header)) != header:
                raise damaged
            content = hashlib.sha256(header)
            for name, shape in shapes.items():
                found[name] = np.empty(shape, "<f4")
                file.readinto(found[name].data)
                content.update(found[name].data)
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", path) from None
    # Row by row: the check of all values at once would take memory of its own.
    finite = all(bool(np.isfinite(row).all()) for tensor in found.values() for row in tensor)
    if content.hexdigest() != part.sha256 or not finite:
        raise damaged
    return found
