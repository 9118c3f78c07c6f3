"""Image files: reading them into 8-bit RGB pixels, writing pixels into them.

    picture = read_image("photo.jpg")
    write_image(picture, "photo.png", overwrite=False)

`read_image` accepts a path, the bytes of a file or a binary stream; `formats_read()` lists the
formats. `from_pil`, `from_array`, `to_pil` and `to_array` connect to Pillow and NumPy. What
happens to an image on the way in:

*Size.* The number of pixels is taken from the header and compared with `max_pixels` before
anything is decoded. Damaged and truncated files are errors; nobody gets half a picture. (The one
way around it: a program that sets Pillow's `ImageFile.LOAD_TRUNCATED_IMAGES`.) A file that lacks
nothing but bytes behind its last pixel may still be read, a JPEG 2000 file only with its end
marker. For damaged compressed TIFF files libtiff may print lines of its own on standard error.

*Orientation.* The EXIF orientation, or without one that in the XMP data, is applied to pixels and
alpha. In the metadata that is kept the tag is set to 1, so that nobody applies it twice; no other
byte of the EXIF block changes. The embedded thumbnail stays as it is. The EXIF block of a TIFF
file is made of its descriptive tags, its Exif and its GPS directory.

*Grey.* Grey and 1-bit files give equal R, G and B, and `Picture.grey` is set.

*Palettes* become RGB, also those whose entries are all grey.

*Transparency.* Alpha channels, palettes with alpha and transparent colours (PNG tRNS, GIF) give
`Picture.alpha`. Alpha is straight, never premultiplied; only TIFF files that declare associated
alpha are divided by it, by Pillow. Alpha that is 255 everywhere is dropped.

*Depth.* 16-bit samples v become round(v / 257), 12-bit ones round(v / 16.06), samples of 1, 2 and
4 bits are scaled up. Exceptions, where Pillow gives only the high byte, so that a sample can be
one level lower: 16-bit CMYK, 16-bit TIFF with associated alpha or separate planes, and colour of
more than 8 bits in JPEG 2000 and AVIF. Floating point, 32-bit and signed samples have no
defined white and are errors.

*Colour.* RGB and grey samples and their ICC profile are taken as they are. CMYK (and YCCK) is
converted to sRGB, by the embedded profile with perceptual intent, or by Pillow's plain formula
when there is no usable profile; CMYK in JPEG is taken as inverted, as Adobe and Pillow write it.
L*a*b* is converted to sRGB. After these conversions the profile no longer applies and is dropped.

*Several images in one file.* The first frame or page is read, the others are ignored.

*Metadata.* ICC, EXIF and XMP blocks are kept as bytes, unread but for the orientation. EXIF data
without a TIFF header is dropped. Pillow's warnings about metadata are not passed on.

On the way out, the suffix or `format` chooses between the formats of `formats_written()`. PNG,
TIFF and WebP are lossless and hold alpha and all metadata; JPEG (quality 95, 4:4:4) holds
metadata; BMP and PPM/PGM hold pixels alone, metadata is left behind. Alpha is never dropped in
silence: formats that cannot hold it are an error, as is metadata that is too long for JPEG. EXIF
data that Pillow cannot parse is not written to TIFF.

Memory: Pillow's copy of the pixels (4 bytes per pixel) and the result (3, or 4 with alpha); twice
Pillow's copy for 16-bit colour.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dcncodec.errors import ImageError, LimitError, OutputError, UsageError
from dcncodec.formats import colour, metadata
from dcncodec.formats.files import atomic_write
from dcncodec.formats.geometry import MAX_PIXELS
from dcncodec.formats.guard import (
    Source,
    explained,
    formats_read,
    name_of,
    one_line,
    open_image,
    opened,
    pillow_set,
    suffixes_read,
)

__all__ = [
    "MAX_PIXELS",
    "Picture",
    "Source",
    "as_picture",
    "formats_read",
    "formats_written",
    "from_array",
    "from_pil",
    "read_image",
    "suffixes_read",
    "to_array",
    "to_pil",
    "write_image",
]


# Suffix (or value of `format`, with a dot put before it) to Pillow's name and options.
_PPM: tuple[str, dict[str, Any]] = ("PPM", {})
_TIFF: tuple[str, dict[str, Any]] = ("TIFF", {})
_JPEG: tuple[str, dict[str, Any]] = ("JPEG", {"quality": 95, "subsampling": 0})
_WRITE: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".ppm": _PPM,
    ".pgm": _PPM,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    # "exact" keeps the colour of transparent pixels.
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
    ".bmp": ("BMP", {}),
}
_WITH_ALPHA = {"PNG", "TIFF", "WEBP"}
_MAX_SIDE = {"JPEG": 65_535, "WEBP": 16_383}


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An upright picture of 8 bits per sample.

    pixels: uint8 (H, W, 3), in order R, G, B; sRGB unless `icc` says otherwise.
    alpha: uint8 (H, W), straight, 0 is transparent; None for an opaque picture.
    grey: the source was greyscale and R = G = B everywhere.
    icc, exif, xmp: metadata blocks or None; `exif` begins with its TIFF header ("II" or "MM").

    Raises ImageError when an array has another shape or type, or no pixels.
    """

    pixels: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None
    grey: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

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


