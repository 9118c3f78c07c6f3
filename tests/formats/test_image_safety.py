"""Image files that are damaged, hostile or too large."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from picture_samples import (
    RNG_SEED,
    SRGB,
    XMP,
    chunk,
    exif_block,
    noise,
    png,
    saved,
)
from PIL import Image, ImageFile

from dcncodec.errors import DcnError, ImageError, LimitError
from dcncodec.formats import colour
from dcncodec.formats.image import (
    Picture,
    read_image,
    to_array,
    write_image,
)

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
