"""Images to dcn files and back.

A ``Codec`` holds one loaded model and serves any number of images; ``encode`` and ``decode`` are
the one-line forms, which keep the models they loaded.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dcncodec.errors import FormatError, ModelError, UsageError
from dcncodec.formats import bitstream, container
from dcncodec.formats.files import atomic_write, read_bytes
from dcncodec.formats.geometry import MAX_PIXELS, MAX_SIDE, STRIDE, Area
from dcncodec.formats.image import Picture, as_picture, to_array, to_pil
from dcncodec.models.card import ModelFolder
from dcncodec.models.families.dcn import HALO
from dcncodec.models.load import load_dcn
from dcncodec.models.registry import QUALITIES, find_by_prefix, find_model
from dcncodec.notices import Notify, warn
from dcncodec.runtime.devices import Precision, choose_device, choose_precision
from dcncodec.runtime.windows import Transforms

if TYPE_CHECKING:
    from PIL import Image

Entropy = Literal["auto", "channel", "global"]
Region = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, half-open, inside the image."""

BARE_SIDE = MAX_SIDE * STRIDE
"""Pixels that a bare bit-stream holds in either direction."""


class Codec:
    """A model ready to encode and decode.

    Args:
        model: name of an installed model, a weight folder, or an opened one.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto`` (bfloat16 where the hardware has it), ``bf16`` or ``fp32``. Decoded
            pixels differ between the two by rounding; latents never do.
        notify: called when memory runs out and the work goes on with smaller windows, or on the
            CPU instead of a GPU.
        progress: called with the number of pixels (of whole latents, so a few more than there
            are) whenever a part of a picture has passed the networks.

    Raises:
        ModelError: the model is missing or damaged.
        UsageError: the device or precision does not exist.
    """

    def __init__(
        self,
        model: str | Path | ModelFolder = "dcn-32c",
        *,
        device: str = "auto",
        precision: Precision = "auto",
        notify: Notify = warn,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        self.model = model if isinstance(model, ModelFolder) else find_model(model)
        chosen = choose_device(device)
        self.transforms = Transforms(
            load_dcn(self.model), chosen, choose_precision(precision, chosen), notify
        )
        if progress is not None:
            self.transforms.progress = lambda latents: progress(latents * STRIDE**2)

    def encode(
        self,
        image: object,
        *,
        entropy: Entropy = "auto",
        keep_metadata: bool = True,
        max_pixels: int | None = MAX_PIXELS,
    ) -> bytes:
        """Compress an image into a .dcn file.

        Args:
            image: a path, an array (see ``formats.image.from_array``), a Pillow image or a
                ``Picture``.
            entropy: how channels are coded; ``auto`` takes the smaller for each block.
            keep_metadata: whether ICC, EXIF and XMP go into the file.
            max_pixels: refuse larger images; None for no limit.

        Returns:
            The file's bytes.

        Raises:
            ImageError: the image cannot be read.
            LimitError: it has more than ``max_pixels``.
        """
        picture = as_picture(image, max_pixels)
        height, width = picture.pixels.shape[:2]
        header = container.Header(
            width=width,
            height=height,
            grey=picture.grey,
            alpha=picture.alpha is not None,
            quality=next((q for q, name in QUALITIES.items() if name == self.model.name), ""),
            model=self.model.name,
            model_hash=self.model.prefix,
        )
        metadata = container.Metadata()
        if keep_metadata:
            metadata = container.Metadata(
                picture.icc or None, picture.exif or None, picture.xmp or None
            )
        file = io.BytesIO()
        with container.Writer(file, header, metadata, picture.alpha) as writer:
            for top, left, rows, columns in header.block_areas():
                area = Area(top, left, top + rows, left + columns)
                indices = self.transforms.analyse(picture.pixels, area)
                writer.add(bitstream.encode_block(indices, entropy, torch.get_num_threads()))
        return file.getvalue()

    def encode_bare(self, image: object) -> bytes:
        """Compress an image into the paper's bit-stream alone (Table A.1).

        It says neither the size before padding to multiples of 8, nor the model.

        Raises:
            UsageError: the image needs more than one block, or has an alpha channel.
        """
        picture = as_picture(image, MAX_PIXELS)
        height, width = picture.pixels.shape[:2]
        if max(height, width) > BARE_SIDE:
            raise UsageError(
                f"a bare stream holds at most {BARE_SIDE} x {BARE_SIDE} pixels; drop --bare"
            )
        if picture.alpha is not None:
            raise UsageError("a bare stream cannot hold an alpha channel; drop --bare")
        rows, columns = -(-height // STRIDE), -(-width // STRIDE)
        indices = self.transforms.analyse(picture.pixels, Area(0, 0, rows, columns))
        return bitstream.encode_block(indices, "channel", torch.get_num_threads())

    def decode_bare(self, data: bytes) -> Picture:
        """The picture of a bare bit-stream, in multiples of 8 pixels.

        Raises:
            FormatError: the stream is damaged or of a model with other latent channels.
        """
        indices = bitstream.decode_block(data, torch.get_num_threads(), bare=True)
        self._check_channels(indices)
        _, rows, columns = indices.shape
        area = Area(0, 0, rows, columns)
        return Picture(self.transforms.synthesise(indices, area, area))

    def decode(
        self,
        data: bytes | memoryview,
        *,
        region: Region | None = None,
        max_pixels: int | None = MAX_PIXELS,
    ) -> Picture:
        """The picture in a .dcn file, or a part of it.

        Args:
            data: the file's bytes.
            region: left, top, right, bottom in pixels; only the blocks that it touches are
                decoded.
            max_pixels: refuse larger pictures (or regions); None for no limit.

        Raises:
            FormatError: the file is damaged.
            LimitError: the picture has more than ``max_pixels``.
            ModelError: the file was encoded with another model.
            UsageError: the region does not lie inside the picture.
        """
        file = container.read(data, max_pixels=None if region else max_pixels)
        header = file.header
        if header.model_hash != self.model.prefix:
            raise ModelError(
                f"encoded with model {header.model} ({header.model_hash.hex()}), not with "
                f"{self.model.name} ({self.model.prefix.hex()})"
            )
        left, top, right, bottom = region or (0, 0, header.width, header.height)
        # Also tells whether the region lies inside the picture, before anything is allocated.
        numbers = container.blocks_for_region(header, left, top, right, bottom, halo=HALO)
        container.check_pixels(right - left, bottom - top, max_pixels)
        area = Area(top // STRIDE, left // STRIDE, -(-bottom // STRIDE), -(-right // STRIDE))
        outer = area.grown(HALO, Area(0, 0, header.latent_height, header.latent_width))
        indices = self._gather(file, numbers, outer)
        pixels = self.transforms.synthesise(indices, outer, area)
        first_row, first_column = area.top * STRIDE, area.left * STRIDE
        pixels = pixels[
            top - first_row : bottom - first_row, left - first_column : right - first_column
        ]
        alpha = file.alpha_rows(top, bottom)
        return Picture(
            pixels=_grey(pixels) if header.grey else np.ascontiguousarray(pixels),
            alpha=None if alpha is None else np.ascontiguousarray(alpha[:, left:right]),
            grey=header.grey,
            icc=file.metadata.icc,
            exif=file.metadata.exif,
            xmp=file.metadata.xmp,
        )

    def _gather(self, file: container.Reader, numbers: list[int], outer: Area) -> NDArray[np.uint8]:
        """The indices of an area of the latent plane from the blocks that it touches."""
        shape = (self.model.geometry.channels, outer.bottom - outer.top, outer.right - outer.left)
        indices = np.empty(shape, np.uint8)
        for number in numbers:
            decoded = file.decode_block(number, torch.get_num_threads())
            self._check_channels(decoded)
            top, left, rows, columns = file.header.block_area(number)
            block = Area(top, left, top + rows, left + columns)
            shared = outer.grown(0, block)
            indices[(slice(None), *shared.within(outer))] = decoded[
                (slice(None), *shared.within(block))
            ]
        return indices

    def _check_channels(self, indices: NDArray[np.uint8]) -> None:
        if indices.shape[0] != self.model.geometry.channels:
            raise FormatError(
                f"holds {indices.shape[0]} latent channels, but model {self.model.name} has "
                f"{self.model.geometry.channels}"
            )


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Equal R, G and B again: the luminance (Rec. 601) of what the networks gave."""
    grey = np.empty_like(pixels)
    # Row by row, because the products take four times the memory of the pixels.
    for source, row in zip(pixels, grey, strict=True):
        row[:] = ((source @ np.array([299, 587, 114], np.int32) + 500) // 1000)[:, None]
    return grey


def _shared_codec(model: ModelFolder, device: str, precision: Precision) -> Codec:
    return _loaded_codec(model.path, model.sha256, device, precision)


@lru_cache(maxsize=4)
def _loaded_codec(path: Path, sha256: str, device: str, precision: Precision) -> Codec:
    # The hash is part of the key, so that replaced weights are loaded again.
    return Codec(path, device=device, precision=precision)


def encode(
    image: object,
    path: str | os.PathLike[str] | None = None,
    *,
    quality: str = "medium",
    model: str | Path | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    overwrite: bool = False,
    **options: Any,
) -> bytes:
    """Compress an image; see ``Codec.encode`` for ``image`` and ``options``.

    Args:
        path: also write the file there.
        quality: ``low``, ``medium`` or ``high``: which bundled model encodes.
        model: another model, by name or weight folder, instead.
        overwrite: whether ``path`` may replace a file.

    Returns:
        The .dcn file's bytes.

    Raises:
        UsageError: an unknown quality, or ``path`` exists.
        DcnError: as ``Codec`` and ``Codec.encode``.
    """
    if model is None and quality not in QUALITIES:
        raise UsageError(f"quality {quality}: choose {', '.join(QUALITIES)}")
    codec = _shared_codec(find_model(model or QUALITIES[quality]), device, precision)
    data = codec.encode(image, **options)
    if path is not None:
        with atomic_write(Path(path), overwrite=overwrite) as file:
            file.write(data)
    return data


def codec_for(
    data: bytes | memoryview, device: str = "auto", precision: Precision = "auto"
) -> Codec:
    """The codec with the model that a file names; loaded once for many files.

    Raises:
        FormatError: the file's header is damaged.
        ModelError: that model is not installed.
    """
    header = container.read_header(data)
    folder = find_by_prefix(header.model, header.model_hash)
    return _shared_codec(folder, device, precision)


def decode(
    source: bytes | str | os.PathLike[str],
    *,
    kind: Literal["array", "pil"] = "array",
    region: Region | None = None,
    model: str | Path | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    max_pixels: int | None = MAX_PIXELS,
) -> NDArray[np.uint8] | Image.Image:
    """Decompress a .dcn file, given by its bytes or path.

    Args:
        kind: an array, uint8 (H, W) for grey, (H, W, 3) for RGB, (H, W, 4) with alpha; or a
            Pillow image, which also carries the metadata.
        region: decode only this part (left, top, right, bottom in pixels).
        model: name or weight folder of the model, where it is not installed.

    Raises:
        DcnError: as ``codec_for`` and ``Codec.decode``.
    """
    data = source if isinstance(source, bytes) else read_bytes(Path(source))
    if model is None:
        codec = codec_for(data, device, precision)
    else:
        codec = _shared_codec(find_model(model), device, precision)
    picture = codec.decode(data, region=region, max_pixels=max_pixels)
    return to_pil(picture) if kind == "pil" else to_array(picture)
