"""Writes the golden files. Run it only for a new format version: within one they never change.

    PYTHONPATH=tests/helpers python tests/golden/make.py

Three kinds: `streams/*.dcnb` and `files/*.dcn` with `golden.json` (encodes to the same bytes,
decodes to this), `fail.json` (must fail with exactly this message). Indices come from SHAKE-256,
which no library changes.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zstandard
from context_samples import random_model
from numpy.typing import NDArray
from safetensors.numpy import save

from dcncodec.errors import DcnError
from dcncodec.formats import bitstream, container, packed, sections
from dcncodec.formats.container import Coding, Container, Header, Metadata, Reader
from dcncodec.formats.context import ContextModel
from dcncodec.formats.context_coder import ContextCoder
from dcncodec.formats.geometry import Geometry
from dcncodec.formats.palette import Palette, Tiling, pack_area, to_colours

HERE = Path(__file__).parent
HASH = bytes(range(8))
Indices = NDArray[np.uint8]


def noise(seed: str, size: int) -> NDArray[np.uint8]:
    """`size` uniform bytes."""
    return np.frombuffer(hashlib.shake_256(seed.encode()).digest(size), np.uint8)


def bells(seed: str, channels: int, height: int, width: int) -> Indices:
    """Indices around 15, from narrow to wide over the channels, as real latents are."""
    raw = noise(seed, channels * height * width * 4).reshape(channels, -1, 4)
    planes = np.empty((channels, height * width), np.uint8)
    for channel in range(channels):
        mask = np.array([0x01, 0x55, 0xFF, 0xFF], np.uint8) if channel % 2 else np.uint8(0x11)
        planes[channel] = 11 + np.unpackbits(raw[channel] & mask, axis=1).sum(axis=1)
    return planes.clip(0, 31).reshape(channels, height, width).astype(np.uint8)


def flat(channels: int, height: int, width: int, index: int = 15) -> Indices:
    return np.full((channels, height, width), index, np.uint8)


def uniform(seed: str, channels: int, height: int, width: int) -> Indices:
    return (noise(seed, channels * height * width) & 31).reshape(channels, height, width)


def mixed() -> Indices:
    return np.concatenate([bells("mixed", 2, 20, 30), flat(1, 20, 30), uniform("mixed", 1, 20, 30)])


def streams() -> dict[str, tuple[Indices, str]]:
    """Indices and entropy mode of every golden bit-stream."""
    dots = flat(1, 255, 255)
    dots[0, ::50, ::31] = 20
    return {
        "fse": (bells("fse", 4, 24, 40), "channel"),
        "fse-odd": (bells("odd", 3, 7, 9), "channel"),
        "table-fse": (np.repeat(bells("table", 2, 12, 16), 32, axis=0), "channel"),
        "rle": (flat(5, 8, 9, 31), "channel"),
        "raw": (uniform("raw", 3, 5, 7), "channel"),
        "mixed": (mixed(), "channel"),
        "one": (flat(1, 1, 1, 7), "channel"),
        "three": (flat(2, 1, 3, 7), "channel"),
        "four": (flat(2, 2, 2, 7), "channel"),
        "largest-plane": (dots, "channel"),
        "global-fse": (bells("global", 16, 6, 6), "global"),
        "global-rle": (flat(16, 6, 6, 3), "global"),
        "global-raw": (uniform("global", 2, 3, 3), "global"),
        "global-one": (flat(1, 1, 1, 0), "global"),
    }


def header(width: int = 45, height: int = 30, **fields: object) -> Header:
    return Header(width=width, height=height, model="dcn-32c", model_hash=HASH, **fields)  # type: ignore[arg-type]


def blocks(head: Header, channels: int = 3, mode: str = "channel") -> list[bytes]:
    return [
        bitstream.encode_block(bells(f"block {number}", channels, rows, columns), mode)  # type: ignore[arg-type]
        for number, (_, _, rows, columns) in enumerate(head.block_areas())
    ]


def several() -> Header:
    return header(300, 200, block_height=16, block_width=20)


def alpha() -> NDArray[np.uint8]:
    plane = np.zeros((30, 45), np.uint8)
    plane[3:10] = np.arange(45) * 5
    plane[10:20] = (np.arange(45) * 3 + np.arange(10)[:, None] * 4) & 255
    plane[20:24] = noise("alpha", 45)
    plane[24] = noise("alpha 2", 45)
    return plane


MODEL = HERE / "context" / "model.safetensors"
CONTEXT = {
    "context": (header(), 100),
    "context-zero": (header(grey=True), 0),
    "context-several": (header(300, 200, block_height=16, block_width=20), 255),
    "context-streams": (header(1000, 900), 7),
}
"""Headers and rates of the files of mode `context`; the last one's block has several streams."""

