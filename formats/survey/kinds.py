"""What a file is, by its first bytes."""

from __future__ import annotations

from dcncodec.formats.survey.facts import UnsupportedError

_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_READ: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
_CONVERT = "are not supported; convert it to PNG or TIFF"
_DEVELOP = "a camera's RAW file is not supported here; develop it with dcn develop"
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\x89DCN\r\n\x1a\n", "a .dcn file already; decode it with dcn decode"),
    (b"PF\n", f"PFM files of floating point {_CONVERT}"),
    (b"Pf\n", f"PFM files of floating point {_CONVERT}"),
    (b"PF\r", f"PFM files of floating point {_CONVERT}"),
    (b"Pf\r", f"PFM files of floating point {_CONVERT}"),
    (b"P7", f"PAM files {_CONVERT}"),
    (b"8BPS", f"Photoshop files {_CONVERT}"),
    (b"%!PS", f"PostScript files {_CONVERT}"),
    (b"\xc5\xd0\xd3\xc6", f"PostScript files {_CONVERT}"),
    (b"%PDF", f"PDF files {_CONVERT}"),
    (b"\xff\x0a", f"JPEG XL files {_CONVERT}"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", f"JPEG XL files {_CONVERT}"),
    (b"\x76\x2f\x31\x01", f"OpenEXR files {_CONVERT}"),
    (b"#?RADIANCE", f"Radiance HDR files {_CONVERT}"),
    (b"#?RGBE", f"Radiance HDR files {_CONVERT}"),
    (b"qoif", f"QOI files {_CONVERT}"),
    (b"DDS ", f"DDS files {_CONVERT}"),
    (b"\0\0\1\0", f"icon files {_CONVERT}"),
    (b"gimp xcf", f"GIMP files {_CONVERT}"),
    (b"<svg", f"SVG files {_CONVERT}"),
    (b"<?xml", f"SVG and XML files {_CONVERT}"),
    (b"SIMPLE  =", f"FITS files {_CONVERT}"),
    (b"II\xbc\x01", f"JPEG XR files {_CONVERT}"),
    (b"FUJIFILMCCD-RAW", _DEVELOP),
    (b"IIRO", _DEVELOP),
    (b"MMOR", _DEVELOP),
    (b"IIU\0", _DEVELOP),
    (b"II\x1a\0\0\0HEAPCCDR", _DEVELOP),
    (b"FOVb", _DEVELOP),
)


def identified(head: bytes) -> str:
    """Pillow's name of the format that begins with these bytes (32 are enough); "" for none.

    Raises:
        UnsupportedError: it is another one, which the message names.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _media(head)
    if head[:1] == b"P" and head[1:2] in b"123456" and len(head) > 2:
        return "PPM"
    if head[:4] in {b"II*\0", b"MM\0*"} and head[8:10] == b"CR":
        raise UnsupportedError(_DEVELOP)
    for start, name in _READ:
        if head.startswith(start):
            return name
    for start, reason in _OTHERS:
        if head.startswith(start):
            raise UnsupportedError(reason)
    return ""


def _media(head: bytes) -> str:
    brand = head[8:12]
    if brand == b"crx ":
        raise UnsupportedError(_DEVELOP)
    if brand in _BRANDS and b"avif" not in head[16:]:
        raise UnsupportedError(f"HEIC files {_CONVERT}")
    return "AVIF"
