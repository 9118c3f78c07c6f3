"""Pictures and files for the tests of image files, made by code."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from dcncodec.formats.image import Picture

RNG_SEED = 20200401
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d" dc:title="t"/></x:xmpmeta>'


def noise(height: int, width: int, channels: int = 3, top: int = 256) -> npt.NDArray[Any]:
    """Random samples (height, width, channels), uint8 or, for a higher `top`, uint16."""
    rng = np.random.default_rng(RNG_SEED)
    kind = np.uint8 if top <= 256 else np.uint16
    return rng.integers(0, top, (height, width, channels)).astype(kind)


def alpha_of(picture: Picture) -> npt.NDArray[np.uint8]:
    assert picture.alpha is not None
    return picture.alpha


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: npt.NDArray[Any], colour_type: int, depth: int = 16, extra: bytes = b"") -> bytes:
    """A PNG file written by hand, with the Sub filter in every second row."""
    height, width = samples.shape[:2]
    step = max(1, samples[0, 0].size * depth // 8)
    rows = b""
    for y, row in enumerate(samples):
        if depth < 8:
            bits = "".join(f"{value:0{depth}b}" for value in row.reshape(-1))
            bits += "0" * (-len(bits) % 8)
            rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
            continue
        raw = row.astype(">u2" if depth == 16 else "u1").tobytes()
        if y % 2:
            left = np.frombuffer(b"\0" * step + raw[:-step], np.uint8)
            rows += b"\1" + (np.frombuffer(raw, np.uint8) - left).tobytes()
        else:
            rows += b"\0" + raw
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def exif_block(orientation: int, order: str = "<", code: str = "H") -> bytes:
    """A TIFF header with maker "Cam", the orientation, and bytes that only an address reaches."""
    kind = {"H": 3, "I": 4}[code]
    value = struct.pack(order + code, orientation).ljust(4, b"\0")
    head = b"II*\0" if order == "<" else b"MM\0*"
    return (
        head
        + struct.pack(order + "IH", 8, 3)
        + struct.pack(order + "HHI4s", 0x010F, 2, 4, b"Cam\0")
        + struct.pack(order + "HHI4s", 0x0112, kind, 1, value)
        + struct.pack(order + "HHII", 0x927C, 7, 8, 50)
        + struct.pack(order + "I", 0)
        + b"MAKERNOT"
    )


def orientation_of(exif: bytes | None) -> int | None:
    parsed = Image.Exif()
    parsed.load(exif or b"")
    return parsed.get(0x0112)


def rounded(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.rint(samples.astype(np.float64) / 257).astype(np.uint8)


def cmyk_profile() -> bytes:
    """A small valid CMYK profile (lut8 to Lab) whose colours differ from the plain formula."""
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    table += struct.pack(">9i", *(0x10000 if i % 4 == 0 else 0 for i in range(9)))
    table += bytes(range(256)) * 4
    for index in range(16):
        inks = [index >> bit & 1 for bit in (3, 2, 1, 0)]
        lightness = max(0, 255 - 50 * sum(inks) - 60 * inks[3])
        table += bytes([lightness, 128 + 30 * (inks[1] - inks[0]), 128 + 40 * inks[2] - 20])
    table += bytes(range(256)) * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    tags = [(b"A2B0", table), (b"wtpt", white)]
    offset = 128 + 4 + 12 * len(tags)
    index_, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        padded = data + bytes(-len(data) % 4)
        index_ += name + struct.pack(">II", offset + len(body), len(data))
        body += padded
    head = (
        struct.pack(
            ">I4sI4s4s4s", 128 + len(index_ + body), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab "
        )
        + bytes(12)
        + b"acsp"
        + bytes(28)
    )
    head += struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + index_ + body


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
