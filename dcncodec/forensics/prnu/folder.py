"""Fingerprints on disk: weight folders of the family ``fingerprint`` (``models.registry``).

``model.safetensors`` holds the fingerprint, ``sums.safetensors`` the sums with which it grows. The
entries of ``card.json`` beside a model's ``name``, ``architecture`` and ``sha256``::

    architecture   {"family": "fingerprint", "height": int, "width": int}
    photos         int, how many it was estimated from; digests, list of str, one for each
    source         str, where they lay; pipeline, str, what developed them ("": finished photos)
    consistency    float, NCC of the fingerprints of two halves of the photos
    expected_pce   float of a photo like those, or null
    sums_sha256    str, of sums.safetensors in hexadecimal
    predictor      null, or what tells how strong the fingerprint should be (``localise.Predictor``)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from dcncodec.errors import ModelError, UsageError
from dcncodec.forensics.prnu.fingerprint import Estimator, Fingerprint, finished, sum_shapes
from dcncodec.formats.files import atomic_write, make_folder
from dcncodec.models.registry import FINGERPRINT, ModelFolder, find_model

CARD, WEIGHTS, SUMS, READABLE = "card.json", "model.safetensors", "sums.safetensors", "card.md"
CHUNK = 1 << 20


def open_fingerprint(name_or_path: str | Path) -> ModelFolder:
    """A fingerprint's folder by path, or beside the installed models by name.

    Raises:
        ModelError: there is none, it is something else, or its card is damaged.
    """
    folder = find_model(name_or_path, FINGERPRINT)
    card = folder.card
    try:
        valid = (
            min(_size(folder)) > 0
            and card["photos"] == len(card["digests"])
            and all(isinstance(digest, str) for digest in card["digests"])
            and all(isinstance(card[key], str) for key in ("source", "pipeline", "sums_sha256"))
            and isinstance(card["consistency"], float)
            and (card["predictor"] is None or isinstance(card["predictor"], dict))
        )
    except (KeyError, TypeError, ValueError):
        valid = False
    if not valid:
        raise ModelError(f"{folder.path / CARD}: damaged card; make the fingerprint again")
    return folder


def load_fingerprint(folder: ModelFolder) -> Fingerprint:
    """The fingerprint in a folder.

    Raises:
        ModelError: its file is missing, or not the one that the card describes.
    """
    card = folder.card
    found = _read(folder.weights, folder.sha256, {"fingerprint": _size(folder)})
    return Fingerprint(
        found["fingerprint"], card["photos"], card["source"], card["pipeline"], card["consistency"]
    )


def load_sums(folder: ModelFolder) -> Estimator:
    """The sums in a folder; raises as ``load_fingerprint``."""
    whole, half = sum_shapes(*_size(folder))
    shapes = {"products": whole, "squares": whole, "half_products": half, "half_squares": half}
    found = _read(folder.path / SUMS, folder.card["sums_sha256"], shapes)
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
        atomic_write(path / WEIGHTS, overwrite=overwrite) as weights_file,
        atomic_write(path / SUMS, overwrite=overwrite) as sums_file,
        atomic_write(path / READABLE, overwrite=True) as readable_file,
        atomic_write(path / CARD, overwrite=overwrite) as card_file,
    ):
        sums_sha256 = _write(sums_file, _sums(estimator))
        estimator.clear()
        values = finished(values)
        sha256 = _write(weights_file, {"fingerprint": values})
        fingerprint = Fingerprint(values, photos, source, pipeline, consistency)
        card = {
            "name": path.resolve().name,
            "architecture": {"family": FINGERPRINT, "height": height, "width": width},
            "photos": photos,
            "source": source,
            "pipeline": pipeline,
            "consistency": round(consistency, 5),
            "expected_pce": fingerprint.expected_pce,
            "predictor": None,
            "digests": digests,
            "sha256": sha256,
            "sums_sha256": sums_sha256,
        }
        card_file.write(_encoded(card))
        readable_file.write(_readable(card).encode())
    return fingerprint


def write_predictor(folder: ModelFolder, predictor: Mapping[str, Any]) -> None:
    """Put a predictor into a fingerprint's card; OutputError where that is not possible."""
    card = folder.card | {"predictor": dict(predictor)}
    with (
        atomic_write(folder.path / READABLE, overwrite=True) as readable_file,
        atomic_write(folder.path / CARD, overwrite=True) as card_file,
    ):
        card_file.write(_encoded(card))
        readable_file.write(_readable(card).encode())


