"""The bit-stream of one block: round trips and every alternative of Table A.1."""

from __future__ import annotations

import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dcncodec.errors import FormatError, UsageError
from dcncodec.formats import bitstream, fse
from dcncodec.formats.bitstream import (
    MAX_BLOCK_BYTES,
    block_layout,
    block_shape,
    decode_block,
    decode_channels,
    encode_block,
)

Indices = NDArray[np.uint8]
MODES = ("channel", "global", "auto")


def bells(seed: int, *shape: int) -> Indices:
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.01, 0.5, (shape[0], 1, 1))
    return rng.binomial(31, spread, shape).astype(np.uint8)


def flat(*shape: int, index: int = 15) -> Indices:
    return np.full(shape, index, np.uint8)


@st.composite
def blocks(draw: st.DrawFn) -> Indices:
    side, channels = st.integers(1, 255), st.integers(1, 255)
    n, h, w = draw(channels), draw(side), draw(side)
    # Large in one or two directions, not in all three: 16 MB each would take minutes.
    if n * h * w > 100_000:
        n = max(1, 100_000 // (h * w))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(("bells", "flat", "uniform", "sparse", "mixed")))
    if kind == "bells":
        return rng.binomial(31, rng.uniform(0, 1, (n, 1, 1)), (n, h, w)).astype(np.uint8)
    if kind == "uniform":
        return rng.integers(0, 32, (n, h, w)).astype(np.uint8)
    planes = flat(n, h, w, index=draw(st.integers(0, 31)))
    if kind == "sparse":
        planes[rng.random((n, h, w)) < 0.01] = draw(st.integers(0, 31))
    if kind == "mixed":
        planes[::3] = rng.integers(0, 32, planes[::3].shape)
        planes[1::3] = rng.binomial(31, 0.1, planes[1::3].shape)
    return planes


@settings(max_examples=60, deadline=None)
@given(blocks(), st.sampled_from(MODES), st.integers(1, 3))
def test_round_trip(indices: Indices, mode: str, threads: int) -> None:
    data = encode_block(indices, mode, threads)  # type: ignore[arg-type]
    decoded = decode_block(data, threads)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, indices)
    layout = block_layout(data)
    assert (layout.channels, layout.height, layout.width) == indices.shape
    last = layout.coded[-1]
    assert last.offset + last.size == len(data)


@settings(max_examples=20, deadline=None)
@given(blocks(), st.sampled_from(MODES), st.data())
def test_channels_alone(indices: Indices, mode: str, data: st.DataObject) -> None:
    number = st.integers(0, len(indices) - 1)
    chosen = data.draw(st.lists(number, min_size=1, max_size=4))
    coded = encode_block(indices, mode)  # type: ignore[arg-type]
    np.testing.assert_array_equal(decode_channels(coded, chosen), indices[chosen])


@pytest.mark.parametrize("shape", [(1, 255, 255), (255, 1, 1), (255, 3, 255), (1, 255, 1)])
@pytest.mark.parametrize("mode", MODES)
def test_extreme_shapes(shape: tuple[int, int, int], mode: str) -> None:
    indices = bells(1, *shape)
    data = encode_block(indices, mode)  # type: ignore[arg-type]
    np.testing.assert_array_equal(decode_block(data), indices)


@pytest.mark.parametrize("mode", MODES)
def test_large_planes_of_all_widths(mode: str) -> None:
    rng = np.random.default_rng(20)
    share = np.concatenate([rng.uniform(0, 0.02, 12), rng.uniform(0.4, 0.6, 12)])
    indices = rng.binomial(31, share[:, None, None], (24, 250, 251)).astype(np.uint8)
    for threads in (1, 2):
        data = encode_block(indices, mode, threads)  # type: ignore[arg-type]
        np.testing.assert_array_equal(decode_block(data, threads), indices)


def test_largest_block_is_within_the_limit() -> None:
    indices = np.random.default_rng(0).integers(0, 32, (255, 255, 255)).astype(np.uint8)
    data = encode_block(indices, "channel", 2)
    assert len(data) <= MAX_BLOCK_BYTES
    np.testing.assert_array_equal(decode_block(data, 2), indices)


def test_header_is_that_of_table_a1() -> None:
    data = encode_block(bells(2, 3, 40, 50))
    height, width, channels, table = struct.unpack_from("<BBBH", data)
    assert (height, width, channels, table) == (40, 50, 3, 6)
    sizes = struct.unpack_from("<3H", data, 5)
    assert 5 + 6 + sum(sizes) == len(data)
    assert block_shape(data) == (40, 50, 3, "channel")


def test_size_table_is_the_shorter_alternative() -> None:
    few = encode_block(bells(3, 2, 30, 30))
    assert block_layout(few).table == bitstream.ChannelLayout(5, 4, "raw")
    many = encode_block(np.repeat(bells(3, 1, 30, 30), 200, axis=0))
    layout = block_layout(many)
    assert layout.table is not None
    assert layout.table.coding == "fse"
    assert layout.table.size < 400
    sizes = np.array([c.size for c in layout.coded], "<u2").tobytes()
    assert fse.decompress(many[5 : 5 + layout.table.size], 400) == sizes


