"""PNG files as Pillow reads them: all kinds of pictures, their metadata, any number of threads."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from picture_samples import SRGB
from PIL import Image

from dcncodec.errors import MissingLibraryError
from dcncodec.formats import png
from dcncodec.formats.png import Samples, write_png

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def written(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    file = io.BytesIO()
    height, width, channels = pixels.shape
    write_png(file, Samples(pixels, width, height, channels), **options)
    return file.getvalue()


def photo(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Smooth, with noise."""
    random = np.random.default_rng(height * width)
    y, x = np.indices((height, width))[..., None]
    waves = 120 + 100 * np.sin(x / 9) * np.cos(y / 7)
    return (waves + random.normal(0, 3, (height, width, channels))).clip(0, 255).astype(np.uint8)


def drawing(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Flat colours that repeat."""
    y, x = np.mgrid[:height, :width]
    return np.repeat(((y // 8 + x // 8) % 2 * 200)[..., None], channels, 2).astype(np.uint8)


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (40, 33), (300, 411)])
@pytest.mark.parametrize("make", [photo, drawing])
def test_pillow_reads_it(channels: int, size: tuple[int, int], make: Any) -> None:
    pixels = make(*size, channels)
    data = written(pixels)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.mode == MODES[channels]
        np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)
    assert all(written(pixels, threads=count) == data for count in (2, 7))


def test_rows_that_do_not_follow_each_other() -> None:
    wide = photo(30, 50, 3)
    file = io.BytesIO()
    write_png(file, Samples(wide, 41, 30, 3, pitch=150))
    assert file.getvalue() == written(np.ascontiguousarray(wide[:, :41]))


def test_residuals_are_those_of_the_specification() -> None:
    """Filter 4 of section 9.4, sample by sample."""
    pixels = photo(5, 4, 3).astype(int)
    data = written(pixels.astype(np.uint8))
    deflated = data[data.index(b"IDAT") + 4 : -16]
    rows = np.frombuffer(zlib.decompress(deflated), np.uint8).reshape(5, 13)
    assert (rows[:, 0] == 4).all()
    padded = np.pad(pixels, ((1, 0), (1, 0), (0, 0)))
    for y, x, c in np.ndindex(5, 4, 3):
        left, above, corner = padded[y + 1, x, c], padded[y, x + 1, c], padded[y, x, c]
        near = min((left, above, corner), key=lambda v: abs(left + above - corner - v))
        assert rows[y, 1 + 3 * x + c] == (pixels[y, x, c] - near) % 256


def test_sizes() -> None:
    """A photo takes no more than of zlib's usual level, a drawing is searched for strings."""
    for pixels, factor in ((photo(300, 400, 3), 1.02), (drawing(300, 400, 3), 1.5)):
        usual = io.BytesIO()
        Image.fromarray(pixels).save(usual, "PNG")
        assert len(written(pixels)) < factor * len(usual.getvalue())


@pytest.mark.parametrize(("unit", "metre"), [(1, None), (2, 11811), (3, 30000)])
def test_metadata(unit: int, metre: int | None) -> None:
    exif = density(unit)
    data = written(photo(4, 4, 3), icc=SRGB, exif=exif, xmp=b"<x:xmpmeta/>")
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.info["icc_profile"] == SRGB
        assert image.info["exif"].removeprefix(b"Exif\0\0") == exif
        assert image.info["xmp"] == b"<x:xmpmeta/>"
    place = data.find(b"pHYs")
    stated = struct.unpack_from(">2IB", data, place + 4) if place >= 0 else None
    assert stated == (None if metre is None else (metre, metre, 1))


def density(unit: int) -> bytes:
    """An EXIF block of 300 pixels a unit."""
    entries = ((0x011A, 5, 1, 50), (0x011B, 5, 1, 50), (0x0128, 3, 1, unit))
    block = b"II*\0" + struct.pack("<IH", 8, len(entries))
    block += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return block.ljust(50, b"\0") + struct.pack("<2I", 300, 1)


def test_without_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    png._extension.cache_clear()
    monkeypatch.delattr("dcncodec._png", raising=False)
    monkeypatch.setitem(sys.modules, "dcncodec._png", None)
    with pytest.raises(MissingLibraryError, match="C core is not built"):
        written(photo(4, 4, 3))
    png._extension.cache_clear()


def deflated(content: bytes, *, last: bool) -> bytes:
    core = png._extension()
    out = bytearray(core.lib.dcn_png_bound(len(content)))
    ffi = core.ffi
    taken = core.lib.dcn_png_deflate(
        ffi.from_buffer("uint8_t[]", out), ffi.from_buffer("uint8_t[]", content), len(content), last
    )
    return bytes(out[:taken])


def fibonacci(bits: int) -> bytes:
    """Bytes whose Huffman code has codes of so many bits."""
    counts = [1, 1]
    while len(counts) < bits:
        counts.append(counts[-1] + counts[-2])
    values = np.repeat(np.arange(bits, dtype=np.uint8), counts)
    return np.random.default_rng(4).permutation(values).tobytes()


CONTENTS = {
    "one byte": b"\0",
    "one value": b"\7" * 1000,
    "all values": bytes(range(256)),
    "all values of one length but few": bytes(range(256)) * 40 + b"\1" * 9,
    "codes that are too long": fibonacci(25),
    "noise": np.random.default_rng(5).integers(0, 256, 70_000, np.uint8).tobytes(),
    "residuals": np.random.default_rng(6).normal(0, 3, 200_000).astype(np.int8).tobytes(),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_zlib_reads_what_is_deflated(name: str) -> None:
    content = CONTENTS[name]
    assert zlib.decompress(deflated(content, last=True), -zlib.MAX_WBITS) == content
    reader = zlib.decompressobj(-zlib.MAX_WBITS)
    first = deflated(content, last=False)
    assert reader.decompress(first) == content
    assert reader.decompress(deflated(b"end", last=True)) == b"end"
    assert reader.eof
    # As few bytes as zlib's own code takes, but for its header.
    own = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    assert len(first) <= 1.01 * len(own.compress(content) + own.flush()) + 100


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("number", [0, 1])
def test_a_piece_that_fails(monkeypatch: pytest.MonkeyPatch, threads: int, number: int) -> None:
    """In whatever thread it does: no file with a gap."""
    begun: list[int] = []
    compressobj = zlib.compressobj

    def scarce(*arguments: Any) -> Any:
        begun.append(0)
        if len(begun) == number + 1:
            raise MemoryError
        return compressobj(*arguments)

    monkeypatch.setattr(png.zlib, "compressobj", scarce)
    with pytest.raises(MemoryError):
        written(drawing(400, 411, 3), threads=threads)
