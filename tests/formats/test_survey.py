"""What is said about image files: frames, metadata, damage; and what is refused by name."""

from __future__ import annotations

import io
import re
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
from odd_images import bmp, plain_tiff, ramp, tiff
from picture_samples import XMP, chunk, exif_block, png, saved
from PIL import Image

from dcncodec.errors import ImageError, LimitError
from dcncodec.formats.image import Picture, read_image

PHOTO = Image.fromarray(ramp(3))
PIXELS = ramp(3)


def told(data: bytes) -> list[tuple[str, str]]:
    picture = read_image(data, name="x")
    assert all(notice.source == "x" for notice in picture.notices)
    return [(notice.kind, notice.text) for notice in picture.notices]


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(data, name="x")
    text = str(caught.value)
    assert text.startswith("x: ")
    assert "\n" not in text
    return text[3:]


def frames(kind: str, **options: Any) -> bytes:
    more = [Image.fromarray(PIXELS // n) for n in (2, 3)]
    return saved(PHOTO, kind, save_all=True, append_images=more, **options)


def jpeg_segment(marker: int, content: bytes, data: bytes | None = None) -> bytes:
    data = data or saved(PHOTO, "JPEG", quality=95)
    return (
        data[:2] + bytes([255, marker]) + struct.pack(">H", len(content) + 2) + content + data[2:]
    )


# Frames


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        ("GIF", {}, "holds 3 frames; only the first is kept"),
        ("PNG", {}, "holds 3 frames; only the first is kept"),
        ("WEBP", {"lossless": True}, "holds 3 frames; only the first is kept"),
        ("TIFF", {}, "holds 3 pages; only the first is kept"),
        ("AVIF", {}, "holds 3 frames; only the first is kept"),
        ("MPO", {}, "further pictures in the file are left out; only the first is kept"),
    ],
)
def test_frames(kind: str, options: dict[str, Any], text: str) -> None:
    assert ("frames", text) in told(frames(kind, **options))


def test_several_pnm() -> None:
    one = b"P5 4 2 255\n" + bytes(8)
    assert told(one) == []
    assert told(one + one)[0][0] == "frames"
    assert told(one + b"????") == [("metadata", "bytes behind the picture are left out")]


GAIN_MAPS = [
    jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version='1.0' a='b'/>"),
    jpeg_segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"),
    saved(PHOTO, "JPEG") + saved(PHOTO, "JPEG", xmp=b"<x HDRGainMap:Version='1'/>"),
]


@pytest.mark.parametrize("data", GAIN_MAPS)
def test_gain_maps(data: bytes) -> None:
    picture = read_image(data)
    assert [n.text for n in picture.notices] == [
        "its gain map is left out: the picture will not show in HDR"
    ]
    assert b"hdrgm" not in (picture.xmp or b"")


def test_gain_map_xmp_is_removed_and_the_rest_kept() -> None:
    xmp = (
        b'<d xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" dc:title="t">'
        b"<hdrgm:GainMapMax><r>1</r></hdrgm:GainMapMax><dc:a/>"
        b"<Container:Directory><i/></Container:Directory></d>"
    )
    picture = read_image(saved(PHOTO, "JPEG", xmp=xmp))
    assert picture.xmp == b'<d dc:title="t"><dc:a/></d>'


# Metadata


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (saved(PHOTO, "JPEG", comment="hello"), ["comment"]),
        (jpeg_segment(0xED, b"Photoshop 3.0\x008BIM"), ["IPTC and Photoshop data"]),
        (jpeg_segment(0xEB, b"JP\0\0\0\0jumb"), ["JUMBF boxes (C2PA or JPEG XT)"]),
        (jpeg_segment(0xE3, b"Meta\0"), ["segment APP3 'Meta'"]),
        (jpeg_segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0"), ["extended XMP"]),
        (png(PIXELS, 2, 8, chunk(b"tEXt", b"Author\0me")), ["text 'Author'"]),
        (png(PIXELS, 2, 8, chunk(b"caBX", b"jumb")), ["content credentials (C2PA)"]),
        (png(PIXELS, 2, 8, chunk(b"tIME", bytes(7))), ["time of the last change"]),
        (png(PIXELS, 2, 8, chunk(b"prVt", b"?")), ["chunk prVt"]),
        (saved(PHOTO.quantize(8), "GIF", comment=b"hi"), ["comment"]),
        (plain_tiff(PIXELS, 8, 2, t33723=b"IPTC"), ["IPTC"]),
        (plain_tiff(PIXELS, 8, 2, t34377=b"8BIM"), ["Photoshop data"]),
    ],
)
def test_metadata_that_is_left_out(data: bytes, names: list[str]) -> None:
    listed = ", ".join(names)
    expected = f"metadata that a .dcn file does not hold is left out: {listed}"
    assert told(data) == [("metadata", expected)]


