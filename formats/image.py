"""Image files: reading them into 8-bit RGB pixels, writing pixels into them.

    picture = read_image("photo.jpg")
    write_image(picture, "photo.png", overwrite=False)

`read_image` accepts a path, the bytes of a file or a binary stream; `formats_read()` lists the
formats. `from_pil`, `from_array`, `to_pil` and `to_array` connect to Pillow and NumPy. Whatever is
dropped, converted or doubtful becomes a `Notice` in `Picture.notices`. What happens to an image on
the way in:

*Kinds.* The structure of a file is surveyed before Pillow decodes it (`formats.survey`). What
Pillow reads wrongly is refused by name: floating point, signed and 32-bit samples, which have no
defined white; JPEG 2000 of more than 8 bits; TIFF files with planes of 16 bits, and others. The
names of other formats than those read are told too.

*Size.* The number of pixels is taken from the header and compared with `max_pixels` before
anything is decoded.

*Damage.* Truncated files are errors; nobody gets half a picture, also where the cut has an end
marker. So are wrong checksums of pixels (PNG, deflate in TIFF) and JPEG files that lack a tenth of
their data. Damage that leaves the pixels alone (a PNG chunk of text, a missing end marker), and
JPEG data that is wrong in places but shown by everybody, is read with a notice. For damaged
compressed TIFF files libtiff may print lines of its own on standard error.

*Orientation.* The EXIF orientation, or without one that in the XMP data, is applied to pixels and
alpha. In the metadata that is kept the tag is set to 1, so that nobody applies it twice, and sizes
become those of the picture; no other byte of the EXIF block changes. The embedded thumbnail stays
as it is. The EXIF block of a TIFF file is made of its descriptive tags, its Exif and its GPS
directory, byte for byte.

*Grey.* Grey and 1-bit files give equal R, G and B, and `Picture.grey` is set.

*Palettes* become RGB, also those whose entries are all grey.

*Transparency.* Alpha channels, palettes with alpha and transparent colours (PNG tRNS, GIF) give
`Picture.alpha`. Alpha is straight, never premultiplied; only TIFF files that declare associated
alpha are divided by it, by Pillow. Alpha that is 255 everywhere is dropped.

*Depth.* Samples of more than 8 bits are rounded, with a notice: 16-bit v become round(v / 257),
12-bit ones round(v / 16.06). Samples of 1, 2 and 4 bits are scaled up. Exceptions, where Pillow
gives only the high byte, so that a sample can be one level lower: 16-bit CMYK, 16-bit TIFF with
associated alpha, and AVIF of more than 8 bits.

*Colour.* RGB and grey samples and their ICC profile are taken as they are. Colours that a file
states by numbers become an equivalent profile (`formats.profiles`), in the order cICP, iCCP, sRGB,
gAMA and cHRM for PNG; a profile before nclx for AVIF; the headers 4 and 5 of BMP; primaries of
TIFF; EXIF's Adobe RGB. PQ and HLG are errors. CMYK (and YCCK) is converted to sRGB, by the embedded
profile with perceptual intent, or by Pillow's plain formula when there is no usable profile; CMYK
in JPEG is taken as inverted, as Adobe and Pillow write it. L*a*b* is converted to sRGB. After these
conversions the profile no longer applies and is dropped.

*Several images in one file.* The first frame or page is read, the others are ignored.

*Metadata.* ICC, EXIF and XMP blocks are kept as bytes. EXIF data without a TIFF header is dropped.
The density of pixels is kept as EXIF's resolution. XMP loses what describes a gain map, which is
not kept. Comments, text chunks, IPTC and the like are left out. Pillow's warnings about metadata
are not passed on.

On the way out, the suffix or `format` chooses between the formats of `formats_written()`. PNG,
TIFF and WebP are lossless and hold alpha and all metadata; JPEG (quality 95, 4:4:4) holds metadata,
AVIF (quality 95, 4:4:4) alpha too; BMP and PPM/PGM hold pixels alone: pictures with a profile are
converted to sRGB for them. Alpha is never dropped in silence: formats that cannot hold it are an
error, as is metadata that is too long for JPEG.

Memory: Pillow's copy of the pixels (4 bytes per pixel) and the result (3, or 4 with alpha); twice
Pillow's copy for 16-bit colour. JPEG files are held as bytes meanwhile, progressive ones with an
eighth of a byte per sample.
"""

from __future__ import annotations

import io
import os

import numpy as np
from PIL import Image

