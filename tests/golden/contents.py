"""What golden files hold. Indices come from SHAKE-256, which no library changes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcncodec.formats import bitstream, container, sections
from dcncodec.formats.container import Coding, Container, Header, Metadata, Reader
from dcncodec.formats.context import ContextModel
from dcncodec.formats.context_coder import ContextCoder
from dcncodec.formats.geometry import Geometry
from dcncodec.formats.means import MOST, Means, regions
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
    "context-means": (header(), 30),
    "context-means-several": (header(300, 200, block_height=16, block_width=20), 80),
    "context-means-wide": (header(1000, 900), 0),
}
"""Headers and rates of the files of mode `context`; the block of "context-streams" has several."""

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


def means(name: str) -> Means | None:
    """Those of a golden file: noise, in the largest one mostly 0."""
    if "means" not in name:
        return None
    rows, columns = regions(CONTEXT[name][0].plane)
    raw = noise(f"{name} means", 3 * rows * columns).astype(np.int16)
    values = raw % (2 * MOST + 1) - MOST
    if name.endswith("wide"):
        values[raw > 20] = 0
    return Means(values.astype(np.int8).tobytes(), rows, columns)


def context_containers() -> dict[str, Container]:
    """Files of mode `context`."""
    coder = context_coder()
    return {
        name: Container(
            head,
            blocks=[coder.encode(latents, rate) for latents in context_latents(name)],
            coding=Coding(rate, 3, coder.sha256[:8]),
            means=means(name),
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


def palette(head: Header, side: int, colours: int, seeds: dict[int, str]) -> Palette:
    """Exact tiles of some blocks: those of a drawing that a seed chooses."""
    pixels = drawing(head, colours)
    areas = [b""] * head.block_count
    for number, seed in seeds.items():
        tiling = Tiling.of(head, number, side)
        rows, columns = head.block(number).within(head.plane, 8)
        tiles = noise(seed, tiling.shape[0] * tiling.shape[1]).reshape(tiling.shape) < 150
        areas[number] = pack_area(to_colours(pixels[rows, columns], head.grey), tiles, tiling)
    return Palette(areas)


PALETTES = {
    "palette": (header(), 1, 9, {0: "one"}),
    "palette-grey": (header(grey=True), 3, 200, {0: "grey"}),
    "palette-several": (several(), 4, 700, {1: "several", 3: "more"}),
    "palette-two": (header(), 2, 2, {0: "two"}),
    "palette-flat": (header(), 1, 1, {0: "flat"}),
    "palette-rows": (several(), 2, 3, {0: "left", 2: "below"}),
}
"""Header, side of tiles, colours, and seeds of blocks."""


def palettes() -> dict[str, Container]:
    """Files with palette tiles; their bytes depend on the version of zstandard."""
    return {
        name: Container(head, blocks=blocks(head), palette=palette(head, side, colours, seeds))
        for name, (head, side, colours, seeds) in PALETTES.items()
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
