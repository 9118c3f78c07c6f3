"""Reading image files: one test for each rule at the top of `dcncodec.formats.image`."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from picture_samples import (
    SRGB,
    XMP,
    alpha_of,
    chunk,
    cmyk_profile,
    exif_block,
    noise,
    orientation_of,
    png,
    rounded,
    saved,
)
from PIL import Image, ImageCms, ImageOps, features

from dcncodec.errors import ImageError
from dcncodec.formats.image import (
    Picture,
    formats_read,
    formats_written,
    from_pil,
    read_image,
    to_array,
    write_image,
)

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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_leaves_pixels_as_stored_if_told(orientation: int) -> None:
    stored = np.random.default_rng(0).integers(0, 255, (6, 9, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(stored), "PNG", exif=exif)
    assert np.array_equal(read_image(data, upright=False).pixels, stored)


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
    with pytest.raises(ImageError, match=r"x\.tif: .*no defined white; convert them"):
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