from dcncodec.errors import ImageError, LimitError
from dcncodec.formats import colour
from dcncodec.formats.geometry import MAX_PIXELS
from dcncodec.formats.guard import (
    Source,
    explained,
    formats_read,
    name_of,
    open_image,
    opened,
    pillow_set,
    suffixes_read,
)
from dcncodec.formats.picture import Picture, from_array, is_tensor, to_array, to_pil
from dcncodec.formats.srgb import strip, to_srgb
from dcncodec.formats.survey import Survey, survey
from dcncodec.formats.survey.png import stated_colour
from dcncodec.formats.writing import formats_written, write_image
from dcncodec.notices import Notice

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
    "strip",
    "suffixes_read",
    "to_array",
    "to_pil",
    "to_srgb",
    "write_image",
]


def read_image(
    source: Source,
    *,
    max_pixels: int | None = MAX_PIXELS,
    name: str | None = None,
    upright: bool = True,
) -> Picture:
    """Read an image file by the rules at the top of this module.

    source: a path, the bytes of a file, or a binary stream (read from where it stands).
    max_pixels: the most pixels that are decoded; None for no limit.
    name: how messages call the source; by default its path, or "image data".
    upright: whether the orientation is applied; otherwise pixels lie as in the file (of TIFF
        files always upright), as a camera's sensor gave them, and the metadata do not hold.

    Raises ImageError for files that are missing, unreadable, damaged or of an unknown format,
    LimitError for more than `max_pixels` pixels or too little memory.
    """
    label = name or name_of(source)

    def check_size(width: int, height: int) -> None:
        if max_pixels is not None and width * height > max_pixels:
            raise LimitError(
                f"{width} x {height} pixels are more than the limit of {max_pixels}; "
                f"raise it with --max-pixels {width * height}",
                label,
            )

    with opened(source, label) as file, explained(label, max_pixels), pillow_set(max_pixels):
        facts = survey(file, check_size)
        sound = facts.sound or file
        image = open_image(sound)
        check_size(*image.size)
        converted = colour.convert(image, facts, lambda: open_image(sound), upright)
        return _picture(converted, facts, label, file.seek(0, io.SEEK_END))


def from_pil(image: Image.Image, *, max_pixels: int | None = None) -> Picture:
    """Convert a Pillow image by the same rules; `image` is loaded, but not changed otherwise.

    Metadata and colours come from `image.info`. 16-bit RGB arrives with the high bytes that Pillow
    keeps. Raises ImageError for modes without a defined white (F, I) and for files that do not
    load, LimitError for more than `max_pixels`.
    """
    label = "Pillow image"
    if max_pixels is not None and image.width * image.height > max_pixels:
        raise LimitError(
            f"{image.width} x {image.height} pixels are more than the limit of "
            f"{max_pixels}; raise max_pixels",
            label,
        )
    facts = Survey()
    gamma, points = image.info.get("gamma"), image.info.get("chromaticity")
    if image.format == "PNG" and "srgb" not in image.info:
        numbers = list(points) if isinstance(points, tuple) and len(points) == 8 else None
        facts.colour = stated_colour(float(gamma or 0), numbers)
    if image.format == "TIFF":
        facts.exif = _tiff_exif(image)
    facts.say_frames(getattr(image, "n_frames", 1))
    with explained(label, None), pillow_set(None):
        return _picture(colour.convert(image, facts), facts, label, None)


def _tiff_exif(image: Image.Image) -> bytes | None:
    with explained("Pillow image", None):
        block = image.getexif().tobytes()
    return block.removeprefix(b"Exif\0\0") or None


def as_picture(image: object, max_pixels: int | None) -> Picture:
    """A path, the bytes or stream of a file, an array, list, tensor, Pillow image or picture as a
    ``Picture``.

    Raises:
        ImageError: it is none of these, or cannot be read.
        LimitError: it has more than ``max_pixels``.
    """
    match image:
        case Picture():
            return image
        case str() | os.PathLike() | bytes() | bytearray() | memoryview():
            return read_image(image, max_pixels=max_pixels)
        case Image.Image():
            return from_pil(image, max_pixels=max_pixels)
        case np.ndarray() | list() | tuple():
            return from_array(image, max_pixels=max_pixels)
    if is_tensor(image) or hasattr(image, "__array__"):
        return from_array(image, max_pixels=max_pixels)
    if hasattr(image, "read"):
        return read_image(image, max_pixels=max_pixels)  # type: ignore[arg-type]
    raise ImageError(
        f"{type(image).__name__} is no image: give a path, bytes, a binary stream, an array or a "
        "Pillow image"
    )


def _picture(
    converted: colour.Converted, facts: Survey, label: str, file_bytes: int | None
) -> Picture:
    return Picture(
        converted.colour,
        converted.alpha,
        converted.grey,
        converted.icc,
        converted.exif,
        converted.xmp,
        tuple(Notice(kind, text, label) for kind, text in facts.notices),
        label,
        file_bytes,
    )
