"""EXIF and XMP blocks of image files: finding them, their orientation, packing them for writing.

Blocks are kept as bytes. The one thing that is read is the orientation, and the one thing that is
changed: `formats.image` states the rules.
"""

from __future__ import annotations

import re
import struct
from typing import Any

from PIL import Image, PngImagePlugin

_EXIF_PREFIX = b"Exif\0\0"
_ORIENTATION = 0x0112
_XMP = 0x02BC
_IFDS = (0x8769, 0x8825)  # Exif and GPS
# Tags of a TIFF file that describe the photo and not the layout of the file: description, maker,
# model, resolution, unit, software, date, artist, copyright.
_DESCRIPTIVE = (0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298)
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)([1-8])")


def take(image: Image.Image) -> tuple[int, bytes | None, bytes | None]:
    """The orientation (1 to 8) still to be applied to a loaded image, its EXIF and its XMP block.

    In the blocks the orientation is 1. The EXIF block begins with its TIFF header.
    """
    orientation, exif = _take_orientation(_exif(image))
    xmp = _xmp(image)
    if xmp is not None:
        # AVIF turns pictures by properties of its own, which Pillow has put into the EXIF block.
        if orientation is None and image.format != "AVIF":
            found = _XMP_ORIENTATION.search(xmp)
            orientation = int(found[2]) if found else None
        xmp = _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
    if image.format == "TIFF" or orientation is None or not 1 <= orientation <= 8:
        orientation = 1  # Pillow has turned the pixels of TIFF files when it loaded them
    return orientation, exif, xmp


def save_options(
    kind: str, mode: str, *, icc: bytes | None, exif: bytes | None, xmp: bytes | None
) -> dict[str, Any]:
    """Options of Pillow's `save` that write the blocks into format `kind`, where it has them."""
    options: dict[str, Any] = {}
    if kind not in {"PNG", "JPEG", "TIFF", "WEBP"}:
        return options
    # Bytes 16 to 19 of a profile name its colour space. WebP has no grey, and a grey profile
    # says nothing about RGB.
    if icc and not (icc[16:20] == b"GRAY" and mode.startswith("RGB")):
        options["icc_profile"] = icc
    if kind == "TIFF":
        # Other tags of the first directory (sizes, strips of a thumbnail) would replace those
        # that describe the pixels.
        if block := _packed(_parsed(exif), xmp):
            options["exif"] = _EXIF_PREFIX + block
        return options
    if exif:
        options["exif"] = _EXIF_PREFIX + exif if kind == "JPEG" else exif
    if xmp and kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp)
    elif xmp:
        options["xmp"] = xmp
    return options


def _exif(image: Image.Image) -> bytes | None:
    """The EXIF block as a TIFF structure, without the prefix that JPEG puts before it."""
    if image.format == "TIFF":
        return _packed(image.getexif(), None)
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
    return data if data[:4] in {b"II*\0", b"MM\0*"} else None


def _parsed(exif: bytes | None) -> Image.Exif:
    """The directories of an EXIF block; none of them if Pillow cannot parse the block."""
    parsed = Image.Exif()
    try:
        parsed.load(exif or b"")
    except Exception:  # see `_packed`
        return Image.Exif()
    return parsed


def _packed(found: Image.Exif, xmp: bytes | None) -> bytes | None:
    """Descriptive tags, Exif and GPS directory, packed anew; None if there is nothing."""
    kept = Image.Exif()
    kept.endian = found.endian
    try:
        for tag in _DESCRIPTIVE:
            if tag in found:
                kept[tag] = found[tag]
        for tag in _IFDS:
            if block := found.get_ifd(tag):
                kept[tag] = dict(block)
        if xmp:
            kept[_XMP] = xmp
        return kept.tobytes()[len(_EXIF_PREFIX) :] if len(kept) else None
    except Exception:
        # Pillow's parser has no closed list of what it raises for damaged tags. The pixels are
        # sound, and damaged EXIF data is left behind.
        return _packed(Image.Exif(), xmp) if xmp else None


def _xmp(image: Image.Image) -> bytes | None:
    data = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    return data if isinstance(data, bytes) and data else None


def _take_orientation(exif: bytes | None) -> tuple[int | None, bytes | None]:
    """The orientation in the first directory (None without one), and the block with it set to 1.

    The block is patched in place of being parsed and written anew, which would break the
    addresses inside maker notes.
    """
    if exif is None:
        return None, None
    order = "<" if exif[:2] == b"II" else ">"
    patched = bytearray(exif)
    orientation = None
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(order + "HHI", exif, entry)
            code = {1: "B", 3: "H", 4: "I"}.get(kind)
            if tag == _ORIENTATION and code and values == 1:
                (value,) = struct.unpack_from(order + code, exif, entry + 8)
                struct.pack_into(order + code, patched, entry + 8, 1)
                orientation = value if orientation is None else orientation
    except struct.error:
        pass  # the directory is cut short: what was found up to there counts
    return orientation, bytes(patched)