def formats_written() -> str:
    """The suffixes that `write_image` accepts, in one line."""
    return ", ".join(_WRITE)


def read_image(
    source: Source, *, max_pixels: int | None = MAX_PIXELS, name: str | None = None
) -> Picture:
    """Read an image file by the rules at the top of this module.

    source: a path, the bytes of a file, or a binary stream (read from where it stands).
    max_pixels: the most pixels that are decoded; None for no limit.
    name: how messages call the source; by default its path, or "image data".

    Raises ImageError for files that are missing, unreadable, damaged or of an unknown format,
    LimitError for more than `max_pixels` pixels or too little memory.
    """
    label = name or name_of(source)
    with opened(source, label) as file, explained(label, max_pixels), pillow_set(max_pixels):
        image = open_image(file)
        width, height = image.size
        if max_pixels is not None and width * height > max_pixels:
            raise LimitError(
                f"{label}: {width} x {height} pixels are more than the limit of {max_pixels}; "
                f"raise it with --max-pixels {width * height}"
            )
        return _picture(colour.convert(image, again=lambda: open_image(file)))


def from_pil(image: Image.Image) -> Picture:
    """Convert a Pillow image by the same rules; `image` is loaded, but not changed otherwise.

    Metadata comes from `image.info`. 16-bit RGB arrives with the high bytes that Pillow keeps.
    Raises ImageError for modes without a defined white (F, I) and for files that do not load.
    """
    with explained("Pillow image", None), pillow_set(None):
        return _picture(colour.convert(image))


def from_array(array: npt.ArrayLike) -> Picture:
    """Make a picture of an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), the fourth alpha.

    uint8 is taken as it is (and may share memory with the picture), uint16 becomes
    round(v / 257), floating point must lie in [0, 1] and becomes round(255 v). Alpha that is
    opaque everywhere is dropped. Raises ImageError for other types, shapes and ranges.
    """
    samples = np.asarray(array)
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.ndim != 3 or samples.shape[2] not in {1, 3, 4}:
        raise ImageError(
            f"array is {_described(samples)}: give H x W, H x W x 1, H x W x 3 or H x W x 4"
        )
    if samples.size == 0:
        raise ImageError(f"array is {_described(samples)}: give at least one pixel")
    if samples.dtype.newbyteorder("=") == np.uint16:
        samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
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
        return Picture(np.repeat(samples, 3, axis=2), grey=True)
    alpha = None
    if samples.shape[2] == 4 and samples[..., 3].min() < 255:
        alpha = np.ascontiguousarray(samples[..., 3])
    return Picture(np.ascontiguousarray(samples[..., :3]), alpha)


