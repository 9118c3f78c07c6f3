"""EXIF and XMP follow the pixels and keep every other byte, from file to file."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odd_images import plain_tiff, ramp
from picture_samples import chunk, exif_block, orientation_of, png, saved
from PIL import Image

from dcncodec.formats import exif, ifd, xmp
from dcncodec.formats.image import Picture, read_image, write_image
from dcncodec.notices import Notice

PIXELS = ramp(3)
TEXT = "Jürgen 写真\0".encode()
SUFFIXES = (".png", ".jpg", ".webp", ".tif", ".avif")


def block(order: str = "<", orientation: int = 1) -> bytes:
    """Text that is not ASCII, sizes, a maker note and positions."""
    e = ifd.Entry
    main = {
        0x010E: e(0x010E, 2, len(TEXT), TEXT),
        0x0112: ifd.short(order, 0x0112, orientation),
        0x013B: e(0x013B, 2, 5, b"abcd\0"),
        0x0100: ifd.long(order, 0x0100, 56),
        0x0101: ifd.short(order, 0x0101, 40),
    }
    photo = {
        0xA002: ifd.short(order, 0xA002, 56),
        0xA003: ifd.long(order, 0xA003, 40),
        0x927C: e(0x927C, 7, 9, b"MAKERNOTE"),
        0x829A: e(0x829A, 5, 1, struct.pack(order + "II", 1, 250)),
    }
    position = {0x0001: e(0x0001, 2, 2, b"N\0"), 0x0002: e(0x0002, 5, 3, bytes(range(24)))}
    inner = {0x0001: e(0x0001, 2, 4, b"R98\0")}
    made = exif.block_of(order, main, photo, inner, position)
    assert made is not None
    return made


def value(exif_bytes: bytes | None, tag: int, pointer: int = 0) -> Any:
    structure, first = exif.first_directory(exif_bytes or b"")
    assert structure is not None
    directory = structure.pointed(first, pointer) if pointer else first
    entry = directory[tag]
    return entry.numbers(structure.order) or entry.value


def through(data: bytes, suffix: str, tmp_path: Path) -> Picture:
    """Read, written in another format and read again."""
    path = tmp_path / f"a{suffix}"
    write_image(read_image(data), path, overwrite=True)
    return read_image(path)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_text_keeps_its_bytes(suffix: str, order: str, tmp_path: Path) -> None:
    given = saved(Image.fromarray(PIXELS), "PNG", exif=block(order))
    once = through(given, suffix, tmp_path)
    twice = through((tmp_path / f"a{suffix}").read_bytes(), ".tif", tmp_path)
    for picture in (once, twice):
        assert value(picture.exif, 0x010E) == TEXT
        assert value(picture.exif, 0x013B) == b"abcd\0"
        assert value(picture.exif, 0x829A, exif.EXIF) == (1 / 250,)
        assert value(picture.exif, 0x927C, exif.EXIF) == b"MAKERNOTE"
        assert value(picture.exif, 0x0001, exif.GPS) == b"N\0"
        assert len(value(picture.exif, 0x0002, exif.GPS)) == 3


def test_directories_reach_pillow() -> None:
    parsed = Image.Exif()
    parsed.load(block())
    assert parsed.get_ifd(0x8769)[0x927C] == b"MAKERNOTE"
    assert parsed.get_ifd(0x8825)[1] == "N"
    assert parsed.get_ifd(0xA005)[1] == "R98"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_exif_is_kept_byte_for_byte(suffix: str, tmp_path: Path) -> None:
    given = saved(Image.fromarray(PIXELS), "PNG", exif=block())
    assert through(given, suffix, tmp_path).exif == block()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_sizes_follow_the_pixels(orientation: int) -> None:
    packet = b"<x tiff:ImageWidth='56' tiff:ImageLength='40'><exif:PixelXDimension>56</x>"
    data = saved(Image.fromarray(PIXELS), "WEBP", exif=block("<", orientation), xmp=packet)
    picture = read_image(data)
    width, height = (56, 40) if orientation < 5 else (40, 56)
    assert (picture.width, picture.height) == (width, height)
    assert (value(picture.exif, 0x0100), value(picture.exif, 0x0101)) == ((width,), (height,))
    assert value(picture.exif, 0xA002, exif.EXIF) == (width,)
    assert value(picture.exif, 0xA003, exif.EXIF) == (height,)
    assert picture.xmp == xmp.with_size(packet, width, height)
    assert b"tiff:ImageWidth='%d'" % width in (picture.xmp or b"")
    # Nothing else has changed.
    reset = exif.with_size(picture.exif or b"", 56, 40)
    assert reset == block("<", 1)


def test_a_short_becomes_a_long_where_it_must() -> None:
    grown = exif.with_size(block(), 70_000, 40)
    assert value(grown, 0xA002, exif.EXIF) == (70_000,)
    assert len(grown) == len(block())


# Density


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_density_is_kept(suffix: str, tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "TIFF", "BMP"):
        data = saved(Image.fromarray(PIXELS), kind, dpi=(300, 150))
        path = tmp_path / f"a{suffix}"
        notices: list[Notice] = []
        write_image(read_image(data), path, overwrite=True, notify=notices.append)
        with Image.open(path) as opened:
            assert np.allclose(opened.info["dpi"], (300, 150), atol=0.1), kind


def test_density_of_files_is_read_as_exif() -> None:
    metres = png(PIXELS, 2, 8, chunk(b"pHYs", struct.pack(">IIB", 11811, 5906, 1)))
    assert exif.density(read_image(metres).exif) == (118.11, 59.06, 3)
    ratio = png(PIXELS, 2, 8, chunk(b"pHYs", struct.pack(">IIB", 2, 1, 0)))
    assert exif.density(read_image(ratio).exif) == (2, 1, 1)
    assert read_image(png(PIXELS, 2, 8)).exif is None
    assert exif.density(read_image(saved(Image.fromarray(PIXELS), "JPEG", dpi=(72, 72))).exif) == (
        72, 72, 2,
    )  # fmt: skip


def test_density_joins_a_block_without_moving_it() -> None:
    data = saved(Image.fromarray(PIXELS), "PNG", exif=block(), dpi=(300, 300))
    grown = read_image(data).exif or b""
    assert grown[8 : len(block())] == block()[8:]
    assert value(grown, 0x010E) == TEXT
    assert value(grown, 0x927C, exif.EXIF) == b"MAKERNOTE"
    assert exif.density(grown) == (118.11, 118.11, 3)


def test_density_of_exif_comes_first() -> None:
    stated = exif.with_density(None, (72.0, 72.0, 2))
    data = saved(Image.fromarray(PIXELS), "PNG", exif=stated, dpi=(300, 300))
    assert read_image(data).exif == stated


# Hostile blocks


def bomb() -> bytes:
    """Twenty entries, each of which claims all of a megabyte."""
    size = 1_000_000
    count = 20
    table = struct.pack("<H", count) + b"".join(
        struct.pack("<HHII", 1000 + i, 7, size, 36_000) for i in range(count)
    )
    head = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 26, 0) + table
    return head.ljust(36_000, b"\0") + bytes(size)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".avif"])
def test_entries_that_share_their_data_stay_small(suffix: str, tmp_path: Path) -> None:
    picture = Picture(PIXELS, exif=bomb())
    notices: list[Notice] = []
    tracemalloc.start()
    write_image(picture, tmp_path / f"a{suffix}", notify=notices.append)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30_000_000
    assert (tmp_path / f"a{suffix}").stat().st_size < 2_000_000
    if suffix == ".tif":
        assert [n.text for n in notices] == ["EXIF data that cannot be read is left out"]


def test_mutated_blocks_are_harmless(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    original = block(">", 6)
    for _ in range(400):
        mutant = bytearray(original)
        for _ in range(int(rng.integers(1, 8))):
            mutant[int(rng.integers(0, len(mutant)))] = int(rng.integers(0, 256))
        picture = Picture(PIXELS, exif=bytes(mutant))
        buffer = io.BytesIO()
        write_image(picture, buffer, format="tif", notify=lambda _: None)
        assert np.array_equal(read_image(buffer.getvalue()).pixels, PIXELS)
        for changed in (
            exif.upright(bytes(mutant)),
            exif.with_size(bytes(mutant), 3, 4),
            exif.with_density(bytes(mutant), (1.0, 2.0, 3)),
        ):
            assert len(changed) >= len(mutant)
        exif.colour_space(bytes(mutant))


def test_tiff_files_with_odd_directories() -> None:
    """Directories in a circle, values outside the file, more entries than there can be."""
    data = bytearray(plain_tiff(PIXELS, 8, 2))
    count = struct.unpack_from("<H", data, 8)[0]
    link = 10 + 12 * count
    struct.pack_into("<I", data, link, 8)
    assert np.array_equal(read_image(bytes(data)).pixels, PIXELS)
    struct.pack_into("<I", data, link, len(data) + 100)
    assert np.array_equal(read_image(bytes(data)).pixels, PIXELS)


def test_orientation_in_avif_is_not_applied_twice(tmp_path: Path) -> None:
    data = saved(Image.fromarray(PIXELS), "PNG", exif=exif_block(6))
    picture = through(data, ".avif", tmp_path)
    assert (picture.width, picture.height) == (40, 56)
    assert orientation_of(picture.exif) in {1, None}
    assert value(picture.exif, 0x010F) == b"Cam\0"
