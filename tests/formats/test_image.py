"""Image files: one test for each rule at the top of `dcncodec.formats.image`."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms, ImageFile, ImageOps, features

from dcncodec.errors import DcnError, ImageError, LimitError, OutputError, UsageError
from dcncodec.formats import colour, image
from dcncodec.formats.image import (
    Picture,
    formats_read,
    formats_written,
    from_array,
    from_pil,
    read_image,
    to_array,
    to_pil,
    write_image,
)

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


# Sources


def test_reads_paths_bytes_and_streams(tmp_path: Path) -> None:
    pixels = noise(5, 7)
    data = saved(Image.fromarray(pixels), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    stream = io.BytesIO(b"skipped" + data)
    stream.seek(7)
    for source in (path, str(path), data, bytearray(data), memoryview(data), stream):
        picture = read_image(source)
        assert np.array_equal(picture.pixels, pixels)
        assert (picture.height, picture.width) == (5, 7)
        assert picture.alpha is None
        assert not picture.grey


def test_reads_a_pipe(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    data = saved(Image.fromarray(noise(5, 7)), "PNG")
    writer = threading.Thread(target=fifo.write_bytes, args=(data,))
    writer.start()
    picture = read_image(fifo)
    writer.join()
    assert np.array_equal(picture.pixels, noise(5, 7))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000"])
def test_reads_every_listed_format(kind: str) -> None:
    flat = Image.new("RGB", (9, 6), (200, 100, 50))
    picture = read_image(saved(flat, kind))
    assert picture.pixels.shape == (6, 9, 3)
    assert np.abs(picture.pixels.astype(int) - [200, 100, 50]).max() <= 4
    assert picture.pixels.flags.c_contiguous


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
def test_reads_avif_turned_once() -> None:
    tall = np.zeros((64, 32, 3), np.uint8)
    tall[:32] = 255
    data = saved(Image.fromarray(tall), "AVIF", quality=90, exif=b"Exif\0\0" + exif_block(6))
    picture = read_image(data)
    assert picture.pixels.shape == (32, 64, 3)
    assert picture.pixels[16, 48].min() > 200
    assert picture.pixels[16, 16].max() < 50
    assert orientation_of(picture.exif) in {1, None}


def test_lists_formats() -> None:
    assert "PNG            .png" in formats_read()
    assert len(formats_read().splitlines()) >= 7
    assert ".webp" in formats_written()


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_applies_exif_orientation_once(orientation: int, order: str) -> None:
    rgba = noise(3, 5, 4)
    block = exif_block(orientation, order, "H" if order == "<" else "I")
    source = Image.fromarray(rgba)
    data = saved(source, "PNG", exif=block)
    picture = read_image(data)
    reference = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.array_equal(picture.pixels, reference[..., :3])
    assert np.array_equal(alpha_of(picture), reference[..., 3])
    assert picture.exif == exif_block(1, order, "H" if order == "<" else "I")
    again = io.BytesIO()
    write_image(picture, again)
    assert np.array_equal(to_array(read_image(again.getvalue())), reference)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_applies_orientation_of_each_format_once(orientation: int) -> None:
    flags = np.zeros((32, 48, 3), np.uint8)
    flags[:16, :24] = [255, 0, 0]
    flags[16:, 24:] = [0, 255, 0]
    exif = Image.Exif()
    exif[0x0112] = orientation
    reference = np.asarray(
        ImageOps.exif_transpose(
            Image.open(io.BytesIO(saved(Image.fromarray(flags), "PNG", exif=exif)))
        )
    ).astype(int)
    tiff = {"compression": "tiff_lzw"}
    for kind, options in (("JPEG", {"quality": 95}), ("WEBP", {}), ("TIFF", {}), ("TIFF", tiff)):
        picture = read_image(saved(Image.fromarray(flags), kind, exif=exif, **options))
        assert picture.pixels.shape == reference.shape
        assert np.abs(picture.pixels - reference).mean() < 12
        assert orientation_of(picture.exif) in {1, None}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_uses_and_neutralises_xmp_orientation(kind: str) -> None:
    options = {"xmp": XMP % 6}
    if kind == "PNG":
        write = io.BytesIO()
        write_image(Picture(noise(16, 24), xmp=XMP % 6), write)
        data = write.getvalue()
    else:
        data = saved(Image.fromarray(noise(16, 24)), kind, **options)
    picture = read_image(data)
    assert picture.pixels.shape == (24, 16, 3)
    assert picture.xmp == XMP % 1


def test_prefers_exif_to_xmp_orientation() -> None:
    data = saved(Image.fromarray(noise(16, 24)), "WEBP", exif=exif_block(1), xmp=XMP % 6)
    picture = read_image(data)
    assert picture.pixels.shape == (16, 24, 3)
    assert picture.xmp == XMP % 1


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_ignores_impossible_orientation(value: int) -> None:
    picture = read_image(saved(Image.fromarray(noise(3, 5)), "PNG", exif=exif_block(value)))
    assert np.array_equal(picture.pixels, noise(3, 5))
    assert orientation_of(picture.exif) == 1


def test_reads_exif_of_old_png_files() -> None:
    block = b"Exif\0\0" + exif_block(8)
    text = b"Raw profile type exif\0\0" + zlib.compress(
        f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()
    )
    picture = read_image(png(noise(3, 5), 2, 8, chunk(b"zTXt", text)))
    assert picture.pixels.shape == (5, 3, 3)
    assert picture.exif == exif_block(1)


# Colour types and depths


def test_grey() -> None:
    grey = noise(4, 6, 1)[..., 0]
    picture = read_image(saved(Image.fromarray(grey), "PNG"))
    assert picture.grey
    assert np.array_equal(picture.pixels, np.dstack([grey] * 3))
    assert np.array_equal(to_array(picture), grey)


def test_one_bit() -> None:
    bits = noise(5, 11, 1, 2)[..., 0]
    picture = read_image(saved(Image.fromarray(bits * 255).convert("1"), "PNG"))
    assert picture.grey
    assert np.array_equal(picture.pixels[..., 1], bits * 255)


def test_grey_with_alpha() -> None:
    pair = noise(4, 6, 2)
    picture = read_image(saved(Image.fromarray(pair, "LA"), "PNG"))
    assert picture.grey
    assert np.array_equal(picture.pixels[..., 2], pair[..., 0])
    assert np.array_equal(alpha_of(picture), pair[..., 1])


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bit_png_is_rounded(colour_type: int, channels: int) -> None:
    samples = noise(17, 13, channels, 65536)
    samples[0, :5] = [[0], [128], [129], [65406], [65535]]
    samples[1, :3] = [[0x00FF], [0xFF00], [0x80FF]]
    picture = read_image(png(samples, colour_type))
    expected = rounded(samples)
    assert picture.grey == (channels < 3)
    shown = expected[..., :3] if channels >= 3 else np.repeat(expected[..., :1], 3, axis=2)
    assert np.array_equal(picture.pixels, shown)
    if channels in {2, 4}:
        assert np.array_equal(alpha_of(picture), expected[..., -1])


def test_16_bit_tiff_is_rounded() -> None:
    tifffile = pytest.importorskip("tifffile")
    for order in "<>":
        for compression in (None, "zlib"):
            for channels in (1, 3, 4):
                samples = noise(9, 13, channels, 65536)
                out = io.BytesIO()
                kind = "minisblack" if channels == 1 else "rgb"
                extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
                tifffile.imwrite(
                    out,
                    samples.squeeze(),
                    byteorder=order,
                    photometric=kind,
                    compression=compression,
                    **extra,
                )
                picture = read_image(out.getvalue())
                shown = np.broadcast_to(rounded(samples[..., :3]), (9, 13, 3))
                assert np.array_equal(picture.pixels, shown)
                if channels == 4:
                    assert np.array_equal(alpha_of(picture), rounded(samples[..., 3]))


def test_16_bit_grey_tiff_of_inverted_scale() -> None:
    tifffile = pytest.importorskip("tifffile")
    samples = noise(4, 5, 1, 65536)[..., 0]
    out = io.BytesIO()
    tifffile.imwrite(out, samples, photometric="miniswhite", byteorder="<")
    assert np.array_equal(to_array(read_image(out.getvalue())), rounded(65535 - samples))


def test_16_bit_pgm_and_ppm_are_rounded() -> None:
    samples = noise(4, 6, 1, 65536)
    data = b"P5 6 4 65535\n" + samples.astype(">u2").tobytes()
    assert np.array_equal(to_array(read_image(data)), rounded(samples[..., 0]))
    samples = noise(4, 6, 3, 65536)
    data = b"P6 6 4 65535\n" + samples.astype(">u2").tobytes()
    assert np.array_equal(read_image(data).pixels, rounded(samples))


def test_12_bit_tiff_is_scaled() -> None:
    rows = [(0, 1000), (2048, 4095)]
    strip = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in rows)
    entries = [
        (256, 4, 2),
        (257, 4, 2),
        (258, 3, 12),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, 2),
        (279, 4, len(strip)),
    ]
    data = b"II*\0" + struct.pack("<I", 8 + 6) + strip + struct.pack("<H", len(entries))
    data += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    data += bytes(4)
    assert to_array(read_image(data)).tolist() == [[0, 62], [128, 255]]


@pytest.mark.parametrize("mode", ["F", "I"])
def test_samples_without_white_are_refused(mode: str) -> None:
    with pytest.raises(ImageError, match=r"x\.tif: samples of floating point .* convert them"):
        read_image(saved(Image.new(mode, (3, 3)), "TIFF"), name="x.tif")
    with pytest.raises(ImageError, match="no defined white"):
        from_pil(Image.new(mode, (3, 3)))


# Palettes and transparency


def test_palette_becomes_rgb_even_if_grey() -> None:
    pixels = np.repeat(noise(4, 6, 1, 4) * 80, 3, axis=2)
    picture = read_image(saved(Image.fromarray(pixels).quantize(4), "PNG"))
    assert not picture.grey
    assert np.array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("transparency", [2, bytes([255, 128, 0])])
def test_palette_with_transparency(transparency: int | bytes) -> None:
    index = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    source = Image.fromarray(index, "P")
    source.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture = read_image(saved(source, "PNG", transparency=transparency))
    opacity = [255, 255, 0] if transparency == 2 else [255, 128, 0]
    assert np.array_equal(alpha_of(picture), np.array(opacity)[index])
    assert picture.pixels[1, 0].tolist() == [70, 80, 90]


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_grey(depth: int) -> None:
    samples = noise(7, 9, 1, 2**depth)
    key = int(samples[3, 3, 0])
    picture = read_image(png(samples, 0, depth, chunk(b"tRNS", struct.pack(">H", key))))
    assert picture.grey
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, samples[..., 0] == key)


@pytest.mark.parametrize("depth", [8, 16])
def test_transparent_colour(depth: int) -> None:
    samples = noise(7, 9, 3, 2**depth)
    samples[2, 2] = samples[3, 3]
    samples[4, 4] = samples[3, 3] ^ 1  # differs in the low byte alone
    key = struct.pack(">3H", *samples[3, 3].tolist())
    picture = read_image(png(samples, 2, depth, chunk(b"tRNS", key)))
    assert picture.alpha is not None
    assert np.argwhere(picture.alpha == 0).tolist() == [[2, 2], [3, 3]]


def test_transparent_colour_of_a_loaded_pillow_image() -> None:
    samples = noise(4, 4, 3, 65536)
    key = struct.pack(">3H", *samples[1, 2].tolist())
    source = Image.open(io.BytesIO(png(samples, 2, 16, chunk(b"tRNS", key))))
    source.load()
    picture = from_pil(source)
    assert picture.alpha is not None
    assert picture.alpha[1, 2] == 0
    assert np.array_equal(picture.pixels, (samples >> 8).astype(np.uint8))


def test_opaque_alpha_is_dropped_and_straight_alpha_kept() -> None:
    rgba = noise(4, 6, 4)
    rgba[..., 3] = 255
    assert read_image(saved(Image.fromarray(rgba), "PNG")).alpha is None
    rgba[0, 0] = [200, 100, 50, 0]
    picture = read_image(saved(Image.fromarray(rgba), "PNG"))
    assert np.array_equal(picture.pixels, rgba[..., :3])
    assert picture.alpha is not None


def test_first_frame_of_animations_and_first_page() -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "lime", "blue")]
    for kind, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert read_image(data).pixels[3, 3].tolist() == [255, 0, 0]


def test_transparent_gif() -> None:
    source = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    source.putpalette([255, 0, 0, 0, 255, 0])
    picture = read_image(saved(source, "GIF", transparency=1))
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[255, 0], [0, 255]]
    assert picture.pixels[0, 0].tolist() == [255, 0, 0]


def test_interlaced_png() -> None:
    """Adam7 of 2 x 2 pixels, 16 bits: passes 1, 6 and 7."""
    samples = noise(2, 2, 3, 65536)
    wide = samples.astype(">u2")
    rows = b"".join(b"\0" + part.tobytes() for part in (wide[0, :1], wide[0, 1:], wide[1]))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 1))
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.array_equal(read_image(data).pixels, rounded(samples))


# Colour spaces


def test_cmyk_without_profile_uses_the_plain_formula() -> None:
    flat = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for kind in ("JPEG", "TIFF"):
        picture = read_image(saved(flat, kind))
        assert np.abs(picture.pixels.astype(int) - [255, 0, 0]).max() <= 4
        assert not picture.grey


@pytest.mark.parametrize("profile", [SRGB, b"no profile at all"])
def test_cmyk_with_unusable_profile(profile: bytes) -> None:
    picture = read_image(saved(Image.new("CMYK", (8, 8)), "TIFF", icc_profile=profile))
    assert picture.pixels.min() == 255
    assert picture.icc is None


def test_cmyk_is_converted_by_its_profile() -> None:
    profile = cmyk_profile()
    source = Image.fromarray(noise(16, 16, 4), "CMYK")
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        "CMYK",
        "RGB",
        ImageCms.Intent.PERCEPTUAL,
    )
    expected = np.asarray(transform.apply(source))
    picture = read_image(saved(source, "TIFF", icc_profile=profile))
    assert np.array_equal(picture.pixels, expected)
    assert not np.array_equal(picture.pixels, np.asarray(source.convert("RGB")))
    assert picture.icc is None


@pytest.mark.parametrize("mode", ["HSV", "YCbCr", "LAB", "PA", "RGBa", "La", "RGBX"])
def test_other_modes_of_pillow(mode: str) -> None:
    source = Image.new("RGBA", (4, 4), (250, 30, 10, 255))
    if mode == "LAB":
        rgb = source.convert("RGB")
        to_lab = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        )
        converted = to_lab.apply(rgb)
    elif mode in {"PA", "La"}:
        converted = source.convert("LA").convert(mode)
    elif mode == "RGBa":
        converted = source.convert(mode)
    else:
        converted = source.convert("RGB").convert(mode)
    converted.info["icc_profile"] = SRGB
    picture = from_pil(converted)
    expected = [93] * 3 if mode in {"PA", "La"} else [250, 30, 10]
    tolerance = 8 if mode == "LAB" else 3  # L*a*b* of 8 bits is coarse
    assert np.abs(picture.pixels.astype(int) - expected).max() <= tolerance
    assert picture.alpha is None
    assert picture.grey == (mode == "La")
    assert (picture.icc is None) == (mode == "LAB")


def test_profile_of_rgb_and_grey_is_kept_and_pixels_untouched() -> None:
    pixels = noise(4, 6)
    picture = read_image(saved(Image.fromarray(pixels), "PNG", icc_profile=SRGB))
    assert picture.icc == SRGB
    assert np.array_equal(picture.pixels, pixels)


# Safety


def test_limit_is_checked_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.new("L", (100, 100)), "PNG")
    assert read_image(data, max_pixels=10_000).width == 100
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    for limit in (9_999, 4_000):
        with pytest.raises(LimitError, match=r"^x\.png: .*raise it with --max-pixels"):
            read_image(data, max_pixels=limit, name="x.png")


def test_pillows_own_limit_neither_warns_nor_forbids(monkeypatch: pytest.MonkeyPatch) -> None:
    tall = Image.new("RGB", (300, 400), (9, 8, 7))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for kind in ("PNG", "WEBP", "GIF", "TIFF", "JPEG"):
        assert read_image(saved(tall, kind), max_pixels=None).height == 400
        assert read_image(saved(tall, kind), max_pixels=120_000).height == 400
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_settings_are_restored_after_concurrent_calls() -> None:
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    good = saved(Image.fromarray(noise(64, 64)), "PNG")
    seen: list[object] = []

    def work(limit: int | None) -> None:
        for _ in range(20):
            seen.append(np.array_equal(read_image(good, max_pixels=limit).pixels, noise(64, 64)))
            with pytest.raises(DcnError):
                read_image(good[:200], max_pixels=limit)

    threads = [threading.Thread(target=work, args=(limit,)) for limit in (None, 5000, 10**9, 5000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 80
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_files_without_pixels(size: tuple[int, int]) -> None:
    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    data += chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match=r"^zero\.png: "):
        read_image(data, name="zero.png")


def test_messages_name_the_file_and_the_remedy(tmp_path: Path) -> None:
    empty, text, cut = tmp_path / "empty.png", tmp_path / "text.png", tmp_path / "cut.png"
    empty.touch()
    text.write_text("This is not an image.\n" * 20)
    cut.write_bytes(png(noise(30, 30), 2, 8)[:500])
    cases: list[tuple[Path | str, str]] = [
        (tmp_path / "none.png", "no such file; check"),
        (tmp_path, "is a folder; name an image"),
        (empty, "is empty; get the file again"),
        (text, "not an image, or damaged at its beginning; formats read: PNG"),
        (cut, "damaged or truncated .*; get the file again"),
        ("nul\0.png", "cannot be opened"),
    ]
    for path, message in cases:
        with pytest.raises(ImageError, match=message) as caught:
            read_image(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match=r"^image data: is empty"):
        read_image(b"")
    with pytest.raises(ImageError, match=r"^standard input: is empty"):
        read_image(io.BytesIO(), name="standard input")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match=r"a\.png: cannot be opened \(Permission denied\); check"):
        read_image(tmp_path / "a.png")


def test_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(colour, "_fill", fail)
    with pytest.raises(LimitError, match=r"^a\.png: too large for the memory"):
        read_image(saved(Image.new("L", (3, 3)), "PNG"), name="a.png")


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"rubbish, and not short",
        b"II*\0",
        b"II*\0\xff\xff\xff\x7f",
        b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\x7f\0\0\0\0" * 3,
        exif_block(3)[:30],
    ],
)
def test_corrupt_exif_is_harmless(block: bytes, tmp_path: Path) -> None:
    pixels = noise(16, 16)
    for kind in ("JPEG", "PNG", "WEBP"):
        options = {"exif": b"Exif\0\0" + block} if block else {}
        picture = read_image(saved(Image.fromarray(pixels), kind, **options))
        assert picture.pixels.shape == (16, 16, 3)
        for suffix in (".png", ".tif", ".webp", ".jpg"):
            write_image(picture, tmp_path / f"out{suffix}", overwrite=True)
            assert read_image(tmp_path / f"out{suffix}").pixels.shape == (16, 16, 3)


def samples_of_formats() -> dict[str, bytes]:
    rgb = Image.fromarray(np.asarray(Image.fromarray(noise(8, 8)).resize((40, 30))))
    exif = exif_block(6)
    return {
        "png": saved(rgb, "PNG", exif=exif, icc_profile=SRGB),
        "png16": png(noise(12, 12, 4, 65536), 6),
        "jpeg": saved(rgb, "JPEG", exif=b"Exif\0\0" + exif),
        "progressive": saved(rgb, "JPEG", progressive=True),
        "tiff": saved(rgb, "TIFF", exif=b"Exif\0\0" + exif),
        "lzw": saved(rgb, "TIFF", compression="tiff_lzw"),
        "webp": saved(rgb, "WEBP", exif=exif, xmp=XMP % 6),
        "lossless": saved(rgb, "WEBP", lossless=True),
        "gif": saved(rgb, "GIF"),
        "bmp": saved(rgb, "BMP"),
        "ppm": saved(rgb, "PPM"),
        "jp2": saved(rgb, "JPEG2000"),
    }


def outcome(data: bytes) -> Picture | ImageError | LimitError:
    try:
        return read_image(data, name="x", max_pixels=1_000_000)
    except (ImageError, LimitError) as error:
        return error


def check_message(error: DcnError) -> None:
    assert str(error).startswith("x: ")
    assert "\n" not in str(error)


@pytest.mark.parametrize("kind", sorted(samples_of_formats()))
def test_truncated_files_are_never_decoded_in_part(kind: str) -> None:
    """Either an error, or every pixel: a file may lack nothing but bytes behind its pixels."""
    data = samples_of_formats()[kind]
    whole = to_array(read_image(data))
    rng = np.random.default_rng(RNG_SEED)
    lengths = set(rng.integers(1, len(data), 100).tolist()) | {1, 2, 8, 209}
    for length in sorted(lengths | {len(data) - missing for missing in (1, 2, 3, 12, 16, 21, 22)}):
        result = outcome(data[:length])
        if isinstance(result, Picture):
            assert np.array_equal(to_array(result), whole), length
            assert len(data) - length <= 21  # IEND, checksums and the last byte of a PNG's deflate
        else:
            check_message(result)


@pytest.mark.parametrize("box", ["last", "followed", "long"])
def test_jpeg_2000_needs_its_end_marker(box: str) -> None:
    """OpenJPEG returns black pixels for tiles that are missing."""
    source = Image.fromarray(noise(40, 40))
    data = saved(source, "JPEG2000", tile_size=(20, 20))
    if box == "long":
        start = data.index(b"jp2c") - 4
        stream = data[start + 8 :]
        data = data[:start] + struct.pack(">I4sQ", 1, b"jp2c", len(stream) + 16) + stream
    elif box == "followed":
        data += struct.pack(">I4s", 12, b"xml ") + b"<x/>"
    assert np.array_equal(read_image(data).pixels, noise(40, 40))
    end = data.rindex(b"\xff\xd9")
    with pytest.raises(ImageError, match="damaged or truncated"):
        read_image(data[:end] + b"\0\0" + data[end + 2 :])
    bare = saved(source, "JPEG2000", no_jp2=True, tile_size=(20, 20))
    assert np.array_equal(read_image(bare).pixels, noise(40, 40))
    starts = [i for i in range(len(bare)) if bare[i : i + 4] == b"\xff\x90\0\x0a"]
    for start in starts:
        with pytest.raises(ImageError, match="damaged or truncated"):
            read_image(bare[:start])


@pytest.mark.parametrize("kind", sorted(samples_of_formats()))
def test_hostile_mutations(kind: str) -> None:
    data = samples_of_formats()[kind]
    rng = np.random.default_rng(RNG_SEED + 1)
    for _ in range(200):
        mutant = bytearray(data)
        for _ in range(int(rng.integers(1, 6))):
            place = int(rng.integers(0, min(len(mutant), int(rng.choice([64, 1 << 30])))))
            match int(rng.integers(0, 4)):
                case 0:
                    mutant[place] = int(rng.integers(0, 256))
                case 1:
                    mutant[place : place + 4] = bytes([int(rng.choice([0, 127, 255]))] * 4)
                case 2:
                    del mutant[place : place + int(rng.integers(1, 20))]
                case _:
                    mutant[place:place] = rng.bytes(int(rng.integers(1, 20)))
        result = outcome(bytes(mutant))
        if isinstance(result, Picture):
            assert 0 < result.height * result.width <= 1_000_000
        else:
            check_message(result)


# Arrays and Pillow


def test_arrays() -> None:
    for shape in ((4, 6), (4, 6, 1)):
        picture = from_array(noise(4, 6, 1).reshape(shape))
        assert picture.grey
        assert np.array_equal(to_array(picture), noise(4, 6, 1)[..., 0])
    assert np.array_equal(to_array(from_array(noise(4, 6))), noise(4, 6))
    assert np.array_equal(to_array(from_array(noise(4, 6, 4))), noise(4, 6, 4))
    opaque = noise(4, 6, 4)
    opaque[..., 3] = 255
    assert from_array(opaque).alpha is None
    wide = noise(40, 60, 3, 65536)
    assert np.array_equal(from_array(wide).pixels, rounded(wide))
    assert np.array_equal(from_array(wide.astype(">u2")).pixels, rounded(wide))
    assert from_array(np.array([[0.0, 0.5, 1.0]], np.float32)).pixels[0, :, 0].tolist() == [
        0,
        128,
        255,
    ]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4,), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4), np.int32),
        np.zeros((4, 4), bool),
        np.full((4, 4), 1.01),
        np.full((4, 4), np.nan),
        np.array([["a"]]),
    ],
)
def test_arrays_that_are_no_picture(array: npt.NDArray[Any]) -> None:
    with pytest.raises(ImageError, match=r"array.*give"):
        from_array(array)


def test_pictures_check_their_arrays() -> None:
    pixels: Any
    alpha: Any
    for pixels in (np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8)):
        with pytest.raises(ImageError, match="give"):
            Picture(pixels)
    for alpha in (np.zeros((2, 3), np.uint8), np.zeros((2, 2))):
        with pytest.raises(ImageError, match=r"alpha is .* give uint8 of 2 x 2"):
            Picture(np.zeros((2, 2, 3), np.uint8), alpha)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_pillow_images(channels: int, mode: str) -> None:
    picture = from_array(noise(4, 6, channels))
    picture = Picture(picture.pixels, picture.alpha, picture.grey, SRGB, exif_block(1), XMP % 1)
    converted = to_pil(picture)
    assert converted.mode == mode
    back = from_pil(converted)
    assert np.array_equal(to_array(back), to_array(picture))
    assert (back.icc, back.exif, back.xmp) == (SRGB, exif_block(1), XMP % 1)


def test_pillow_image_is_not_changed() -> None:
    source = Image.open(io.BytesIO(png(noise(3, 5, 2, 65536), 4)))
    picture = from_pil(source)
    assert picture.pixels.shape == (3, 5, 3)
    assert source.mode == "RGBA"
    assert np.array_equal(np.asarray(source)[..., 0], noise(3, 5, 2, 65536)[..., 0] >> 8)


def test_large_pictures_are_converted_in_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colour, "BOX_PIXELS", 5)
    for samples in (noise(3, 12, 4), noise(12, 3, 4)):
        data = saved(Image.fromarray(samples), "PNG", exif=exif_block(6))
        assert np.array_equal(to_array(read_image(data)), np.rot90(samples, -1))


# Writing


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff", ".webp", ".ppm", ".bmp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lossless_formats(suffix: str, channels: int, tmp_path: Path) -> None:
    samples = noise(5, 7, channels)
    path = tmp_path / f"a{suffix}"
    picture = from_array(samples)
    if channels == 4 and suffix in {".ppm", ".bmp"}:
        with pytest.raises(UsageError, match=r"cannot hold alpha; write \.png"):
            write_image(picture, path)
        assert not list(tmp_path.iterdir())
        return
    write_image(picture, path)
    back = read_image(path)
    assert np.array_equal(back.pixels, picture.pixels)
    assert (back.alpha is None) == (channels < 4)
    if channels == 4:
        assert np.array_equal(alpha_of(back), alpha_of(picture))
    assert back.grey == (channels == 1 and suffix not in {".webp", ".ppm"})


def test_grey_with_alpha_is_written(tmp_path: Path) -> None:
    pair = noise(5, 7, 2)
    picture = from_pil(Image.fromarray(pair, "LA"))
    for suffix in (".png", ".tif", ".webp"):
        write_image(picture, tmp_path / f"a{suffix}")
        back = read_image(tmp_path / f"a{suffix}")
        assert np.array_equal(to_array(back), to_array(picture))


def test_pgm_holds_grey_alone(tmp_path: Path) -> None:
    write_image(from_array(noise(5, 7, 1)), tmp_path / "a.pgm")
    assert (tmp_path / "a.pgm").read_bytes() == b"P5\n7 5\n255\n" + noise(5, 7, 1).tobytes()
    with pytest.raises(UsageError, match=r"cannot hold colour; write \.ppm"):
        write_image(from_array(noise(5, 7)), tmp_path / "b.pgm")


def test_jpeg_is_of_high_quality_without_subsampling(tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(noise(4, 4)).resize((64, 64), Image.Resampling.BICUBIC))
    write_image(from_array(smooth), tmp_path / "a.jpg")
    back = read_image(tmp_path / "a.jpg")
    assert np.abs(back.pixels.astype(int) - smooth).mean() < 1.5
    opened: Any
    with Image.open(tmp_path / "a.jpg") as opened:
        assert {component[1:3] for component in opened.layer} == {(1, 1)}
    with pytest.raises(UsageError, match="alpha"):
        write_image(from_array(noise(5, 7, 4)), tmp_path / "b.jpg")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_metadata_is_written(suffix: str, tmp_path: Path) -> None:
    picture = Picture(noise(16, 16), None, False, SRGB, exif_block(1), XMP % 1)
    write_image(picture, tmp_path / f"a{suffix}")
    back = read_image(tmp_path / f"a{suffix}")
    assert back.icc == SRGB
    assert back.xmp == XMP % 1
    if suffix == ".tif":
        parsed = Image.Exif()
        parsed.load(back.exif or b"")
        assert parsed[0x010F] == "Cam"
    else:
        assert back.exif == exif_block(1)


def test_exif_cannot_change_the_layout_of_a_tiff(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0100], exif[0x0103], exif[0x010F] = 9999, 6, "Cam"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    block = exif.tobytes()[6:]
    write_image(Picture(noise(6, 5), exif=block), tmp_path / "a.tif")
    back = read_image(tmp_path / "a.tif")
    assert np.array_equal(back.pixels, noise(6, 5))
    parsed = Image.Exif()
    parsed.load(back.exif or b"")
    assert dict(parsed.get_ifd(0x8769)) == {0x9003: "2020:01:02 03:04:05"}


def test_grey_profile_does_not_reach_rgb_webp() -> None:
    grey = SRGB[:16] + b"GRAY" + SRGB[20:]
    out = io.BytesIO()
    write_image(Picture(noise(4, 4), grey=True, icc=grey), out, format="webp")
    assert read_image(out.getvalue()).icc is None


def test_metadata_too_long_for_jpeg(tmp_path: Path) -> None:
    long = exif_block(1) + bytes(65_527 - len(exif_block(1)))
    write_image(Picture(noise(4, 4), exif=long, xmp=bytes(65_504)), tmp_path / "a.jpg")
    for picture in (
        Picture(noise(4, 4), icc=bytes(255 * 65_519 + 1)),
        Picture(noise(4, 4), exif=long + b"x"),
        Picture(noise(4, 4), xmp=bytes(65_505)),
    ):
        with pytest.raises(UsageError, match=r"b\.jpg: .* bytes of .* write \.png"):
            write_image(picture, tmp_path / "b.jpg")


def test_sides_too_long() -> None:
    wide = Picture(np.zeros((1, 70_000, 3), np.uint8))
    for name in ("jpg", "webp"):
        with pytest.raises(UsageError, match=r"70000 x 1 pixels; .* write \.png"):
            write_image(wide, io.BytesIO(), format=name)


def test_whatever_pillow_raises_while_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no\nway")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OutputError, match=r"a\.png: cannot be written \(no way\)"):
        write_image(from_array(noise(2, 2)), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_unknown_formats_list_the_known_ones(tmp_path: Path) -> None:
    for name in ("a.xyz", "a"):
        with pytest.raises(UsageError, match=r"choose one of \.png, \.ppm"):
            write_image(from_array(noise(2, 2)), tmp_path / name)
    with pytest.raises(UsageError, match=r"output stream: .*'\.gif'"):
        write_image(from_array(noise(2, 2)), io.BytesIO(), format="gif")
    assert not list(tmp_path.iterdir())


def test_overwriting_must_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_image(from_array(noise(2, 2)), path)
    with pytest.raises(DcnError):
        write_image(from_array(noise(3, 3)), path)
    write_image(from_array(noise(3, 3)), path, overwrite=True, format="bmp")
    assert read_image(path).height == 3
    assert path.read_bytes()[:2] == b"BM"


class Pipe(io.RawIOBase):
    """A stream that can only go forwards, and breaks if told to."""

    def __init__(self, broken: bool = False) -> None:
        self.data = b""
        self.broken = broken

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.broken:
            raise BrokenPipeError(32, "Broken pipe")
        self.data += bytes(data)
        return len(data)


@pytest.mark.parametrize("name", ["png", "tiff", "webp", ".jpeg", "BMP", "ppm"])
def test_writes_into_pipes(name: str) -> None:
    pipe: Any = Pipe()
    broken: Any = Pipe(broken=True)
    write_image(from_array(noise(16, 16)), pipe, format=name)
    assert read_image(pipe.data).width == 16
    with pytest.raises(OutputError, match=r"output stream: cannot be written \(Broken pipe\)"):
        write_image(from_array(noise(16, 16)), broken, format=name)


def test_import_is_light() -> None:
    assert "torch" not in Path(image.__file__).read_text()