def test_data_behind_the_picture() -> None:
    text = "7 bytes behind the picture are left out"
    assert told(saved(PHOTO, "JPEG") + b"a video") == [("metadata", text)]
    assert told(saved(PHOTO.quantize(9), "GIF") + b"a video") == [("metadata", text)]
    assert told(saved(PHOTO, "WEBP") + b"a video") == [("metadata", text)]
    assert told(saved(PHOTO, "PNG") + b"a video")[0][0] == "metadata"


def test_xmp_of_gif_and_jpeg_2000() -> None:
    packet = XMP % 1
    data = saved(PHOTO.quantize(8), "GIF")
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    place = data.index(b",\0\0\0\0")
    gif = data[:place] + b"!\xff\x0bXMP DataXMP" + packet + trailer + data[place:]
    assert read_image(gif).xmp == packet
    uuid = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    jp2 = saved(PHOTO, "JPEG2000") + struct.pack(">I4s", 24 + len(packet), b"uuid") + uuid + packet
    assert read_image(jp2).xmp == packet
    exif = exif_block(6)
    jp2 = saved(PHOTO, "JPEG2000") + struct.pack(">I4s", 24 + len(exif), b"uuid")
    picture = read_image(jp2 + b"JpgTiffExif->JP2" + exif)
    assert (picture.width, picture.height) == (40, 56)
    assert picture.exif == exif_block(1)


# Damage


def damaged_chunk(data: bytes, kind: bytes) -> bytes:
    place = data.index(kind)
    length = int.from_bytes(data[place - 4 : place], "big")
    end = place + 4 + length
    return data[:end] + bytes([data[end] ^ 1]) + data[end + 1 :]


def test_png_checksums() -> None:
    text = png(PIXELS, 2, 8, chunk(b"tEXt", b"Author\0me") + chunk(b"eXIf", exif_block(1)))
    for kind in (b"tEXt", b"eXIf"):
        picture = read_image(damaged_chunk(text, kind))
        assert np.array_equal(picture.pixels, PIXELS)
        assert f"chunk {kind.decode()} is damaged and left out" in picture.notices[0].text
    for kind in (b"IHDR", b"IDAT", b"IEND"):
        assert f"checksum of chunk {kind.decode()} is wrong" in refusal(damaged_chunk(text, kind))
    palette = png(ramp(1, 7), 3, 8, chunk(b"PLTE", bytes(range(24))))
    assert "checksum of chunk PLTE is wrong" in refusal(damaged_chunk(palette, b"PLTE"))
    whole = saved(PHOTO, "PNG")
    assert told(whole[:-12]) == [("damage", "its end is missing")]
    place = whole.index(b"IDAT")
    length = int.from_bytes(whole[place - 4 : place], "big")
    rows = bytearray(whole[place + 4 : place + 4 + length])
    rows[-1] ^= 1
    wrong = whole[: place - 4] + chunk(b"IDAT", bytes(rows)) + chunk(b"IEND", b"")
    assert "checksum of the pixels is wrong" in refusal(wrong)


def test_tiff_checksums() -> None:
    rows = zlib.compress(PIXELS.tobytes())
    tags = {256: 56, 257: 40, 258: (8, 8, 8), 259: 8, 262: 2, 277: 3, 278: 40}
    assert np.array_equal(read_image(tiff([rows], tags)).pixels, PIXELS)
    wrong = rows[:-1] + bytes([rows[-1] ^ 1])
    assert "incorrect data check" in refusal(tiff([wrong], tags))