def check_target(path: Path, overwrite: bool) -> None:
    """UsageError where a fingerprint must not be written: over one, or among other files."""
    if (path / CARD).exists():
        if find_model(path, None).family != FINGERPRINT:
            raise UsageError(f"{path}: is a model; name another folder")
        if not overwrite:
            raise UsageError(f"{path}: exists; replace it with --force, or go on with --add")
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path}: holds other files; name a new folder")


def _size(folder: ModelFolder) -> tuple[int, int]:
    architecture = folder.card["architecture"]
    return int(architecture["height"]), int(architecture["width"])


def _sums(estimator: Estimator) -> dict[str, NDArray[np.float32]]:
    return {
        "products": estimator.products,
        "squares": estimator.squares,
        "half_products": estimator.halves[0],
        "half_squares": estimator.halves[1],
    }


def _write(file: IO[bytes], tensors: Mapping[str, NDArray[np.float32]]) -> str:
    """A safetensors file of float32; its SHA-256. The library's writer copies everything first."""
    header: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        span = [end, end := end + tensor.nbytes]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": span}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    content = hashlib.sha256()
    for part in (len(text).to_bytes(8, "little"), text):
        content.update(part)
        file.write(part)
    for tensor in tensors.values():
        data = np.ascontiguousarray(tensor, "<f4").data
        content.update(data)
        file.write(data)
    return content.hexdigest()


def _read(
    path: Path, sha256: str, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, NDArray[np.float32]]:
    """Tensors of a safetensors file with a known hash, names and shapes."""
    content = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(CHUNK):
                content.update(part)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    if content.hexdigest() != sha256:
        raise ModelError(f"{path}: damaged or replaced (SHA-256); make the fingerprint again")
    try:
        with safe_open(path, "np") as tensors:
            found = {name: tensors.get_tensor(name) for name in shapes}
    except SafetensorError as error:
        raise ModelError(f"{path}: no weight file ({error}); make the fingerprint again") from None
    for name, shape in shapes.items():
        # Of the whole at once the check would take memory of its own.
        fits = found[name].dtype == np.float32 and found[name].shape == shape
        if not fits or not all(bool(np.isfinite(row).all()) for row in found[name]):
            raise ModelError(f"{path}: does not fit its card; make the fingerprint again")
    return found


def _encoded(card: Mapping[str, Any]) -> bytes:
    return (json.dumps(card, indent=2) + "\n").encode()


def _readable(card: Mapping[str, Any]) -> str:
    architecture, predictor = card["architecture"], card["predictor"]
    pce = card["expected_pce"]
    lines = [
        f"# {card['name']}",
        "",
        f"Fingerprint of a sensor, {architecture['width']} x {architecture['height']} pixels, from "
        f"{card['photos']} photos ({card['source']}"
        + (f", developed by {card['pipeline']}" if card["pipeline"] else "")
        + ").",
        "",
        f"- NCC of the fingerprints of two halves of the photos: {card['consistency']:.3f}",
        f"- PCE expected of photos like those: {'unknown' if pce is None else f'{pce:,.0f}'}",
        "- Predictor for localisation: "
        + (f"windows of {predictor['window']} pixels" if predictor else "none"),
        f"- SHA-256 {card['sha256']}",
    ]
    return "\n".join(lines) + "\n"
