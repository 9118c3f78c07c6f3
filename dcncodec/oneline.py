"""Images to dcn files and back in one line each; the models that were loaded are kept."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dcncodec.assembly import Region, decode_exact
from dcncodec.codec import Codec
from dcncodec.entropy import check_model
from dcncodec.errors import UsageError
from dcncodec.formats import container
from dcncodec.formats.files import atomic_write, content_of
from dcncodec.formats.geometry import MAX_PIXELS
from dcncodec.formats.image import Source, to_array, to_pil
from dcncodec.models.card import ModelFolder
from dcncodec.models.registry import DEFAULT_MODEL, find_by_prefix, find_model

if TYPE_CHECKING:
    from PIL import Image

    from dcncodec.runtime.engine import Precision


def _shared_codec(model: ModelFolder, device: str, precision: Precision) -> Codec:
    hashes = tuple(part.sha256 for part in model.parts.values())
    return _loaded_codec(model.path, hashes, device, precision)


@lru_cache(maxsize=4)
def _loaded_codec(path: Path, hashes: tuple[str, ...], device: str, precision: Precision) -> Codec:
    # The hashes are part of the key, so that replaced weights are loaded again.
    return Codec(path, device=device, precision=precision)


def encode(
    image: object,
    path: str | os.PathLike[str] | None = None,
    *,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    precision: Precision = "auto",
    overwrite: bool = False,
    **options: Any,
) -> bytes:
    """Compress an image; see ``Codec.encode`` for ``image`` and ``options``.

    Args:
        path: also write the file there.
        model: what encodes, by name or weight folder.
        overwrite: whether ``path`` may replace a file.

    Returns:
        The .dcn file's bytes.

    Raises:
        UsageError: ``path`` exists.
        DcnError: as ``Codec`` and ``Codec.encode``.
    """
    data = _shared_codec(find_model(model), device, precision).encode(image, **options)
    if path is not None:
        with atomic_write(Path(path), overwrite=overwrite) as file:
            file.write(data)
    return data


def codec_for(
    data: bytes | memoryview, device: str = "auto", precision: Precision = "auto"
) -> Codec:
    """The codec with the model that a file names; loaded once for many files.

    Raises:
        FormatError: the file is damaged, or cut short.
        ModelError: that model is not installed.
    """
    folder = _model_of(container.read(data, max_pixels=None))
    return _shared_codec(folder, device, precision)


def _model_of(file: container.Reader) -> ModelFolder:
    return find_by_prefix(file.header.model, file.header.model_hash, file.coding)


def decode(
    source: Source,
    *,
    kind: Literal["array", "pil"] = "array",
    region: Region | None = None,
    model: str | Path | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    max_pixels: int | None = MAX_PIXELS,
) -> NDArray[np.uint8] | Image.Image:
    """Decompress a .dcn file, given by its path, its bytes or a binary stream.

    Args:
        kind: an array, uint8 (H, W) for grey, (H, W, 3) for RGB, (H, W, 4) with alpha; or a
            Pillow image, which also carries the metadata.
        region: decode only this part (left, top, right, bottom in pixels).
        model: name or weight folder of the model, where it is not installed.

    Raises:
        DcnError: as ``codec_for`` and ``Codec.decode``.
        UsageError: there is no such kind.
    """
    if kind not in ("array", "pil"):
        raise UsageError(f"kind {kind!r}: choose array or pil")
    file = container.read(content_of(source), max_pixels=max_pixels if region is None else None)
    folder = None if model is None else find_model(model)
    if folder is not None:
        check_model(file.header, folder)
    picture = decode_exact(file, region=region, max_pixels=max_pixels)
    if picture is None:
        if folder is None:
            folder = _model_of(file)
        codec = _shared_codec(folder, device, precision)
        picture = codec.decode(file, region=region, max_pixels=max_pixels)
    return to_pil(picture) if kind == "pil" else to_array(picture)
