"""Odd image files made by code: whatever the formats allow and few programs write."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from picture_samples import chunk, png, saved
from PIL import Image

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Odd:
    """A file and who else reads it: "tifffile", "imagecodecs:NAME" or "av:DEMUXER"."""

    name: str
    data: bytes
    reader: str
    tolerance: int = 1


def ramp(channels: int = 3, most: int = 255, height: int = 40, width: int = 56) -> Array:
    """Smooth ramps, another one in each channel, that use every sample from 0 to `most`."""
    y, x = np.mgrid[:height, :width] / np.array([height - 1, width - 1]).reshape(2, 1, 1)
    planes = np.stack([x, y, (x + y) / 2, 1 - x, 1 - y][:channels], -1)
    return np.rint(planes * most).astype(np.uint8 if most < 256 else np.uint16)


def packed_rows(samples: Array, bits: int) -> bytes:
    """Rows of samples of 1 to 16 bits, each row from a whole byte on, highest bit first."""
    rows = b""
    for row in samples.reshape(samples.shape[0], -1):
        text = "".join(f"{int(value):0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows += int(text, 2).to_bytes(len(text) // 8, "big")
    return rows


def tiff(strips: list[bytes], tags: dict[int, Any], order: str = "<", big: bool = False) -> bytes:
    """A TIFF file by hand; values are ints (SHORT, or LONG where large), tuples or bytes."""
    head = (b"II" if order == "<" else b"MM") + (
        struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8)
    )
    width, inline = (20, 8) if big else (12, 4)
    entries = dict(tags) | {273: (0,) * len(strips), 279: tuple(map(len, strips))}
    place = len(head) + (8 if big else 2) + width * len(entries) + (8 if big else 4)
    extra = b""
    places = []
    for strip in strips:
        places.append(place + len(extra))
        extra += strip + b"\0" * (len(strip) % 2)
    entries[273] = tuple(places)
    table = struct.pack(order + ("Q" if big else "H"), len(entries))
    for tag, value in sorted(entries.items()):
        if isinstance(value, bytes):
            kind, count, raw = 7, len(value), value
        else:
            values = value if isinstance(value, tuple) else (value,)
            kind = 4 if tag in {273, 279} or max(values) > 65535 else 3
            count, raw = len(values), struct.pack(f"{order}{len(values)}{'HI'[kind - 3]}", *values)
        table += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count)
        if len(raw) <= inline:
            table += raw.ljust(inline, b"\0")
        else:
            table += struct.pack(order + ("Q" if big else "I"), place + len(extra))
            extra += raw + b"\0" * (len(raw) % 2)
    return head + table + bytes(8 if big else 4) + extra


def plain_tiff(samples: Array, bits: int, photometric: int, **more: Any) -> bytes:
    """One strip of samples, packed."""
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    order = more.pop("order", "<")
    big = more.pop("big", False)
    wide = bits == 16
    data = samples.astype(order + "u2").tobytes() if wide else packed_rows(samples, bits)
    tags = {
        256: width, 257: height, 258: (bits,) * channels, 259: 1, 262: photometric,
        277: channels, 278: height,
    } | {int(tag[1:]): value for tag, value in more.items()}  # fmt: skip
    return tiff([data], tags, order, big)


def tiffs() -> Iterator[Odd]:
    """Layouts of TIFF that Pillow writes and those that it does not."""
    import tifffile

    grey = ramp(1)[..., 0]
    for bits in (1, 2, 4, 8, 12, 16):
        samples = ramp(1, 2**bits - 1)[..., 0]
        for kind, name in ((1, "black is zero"), (0, "white is zero")):
            for order in "<>" if bits == 16 else "<":
                data = plain_tiff(samples, bits, kind, order=order)
                yield Odd(f"tiff grey {bits} bits, {name} {order}", data, "tifffile")
    for bits in (3, 5, 6, 10, 14):
        samples = ramp(1, 2**bits - 1)[..., 0]
        yield Odd(f"tiff grey {bits} bits", plain_tiff(samples, bits, 1), "tifffile")
    for bits in (2, 4, 12):
        yield Odd(f"tiff rgb {bits} bits", plain_tiff(ramp(3, 2**bits - 1), bits, 2), "tifffile")
    yield Odd("tiff fill order 2", plain_tiff(_reversed(grey), 8, 1, t266=2), "tifffile")
    yield Odd("bigtiff", plain_tiff(ramp(3), 8, 2, big=True), "tifffile")
    yield Odd("tiff rgb without photometric", plain_tiff(ramp(3), 8, 2, t262=65000), "tifffile")
    for channels, extra in ((4, 0), (4, 1), (4, 2), (5, 0), (5, 2)):
        name = f"tiff rgb of {channels} samples, extra {extra}"
        extras = (extra,) + (0,) * (channels - 4)
        yield Odd(name, plain_tiff(_opaque(ramp(channels)), 8, 2, t338=extras), "tifffile", 3)
    yield Odd("tiff rgb, 4 samples, none extra", plain_tiff(ramp(4), 8, 2), "tifffile")
    yield Odd("tiff grey, 2 samples, none extra", plain_tiff(ramp(2), 8, 1), "tifffile")
    for value, name in ((2, "signed"), (3, "float"), (4, "void"), (6, "complex")):
        yield Odd(
            f"tiff {name} of 8 bits", plain_tiff(ramp(3), 8, 2, t339=(value,) * 3), "tifffile"
        )
        wide = plain_tiff(ramp(1, 65535)[..., 0], 16, 1, t339=value)
        yield Odd(f"tiff {name} of 16 bits", wide, "tifffile")
    yield Odd("tiff cmyk", plain_tiff(ramp(4), 8, 5), "tifffile:cmyk", 2)
    yield Odd("tiff cmyk, 5 samples", plain_tiff(ramp(5), 8, 5, t338=2), "tifffile:cmyk", 2)
    yield Odd("tiff cmyk of 16 bits", plain_tiff(ramp(4, 65535), 16, 5), "tifffile:cmyk", 3)
    yield Odd("tiff other inks", plain_tiff(ramp(4), 8, 5, t332=2), "tifffile:cmyk", 2)
    for order in "<>":
        for compression in (None, "zlib", "lzw", "packbits", "zstd", "lzma"):
            for dtype in (np.uint8, np.uint16):
                for planar in ("contig", "separate"):
                    samples = ramp(3, 255 if dtype == np.uint8 else 65535)
                    if planar == "separate":
                        samples = np.moveaxis(samples, 2, 0)
                    for predictor in (None, True) if compression else (None,):
                        out = io.BytesIO()
                        tifffile.imwrite(
                            out, samples, photometric="rgb", planarconfig=planar,
                            compression=compression, predictor=predictor, byteorder=order,
                            tile=(16, 32) if compression == "zlib" else None,
                        )  # fmt: skip
                        name = f"tiff {dtype.__name__} {planar} {compression} {predictor} {order}"
                        yield Odd(name, out.getvalue(), "tifffile")
    flipped = Image.fromarray(ramp(3))
    for compression in ("group3", "group4", "tiff_ccitt"):
        bilevel = Image.fromarray(grey).convert("1")
        yield Odd(
            f"tiff {compression}", saved(bilevel, "TIFF", compression=compression), "tifffile"
        )
    yield Odd("tiff jpeg", saved(flipped, "TIFF", compression="jpeg"), "tifffile", 6)
    palette = Image.fromarray(ramp(3)).quantize(64)
    yield Odd("tiff palette", saved(palette, "TIFF"), "tifffile:palette")


def _reversed(samples: Array) -> Array:
    return np.packbits(np.unpackbits(samples[..., None], axis=-1, bitorder="little"), axis=-1)[
        ..., 0
    ]


def _opaque(samples: Array) -> Array:
    """Alpha from 128 on, so that it can be divided by."""
    samples = samples.copy()
    samples[..., 3] = 128 + samples[..., 3] // 2
    return samples


def bmp(
    rows: bytes, width: int, height: int, bits: int, compression: int = 0, *, palette: bytes = b"",
    masks: tuple[int, ...] = (), header: int = 40,
) -> bytes:  # fmt: skip
    """A BMP file by hand."""
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack(
            "<IiiHHIIiiII", header, width, height, 1, bits, compression, len(rows), 0, 0,
            len(palette) // 4, 0,
        )  # fmt: skip
        fields = b"".join(struct.pack("<I", mask) for mask in masks)
        info += (
            fields if header == 40 else fields.ljust(16, b"\0") + b"BGRs".ljust(header - 56, b"\0")
        )
    place = 14 + len(info) + len(palette)
    return struct.pack("<2sIHHI", b"BM", place + len(rows), 0, 0, place) + info + palette + rows


def _padded(rows: Array) -> bytes:
    flat = rows.reshape(rows.shape[0], -1)
    return b"".join(row.tobytes() + bytes(-len(row.tobytes()) % 4) for row in flat)


def bmps() -> Iterator[Odd]:
    """Depths, masks, run lengths and directions of BMP."""
    rgb = ramp(3)
    height, width = rgb.shape[:2]
    bgr = np.ascontiguousarray(rgb[::-1, :, ::-1])
    yield Odd("bmp 24", bmp(_padded(bgr), width, height, 24), "av:bmp_pipe")
    down = np.ascontiguousarray(rgb[..., ::-1])
    yield Odd("bmp 24 top-down", bmp(_padded(down), width, -height, 24), "av:bmp_pipe")
    yield Odd("bmp 24 of OS/2", bmp(_padded(bgr), width, height, 24, header=12), "av:bmp_pipe")
    for fill in (0, 77, 255):
        four = np.dstack((bgr, np.full((height, width), fill, np.uint8)))
        yield Odd(f"bmp 32, rest {fill}", bmp(_padded(four), width, height, 32), "av:bmp_pipe")
    alpha = np.dstack((bgr, ramp(4)[::-1, :, 3]))
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    for header in (108, 124):
        data = bmp(_padded(alpha), width, height, 32, 3, masks=masks, header=header)
        yield Odd(f"bmp 32 alpha, header {header}", data, "av:bmp_pipe")
    r, g, b = (rgb[::-1, :, i].astype(np.uint16) for i in range(3))
    packed = (r >> 3) << 10 | (g >> 3) << 5 | b >> 3
    yield Odd("bmp 16 of 5 bits", bmp(_padded(packed), width, height, 16), "av:bmp_pipe", 8)
    packed = (r >> 3) << 11 | (g >> 2) << 5 | b >> 3
    data = bmp(_padded(packed), width, height, 16, 3, masks=(0xF800, 0x7E0, 0x1F))
    yield Odd("bmp 16 of 5, 6, 5 bits", data, "av:bmp_pipe", 8)
    packed = (r >> 4) << 8 | (g >> 4) << 4 | b >> 4
    data = bmp(_padded(packed), width, height, 16, 3, masks=(0xF00, 0xF0, 0xF))
    yield Odd("bmp 16 of 4 bits", data, "av:bmp_pipe", 16)
    colours = np.random.default_rng(2).integers(0, 256, (256, 4), np.uint8)
    colours[:, 3] = 0
    for bits in (1, 4, 8):
        index = ramp(1, 2**bits - 1)[::-1, :, 0]
        rows = np.array([list(packed_rows(row[None], bits)) for row in index], np.uint8)
        data = bmp(_padded(rows), width, height, bits, palette=colours[: 2**bits].tobytes())
        yield Odd(f"bmp palette of {bits} bits", data, "av:bmp_pipe")
    index = (ramp(1, 7)[::-1, :, 0]).astype(np.uint8)
    runs = b"".join(
        b"".join(bytes([1, int(v)]) for v in row) + b"\0\0" for row in index
    ) + b"\0\1"  # fmt: skip
    data = bmp(runs, width, height, 8, 1, palette=colours[:8].tobytes())
    yield Odd("bmp run lengths of 8 bits", data, "av:bmp_pipe")
    runs = b"".join(
        b"".join(bytes([1, int(v) << 4]) for v in row) + b"\0\0" for row in index
    ) + b"\0\1"  # fmt: skip
    data = bmp(runs, width, height, 4, 2, palette=colours[:8].tobytes())
    yield Odd("bmp run lengths of 4 bits", data, "av:bmp_pipe")
    short = b"".join(bytes([width // 2, 3]) + b"\0\0" for _ in range(height)) + b"\0\1"
    data = bmp(short, width, height, 8, 1, palette=colours[:8].tobytes())
    yield Odd("bmp run lengths that leave gaps", data, "av:bmp_pipe")
    data = bmp(_padded(ramp(1, 7)[::-1, :, 0]), width, height, 8, palette=colours[:4].tobytes())
    yield Odd("bmp with indices beyond its palette", data, "av:bmp_pipe")


def pnms() -> Iterator[Odd]:
    """All kinds of PNM, with odd largest samples."""
    height, width = 40, 56
    for most in (1, 7, 100, 255, 1000, 4095, 65535):
        for kind, channels in ((5, 1), (6, 3)):
            samples = ramp(channels, most)
            wide = samples.astype(">u2" if most > 255 else "u1").tobytes()
            head = f"P{kind} # a comment\n{width} {height}\n{most}\n".encode()
            yield Odd(
                f"pnm {kind} of {most}", head + wide, f"av:{'pgm' if kind == 5 else 'ppm'}_pipe"
            )
            text = " ".join(map(str, samples.ravel().tolist())).encode()
            head = f"P{kind - 3}\n{width} {height}\n{most}\n".encode()
            yield Odd(f"pnm {kind - 3} of {most}", head + text, "numbers")
    bits = ramp(1, 1)[..., 0]
    yield Odd("pnm 4", f"P4\n{width} {height}\n".encode() + packed_rows(bits, 1), "av:pbm_pipe")
    text = "".join(map(str, bits.ravel().tolist())).encode()
    yield Odd("pnm 1", f"P1\n{width} {height}\n".encode() + text, "av:pbm_pipe")


def pngs() -> Iterator[Odd]:
    """Every colour type and depth of PNG, with and without transparency and interlacing."""
    for depth in (1, 2, 4, 8, 16):
        yield Odd(f"png grey {depth}", png(ramp(1, 2**depth - 1), 0, depth), "imagecodecs:png")
        key = chunk(b"tRNS", struct.pack(">H", 1))
        # Of one bit, imagecodecs leaves the key out; FFmpeg misses those of 2 and 4 bits.
        reader = "av:png_pipe" if depth == 1 else "imagecodecs:png"
        yield Odd(f"png grey {depth} key", png(ramp(1, 2**depth - 1), 0, depth, key), reader)
    for kind, channels in ((2, 3), (4, 2), (6, 4)):
        for depth in (8, 16):
            data = png(ramp(channels, 2**depth - 1), kind, depth)
            yield Odd(f"png type {kind} {depth}", data, "imagecodecs:png")
    colours = np.random.default_rng(4).integers(0, 256, (256, 3), np.uint8)
    for depth in (1, 2, 4, 8):
        palette = chunk(b"PLTE", colours[: 2**depth].tobytes())
        index = ramp(1, 2**depth - 1)
        yield Odd(f"png palette {depth}", png(index, 3, depth, palette), "imagecodecs:png")
        clear = palette + chunk(b"tRNS", bytes([0, 128]))
        yield Odd(f"png palette {depth} alpha", png(index, 3, depth, clear), "imagecodecs:png")
    palette = chunk(b"PLTE", colours[:100].tobytes())
    yield Odd("png beyond its palette", png(ramp(1), 3, 8, palette), "imagecodecs:png")


def jpegs() -> Iterator[Odd]:
    """Colour spaces and samplings of JPEG."""
    import imagecodecs

    rgb = ramp(3)
    for kind in ("444", "422", "420", "411", "440"):
        data = imagecodecs.jpeg8_encode(rgb, level=95, subsampling=kind)
        yield Odd(f"jpeg {kind}", data, "imagecodecs:jpeg8", 2)
    data = imagecodecs.jpeg8_encode(rgb, level=95, colorspace="RGB", outcolorspace="RGB")
    yield Odd("jpeg rgb", data, "imagecodecs:jpeg8", 2)
    yield Odd("jpeg grey", imagecodecs.jpeg8_encode(ramp(1)[..., 0], level=95), "imagecodecs:jpeg8")
    for space in ("CMYK", "YCCK"):
        data = imagecodecs.jpeg8_encode(ramp(4), 98, colorspace="CMYK", outcolorspace=space)
        yield Odd(f"jpeg {space}", data, "imagecodecs:jpeg8", 4)
        start = data.index(b"\xff\xee")
        bare = data[:start] + data[start + 16 :]
        yield Odd(f"jpeg {space} without Adobe's marker", bare, "imagecodecs:jpeg8", 4)
    for options in ({"progressive": True}, {"restart_marker_rows": 1}, {"quality": 100}):
        data = saved(Image.fromarray(rgb), "JPEG", **options)
        yield Odd(f"jpeg {next(iter(options))}", data, "imagecodecs:jpeg8", 2)
    wide = imagecodecs.jpeg8_encode(ramp(3, 4095), level=95, bitspersample=12)
    yield Odd("jpeg 12 bits", wide, "imagecodecs:jpeg8")
    yield Odd("jpeg lossless", imagecodecs.ljpeg_encode(ramp(1)[..., 0]), "imagecodecs:ljpeg")
    yield Odd("jpeg-ls", imagecodecs.jpegls_encode(rgb), "imagecodecs:jpegls")


def others() -> Iterator[Odd]:
    """JPEG 2000, AVIF, WebP, GIF."""
    import imagecodecs

    for form in ("jp2", "j2k"):
        for bits in (1, 4, 8, 9, 10, 12, 16):
            for channels in (1, 2, 3, 4):
                samples = ramp(channels, 2**bits - 1).squeeze()
                data = imagecodecs.jpeg2k_encode(
                    samples, level=0, reversible=True, codecformat=form, bitspersample=bits
                )
                name = f"{form} {channels} samples of {bits} bits"
                yield Odd(name, data, f"imagecodecs:jpeg2k:{2**bits - 1}")
        data = imagecodecs.jpeg2k_encode(ramp(3).astype(np.int8), level=0, codecformat=form)
        yield Odd(f"{form} signed", data, "imagecodecs:jpeg2k")
    for channels in (1, 3, 4):
        for bits in (8, 10, 12):
            samples = ramp(channels, 2**bits - 1).squeeze()
            for form in ("400",) if channels == 1 else ("444", "422", "420"):
                data = imagecodecs.avif_encode(
                    samples, level=90, bitspersample=bits, pixelformat=form, speed=8
                )
                name = f"avif {channels} samples of {bits} bits {form}"
                yield Odd(name, data, f"imagecodecs:avif:{2**bits - 1}", 2)
    for channels in (3, 4):
        for lossless in (True, False):
            data = imagecodecs.webp_encode(ramp(channels), level=80, lossless=lossless)
            yield Odd(f"webp {channels} {lossless}", data, "imagecodecs:webp")
    indexed = Image.fromarray(ramp(3)).quantize(32)
    yield Odd("gif interlaced", saved(indexed, "GIF", interlace=1), "imagecodecs:gif")
    yield Odd("gif", saved(indexed, "GIF", interlace=0), "imagecodecs:gif")
    yield Odd("gif with transparency", saved(indexed, "GIF", transparency=3), "av:gif")
    small = saved(indexed, "GIF", interlace=0)
    yield Odd(
        "gif on a larger screen", small[:6] + struct.pack("<HH", 70, 50) + small[10:], "av:gif"
    )


def all_kinds() -> list[Odd]:
    """Every kind above."""
    makers = (tiffs, bmps, pnms, pngs, jpegs, others)
    return [odd for maker in makers for odd in maker()]
