"""File names' suffixes of the formats of pictures, without loading what reads them."""

from __future__ import annotations

READ = (
    ("PNG", ".png .apng", "PNG"),
    ("JPEG", ".jpg .jpeg .jpe .mpo", "JPEG"),
    ("TIFF", ".tif .tiff", "TIFF"),
    ("WebP", ".webp", "WEBP"),
    ("GIF", ".gif", "GIF"),
    ("BMP", ".bmp", "BMP"),
    ("PPM, PGM, PBM", ".ppm .pgm .pbm .pnm", "PPM"),
    ("JPEG 2000", ".jp2 .j2k .jpx", "JPEG2000"),
    ("AVIF", ".avif", "AVIF"),
)
"""Name, suffixes, Pillow's name of the formats that `formats.image` reads. Formats that Pillow
identifies by guessing, or reads by running other programs (EPS), are left out on purpose."""

WRITTEN = {
    ".png": "PNG",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".avif": "AVIF",
}
"""Suffixes and Pillow's names of the formats that `formats.image` writes."""

RAW = frozenset(
    [".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef",
     ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf",
     ".srw", ".x3f"]
)  # fmt: skip
"""Of cameras' RAW files."""

DCN = ".dcn"

OTHERS = frozenset(
    [".heic", ".heif", ".hif", ".jxl", ".jxr", ".wdp", ".jpf", ".jpm", ".j2c", ".jls", ".svg",
     ".psd", ".psb", ".xcf", ".eps", ".ico", ".icns", ".tga", ".exr", ".hdr", ".pfm", ".pam",
     ".qoi", ".bpg", ".flif", ".pcx", ".dds", ".jfif", ".avifs", ".dib", ".webm", ".mp4",
     ".mov"]
)  # fmt: skip
"""Of pictures and films in formats that are neither read nor written here."""


def is_picture(suffix: str) -> bool:
    """Whether a suffix (with its dot, in any case) is that of a picture of any kind but .dcn."""
    suffix = suffix.lower()
    read = {known for row in READ for known in row[1].split()}
    return suffix in read or suffix in RAW or suffix in OTHERS or suffix in WRITTEN


_SIGNATURES = (
    b"\x89PNG\r\n",
    b"\xff\xd8\xff",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"GIF8",
    b"BM",
    b"\0\0\0\x0cjP  ",
    b"\xff\x4f\xff\x51",
    b"\xff\x0a",
    b"8BPS",
    *(b"P%d" % number for number in range(1, 8)),
)


def begins_a_picture(head: bytes) -> bool:
    """Whether a file that begins so is (most probably) a picture of any kind but .dcn."""
    boxed = head[4:8] == b"ftyp" or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
    return boxed or head.startswith(_SIGNATURES)