def test_jpeg_damage() -> None:
    data = saved(PHOTO, "JPEG", quality=90)
    whole = read_image(data).pixels
    picture = read_image(data[:-2])
    assert np.array_equal(picture.pixels, whole)
    assert told(data[:-2]) == [("damage", "its end marker is missing")]
    scan = data.index(b"\xff\xda") + 14
    half = data[: (scan + len(data)) // 2]
    assert "of the picture is missing" in refusal(half)
    assert "of the picture is missing" in refusal(half + b"\xff\xd9")
    place = (scan + len(data)) // 2
    filled = data[:place] + b"\x55" * 12 + data[place + 12 :]
    assert told(filled) == [("damage", "its data is damaged; parts of the picture may be wrong")]
    assert "the picture itself is missing" in refusal(data[: data.index(b"\xff\xda")] + b"\xff\xd9")
    scans = saved(PHOTO, "JPEG", progressive=True)
    last = scans.rindex(b"\xff\xda")
    assert told(scans[:last] + b"\xff\xd9") == [
        ("damage", "scans with its finer details are missing")
    ]
    assert "scans with its finer details are missing" in refusal(scans[:last])


@pytest.mark.parametrize("marker", [0xC3, 0xC9, 0xCA, 0xCD])
def test_jpeg_of_other_processes_is_named(marker: int) -> None:
    """Of what is not walked through nobody could tell whether it is whole."""
    data = saved(PHOTO, "JPEG")
    place = data.index(b"\xff\xc0") + 1
    text = refusal(data[:place] + bytes([marker]) + data[place + 1 :])
    assert re.match(r"(lossless|arithmetic-coded|hierarchical) JPEG files are not supported", text)


def test_a_large_claim_is_refused_at_once() -> None:
    """A header of 400 megapixels with hardly any data behind it."""
    data = saved(PHOTO, "JPEG")
    place = data.index(b"\xff\xc0") + 5
    claim = data[:place] + struct.pack(">HH", 20_000, 20_000) + data[place + 4 :]
    begin = time.perf_counter()
    assert "of the picture is missing" in refusal(claim)
    assert time.perf_counter() - begin < 1
    with pytest.raises(LimitError, match="20001 x 20000 pixels are more"):
        read_image(data[:place] + struct.pack(">HH", 20_000, 20_001) + data[place + 4 :])


def test_png_bombs_cost_little() -> None:
    bomb = zlib.compress(bytes(200_000_000), 9)
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", bomb) + chunk(b"IEND", b"")
    )
    begin = time.perf_counter()
    read_image(data)
    assert time.perf_counter() - begin < 0.2


# Kinds that are not read


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"PF\n2 2\n-1\n", "PFM"),
        (b"P7\nWIDTH 1\n", "PAM"),
        (b"8BPS\0\1", "Photoshop"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"%PDF-1.4", "PDF"),
        (b"\xff\x0a\0\0", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\x76\x2f\x31\x01", "OpenEXR"),
        (b"#?RADIANCE\n", "Radiance"),
        (b"qoif", "QOI"),
        (b"<svg xmlns=", "SVG"),
        (b"II*\0\x10\0\0\0CR\2\0", "RAW"),
        (b"FUJIFILMCCD-RAW 0201", "RAW"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "RAW"),
    ],
)
def test_other_formats_are_named(head: bytes, name: str) -> None:
    text = refusal(head + bytes(100))
    assert name in text
    assert "not supported" in text
    assert ("dcn develop" in text) == (name == "RAW")


def test_dcn_files_are_named() -> None:
    assert "a .dcn file already; decode it" in refusal(b"\x89DCN\r\n\x1a\n" + bytes(50))


def test_previews_of_raw_files_are_not_the_photo() -> None:
    data = plain_tiff(PIXELS, 8, 2, t254=1, t330=8)
    assert "begin with a preview" in refusal(data)
    assert "RAW file" in refusal(plain_tiff(PIXELS, 8, 2, t50706=b"\1\4\0\0"))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (plain_tiff(PIXELS, 8, 2, t339=(2, 2, 2)), "signed samples"),
        (plain_tiff(ramp(1, 65535)[..., 0], 16, 1, t339=3), "floating point samples"),
        (plain_tiff(ramp(2, 65535), 16, 1, t338=2), "2 samples of 16 bits"),
        (plain_tiff(ramp(5), 8, 5, t338=2), "5 samples of 8 bits"),
        (plain_tiff(PIXELS, 8, 32844), "LogL"),
        (plain_tiff(PIXELS, 8, 2, t259=34712), "compression 34712"),
        (bmp(b"", 8, 8, 0, 4), "around a JPEG file"),
    ],
)
def test_layouts_are_named(data: bytes, name: str) -> None:
    text = refusal(data)
    assert name in text
    assert "not supported" in text


def test_pillow_images_say_what_they_know() -> None:
    from dcncodec.formats.image import from_pil

    opened = Image.open(io.BytesIO(frames("GIF")))
    assert [n.kind for n in from_pil(opened).notices] == ["frames"]
    gamma = png(PIXELS, 2, 8, chunk(b"gAMA", struct.pack(">I", 100_000)))
    picture = from_pil(Image.open(io.BytesIO(gamma)))
    assert picture.icc == read_image(gamma).icc
    assert picture.icc is not None


def test_pictures_carry_their_source() -> None:
    data = saved(PHOTO, "PNG")
    picture = read_image(data, name="x")
    assert (picture.source, picture.file_bytes) == ("x", len(data))
    assert (Picture(PIXELS).source, Picture(PIXELS).file_bytes) == ("", None)
