"""Colours without a profile: pictures converted to sRGB, and stripped of what they carry."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms

from dcncodec.formats.picture import Picture
from dcncodec.formats.profiles import colour_space
from dcncodec.notices import Notice

BLOCKS = ("icc", "exif", "xmp")
"""What `strip` takes off."""
BOX_PIXELS = 1 << 20
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}

Box = tuple[int, int, int, int]


def boxes(width: int, height: int) -> Iterator[Box]:
    """Boxes (left, top, right, bottom) of at most `BOX_PIXELS` pixels that cover an image."""
    step_x = min(width, BOX_PIXELS)
    step_y = max(1, BOX_PIXELS // step_x)
    for top in range(0, height, step_y):
        for left in range(0, width, step_x):
            yield left, top, min(left + step_x, width), min(top + step_y, height)


def transform_of(icc: bytes) -> tuple[ImageCms.ImageCmsTransform, str] | None:
    """The perceptual transform of a profile to sRGB and the Pillow mode that it takes; None when
    the profile is damaged or of another colour space."""
    mode = _MODES.get(colour_space(icc))
    if mode is None:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        srgb = ImageCms.createProfile("sRGB")
        intent = ImageCms.Intent.PERCEPTUAL
        # LittleCMS puts coarse tables in place of grey curves, if it is let.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        return ImageCms.buildTransform(profile, srgb, mode, "RGB", intent, flags), mode
    except (OSError, ImageCms.PyCMSError):
        return None


def to_srgb(picture: Picture) -> Picture:
    """The picture in sRGB, without its profile.

    Pixels stay as they are where the profile cannot be used; a notice says so.
    """
    if picture.icc is None:
        return picture
    found = transform_of(picture.icc)
    plain = replace(picture, icc=None)
    if found is None or found[1] == "CMYK" or (found[1] == "L" and not picture.grey):
        text = "its colour profile cannot be used; colours are taken as sRGB"
        return plain.with_notices(Notice("colour", text))
    transform, mode = found
    pixels = np.empty_like(picture.pixels)
    for left, top, right, bottom in boxes(picture.width, picture.height):
        place = np.s_[top:bottom, left:right]
        part = picture.pixels[place]
        given = Image.fromarray(np.ascontiguousarray(part[..., 0] if mode == "L" else part))
        converted = np.asarray(transform.apply(given))
        # A grey picture stays exactly grey, whatever the transform rounds.
        pixels[place] = converted[..., 1:2] if picture.grey else converted
    return replace(plain, pixels=pixels)


def strip(picture: Picture, blocks: Collection[str] = BLOCKS) -> Picture:
    """The picture without some of its blocks.

    Args:
        blocks: some of `BLOCKS`. Where the profile goes, pixels are converted to sRGB.
    """
    if "icc" in blocks:
        picture = to_srgb(picture)
    return replace(
        picture,
        exif=None if "exif" in blocks else picture.exif,
        xmp=None if "xmp" in blocks else picture.xmp,
    )
