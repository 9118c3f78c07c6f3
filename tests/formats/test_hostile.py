"""Mutated files and streams: a FormatError or LimitError or a valid result, nothing else.

Everything runs in a process of its own whose memory may grow by 256 MiB at most. Other
mutations than those of the test run:

    python tests/formats/test_hostile.py SEED COUNT
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

from dcncodec.errors import FormatError, LimitError, ModelError
from dcncodec.formats import bitstream, container, inspect, packed, sections
from dcncodec.formats.coder import ChannelCoder
from dcncodec.formats.container import Coding, Container, Header, Metadata
from dcncodec.formats.context import ContextModel
from dcncodec.formats.context_coder import ContextCoder
from dcncodec.formats.geometry import MAX_DIMENSION, Geometry
from dcncodec.formats.header import pack_header
from dcncodec.formats.means import Means, regions
from dcncodec.formats.palette import Palette, Tiling, pack_area

SEED, COUNT = 2020, 10_000
MEMORY = 256 * 2**20
SECONDS = 40
MODEL = Path(__file__).parents[1] / "golden" / "context" / "model.safetensors"
CODER = ContextCoder(ContextModel.from_bytes(MODEL.read_bytes()), Geometry(3, 5), threads=2)
CODING = Coding(9, 3, CODER.sha256[:8])
INTERESTING = (0, 1, 2, 3, 4, 0x20, 0x7F, 0x80, 0x81, 0xFE, 0xFF)


def blocks(head: Header, mode: str) -> list[bytes]:
    rng = np.random.default_rng(1)
    coded = []
    for _, _, rows, columns in head.block_areas():
        planes = rng.binomial(31, rng.uniform(0, 0.5, (6, 1, 1)), (6, rows, columns))
        planes[1] = 15
        planes[2] = rng.integers(0, 32, (rows, columns))
        coded.append(bitstream.encode_block(planes.astype(np.uint8), mode))  # type: ignore[arg-type]
    return coded


def context_blocks(head: Header) -> list[bytes]:
    rng = np.random.default_rng(3)
    return [
        CODER.encode(rng.binomial(20, 0.5, (3, rows, columns)).astype(np.int16) - 10, 9)
        for _, _, rows, columns in head.block_areas()
    ]


def palette(head: Header, side: int, colours: dict[int, int]) -> Palette:
    """Exact tiles of noise of so many colours, by block."""
    rng = np.random.default_rng(4)
    areas = [b""] * head.block_count
    for number, count in colours.items():
        tiling = Tiling.of(head, number, side)
        numbers = rng.integers(0, count, (tiling.height, tiling.width)).astype(np.uint32) * 999
        areas[number] = pack_area(numbers, rng.random(tiling.shape) < 0.7, tiling)
    return Palette(areas)


def means(head: Header) -> Means:
    """Those of flat skies, mostly 0."""
    rows, columns = regions(head.plane)
    values = np.random.default_rng(5).binomial(4, 0.5, 3 * rows * columns) - 2
    return Means(values.astype(np.int8).tobytes(), rows, columns)


def originals() -> tuple[list[bytes], list[bytes]]:
    """Valid files and valid blocks."""
    few = Header(61, 45, "dcn-32c", bytes(8))
    full = Header(61, 45, "dcn-32c", bytes(8), alpha=True, grey=True)
    many = Header(300, 140, "a", bytes(8), block_height=16, block_width=16)
    alpha = np.add.outer(np.arange(45) * 3, np.arange(61)).astype(np.uint8)
    metadata = Metadata(b"profile " * 30, b"II*\0" + bytes(40), b"<x:xmpmeta/>" * 5)
    files = [
        container.write(Container(few, blocks=blocks(few, "channel"))),
        container.write(Container(few, blocks=blocks(few, "global"))),
        container.write(Container(full, metadata, alpha, blocks(full, "channel"))),
        container.write(Container(many, blocks=blocks(many, "channel"))),
        container.write(Container(few, blocks=context_blocks(few), coding=CODING)),
        container.write(Container(many, blocks=context_blocks(many), coding=CODING)),
        container.write(
            Container(few, blocks=blocks(few, "global"), palette=palette(few, 1, {0: 3}))
        ),
        container.write(
            Container(
                many, blocks=context_blocks(many), coding=CODING, palette=palette(many, 3, {2: 300})
            )
        ),
        container.write(
            Container(many, blocks=context_blocks(many), coding=CODING, means=means(many))
        ),
    ]
    streams = [*blocks(few, "channel"), *blocks(few, "global"), *blocks(many, "channel")[:2]]
    same = np.repeat(blocks_of_one(), 60, axis=0)
    return files, [*streams, bitstream.encode_block(same)]


def blocks_of_one() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return np.random.default_rng(2).binomial(31, 0.3, (1, 9, 9)).astype(np.uint8)


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """A truncation, some changed bits or bytes, a splice, or an edited length."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(changed)) if changed else 0
        kind = rng.randrange(8)
        if kind == 0:
            del changed[at:]
        elif kind == 1:
            del changed[at : at + rng.randrange(1, 9)]
        elif kind == 2:
            changed[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 3 and changed:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 4 and changed:
            changed[at] = rng.choice(INTERESTING)
        elif kind == 5 and changed:
            # The first bytes hold the shape, the size table and, in files, the header.
            changed[rng.randrange(min(40, len(changed)))] = rng.choice(INTERESTING)
        elif kind == 6:
            other = rng.choice(others)
            start = rng.randrange(len(other))
            changed[at : at + rng.randrange(40)] = other[start : start + rng.randrange(1, 40)]
        elif changed:
            start = rng.randrange(len(changed))
            changed[at:at] = changed[start : start + rng.randrange(1, 60)]
    return bytes(changed)


def mutated_length(data: bytes, rng: random.Random) -> bytes:
    """A section whose length has been edited, and, mostly, what it covers with it."""
    walked = list(sections.walk(memoryview(data)))[:-1]
    section = rng.choice(walked)
    length = section.payload_end - section.payload_start
    claimed = rng.choice((0, 1, length - 1, length + 1, length * 2, rng.randrange(2**32)))
    payload = data[section.payload_start : section.payload_end]
    if rng.randrange(4):
        payload = payload[:claimed].ljust(min(claimed, 2 * length), b"\x55")
    start = data[: section.start + 1] + sections.pack_varint(max(claimed, 0))
    return start + payload + data[section.payload_end :]


def with_checksums(data: bytes) -> bytes:
    """The file with all checksums made right, so that the parsers behind them are reached."""
    fixed = bytearray(data)
    offset = len(sections.SIGNATURE)
    fixed[:offset] = sections.SIGNATURE[: len(fixed)]
    while offset < len(fixed) and fixed[offset] != sections.END:
        try:
            section = sections.read_section(fixed, offset)
        except FormatError:
            break
        checksum = zlib.crc32(fixed[section.start : section.payload_end])
        fixed[section.payload_end : section.end] = checksum.to_bytes(4, "little")
        offset = section.end
    return bytes(fixed)


def outcome(error: FormatError | LimitError | ModelError) -> str:
    """The name of an error that reads as one line."""
    if "\n" in str(error) or not str(error):
        raise AssertionError(f"not one line: {error!r}")
    return type(error).__name__


def use_file(data: bytes) -> str:
    """Read everything in a file; what became of it."""
    try:
        reader = container.read(data)
        header = reader.header
        inspect.info(data)
        _ = reader.metadata
        alpha = reader.alpha
        assert alpha is None or alpha.shape == (header.height, header.width)
        coder = CODER if reader.coding else ChannelCoder()
        for number, (_, _, rows, columns) in enumerate(header.block_areas()):
            if (exact := reader.exact(number)) is not None:
                assert exact[0].shape[:2] == exact[1].shape == header.pixels(header.block(number))
                assert reader.exact_pixels(number) == exact[1].sum()
            latents = reader.latents(number, coder)
            assert latents.shape == (reader.latent_channels, rows, columns)
            assert latents.min() >= -15
            assert latents.max() <= 16
        reader.verify(coder if reader.coding else None)
    except (FormatError, LimitError, ModelError) as error:
        return outcome(error)
    return "valid"


def use_stream(data: bytes) -> str:
    """Decode a block; what became of it."""
    try:
        planes = bitstream.decode_block(data, threads=2)
        assert planes.max() < 32
        last = bitstream.decode_channels(data, [len(planes) - 1])
        assert (last[0] == planes[-1]).all()
        bitstream.decode_block(data, bare=True)
    except FormatError as error:
        return outcome(error)
    return "valid"


def limit_memory() -> None:
    """Let the address space grow by MEMORY from here."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(seed: int, count: int) -> None:
    """Run `count` mutations; print how they ended."""
    files, streams = originals()
    for data in files:
        assert use_file(data) == "valid"
    limit_memory()
    rng = random.Random(seed)
    ends: Counter[str] = Counter()
    for number in range(count):
        kind = ("file", "file", "fixed file", "fixed file", "length", "stream")[number % 6]
        if kind == "stream":
            data = mutated(rng.choice(streams), streams, rng)
        elif kind == "length":
            data = with_checksums(mutated_length(rng.choice(files), rng))
        else:
            data = mutated(rng.choice(files), files, rng)
            data = with_checksums(data) if kind == "fixed file" else data
        use = use_stream if kind == "stream" else use_file
        try:
            ends[f"{kind}: {use(data)}"] += 1
        except BaseException:
            print(f"mutation {number} of seed {seed}: {kind} {data.hex()}", file=sys.stderr)
            raise
    for end, times in sorted(ends.items()):
        print(f"{times:6} {end}")


def run(*arguments: str) -> str:
    # Threads of the linear algebra library would reserve address space that nobody uses.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * SECONDS,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_ten_thousand_mutations() -> None:
    start = time.monotonic()
    ends = dict(
        reversed(line.split(maxsplit=1)) for line in run(str(SEED), str(COUNT)).splitlines()
    )
    assert time.monotonic() - start < SECONDS
    assert sum(map(int, ends.values())) == COUNT
    # Most fail, but not all: the parsers behind the checksums have been reached.
    for kind in ("file", "fixed file", "length", "stream"):
        assert int(ends[f"{kind}: FormatError"]) > 500
    assert int(ends["fixed file: valid"]) > 50
    assert int(ends["stream: valid"]) > 20


def test_largest_claims_of_small_files() -> None:
    """What a small file can make its reader allocate: the largest block and metadata."""
    run("claims")


def claims() -> None:
    """Decode small files that stand for as much as the format allows."""
    rle = bytes((255, 255, 255)) + (510).to_bytes(2, "little")
    rle += (3).to_bytes(2, "little") * 255 + bytes((1, 254, 15)) * 255
    together = bytes((255, 255, 255, 0, 0, 15))
    metadata = Metadata(bytes(2**24), bytes(2**24), bytes(2**24))
    head = Header(2040, 2040, "a", bytes(8), alpha=True)
    alpha = np.zeros((2040, 2040), np.uint8)
    files = [container.write(Container(head, metadata, alpha, [b])) for b in (rle, together)]
    colours = np.zeros((2040, 2040), np.uint32)
    colours[:32] = np.arange(32 * 2040).reshape(32, 2040)
    exact = pack_area(colours, np.ones((255, 255), bool), Tiling.of(head, 0, 1))
    files.append(container.write(Container(head, metadata, alpha, [rle], palette=Palette([exact]))))
    icc = sections.pack_section(sections.ICC, sections.pack_varint(9) + files[0][60:3000])
    frame = packed.pack_metadata(bytes(2**24), "ICC")[4:]
    bomb = sections.pack_section(sections.ICC, sections.pack_varint(9) + frame)
    side = MAX_DIMENSION
    huge = sections.pack_section(sections.HEAD, pack_header(Header(side, side, "a", bytes(8))))
    body = 8 + sections.section_bytes(len(pack_header(head)))
    limit_memory()
    for data in files:
        assert len(data) < 200_000
        assert use_file(data) == "valid"
        assert use_file(data[:8] + huge + data[body:]) == "LimitError"
        for damaged in (icc, bomb):
            assert use_file(data[:body] + damaged + b"\0") == "FormatError"


if __name__ == "__main__":
    if sys.argv[1] == "claims":
        claims()
    else:
        main(int(sys.argv[1]), int(sys.argv[2]))
