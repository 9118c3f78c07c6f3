"""Writing pictures into image files; `formats.image` states the rules."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, features

from dcncodec.errors import DcnError, OutputError, UsageError
from dcncodec.formats import metadata
from dcncodec.formats.files import DISK_ERRORS, atomic_write, explained_disk
from dcncodec.formats.guard import one_line, pillow_set
from dcncodec.formats.picture import Picture, to_pil
from dcncodec.formats.png import Samples, write_png
from dcncodec.formats.profiles import colour_space
from dcncodec.formats.suffixes import WRITTEN
from dcncodec.notices import Notice, Notify, warn

_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    # "exact" keeps the colour of transparent pixels.
    "WEBP": {"lossless": True, "exact": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
_WITH_ALPHA = {"PNG", "TIFF", "WEBP", "AVIF"}
_WITH_PROFILE = {"PNG", "JPEG", "TIFF", "WEBP", "AVIF"}
_GREY = {"PNG", "JPEG", "TIFF", "BMP", "PPM"}
"""Which hold grey pictures; the others hold RGB, of which a grey profile says nothing."""
_MAX_SIDE = {"JPEG": 65_535, "WEBP": 16_383, "AVIF": 65_535}


def formats_written() -> str:
    """The suffixes that `write_image` accepts, in one line."""
    return ", ".join(_written())


def _written() -> dict[str, str]:
    """Suffix (or value of `format`, with a dot put before it) to Pillow's name."""
    kinds = dict(WRITTEN)
    if not features.check("avif"):
        del kinds[".avif"]
    return kinds


def write_image(
    picture: Picture,
    target: str | os.PathLike[str] | IO[bytes],
    *,
    format: str | None = None,
    overwrite: bool = False,
    notify: Notify = warn,
    threads: int = 1,
) -> None:
    """Write an image file; a path appears only once it is complete.

    target: a path, or a binary stream.
    format: "png", "jpeg", ...; by default the suffix of the path, PNG for streams.
    overwrite: whether a file at `target` is replaced.
    notify: called with what the format cannot hold: colours that are converted, metadata.
    threads: that may share the work; the bytes do not depend on it.

    Raises UsageError for unknown formats, pictures that the format cannot hold and files that
    exist; OutputError when writing fails.
    """
    label = str(target) if isinstance(target, str | os.PathLike) else "output stream"
    if format is not None:
        suffix = "." + format.lower().removeprefix(".")
    else:
        suffix = Path(target).suffix if isinstance(target, str | os.PathLike) else ".png"
        suffix = suffix.lower()
    kind = _written().get(suffix)
    if kind is None:
        raise UsageError(
            f"no image format is called {suffix or '(no suffix)'!r}; "
            f"choose one of {formats_written()}",
            label,
        )
    _check_fits(picture, kind, suffix, label)
    picture = _with_fitting_colours(picture, kind, suffix, notify, label)
    save = (
        partial(_save_png, picture, threads)
        if kind == "PNG"
        else _saver(picture, kind, suffix, notify, label)
    )
    if isinstance(target, str | os.PathLike):
        with atomic_write(Path(target), overwrite=overwrite) as file:
            _save(save, file, label)
    else:
        _save(save, target, label)


def _save_png(picture: Picture, threads: int, file: IO[bytes]) -> None:
    pixels = picture.pixels[..., :1] if picture.grey else picture.pixels
    if picture.alpha is not None:
        pixels = np.dstack((pixels, picture.alpha))
    samples = Samples(np.ascontiguousarray(pixels), picture.width, picture.height, pixels.shape[2])
    blocks = {"icc": picture.icc, "exif": picture.exif, "xmp": picture.xmp}
    write_png(file, samples, **blocks, threads=threads)


def _saver(
    picture: Picture, kind: str, suffix: str, notify: Notify, label: str
) -> Callable[[IO[bytes]], None]:
    """What writes a picture into a file by Pillow."""
    image = _as_written(picture, kind, suffix)
    options = _OPTIONS.get(kind, {}) | metadata.save_options(
        kind, icc=picture.icc, exif=picture.exif, xmp=picture.xmp, notify=notify, label=label
    )

    def save(file: IO[bytes]) -> None:
        with pillow_set(None):
            image.save(file, kind, **options)
        if kind == "TIFF":
            metadata.add_to_tiff(file, picture.exif, picture.xmp, notify, label)

    return save


def _check_fits(picture: Picture, kind: str, suffix: str, label: str) -> None:
    if picture.alpha is not None and kind not in _WITH_ALPHA:
        raise UsageError(f"{suffix} files cannot hold alpha; write .png instead", label)
    if suffix == ".pgm" and not picture.grey:
        raise UsageError(".pgm files cannot hold colour; write .ppm instead", label)
    limit = _MAX_SIDE.get(kind)
    if limit is not None and max(picture.height, picture.width) > limit:
        raise UsageError(
            f"{picture.width} x {picture.height} pixels; {suffix} files hold at most "
            f"{limit} per side; write .png instead",
            label,
        )
    if kind == "JPEG":
        # One marker segment of 65,533 bytes, less the identifier that begins it; up to 255
        # segments for a profile.
        room_of = (
            ("EXIF", picture.exif, 65_527),
            ("XMP", picture.xmp, 65_504),
            ("ICC", picture.icc, 255 * 65_519),
        )
        for title, block, room in room_of:
            if block is not None and len(block) > room:
                raise UsageError(
                    f"{len(block)} bytes of {title} data; {suffix} files hold at most "
                    f"{room}; write .png instead",
                    label,
                )


def _with_fitting_colours(
    picture: Picture, kind: str, suffix: str, notify: Notify, label: str
) -> Picture:
    """The picture with a profile that the format holds, else in sRGB."""
    if picture.icc is None:
        return picture
    as_rgb = kind not in _GREY or not picture.grey
    if kind in _WITH_PROFILE and not (as_rgb and colour_space(picture.icc) == "GRAY"):
        return picture
    from dcncodec.formats import srgb

    converted = srgb.to_srgb(picture)
    said = converted.notices[len(picture.notices) :]
    text = f"converted to sRGB: {suffix} files cannot hold its colour profile"
    for notice in said or (Notice("colour", text),):
        notify(Notice(notice.kind, notice.text, label))
    return converted


def _as_written(picture: Picture, kind: str, suffix: str) -> Image.Image:
    """The Pillow image in a mode that the format has, without metadata."""
    image = to_pil(picture)
    image.info.clear()
    if picture.grey and (suffix == ".ppm" or kind not in _GREY):
        image = image.convert("RGB" if picture.alpha is None else "RGBA")
    return image


def _save(save: Callable[[IO[bytes]], None], file: IO[bytes], label: str) -> None:
    # TIFF needs a file in which it can go back; pipes get the finished bytes.
    whole = None if file.seekable() and file.readable() else io.BytesIO()
    try:
        with explained_disk(label, DISK_ERRORS):
            save(whole or file)
            if whole is not None:
                file.write(whole.getbuffer())
    except DcnError:
        raise
    except Exception as error:
        # Whatever Pillow raises for blocks that a format cannot take.
        reason = getattr(error, "strerror", None) or one_line(error)
        raise OutputError(f"cannot be written ({reason})", label) from error
