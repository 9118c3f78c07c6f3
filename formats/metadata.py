"""EXIF and XMP blocks of image files: finding them, keeping them right, packing them for writing.

Blocks are kept as bytes. What is changed in them is what depends on the pixels: `formats.image`
states the rules.
"""

from __future__ import annotations

import io
import struct
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

from dcncodec.formats import exif as exif_block
from dcncodec.formats import xmp as xmp_packet
from dcncodec.formats.ifd import Directory, DirectoryError, Entry, Structure
from dcncodec.notices import Notice, Notify

if TYPE_CHECKING:
    from dcncodec.formats.survey import Survey

_EXIF_PREFIX = b"Exif\0\0"
_XMP = 0x02BC
_CENTIMETRE = 3
_INCH = 2.54
_FOR_METADATA = {"PNG", "JPEG", "TIFF", "WEBP", "AVIF"}


def take(image: Image.Image, facts: Survey) -> tuple[int, bytes | None, bytes | None]:
    """The orientation (1 to 8) still to be applied to a loaded image, its EXIF and its XMP block.

    In the blocks the orientation is 1. The EXIF block begins with its TIFF header.
    """
    exif = facts.exif if image.format == "TIFF" else _exif(image) or facts.exif
    if exif is not None and exif[:4] not in {b"II*\0", b"MM\0*"}:
        exif = None
    orientation = exif_block.orientation(exif) if exif else None
    exif = exif_block.upright(exif) if exif else None
    xmp = facts.xmp or _xmp(image)
    if xmp is not None:
        # AVIF turns pictures by properties of its own, which Pillow has put into the EXIF block.
        if orientation is None and image.format != "AVIF":
            orientation = xmp_packet.orientation(xmp)
        xmp = xmp_packet.without_gain_map(xmp_packet.upright(xmp))
    if image.format == "TIFF" or orientation is None or not 1 <= orientation <= 8:
        orientation = 1  # Pillow has turned the pixels of TIFF files when it loaded them
    if facts.density and exif_block.density(exif) is None:
        exif = exif_block.with_density(exif, facts.density)
    return orientation, exif, xmp


def save_options(
    kind: str,
    *,
    icc: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
    notify: Notify,
    label: str,
) -> dict[str, Any]:
    """Options of Pillow's `save` that write the blocks into format `kind`, where it has them.

    For TIFF `add_to_tiff` does it, for PNG `png.write_png`.
    """
    options: dict[str, Any] = {}
    if icc:
        options["icc_profile"] = icc
    if kind not in _FOR_METADATA:
        left = [name for name, block in (("EXIF", exif), ("XMP", xmp)) if block]
        if left:
            text = f"{kind} files hold no metadata: {' and '.join(left)} left out"
            notify(Notice("metadata", text, label))
    if (density := exif_block.density(exif)) and kind in {"JPEG", "BMP"}:
        x, y, unit = density
        if unit != 1:
            scale = _INCH if unit == _CENTIMETRE else 1
            options["dpi"] = (x * scale, y * scale)
    if kind in {"TIFF", "BMP", "PPM"}:
        return options
    if exif:
        if kind == "AVIF":
            exif = exif_block.without_orientation(exif)
        options["exif"] = _EXIF_PREFIX + exif if kind == "JPEG" else exif
    if xmp:
        options["xmp"] = xmp
    return options


def add_to_tiff(
    file: IO[bytes], exif: bytes | None, xmp: bytes | None, notify: Notify, label: str
) -> None:
    """Write the descriptive tags, the Exif and the GPS directory, and XMP into a TIFF file.

    The file, which Pillow has written, gets a new first directory at its end. Other tags of the
    block's first directory (sizes, strips of a thumbnail) would replace those of the pixels.
    """
    given, described = exif_block.first_directory(exif or b"")
    if given is None and not xmp:
        return

    def read_at(place: int, size: int) -> bytes:
        file.seek(place)
        return file.read(size)

    written = Structure.opened(read_at, 1 << 28)
    main, following = written.directory(written.first)
    photo: Directory = {}
    inner: Directory = {}
    position: Directory = {}
    if given is not None:
        photo = given.pointed(described, exif_block.EXIF)
        inner = given.pointed(photo, exif_block.INTEROPERABILITY)
        position = given.pointed(described, exif_block.GPS)
        pointed = {exif_block.EXIF: photo, exif_block.GPS: position}
        if any(tag in described and not directory for tag, directory in pointed.items()):
            notify(Notice("metadata", "EXIF data that cannot be read is left out", label))
        kept = {tag: described[tag] for tag in exif_block.DESCRIPTIVE if tag in described}
        if given.order != written.order:
            kept, photo, inner, position = (
                {tag: entry.swapped(given.order, written.order) for tag, entry in part.items()}
                for part in (kept, photo, inner, position)
            )
        main |= kept
    if xmp:
        main[_XMP] = Entry(_XMP, 1, len(xmp), xmp)
    offset = file.seek(0, io.SEEK_END)
    offset += file.write(b"\0" * (offset % 2))
    try:
        directories = exif_block.directories(
            written.order, offset, main, photo, inner, position, following
        )
    except DirectoryError:
        notify(Notice("metadata", "EXIF data that cannot be written is left out", label))
        return
    file.write(directories)
    file.seek(4)
    file.write(struct.pack(written.order + "I", offset))
    file.seek(0, io.SEEK_END)


def _exif(image: Image.Image) -> bytes | None:
    """The EXIF block as a TIFF structure, without the prefix that JPEG puts before it."""
    data = image.info.get("exif")
    if data is None and isinstance(hexed := image.info.get("Raw profile type exif"), str):
        try:
            data = bytes.fromhex("".join(hexed.split("\n")[3:]))
        except ValueError:
            data = None
    if not isinstance(data, bytes):
        return None
    while data.startswith(_EXIF_PREFIX):
        data = data[len(_EXIF_PREFIX) :]
    return data or None


def _xmp(image: Image.Image) -> bytes | None:
    data = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    return data if isinstance(data, bytes) and data else None