METADATA = Metadata(b"profile " * 40, b"II*\0 exif", b"<x:xmpmeta/>")


def containers() -> dict[str, Container]:
    """Every golden file whose bytes no library but ours decides."""
    single, grey, many = header(), header(grey=True, quality="high"), several()
    return {
        "single": Container(single, blocks=blocks(single)),
        "grey-high": Container(grey, blocks=blocks(grey)),
        "global": Container(single, blocks=blocks(single, mode="global")),
        "several": Container(many, blocks=blocks(many)),
        "one-pixel": Container(header(1, 1), blocks=blocks(header(1, 1), 1)),
    }


def context_coder() -> ContextCoder:
    """The coder of the golden context model, which was made up."""
    model = ContextModel.from_bytes(MODEL.read_bytes())
    return ContextCoder(model, Geometry(3, 5, -32768, 65536))


def wild(seed: str, rows: int, columns: int) -> NDArray[np.int16]:
    """Code words: mostly small, one in 64 of any size; those of channel 1 are rare."""
    raw = noise(seed, 3 * rows * columns * 4).reshape(3, rows, columns, 4).astype(np.int16)
    small = (raw[..., 0] & 3) - (raw[..., 1] & 3)
    latents = np.where(raw[..., 2] < 4, raw[..., 0] << 8 | raw[..., 1], small)
    latents[1] *= raw[1, ..., 3] < 20
    return latents.astype(np.int16)


def context_latents(name: str) -> list[NDArray[np.int16]]:
    """Code words of every block of a golden context-coded file."""
    areas = list(CONTEXT[name][0].block_areas())
    latents = [wild(f"{name} {n}", rows, columns) for n, (_, _, rows, columns) in enumerate(areas)]
    if name == "context-zero":
        latents[0][:] = 0
    if name == "context-several":
        latents[0][1:] = 0
    return latents


def context_containers() -> dict[str, Container]:
    """Files of mode `context`."""
    coder = context_coder()
    return {
        name: Container(
            head,
            blocks=[coder.encode(latents, rate) for latents in context_latents(name)],
            coding=Coding(rate, 3, coder.sha256[:8]),
        )
        for name, (head, rate) in CONTEXT.items()
    }


def everything() -> Container:
    """A file with compressed parts; their bytes depend on the version of zstandard."""
    head = header(alpha=True, quality="low")
    return Container(head, METADATA, alpha(), blocks(head))