def as_picture(image: object, max_pixels: int | None) -> Picture:
    """A path, array, Pillow image or picture as a ``Picture``.

    Raises:
        ImageError: it is none of these, or cannot be read.
        LimitError: it has more than ``max_pixels``.
    """
    if isinstance(image, Picture):
        return image
    if isinstance(image, np.ndarray):
        return from_array(image)
    if isinstance(image, str | os.PathLike | bytes):
        return read_image(image, max_pixels=max_pixels)
    return from_pil(image)  # type: ignore[arg-type]


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


def write_image(
    picture: Picture,
    target: str | os.PathLike[str] | IO[bytes],
    *,
    format: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write an image file; a path appears only once it is complete.

    target: a path, or a binary stream.
    format: "png", "jpeg", ...; by default the suffix of the path, PNG for streams.
    overwrite: whether a file at `target` is replaced.

    Raises UsageError for unknown formats, pictures that the format cannot hold and files that
    exist; OutputError when writing fails.
    """
    label = str(target) if isinstance(target, str | os.PathLike) else "output stream"
    if format is not None:
        suffix = "." + format.lower().removeprefix(".")
    else:
        suffix = Path(target).suffix if isinstance(target, str | os.PathLike) else ".png"
        suffix = suffix.lower()
    if suffix not in _WRITE:
        raise UsageError(
            f"{label}: no image format is called {suffix or '(no suffix)'!r}; "
            f"choose one of {formats_written()}"
        )
    kind, options = _WRITE[suffix]
    _check_fits(picture, kind, suffix, label)
    image = _as_written(picture, kind, suffix)
    options = options | metadata.save_options(
        kind, image.mode, icc=picture.icc, exif=picture.exif, xmp=picture.xmp
    )
    if isinstance(target, str | os.PathLike):
        with atomic_write(Path(target), overwrite=overwrite) as file:
            _save(image, file, kind, options, label)
    else:
        _save(image, target, kind, options, label)


def _check_fits(picture: Picture, kind: str, suffix: str, label: str) -> None:
    if picture.alpha is not None and kind not in _WITH_ALPHA:
        raise UsageError(f"{label}: {suffix} files cannot hold alpha; write .png instead")
    if suffix == ".pgm" and not picture.grey:
        raise UsageError(f"{label}: .pgm files cannot hold colour; write .ppm instead")
    limit = _MAX_SIDE.get(kind)
    if limit is not None and max(picture.height, picture.width) > limit:
        raise UsageError(
            f"{label}: {picture.width} x {picture.height} pixels; {suffix} files hold at most "
            f"{limit} per side; write .png instead"
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
                    f"{label}: {len(block)} bytes of {title} data; {suffix} files hold at most "
                    f"{room}; write .png instead"
                )


def _as_written(picture: Picture, kind: str, suffix: str) -> Image.Image:
    """The Pillow image in a mode that the format has, without metadata."""
    image = to_pil(picture)
    image.info.clear()
    if picture.grey and (suffix == ".ppm" or kind == "WEBP"):
        image = image.convert("RGB" if picture.alpha is None else "RGBA")
    return image


def _save(
    image: Image.Image, file: IO[bytes], kind: str, options: dict[str, Any], label: str
) -> None:
    # TIFF needs a file in which it can go back; pipes get the finished bytes.
    whole = None if file.seekable() else io.BytesIO()
    try:
        with pillow_set(None):
            image.save(whole or file, kind, **options)
        if whole is not None:
            file.write(whole.getbuffer())
    except Exception as error:
        # Beside errors of the disk: whatever Pillow raises for blocks that a format cannot take.
        reason = getattr(error, "strerror", None) or one_line(error)
        raise OutputError(f"{label}: cannot be written ({reason})") from error


def _picture(converted: colour.Converted) -> Picture:
    return Picture(
        converted.colour,
        converted.alpha,
        converted.grey,
        converted.icc,
        converted.exif,
        converted.xmp,
    )


def _described(array: npt.NDArray[Any]) -> str:
    return f"{array.dtype} of {' x '.join(map(str, array.shape)) or 'no dimension'}"
