"""Pixels of odd image files, read here and by another reader: the same, refused, or said.

Whatever differs from the other reader without an error and without a notice fails.
"""

from __future__ import annotations

import io
import logging
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from odd_images import Odd, all_kinds

from dcncodec.errors import ImageError
from dcncodec.formats.image import Picture, read_image

Array = npt.NDArray[Any]

imagecodecs = pytest.importorskip("imagecodecs")
tifffile = pytest.importorskip("tifffile")
av = pytest.importorskip("av")

KINDS = all_kinds()
SAYS_SO = {"alpha", "colour", "damage", "depth"}
"""Kinds of notices that pixels may differ."""


def as_rgba(samples: Array, most: int) -> Array:
    """Samples of whatever depth and number of channels as uint8 (H, W, 4)."""
    if samples.dtype == np.bool_:
        samples, most = samples.astype(np.uint8), 1
    scaled = (samples.astype(np.int64) * 510 + most) // (2 * most)
    if scaled.ndim == 2:
        scaled = scaled[..., None]
    channels = scaled.shape[2]
    opaque = np.full((*scaled.shape[:2], 1), 255)
    if channels <= 2:
        colour = np.repeat(scaled[..., :1], 3, axis=2)
        return np.concatenate((colour, scaled[..., 1:] if channels == 2 else opaque), 2)
    return np.concatenate((scaled[..., :3], scaled[..., 3:4] if channels > 3 else opaque), 2)


def by_tifffile(data: bytes, how: str) -> Array:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        samples = page.asarray()
        if page.planarconfig == 2 and samples.ndim == 3:
            samples = np.moveaxis(samples, 0, 2)
        if samples.dtype.kind not in "ub":
            return np.zeros((1, 1, 4))
        most = 2**page.bitspersample - 1
        if how == "palette":
            return as_rgba(np.moveaxis(page.colormap[:, samples], 0, 2) >> 8, 255)
        if page.photometric == 0:
            samples = ~samples if samples.dtype == np.bool_ else most - samples
        if how == "cmyk":
            inks = samples[..., :4] / most
            return as_rgba(
                np.rint((1 - inks[..., :3]) * (1 - inks[..., 3:]) * 255).astype(int), 255
            )
        rgba = as_rgba(samples, most)
        extra = page.extrasamples[:1]
        if extra == (1,):
            alpha = np.maximum(rgba[..., 3:], 1)
            rgba[..., :3] = np.minimum(255, np.rint(rgba[..., :3] * 255 / alpha))
        elif extra != (2,) and page.samplesperpixel in {2, 4, 5}:
            rgba[..., 3] = -1000  # not alpha: whoever drops it has to say so
        return rgba


def by_imagecodecs(data: bytes, how: str) -> Array:
    name, _, most = how.partition(":")
    samples = getattr(imagecodecs, f"{name}_decode")(data)
    if samples.dtype == np.int8:
        return np.zeros((1, 1, 4))
    if name == "jpeg8" and samples.ndim == 3 and samples.shape[2] == 4:
        inks = samples / 255  # inverted, as Adobe writes them
        samples = np.rint(inks[..., :3] * inks[..., 3:] * 255).astype(np.uint8)
    return as_rgba(samples, int(most) if most else np.iinfo(samples.dtype).max)


def by_av(data: bytes, demuxer: str) -> Array:
    with av.open(io.BytesIO(data), format=demuxer) as container:
        frame = next(container.decode(video=0))
    wide = re.search(r"(48|64|16)(le|be)$", frame.format.name)
    if wide:
        code = "gray16le" if "gray" in frame.format.name else "rgb48le"
        return as_rgba(frame.to_ndarray(format=code), 65535)
    return as_rgba(frame.to_ndarray(format="rgba"), 255)


def by_numbers(data: bytes, _: str) -> Array:
    """Plain PNM."""
    width, height, most, *samples = (int(word) for word in data.split()[1:])
    return as_rgba(np.array(samples).reshape(height, width, -1), most)


READERS = {
    "tifffile": by_tifffile,
    "imagecodecs": by_imagecodecs,
    "av": by_av,
    "numbers": by_numbers,
}


def differences(odd: Odd, picture: Picture) -> int:
    """The largest one of a sample; 999 where the other reader sees another picture."""
    reader, _, how = odd.reader.partition(":")
    logging.disable(logging.CRITICAL)
    try:
        other = READERS[reader](odd.data, how)
    finally:
        logging.disable(logging.NOTSET)
    alpha = np.full(picture.pixels.shape[:2], 255) if picture.alpha is None else picture.alpha
    mine = np.dstack((picture.pixels, alpha)).astype(int)
    if mine.shape != other.shape:
        return 999
    seen = other[..., 3] > 0
    colours = np.abs(mine - other)[..., :3][seen].max(initial=0)
    return int(max(colours, np.abs(mine - other)[..., 3].max()))


def read_or_refuse(data: bytes) -> Picture | str:
    try:
        return read_image(data, name="x")
    except ImageError as error:
        return str(error)


def test_there_are_many_kinds() -> None:
    assert len({odd.name for odd in KINDS}) == len(KINDS) >= 200


@pytest.mark.parametrize("odd", KINDS, ids=lambda odd: odd.name)
def test_nothing_differs_in_silence(odd: Odd) -> None:
    picture = read_or_refuse(odd.data)
    if isinstance(picture, str):
        assert picture.startswith("x: ")
        assert "\n" not in picture
        return
    found = differences(odd, picture)
    # Rounding is no difference: the other reader's samples are rounded, too.
    said = {n.kind for n in picture.notices if not n.text.endswith("are rounded to 8")}
    assert found <= odd.tolerance or said & SAYS_SO, f"differs by {found} from {odd.reader}"
