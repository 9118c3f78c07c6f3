"""The .dcn container: writing, reading, random access, limits. Malformed files: tests/golden."""

from __future__ import annotations

import io
import json
import mmap
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dcncodec import errors
from dcncodec.formats import bitstream, container, inspect, layout, packed, sections
from dcncodec.formats.container import Container, Header, Metadata, Writer
from dcncodec.formats.header import pack_header
from dcncodec.records import replace

HASH = bytes(range(8))
SPEC = Path(container.__file__).with_name("SPEC.md")


def header(width: int = 45, height: int = 30, **fields: object) -> Header:
    return Header(width, height, "dcn-32c", HASH, **fields)  # type: ignore[arg-type]


def indices(seed: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).binomial(31, 0.4, shape).astype(np.uint8)


def blocks(head: Header, channels: int = 2) -> list[bytes]:
    return [
        bitstream.encode_block(indices(number, channels, rows, columns))
        for number, (_, _, rows, columns) in enumerate(head.block_areas())
    ]


def several() -> Header:
    return header(500, 300, block_height=16, block_width=30)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)


def test_round_trip_of_everything() -> None:
    head = header(500, 300, alpha=True, grey=True, quality="high", block_height=16)
    coded, alpha = blocks(head), noise(300, 500)
    metadata = Metadata(b"icc" * 1000, b"II*\0", b"<xmp/>")
    data = container.write(Container(head, metadata, alpha, coded))
    file = container.read(data)
    assert file.header == head
    assert file.metadata == metadata
    assert file.metadata_lengths() == {"icc": 3000, "exif": 4, "xmp": 6}
    np.testing.assert_array_equal(file.alpha, alpha)
    assert [bytes(b) for b in file.blocks] == coded
    assert [bytes(b) for b in file.blocks[1:3]] == coded[1:3]
    assert file.latent_channels == 2
    for number, (_, _, rows, columns) in enumerate(head.block_areas()):
        expected = indices(number, 2, rows, columns)
        np.testing.assert_array_equal(file.decode_block(number), expected)
        np.testing.assert_array_equal(file.decode_channels(number, [1]), expected[1:])
    file.verify()


def test_round_trip_of_the_least() -> None:
    head = header(1, 1)
    file = container.read(container.write(Container(head, blocks=blocks(head))))
    assert (file.header, file.metadata, file.alpha) == (head, Metadata(), None)
    file.verify()


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 9000),
    height=st.integers(1, 9000),
    grey=st.booleans(),
    alpha=st.booleans(),
    quality=st.sampled_from(container.QUALITIES),
    rows=st.integers(15, 255),
    columns=st.integers(15, 255),
    model=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,31}", fullmatch=True),
    model_hash=st.binary(min_size=8, max_size=8),
)
def test_header_round_trip(rows: int, columns: int, **fields: object) -> None:
    sizes = {
        "block_height": 0 if rows == 15 else rows,
        "block_width": 0 if columns == 15 else columns,
    }
    head = Header(**fields, **sizes)  # type: ignore[arg-type]
    section = sections.pack_section(sections.HEAD, pack_header(head))
    assert container.read_header(sections.SIGNATURE + section) == head
    covered = np.zeros((head.latent_height, head.latent_width), np.uint8)
    for top, left, height, width in head.block_areas():
        assert 1 <= height <= 255
        assert 1 <= width <= 255
        covered[top : top + height, left : left + width] += 1
    assert (covered == 1).all()
    assert len(list(head.block_areas())) == head.block_count


