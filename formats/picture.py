"""Pictures in memory: upright, 8 bits per sample, with what belongs to them.

`formats.image` is the way in and states the rules.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dcncodec.errors import ImageError
from dcncodec.formats.header import check_pixels
from dcncodec.notices import ABOUT_PIXELS, Notice, Notify, warn


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An upright picture of 8 bits per sample.

    pixels: uint8 (H, W, 3), in order R, G, B; sRGB unless `icc` says otherwise.
    alpha: uint8 (H, W), straight, 0 is transparent; None for an opaque picture.
    grey: the source was greyscale and R = G = B everywhere.
    icc, exif, xmp: metadata blocks or None; `exif` begins with its TIFF header ("II" or "MM").
    notices: what was dropped, converted or is doubtful.
    source, file_bytes: how messages call the file that it was read from, and its size; "" and None
        if it was none.

    Raises ImageError when an array has another shape or type, or no pixels.
    """

    pixels: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None
    grey: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    notices: tuple[Notice, ...] = ()
    source: str = ""
    file_bytes: int | None = None

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3:
            raise ImageError(f"pixels are {_described(self.pixels)}: give uint8 of H x W x 3")
        if 0 in shape:
            raise ImageError(f"picture of {shape[1]} x {shape[0]} pixels: give at least one pixel")
        if self.alpha is not None and (
            self.alpha.dtype != np.uint8 or self.alpha.shape != shape[:2]
        ):
            raise ImageError(
                f"alpha is {_described(self.alpha)}: give uint8 of {shape[0]} x {shape[1]}"
            )

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.pixels.shape[1])

    def pixels_alone(self, notify: Notify = warn) -> npt.NDArray[np.uint8]:
        """The pixels, for those who keep nothing else.

        notify: called with what is dropped from them, converted or doubtful.
        """
        for notice in self.notices:
            if notice.kind in ABOUT_PIXELS:
                notify(notice)
        if self.alpha is not None:
            notify(Notice("alpha", "its transparency is left out", self.source))
        return self.pixels

    def with_notices(self, *notices: Notice) -> Picture:
        """The picture with further notices."""
        return replace(self, notices=(*self.notices, *notices))


def from_array(array: Any, *, max_pixels: int | None = None) -> Picture:
    """Make a picture of an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), the fourth alpha.

    uint8 is taken as it is (and may share memory with the picture), uint16 becomes
    round(v / 257), floating point must lie in [0, 1] and becomes round(255 v). Lists hold whole
    numbers from 0 to 255 or floating point in [0, 1]. Tensors of torch may also be (C, H, W), which
    they are taken for where both readings are possible. Alpha that is opaque everywhere is dropped.

    Raises ImageError for other types, shapes and ranges, LimitError for more than `max_pixels`.
    """
    samples = _samples(array)
    notices: tuple[Notice, ...] = ()
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.ndim != 3 or samples.shape[2] not in {1, 3, 4}:
        raise ImageError(
            f"array is {_described(samples)}: give H x W, H x W x 1, H x W x 3 or H x W x 4"
        )
    if samples.size == 0:
        raise ImageError(f"array is {_described(samples)}: give at least one pixel")
    check_pixels(samples.shape[1], samples.shape[0], max_pixels)
    if samples.dtype.newbyteorder("=") == np.uint16:
        samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
        notices = (Notice("depth", "16 bits a sample are rounded to 8", "array"),)
    elif np.issubdtype(samples.dtype, np.floating):
        # Written so that NaN fails as well.
        if not (samples.min() >= 0 and samples.max() <= 1):
            raise ImageError("array of floating point outside [0, 1]: scale it, or give uint8")
        samples = np.rint(samples * 255).astype(np.uint8)
    elif samples.dtype != np.uint8:
        raise ImageError(
            f"array is {_described(samples)}: give uint8, uint16 or floating point in [0, 1]"
        )
    if samples.shape[2] == 1:
        return Picture(np.repeat(samples, 3, axis=2), grey=True, notices=notices)
    alpha = None
    if samples.shape[2] == 4 and samples[..., 3].min() < 255:
        alpha = np.ascontiguousarray(samples[..., 3])
    return Picture(np.ascontiguousarray(samples[..., :3]), alpha, notices=notices)


def _samples(array: Any) -> npt.NDArray[Any]:
    if is_tensor(array):
        samples = np.asarray(array.detach().cpu())
        if samples.ndim == 3 and samples.shape[0] in {1, 3, 4}:
            samples = np.moveaxis(samples, 0, 2)
        return samples
    try:
        samples = np.asarray(array)
    except (ValueError, TypeError) as error:
        raise ImageError(f"{type(array).__name__} is no array of pixels ({error})") from None
    whole = np.issubdtype(samples.dtype, np.integer) and isinstance(array, list | tuple)
    if whole and samples.size and samples.min() >= 0 and samples.max() <= 255:
        return samples.astype(np.uint8)
    return samples


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor of torch, without importing it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def to_pil(picture: Picture) -> Image.Image:
    """A Pillow image of mode L, LA, RGB or RGBA, with the metadata in its `info`."""
    pixels = picture.pixels[..., 0] if picture.grey else picture.pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    blocks = {"icc_profile": picture.icc, "exif": picture.exif, "xmp": picture.xmp}
    image.info.update({key: block for key, block in blocks.items() if block})
    return image


def to_array(picture: Picture) -> npt.NDArray[np.uint8]:
    """uint8 (H, W) for a grey, (H, W, 3) for a colour picture, (H, W, 4) for one with alpha.

    Without alpha the result shares memory with the picture.
    """
    if picture.alpha is not None:
        return np.dstack((picture.pixels, picture.alpha))
    return picture.pixels[..., 0] if picture.grey else picture.pixels


def _described(array: npt.NDArray[Any]) -> str:
    return f"{array.dtype} of {' x '.join(map(str, array.shape)) or 'no dimension'}"


def as_grey(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Equal R, G and B again: the luminance (Rec. 601) of what the networks gave."""
    grey = np.empty_like(pixels)
    # Row by row, because the products take four times the memory of the pixels.
    for source, row in zip(pixels, grey, strict=True):
        row[:] = ((source @ np.array([299, 587, 114], np.int32) + 500) // 1000)[:, None]
    return grey