def drawing(head: Header, colours: int) -> NDArray[np.uint8]:
    """A picture of flat patches, uint8 (height, width, 3)."""
    raw = noise(f"drawing {colours}", colours * 3).reshape(colours, 3)
    y, x = np.mgrid[: head.height, : head.width]
    return raw[(y // 5 * 7 + x // 6 + (x * y % 11 == 0)) % colours]


def palette(head: Header, side: int, colours: int, blocks: dict[int, str]) -> Palette:
    """Exact tiles of some blocks: those of a drawing that a seed chooses."""
    pixels = drawing(head, colours)
    areas = [b""] * head.block_count
    for number, seed in blocks.items():
        tiling = Tiling.of(head, number, side)
        rows, columns = head.block(number).within(head.plane, 8)
        tiles = noise(seed, tiling.shape[0] * tiling.shape[1]).reshape(tiling.shape) < 150
        areas[number] = pack_area(to_colours(pixels[rows, columns], head.grey), tiles, tiling)
    return Palette(areas)


def palettes() -> dict[str, Container]:
    """Files with palette tiles; their bytes depend on the version of zstandard."""
    one, grey, many = header(), header(grey=True), several()
    return {
        "palette": Container(one, blocks=blocks(one), palette=palette(one, 1, 9, {0: "one"})),
        "palette-grey": Container(
            grey, blocks=blocks(grey), palette=palette(grey, 3, 200, {0: "grey"})
        ),
        "palette-several": Container(
            many, blocks=blocks(many), palette=palette(many, 4, 700, {1: "several", 3: "more"})
        ),
    }


def exact_bytes(reader: Reader) -> bytes:
    """Of each block with exact tiles: where they are, and the pixels, 0 elsewhere."""
    found = map(reader.exact, range(reader.header.block_count))
    return b"".join(mask.tobytes() + pixels.tobytes() for pixels, mask in filter(None, found))


def skipped() -> bytes:
    """A file with an optional section that no reader knows."""
    return joined(parts()[0], sections.pack_section(0xEE, b"from the future"), *parts()[1:])


def parts(head: Header | None = None) -> list[bytes]:
    """The sections of a plain file."""
    head = head or header()
    data = memoryview(container.write(Container(head, blocks=blocks(head))))
    return [bytes(data[s.start : s.end]) for s in sections.walk(data)]


def joined(*pieces: bytes) -> bytes:
    return sections.SIGNATURE + b"".join(pieces)


def fixed(section: bytes) -> bytes:
    return section[:-4] + zlib.crc32(section[:-4]).to_bytes(4, "little")


def head_payload(**changes: bytes) -> bytes:
    fields = {
        "version": b"\1",
        "flags": b"\0",
        "width": b"\x2d",
        "height": b"\x1e",
        "hash": HASH,
        "blocks": b"",
        "name": b"dcn-32c",
    }
    return b"".join((fields | changes).values())


def failing_headers() -> Iterator[tuple[str, bytes]]:
    cases = {
        "empty": b"",
        "cut-after-version": b"\1",
        "cut-in-width": b"\1\0\x80",
        "cut-in-height": b"\1\0\x2d",
        "cut-in-hash": head_payload()[:9],
        "newer": head_payload(version=b"\2"),
        "version-0": head_payload(version=b"\0"),
        "reserved-flags": head_payload(flags=b"\x20"),
        "width-0": head_payload(width=b"\0"),
        "height-0": head_payload(height=b"\0"),
        "width-too-large": head_payload(width=b"\x80\x80\x80\x08"),
        "width-long-form": head_payload(width=b"\xad\0"),
        "width-6-bytes": head_payload(width=b"\x80\x80\x80\x80\x80\1"),
        "width-above-32-bits": head_payload(width=b"\xff\xff\xff\xff\x1f"),
        "no-name": head_payload(name=b""),
        "name-too-long": head_payload(name=b"a" * 33),
        "name-of-dots": head_payload(name=b".."),
        "name-capital": head_payload(name=b"DCN"),
        "name-not-ascii": head_payload(name=b"d\xffn"),
        "block-height-0": head_payload(flags=b"\4", blocks=b"\0\x20"),
        "block-width-15": head_payload(flags=b"\4", blocks=b"\x20\x0f"),
        "several-but-one": head_payload(flags=b"\4", blocks=b"\x20\x20"),
        "one-but-several": head_payload(width=b"\xf9\x0f"),
        "too-many-pixels": head_payload(
            width=b"\xc0\xb8\2", height=b"\xc0\xb8\2", flags=b"\4", blocks=b"\xff\xff"
        ),
    }
    for name, payload in cases.items():
        yield f"head-{name}", joined(sections.pack_section(sections.HEAD, payload), *parts()[1:])


def failing_files() -> Iterator[tuple[str, bytes]]:
    """Files and the reason in their name; one for each error of a reader."""
    head, block, end = parts()
    whole = joined(head, block, end)
    yield "empty", b""
    yield "png", b"\x89PNG\r\n\x1a\n" + bytes(20)
    yield "cut-signature", whole[:5]
    yield "text-signature", whole.replace(b"\r\n", b"\n", 1)
    yield "no-head", joined(block, end)
    yield "head-damaged", joined(head[:10] + b"?" + head[11:], block, end)
    yield "head-twice", joined(head, head, block, end)
    yield "cut-length", joined(head, b"\2")
    yield "cut-block", whole[:-20]
    yield "no-end", joined(head, block)
    yield "after-end", whole + b"abc"
    yield "unknown-required", joined(head, sections.pack_section(0x42, b""), block, end)
    yield "unknown-damaged", joined(head, sections.pack_section(0xC2, b"")[:-1] + b"?", block, end)
    yield (
        "unknown-too-many",
        joined(head, *[sections.pack_section(0xEE, b"")] * 65, block, end),
    )
    yield "length-long-form", joined(head, b"\2\x80\0", end)
    yield "no-block", joined(head, end)
    yield "two-blocks", joined(head, block, block, end)
    yield "block-damaged", joined(head, block[:30] + b"?" + block[31:], end)
    yield "block-of-3-bytes", joined(head, sections.pack_section(sections.BLOCK, b"abc"), end)
    yield "block-of-no-rows", joined(head, sections.pack_section(sections.BLOCK, bytes(9)), end)
    other = bitstream.encode_block(flat(3, 4, 5))
    yield "block-shape", joined(head, sections.pack_section(sections.BLOCK, other), end)
    yield "index-of-one", joined(head, block, sections.pack_section(sections.INDEX, b"abcd"), end)
    icc = sections.pack_section(sections.ICC, b"")
    yield "icc-after-block", joined(head, block, icc, end)
    yield "icc-twice", joined(head, icc, icc, block, end)
    yield "alpha-unannounced", joined(head, sections.pack_section(sections.ALPHA, b""), block, end)
    with_alpha = sections.pack_section(sections.HEAD, head_payload(flags=b"\2"))
    yield "alpha-missing", joined(with_alpha, block, end)

    many = parts(several())
    head, index, end = many[0], many[-2], many[-1]
    yield "index-missing", joined(*many[:-2], end)
    yield "index-damaged", joined(*many[:-2], index[:-1] + b"?", end)
    short = sections.pack_section(sections.INDEX, index[2:-8])
    yield "index-short", joined(*many[:-2], short, end)
    yield "index-wrong", joined(*many[:-2], fixed(index[:2] + b"\1" + index[3:]), end)
    yield "block-after-index", joined(*many[:-2], index, many[1], end)
    channels = sections.pack_section(sections.BLOCK, bitstream.encode_block(flat(2, 16, 18)))
    index = fixed(index[:6] + len(channels).to_bytes(4, "little") + index[10:])
    yield "block-channels", joined(head, many[1], channels, *many[3:-2], index, end)


def failing_codings() -> Iterator[tuple[str, bytes]]:
    """Malformed CODR sections."""
    head, coding, block, end = context_parts()
    payload = coding[2:-4]

    def coder(payload: bytes) -> bytes:
        return sections.pack_section(sections.CODING, payload)

    yield "damaged", joined(head, coding[:5] + b"?" + coding[6:], block, end)
    yield "unknown", joined(head, coder(b"\2"), block, end)
    yield "short", joined(head, coder(payload[:-1]), block, end)
    yield "empty", joined(head, coder(b""), block, end)
    yield "long", joined(head, coder(payload + b"?"), block, end)
    yield "channels-0", joined(head, coder(payload[:2] + b"\0" + payload[3:]), block, end)
    yield "twice", joined(head, coding, coding, block, end)
    yield "after-block", joined(head, block, coding, end)
    yield "other-channels", joined(head, coder(payload[:2] + b"\4" + payload[3:]), block, end)
    for name, data in {
        "block-empty": b"",
        "block-active": b"\4" + block[3:-4],
        "block-streams": block[2:3] + b"\7" + block[4:-4],
        "block-cut": block[2:-6],
        "block-trailing": block[2:-4] + b"?",
        "block-latent": beyond(),
    }.items():
        yield name, joined(head, coding, sections.pack_section(sections.BLOCK, data), end)


def beyond() -> bytes:
    """A block of noise that decodes to a code word beyond 16 bits."""
    model = context_coder().model
    for seed in range(10_000):
        data = b"\3\1" + noise(f"beyond {seed}", 100).tobytes()
        try:
            model.decode(data, 4, 6, 100)
        except DcnError as error:
            if "outside 16 bits" in str(error):
                return data
    raise AssertionError("no noise decodes to such a code word")


def context_parts() -> list[bytes]:
    """The sections of a context-coded file."""
    data = memoryview(container.write(context_containers()["context"]))
    return [bytes(data[s.start : s.end]) for s in sections.walk(data)]


def compressed(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(content)


def failing_parts() -> Iterator[tuple[str, bytes]]:
    """Malformed metadata and alpha."""
    head, block, end = parts()
    frame = compressed(b"profile")
    wide = zstandard.ZstdCompressionParameters(window_log=24)
    windowed = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    large = windowed.compress(b"profile") + windowed.flush()
    cases = {
        "length-missing": b"",
        "length-0": b"\0" + frame,
        "length-too-large": b"\x81\x80\x80\x08" + frame,
        "not-zstandard": b"\7profile",
        "too-long": b"\6" + frame,
        "too-short": b"\x08" + frame,
        "cut": b"\7" + frame[:-2],
        "nothing": b"\7",
        "trailing": b"\7" + frame + b"?",
        "window": b"\7" + large,
    }
    for name, payload in cases.items():
        yield f"icc-{name}", joined(head, sections.pack_section(sections.ICC, payload), block, end)
    icc = sections.pack_section(sections.ICC, b"\7" + frame)
    yield "icc-damaged", joined(head, icc[:-1] + b"?", block, end)
    turned = bytes.fromhex("4d4d002a 00000008 0001 0112 0003 00000001 00060000 00000000")
    exif = sections.pack_section(sections.EXIF, packed.pack_metadata(turned, "EXIF"))
    yield "exif-orientation", joined(head, exif, block, end)
    xmp = packed.pack_metadata(b"<x tiff:Orientation='8'/>", "XMP")
    yield "xmp-orientation", joined(head, sections.pack_section(sections.XMP, xmp), block, end)
    head = sections.pack_section(sections.HEAD, head_payload(flags=b"\2"))
    row = bytes(46)
    planes = {
        "predictor": compressed(row * 29 + b"\4" + bytes(45)),
        "too-short": compressed(row * 29),
        "too-long": compressed(row * 31),
        "bomb": compressed(bytes(50_000_000)),
        "trailing": compressed(row * 30) + b"?",
        "cut": compressed(row * 30)[:-2],
    }
    for name, payload in planes.items():
        yield (
            f"alpha-{name}",
            joined(head, sections.pack_section(sections.ALPHA, payload), block, end),
        )
    plane = sections.pack_section(sections.ALPHA, planes["trailing"])
    yield "alpha-damaged", joined(head, plane[:-1] + b"?", block, end)


def failing_palettes() -> Iterator[tuple[str, bytes]]:
    """Malformed PALT sections; the picture has 6 x 4 latents and, of side 2, 3 x 2 tiles."""
    head, block, end = parts()
    map_and_count = b"\x01\x01\0"
    colours, indices = b"\x01\x02\x03\x01\0\xff", bytes(256)
    good = map_and_count + colours + indices

    def area(content: bytes, length: int | None = None, side: int = 2) -> bytes:
        stated = sections.pack_varint(len(content) if length is None else length)
        return bytes((side,)) + stated + compressed(content)

    def packed(area: bytes, size: int | None = None) -> bytes:
        return sections.pack_varint(len(area) if size is None else size) + area

    whole = sections.pack_section(sections.PALETTE, packed(area(good)))
    yield "damaged", joined(head, whole[:-1] + b"?", block, end)
    yield "twice", joined(head, whole, whole, block, end)
    yield "after-block", joined(head, block, whole, end)
    payloads = {
        "empty": b"",
        "size-cut": b"\x80",
        "no-area": b"\0",
        "size-too-large": packed(area(good), 200),
        "trailing": packed(area(good)) + b"?",
        "length-missing": b"\1\2",
        "side-0": packed(area(good, side=0)),
        "too-short": packed(area(good[:6], 6)),
        "too-long": packed(area(good, 6000)),
        "not-zstandard": packed(b"\2" + sections.pack_varint(len(good)) + good[:50]),
        "bomb": packed(area(bytes(50_000_000), len(good))),
        "other-length": packed(area(good, len(good) + 1)),
        "map-beyond": packed(area(b"\x41" + good[1:])),
        "map-of-none": packed(area(b"\0" + good[1:])),
        "indices-cut": packed(area(good[:-1])),
        "colours-cut": packed(area(b"\x01\0\1" + bytes(200))),
        "colours-equal": packed(area(map_and_count + colours[:3] + bytes(3) + indices)),
        "colours-fall": packed(area(map_and_count + colours[:3] + b"\xff\0\0" + indices)),
        "index": packed(area(good[:-1] + b"\2")),
        "frame-trailing": packed(area(good) + b"?"),
    }
    for name, payload in payloads.items():
        section = sections.pack_section(sections.PALETTE, payload)
        yield name, joined(head, section, block, end)


def failing_streams() -> Iterator[tuple[str, bytes]]:
    """Malformed bare streams."""
    good = bitstream.encode_block(bells("bad", 2, 10, 10))
    yield "cut-header", good[:4]
    yield "height-0", b"\0" + good[1:]
    yield "width-0", good[:1] + b"\0" + good[2:]
    yield "channels-0", good[:2] + b"\0" + good[3:]
    yield "table-too-long", good[:3] + b"\5" + good[4:]
    yield "table-cut", good[:7]
    yield "table-damaged", good[:3] + b"\3\0\xff\xff\xff" + good[9:]
    yield "table-of-nothing", b"\2\2\1\0\0" + bytes(4)
    yield "cut", good[:-1]
    yield "trailing", good + b"?"
    yield "channel-size-0", good[:5] + b"\0\0" + good[7:]
    yield "channel-size-too-large", good[:5] + b"\x65\0" + good[7:]
    yield "fse-table", good[:9] + b"\xff" + good[10:]
    yield "fse-stream", good[:-1] + b"\0"
    prefix = bytes((10, 10, 1, 2, 0, 3, 0))
    yield "rle-count", prefix + b"\x65\0\x0f"
    yield "rle-index", prefix + b"\x64\0\x20"
    yield "raw-index", bytes((1, 2, 1, 2, 0, 2, 0)) + b"\x1f\x20"


def failing_globals() -> Iterator[tuple[str, bytes]]:
    """Malformed blocks of mode global."""
    yield "empty", b"\2\2\1\0\0"
    yield "too-long", b"\2\2\1\0\0" + bytes(5)
    yield "rle-index", b"\2\2\1\0\0\x20"
    yield "raw-index", b"\2\2\1\0\0\x20" + bytes(3)
    yield "fse", b"\2\2\1\0\0\xff\xff"


def outcome(kind: str, data: bytes) -> object:
    """Use everything in `data`, as a reader would."""
    if kind == "context":
        return container.read(data).verify(context_coder())
    if kind == "file":
        return container.read(data).verify()
    return bitstream.decode_block(data, bare=kind == "stream")


def failures() -> Iterator[tuple[str, str, bytes]]:
    """Name, kind (file, context, stream, global) and bytes of everything that must fail."""
    for cases in (failing_files, failing_headers, failing_parts):
        for name, data in cases():
            yield f"file-{name}", "file", data
    for name, data in failing_codings():
        yield f"context-{name}", "context", data
    for name, data in failing_palettes():
        yield f"file-palette-{name}", "file", data
    for name, data in failing_streams():
        yield f"stream-{name}", "stream", data
    for name, data in failing_globals():
        yield f"global-{name}", "global", data


def main() -> None:
    golden: dict[str, dict[str, object]] = {}

    def keep(name: str, data: bytes, decoded: bytes, shape: list[int]) -> None:
        path = HERE / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        golden[name] = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "decoded_sha256": hashlib.sha256(decoded).hexdigest(),
            "decoded_shape": shape,
        }

    for name, (indices, mode) in streams().items():
        data = bitstream.encode_block(indices, mode)  # type: ignore[arg-type]
        keep(f"streams/{name}.dcnb", data, indices.tobytes(), list(indices.shape))
    files = {name: container.write(c) for name, c in containers().items()}
    files |= {"everything": container.write(everything()), "skipped": skipped()}
    files |= {name: container.write(c) for name, c in palettes().items()}
    for name, data in files.items():
        reader = container.read(data)
        decoded = b"".join(reader.decode_block(n).tobytes() for n in range(len(reader.blocks)))
        shape = [reader.latent_channels, reader.header.latent_height, reader.header.latent_width]
        keep(f"files/{name}.dcn", data, decoded, shape)
        if reader.palette is not None:
            exact = hashlib.sha256(exact_bytes(reader)).hexdigest()
            golden[f"files/{name}.dcn"]["exact_sha256"] = exact
    MODEL.parent.mkdir(exist_ok=True)
    tensors = random_model(2, 3, 10, knots=3, scales=6, wild=False)
    MODEL.write_bytes(save(ContextModel(tensors).to_tensors()))
    for name, content in context_containers().items():
        data = container.write(content)
        latents = [plane.astype("<i2").tobytes() for plane in context_latents(name)]
        head = content.header
        shape = [3, head.latent_height, head.latent_width]
        keep(f"files/{name}.dcn", data, b"".join(latents), shape)
    (HERE / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")

    fail = {}
    for name, kind, data in failures():
        try:
            outcome(kind, data)
        except DcnError as error:
            fail[name] = {
                "kind": kind,
                "hex": data.hex(),
                "class": type(error).__name__,
                "error": str(error),
            }
        else:
            raise SystemExit(f"{name} does not fail")
    (HERE / "fail.json").write_text(json.dumps(fail, indent=1) + "\n")


if __name__ == "__main__":
    main()