@pytest.mark.parametrize(
    ("size", "block", "count"),
    [
        ((2040, 2040), (255, 255), 1),
        ((2041, 8), (1, 128), 2),
        ((20_000, 20_000), (250, 250), 100),
        ((9000, 17), (16, 225), 5),
    ],
)
def test_blocks_are_few_and_even(size: tuple[int, int], block: tuple[int, int], count: int) -> None:
    head = header(*size)
    assert head.block_count == count
    shape = (head.block_height, head.block_width)
    # One row of blocks may be lower than the least block.
    assert shape == (max(block[0], 16) if count > 1 else block[0], block[1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 0}, "image width 0 is not in"),
        ({"height": 2**24}, "image height 16777216 is not in"),
        ({"model": "My Model"}, "model name 'My Model' is not"),
        ({"model": ""}, "model name '' is not"),
        ({"model_hash": b"1234567"}, "model hash has 7 bytes"),
        ({"quality": "best"}, "quality 'best' is none of"),
        ({"width": 9000, "block_width": 256}, "block width 256 is not in"),
        ({"width": 9000, "block_height": 15}, "block height 15 is not in"),
    ],
)
def test_header_refuses(fields: dict[str, object], message: str) -> None:
    valid = {"width": 45, "height": 30, "model": "dcn-32c", "model_hash": HASH}
    with pytest.raises(errors.FormatError, match=message):
        Header(**valid | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(2040, 2040), (128, 128), (1, 1)])
def test_at_most_48_bytes_over_the_bare_stream(size: tuple[int, int]) -> None:
    head = Header(*size, "dcn-32c-v2", HASH, grey=True, quality="high")
    assert len(head.model) == 10
    coded = blocks(head, 32)
    assert len(container.write(Container(head, blocks=coded))) - len(coded[0]) <= 48


def test_at_most_48_bytes_over_the_largest_bare_stream() -> None:
    head = Header(2040, 2040, "dcn-32c-v2", HASH)
    largest = bytes((255, 255, 255, 1, 0)) + bytes(bitstream.MAX_BLOCK_BYTES - 5)
    data = container.write(Container(head, blocks=[largest]))
    assert len(data) - len(largest) == 48


def test_streaming_writer_gives_the_same_bytes() -> None:
    class Pipe(io.RawIOBase):
        """Not seekable."""

        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    head = replace(several(), alpha=True)
    alpha, metadata = noise(300, 500), Metadata(exif=b"II*\0")
    pipe = Pipe()
    with Writer(pipe, head, metadata, alpha) as writer:  # type: ignore[arg-type]
        for block in blocks(head):
            writer.add(block)
    assert pipe.data == container.write(Container(head, metadata, alpha, blocks(head)))


def test_writer_leaves_the_file_unfinished_after_an_error() -> None:
    file = io.BytesIO()
    with pytest.raises(RuntimeError), Writer(file, header()):
        raise RuntimeError
    with pytest.raises(errors.FormatError, match="without an end marker"):
        container.read(file.getvalue())


def test_writer_refuses() -> None:
    head = several()
    coded = blocks(head)
    with pytest.raises(errors.FormatError, match="1 of 9 blocks were written"):
        container.write(Container(head, blocks=coded[:1]))
    with pytest.raises(errors.FormatError, match="the picture has 9 blocks"):
        container.write(Container(head, blocks=[*coded, coded[0]]))
    with pytest.raises(
        errors.FormatError, match="block 2 has 30 x 16 latents, 3 x 16 belong there"
    ):
        container.write(Container(head, blocks=[coded[0], coded[1], coded[0]]))
    other = bitstream.encode_block(indices(0, 3, 16, 30))
    with pytest.raises(errors.FormatError, match="block 1 has 3 channels, the others have 2"):
        container.write(Container(head, blocks=[coded[0], other]))
    with pytest.raises(ValueError, match="contradict each other"):
        container.write(Container(header(alpha=True)))
    with pytest.raises(ValueError, match="contradict each other"):
        container.write(Container(header(), alpha=noise(30, 45)))
    with pytest.raises(ValueError, match="another size of image"):
        container.write(Container(header(alpha=True), alpha=noise(45, 30)))
    for block in (b"", bytes(packed.MAX_METADATA + 1)):
        with pytest.raises(errors.LimitError, match="encode without metadata"):
            container.write(Container(header(), Metadata(icc=block)))


def test_largest_metadata() -> None:
    head = header()
    metadata = Metadata(icc=bytes(packed.MAX_METADATA))
    data = container.write(Container(head, metadata, None, blocks(head)))
    assert container.read(data).metadata == metadata