def test_each_channel_is_its_shortest_alternative() -> None:
    noise = np.random.default_rng(4).integers(0, 32, (1, 5, 5)).astype(np.uint8)
    indices = np.concatenate([flat(1, 5, 5), noise, flat(1, 5, 5)])
    indices[2, 0, :3] = (14, 15, 16)
    layout = block_layout(encode_block(indices))
    assert [c.coding for c in layout.coded] == ["rle", "raw", "fse"]
    assert [c.size for c in layout.coded][:2] == [3, 25]
    assert 3 < layout.coded[2].size < 25


def test_rle_is_repetitions_and_index() -> None:
    assert encode_block(flat(1, 3, 100, index=9)) == bytes((3, 100, 1, 2, 0, 3, 0, 44, 1, 9))


@pytest.mark.parametrize(("side", "coding"), [(1, "raw"), (2, "raw"), (3, "raw"), (4, "rle")])
def test_three_bytes_mean_rle_only_above_three_indices(side: int, coding: str) -> None:
    data = encode_block(flat(1, 1, side))
    (channel,) = block_layout(data).coded
    assert (channel.coding, channel.size) == (coding, min(side, 3))
    np.testing.assert_array_equal(decode_block(data), flat(1, 1, side))


def test_fse_blocks_never_have_a_length_that_means_something_else() -> None:
    # Short planes of two symbols: where FSE blocks come close to 3 bytes and to the raw length.
    for length in range(4, 40):
        for ones in range(1, length):
            plane = flat(1, 1, length)
            plane[0, 0, :ones] = 14
            data = encode_block(plane)
            (channel,) = block_layout(data).coded
            assert channel.size != 3
            assert (channel.size == length) == (channel.coding == "raw")
            np.testing.assert_array_equal(decode_block(data), plane)


def test_global_mode_has_a_size_table_of_no_bytes() -> None:
    data = encode_block(bells(5, 16, 6, 6), "global")
    assert data[:5] == bytes((6, 6, 16, 0, 0))
    layout = block_layout(data)
    assert layout.mode == "global"
    assert layout.table is None
    assert [c.coding for c in layout.coded] == ["fse"]


def test_global_alternatives() -> None:
    assert encode_block(flat(200, 20, 20, index=7), "global") == bytes((20, 20, 200, 0, 0, 7))
    noise = np.random.default_rng(6).integers(0, 32, (1, 3, 3)).astype(np.uint8)
    assert encode_block(noise, "global")[5:] == noise.tobytes()


def test_auto_picks_the_smaller() -> None:
    for seed, shape in enumerate([(16, 3, 3), (32, 8, 8), (4, 60, 60), (1, 9, 9), (64, 20, 20)]):
        indices = bells(seed, *shape)
        channel, together = encode_block(indices), encode_block(indices, "global")
        best = together if len(together) < len(channel) else channel
        assert encode_block(indices, "auto") == best


def test_bare_refuses_global() -> None:
    data = encode_block(bells(7, 4, 4, 4), "global")
    with pytest.raises(FormatError, match=r"size table has 0 bytes"):
        decode_block(data, bare=True)


@pytest.mark.parametrize("mode", ["channel", "global"])
def test_every_truncation_fails(mode: str) -> None:
    data = encode_block(bells(8, 3, 9, 9), mode)  # type: ignore[arg-type]
    for length in range(len(data)):
        if mode == "global" and length == 6:
            continue  # one byte left is RLE; only the container's checksum can tell
        with pytest.raises(FormatError):
            decode_block(data[:length])


def test_channels_that_do_not_exist() -> None:
    data = encode_block(bells(9, 3, 9, 9))
    for channel in (-1, 3):
        with pytest.raises(UsageError, match="does not exist, there are 3"):
            decode_channels(data, [channel])
    with pytest.raises(UsageError, match="no channels"):
        decode_channels(data, [])


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (np.zeros((2, 2), np.uint8), "not uint8"),
        (np.zeros((1, 2, 2), np.int16), "not uint8"),
        (np.zeros((0, 2, 2), np.uint8), "not uint8"),
        (np.zeros((1, 256, 2), np.uint8), "exceed 255"),
        (np.full((1, 2, 2), 32, np.uint8), "index 32 is above 31"),
    ],
)
def test_encoder_refuses_other_arrays(indices: Indices, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_block(indices)


def test_unknown_mode() -> None:
    with pytest.raises(UsageError, match="choose channel, global or auto"):
        encode_block(flat(1, 2, 2), "both")  # type: ignore[arg-type]


def test_strided_indices_and_other_buffers() -> None:
    indices = bells(10, 9, 9, 4).transpose(2, 0, 1)
    data = encode_block(indices)
    for buffer in (bytearray(data), memoryview(data), memoryview(b"?" + data)[1:]):
        np.testing.assert_array_equal(decode_block(buffer), indices)
        np.testing.assert_array_equal(decode_channels(buffer, [2]), indices[2:3])


def test_result_can_be_written_to() -> None:
    for mode in ("channel", "global"):
        for indices in (flat(2, 3, 3), bells(11, 2, 30, 30)):
            decode_block(encode_block(indices, mode))[0, 0, 0] = 1  # type: ignore[arg-type]


def test_import_is_light() -> None:
    code = (
        "import sys, dcncodec.formats.container, dcncodec.formats.inspect\n"
        "assert not {'numpy', 'torch', 'backports', 'cffi'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