def test_block_that_is_longer_than_any() -> None:
    head = header()
    whole = container.write(Container(head, blocks=blocks(head)))
    start = next(s.start for s in sections.walk(memoryview(whole)) if s.kind == sections.BLOCK)
    block = sections.pack_section(sections.BLOCK, bytes(bitstream.MAX_BLOCK_BYTES + 1))
    with pytest.raises(errors.FormatError, match="block 0 is longer than any block can be"):
        container.read(whole[:start] + block + b"\0")


@pytest.mark.parametrize(
    "plane",
    [
        np.zeros((1, 1), np.uint8),
        noise(7, 1),
        noise(1, 9),
        noise(40, 30),
        np.full((33, 21), 255, np.uint8),
        np.add.outer(np.arange(50), 3 * np.arange(70)).astype(np.uint8),
        np.tile(noise(1, 64), (64, 1)),
    ],
)
def test_alpha_round_trip(plane: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    height, width = plane.shape
    monkeypatch.setattr(packed, "_ROWS_BYTES", 3 * width)  # several bands, also here
    payload = memoryview(packed.pack_alpha(plane))
    np.testing.assert_array_equal(packed.unpack_alpha(payload, width, 0, height, height), plane)
    top, bottom = height // 3, height // 3 * 2
    part = packed.unpack_alpha(payload, width, top, bottom, height)
    np.testing.assert_array_equal(part, plane[top:bottom])


def test_each_predictor_is_used() -> None:
    x, y = np.arange(64), np.arange(8)[:, None]
    cases = [
        np.tile((noise(1, 64) % 8 == 0) * np.uint8(100), (2, 1)),
        np.tile(x * 3, (1, 1)).astype(np.uint8),
        np.tile(noise(1, 64), (8, 1)),
        (y * y * x + noise(1, 64)).astype(np.uint8),
    ]
    used = set()
    for plane in cases:
        payload = packed.pack_alpha(plane)
        content = b"".join(packed.expand(memoryview(payload), plane.size + len(plane), "plane"))
        used |= set(content[:: plane.shape[1] + 1])
    assert used == {0, 1, 2, 3}


def test_library_is_named_when_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    with pytest.raises(errors.MissingLibraryError, match=r"pip install backports\.zstd"):
        packed.pack_alpha(noise(2, 2))
    head = header()
    container.read(container.write(Container(head, blocks=blocks(head)))).verify()


def test_reading_from_a_mapped_file(tmp_path: Path) -> None:
    head = several()
    path = tmp_path / "a.dcn"
    path.write_bytes(container.write(Container(head, blocks=blocks(head))))
    with path.open("rb") as file:
        assert container.read_header(file) == head
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            found = container.read(memoryview(mapped))
            np.testing.assert_array_equal(found.decode_block(3), indices(3, 2, 16, 30))
            found.data.release()


def test_header_needs_only_the_beginning() -> None:
    head = Header(2**24 - 1, 2**24 - 1, "a" * 32, HASH)
    section = sections.pack_section(sections.HEAD, pack_header(head))
    file = io.BytesIO(sections.SIGNATURE + section + bytes(10_000))
    assert container.read_header(file) == head
    assert file.tell() <= layout.MAX_START < 100


def test_other_buffers() -> None:
    head = header()
    data = container.write(Container(head, blocks=blocks(head)))
    for buffer in (bytearray(data), memoryview(data), memoryview(np.frombuffer(data, np.uint8))):
        container.read(buffer).verify()
        assert container.read_header(buffer) == head


def test_blocks_are_verified_when_used() -> None:
    head = several()
    data = bytearray(container.write(Container(head, blocks=blocks(head))))
    data[container.read(data).block_section(4).payload_end - 1] ^= 1
    file = container.read(data)
    file.decode_block(3)
    for access in (file.block, file.decode_block, file.blocks.__getitem__):
        with pytest.raises(errors.FormatError, match=re.escape("damaged block 4 (checksum)")):
            access(4)
    with pytest.raises(errors.FormatError, match="damaged block 4"):
        file.verify()
    with pytest.raises(IndexError):
        file.blocks[12]


def test_errors_inside_blocks_name_the_block() -> None:
    head = several()
    coded = blocks(head)
    coded[2] = coded[2][:-1]
    file = container.read(container.write(Container(head, blocks=coded)))
    with pytest.raises(errors.FormatError, match=r"^block 2: latent block is cut short"):
        file.decode_block(2)
    with pytest.raises(errors.FormatError, match=r"^block 2: latent block is cut short"):
        file.decode_channels(2, [0])


def test_index_alone_finds_a_block() -> None:
    """As SPEC.md says: HEAD from the beginning, then the index from the end."""
    head = several()
    data = container.write(Container(head, blocks=blocks(head)))
    count = container.read_header(io.BytesIO(data)).block_count
    size = sections.section_bytes(4 * count)
    tail = data[len(data) - 1 - size :]
    index = sections.read_section(tail, 0).payload(memoryview(tail))
    sizes = np.frombuffer(index, "<u4")
    for number in range(count):
        start = len(data) - 1 - size - int(sizes[number:].sum())
        block = data[start : start + int(sizes[number])]
        payload = sections.read_section(block, 0).payload(memoryview(block))
        assert bytes(payload) == blocks(head)[number]


@pytest.mark.parametrize(
    ("region", "halo", "expected"),
    [
        ((0, 0, 500, 300), 0, list(range(9))),
        ((0, 0, 1, 1), 0, [0]),
        ((239, 0, 240, 1), 0, [0]),
        ((239, 0, 241, 1), 0, [0, 1]),
        ((240, 128, 241, 129), 0, [4]),
        ((240, 128, 241, 129), 1, [0, 1, 3, 4]),
        ((499, 299, 500, 300), 5, [7, 8]),
    ],
)
def test_blocks_for_region(
    region: tuple[int, int, int, int], halo: int, expected: list[int]
) -> None:
    head = header(500, 300, block_height=16, block_width=30)
    assert head.block_count == 9
    assert container.blocks_for_region(head, *region, halo=halo) == expected


@pytest.mark.parametrize("region", [(0, 0, 0, 1), (-1, 0, 1, 1), (0, 0, 501, 1), (5, 5, 6, 5)])
def test_regions_outside(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(errors.UsageError, match="does not lie inside the picture of 500 x 300"):
        container.blocks_for_region(several(), *region)


def test_pixel_limit() -> None:
    head = header(100, 100)
    data = container.write(Container(head, blocks=blocks(head)))
    container.read(data, max_pixels=10_000)
    with pytest.raises(errors.LimitError, match="raise it with --max-pixels"):
        container.read(data, max_pixels=9999)
    container.check_pixels(10**6, 10**6, None)
    container.check_pixels(20_000, 20_000, container.MAX_PIXELS)


@given(st.integers(0, 2**32 - 1))
def test_varint(value: int) -> None:
    coded = sections.pack_varint(value)
    assert sections.read_varint(b"?" + coded + b"?", 1, "it") == (value, 1 + len(coded))
    assert len(coded) <= sections.VARINT_BYTES


@pytest.mark.parametrize("value", [-1, 2**32])
def test_varint_out_of_range(value: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        sections.pack_varint(value)


def test_info() -> None:
    head = replace(several(), alpha=True, quality="low")
    alpha = noise(300, 500)
    data = container.write(Container(head, Metadata(xmp=b"<x/>"), alpha, blocks(head)))
    facts = inspect.info(data)
    assert facts["latent"] == {"height": 38, "width": 63, "channels": 2}
    assert facts["metadata"] == {"xmp": 4}
    assert facts["bpp"] == pytest.approx(len(data) * 8 / 150_000)
    assert [s["type"] for s in facts["sections"]] == [
        *["HEAD", "XMP", "ALPH"],
        *["BLCK"] * 9,
        *["INDX", "END"],
    ]
    assert 8 + sum(s["bytes"] for s in facts["sections"]) == len(data)
    assert facts["blocks"][8]["top"] == 32
    assert facts["blocks"][8]["width"] == 3
    assert "channels" not in facts["blocks"][0]


def test_info_of_channels() -> None:
    head = header()
    planes = np.concatenate([indices(0, 2, 4, 6), np.full((1, 4, 6), 3, np.uint8)])
    for mode in ("channel", "global"):
        block = bitstream.encode_block(planes, mode)  # type: ignore[arg-type]
        data = container.write(Container(head, blocks=[block]))
        (entry,) = inspect.info(data, channels=True)["blocks"]
        assert entry["mode"] == mode
        table = entry["channels"]
        counts = np.unique(planes[0], return_counts=True)[1] / 24
        assert table[0]["entropy"] == pytest.approx(-(counts * np.log2(counts)).sum())
        assert table[2]["entropy"] == 0
        if mode == "channel":
            assert (table[2]["bytes"], table[2]["coding"]) == (3, "rle")
            assert table[2]["bpp"] == pytest.approx(24 / (24 * 64))
        else:
            assert table[2]["bytes"] is None


def test_info_of_damaged_blocks() -> None:
    head = several()
    data = bytearray(container.write(Container(head, blocks=blocks(head))))
    data[container.read(data).block_section(0).payload_end - 1] ^= 1
    facts = inspect.info(data)
    assert [b["intact"] for b in facts["blocks"]] == [False] + [True] * 8
    assert facts["latent"]["channels"] == 2
    single = bytearray(container.write(Container(header(), blocks=blocks(header()))))
    single[-6] ^= 1
    assert inspect.info(single)["latent"]["channels"] is None


def test_example_in_the_specification_is_true() -> None:
    text = SPEC.read_text()
    rows = re.findall(r"^    ([0-9a-f]{4})  ((?:[0-9a-f]{2} ?)+?)(?:  .*)?$", text, re.MULTILINE)
    example = b""
    for offset, piece in rows:
        assert int(offset, 16) == len(example)
        example += bytes.fromhex(piece)
    planes = np.zeros((2, 2, 3), np.uint8)
    planes[0], planes[1] = 15, [[14, 15, 16], [17, 15, 15]]
    head = Header(20, 9, "dcn-32c", bytes.fromhex("0123456789abcdef"), quality="medium")
    assert container.write(Container(head, blocks=[bitstream.encode_block(planes)])) == example
    container.read(example).verify()


def test_fse_example_in_the_specification_is_true() -> None:
    found = re.search(r"^    FSE: ([0-9a-f ]+)$", SPEC.read_text(), re.MULTILINE)
    assert found is not None
    plane = np.full((1, 4, 8), 15, np.uint8)
    plane[0, 0, 0], plane[0, 2, 3], plane[0, 3, 7] = 14, 16, 16
    assert bitstream.encode_block(plane)[7:] == bytes.fromhex(found[1])


def test_limits_in_the_specification_are_true() -> None:
    text = SPEC.read_text()
    for name, value in {
        "image width, height": container.MAX_DIMENSION,
        "pixels of an image": container.MAX_PIXELS,
        "metadata block": packed.MAX_METADATA,
        "zstandard window": packed.MAX_WINDOW,
        "coded block": bitstream.MAX_BLOCK_BYTES,
        "unknown optional sections": sections.MAX_SKIPPED,
    }.items():
        assert re.search(rf"\| {name}[^|]*\|[^|]*\b{value:,}\b", text), name


def test_reader_checks_in_the_specification_are_all() -> None:
    """Every error that can be provoked stands in SPEC.md, and every one there can be provoked."""
    table = SPEC.read_text().split("## 13 ")[1].split("## 14 ")[0]
    cells = [row.split(" | ")[1] for row in table.splitlines() if row.startswith("| ")][1:]
    listed = {text for cell in cells for text in re.findall(r"`([^`]+)`", cell)}
    stored = Path(__file__).parents[1] / "golden/fail.json"
    provoked = {case["error"] for case in json.loads(stored.read_text()).values()}
    matched = set()
    for error in provoked:
        text = re.sub(r"^block \d+: ", "", error)
        fitting = {t for t in listed if re.fullmatch(re.escape(t).replace(r"\*", ".*"), text)}
        assert fitting, error
        matched |= fitting
    assert listed - matched == {
        # Needs 16 MiB; see test_block_that_is_longer_than_any.
        "block * is longer than any block can be",
        # See test_families.
        "coded with context model *, not with *",
        # See tests/encoder/test_means.py.
        "holds means, which model * does not have",
    }
