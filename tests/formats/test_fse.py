"""The entropy coder against its oracle, the reference library's blocks, and damage."""

from __future__ import annotations

import hashlib
import importlib.util
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dcncodec.errors import FormatError
from dcncodec.formats import fse

_SPEC = importlib.util.spec_from_file_location(
    "oracle_fse", Path(__file__).parents[1] / "oracle_fse.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
oracle = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(oracle)


def geometric(seed: int, count: int, step: int, alphabet: int) -> bytes:
    """Symbols with halving probabilities from a linear congruential generator."""
    x, symbols = seed, bytearray()
    for _ in range(count):
        x = (x * 1103515245 + 12345) & 0xFFFFFFFF
        u, v = x >> 16 & 1023, 0
        while u < 512 and v < alphabet:
            v += 1
            u = u * 2 + (x >> (v & 7) & 1)
        symbols.append(v * step % 256)
    return bytes(symbols)


REFERENCE = {
    "even": (geometric(1, 40, 7, 5), "f185bd59cbba7f066c24fafde6701e925a31"),
    "odd": (geometric(2, 41, 7, 5), "d1857db12dbb2cb307145eebe5804cf49e164fbf22"),
    "less-than-one": (
        geometric(3, 300, 3, 9),
        "21866284a9a5a2e803c0b2fa62379280be89a1a13e305fc0d57038c0487bcd62e67e710d15dd63bae0e9"
        "439e5220727ab944face2fbf29bc495aff374a268003f8348994dca9af37626a9f87dc06c9eae69501",
    ),
    "zero-runs": (
        geometric(6, 64, 13, 200),
        "b20b7ebff07bc56fe6b7f2db7e0735160f4437fdc5ea55b197ed4e48fe2ee37f",
    ),
    "log-11": (geometric(7, 45, 2, 4), "16ca002017c0ad00a4017f82971bf73709ee793cf4c532"),
    "log-12": (geometric(9, 47, 1, 3), "e782bf8bf83f7d58b626df018dc99ff0803610"),
    "log-12-less-than-one": (
        geometric(10, 5, 1, 6)
        + b"\xc8"
        + geometric(10, 64, 1, 6)[6:40]
        + b"\xc9"
        + geometric(10, 64, 1, 6)[41:],
        "1764b1cc32b2e472efffffffffffffffffffffffffffffff1f004af77d961e64aa09524dc2acb40767177d3b"
        "74af02",
    ),
}
"""Source and block as the reference library (zstd 1.5.7) writes it, with tables of 5 to 12 bits."""


@pytest.mark.parametrize("name", REFERENCE)
def test_blocks_of_the_reference_library_decode(name: str) -> None:
    symbols, block = REFERENCE[name]
    assert fse.decompress(bytes.fromhex(block), len(symbols)) == symbols
    assert oracle.decode(bytes.fromhex(block), len(symbols)) == symbols


@pytest.mark.parametrize("name", ["even", "odd"])
def test_short_blocks_are_those_of_the_reference_library(name: str) -> None:
    symbols, block = REFERENCE[name]
    assert fse.compress(symbols) == bytes.fromhex(block)


def test_long_blocks_are_those_of_the_reference_library() -> None:
    block = fse.compress(geometric(4, 2049, 5, 17))
    assert block is not None
    assert len(block) == 545
    assert (
        hashlib.sha256(block).hexdigest()
        == "2b84613e8a431e643fb81f3c3955f1d726070281228eaa26f3739d352ba63579"
    )


def laplacian(rng: np.random.Generator, count: int, alphabet: int) -> NDArray[np.uint8]:
    scale = rng.uniform(0.1, 4)
    values = np.rint(rng.laplace(alphabet // 2, scale, count))
    return values.clip(0, alphabet - 1).astype(np.uint8)


def uniform(rng: np.random.Generator, count: int, alphabet: int) -> NDArray[np.uint8]:
    return rng.integers(0, alphabet, count).astype(np.uint8)


def degenerate(rng: np.random.Generator, count: int, alphabet: int) -> NDArray[np.uint8]:
    symbols = np.full(count, rng.integers(alphabet), np.uint8)
    symbols[rng.integers(count)] = rng.integers(alphabet)
    return symbols


def dying(rng: np.random.Generator, count: int, alphabet: int) -> NDArray[np.uint8]:
    return (alphabet * rng.random(count) ** 6).astype(np.uint8)


KINDS = [laplacian, uniform, degenerate, dying]
Kind = Callable[[np.random.Generator, int, int], NDArray[np.uint8]]


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    count=st.one_of(st.integers(1, 700), st.integers(1, 65025)),
    alphabet=st.integers(1, 256),
    seed=st.integers(0, 2**32),
)
def test_round_trip(kind: Kind, count: int, alphabet: int, seed: int) -> None:
    symbols = kind(np.random.default_rng(seed), count, alphabet).tobytes()
    block = fse.compress(symbols)
    if block is not None:
        assert len(block) < count - 1
        assert fse.decompress(block, count, max(symbols)) == symbols
        if count < 3000:
            assert oracle.decode(block, count) == symbols


@pytest.mark.parametrize("kind", KINDS)
def test_every_short_length_round_trips(kind: Kind) -> None:
    rng = np.random.default_rng(11)
    compressed = 0
    for count in range(1, 601):
        symbols = kind(rng, count, 32).tobytes()
        block = fse.compress(symbols)
        if block is not None:
            compressed += 1
            assert fse.decompress(block, count, 31) == symbols
    assert compressed > (0 if kind is uniform else 400)


def test_size_stays_close_to_the_entropy() -> None:
    rng = np.random.default_rng(5)
    for scale in (0.3, 0.7, 1.5, 3.0):
        symbols = np.rint(rng.laplace(15, scale, 4096)).clip(0, 31).astype(np.uint8)
        shares = np.bincount(symbols) / 4096
        shares = shares[shares > 0]
        entropy = -(shares * np.log2(shares)).sum() * 4096 / 8
        block = fse.compress(symbols.tobytes())
        assert block is not None
        assert entropy < len(block) < 1.03 * entropy


def test_what_cannot_be_compressed() -> None:
    assert fse.compress(bytes(1000)) is None
    assert fse.compress(bytes(range(256))) is None
    assert fse.compress(b"ab") is None
    with pytest.raises(FormatError, match="wrong source"):
        fse.compress(b"")


BLOCK = fse.compress(REFERENCE["odd"][0]) or b""


@pytest.mark.parametrize(
    ("block", "count", "message"),
    [
        (b"", 41, "damaged table description"),
        (b"\x0f" + BLOCK[1:], 41, "damaged table description"),
        (BLOCK[:2], 41, "damaged table description"),
        (BLOCK[:-1] + b"\0", 41, "damaged bit-stream"),
        (BLOCK + b"\1", 41, "damaged bit-stream"),
        (BLOCK, 40, "damaged bit-stream"),
        (BLOCK, 42, "damaged bit-stream"),
        (BLOCK[: oracle.read_table(BLOCK)[2]], 41, "damaged bit-stream"),
        (BLOCK, 1, "between 2 and"),
        (BLOCK, 1 << 25, "between 2 and"),
    ],
)
def test_damaged_blocks(block: bytes, count: int, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        fse.decompress(block, count)


def test_symbols_beyond_the_alphabet_are_refused() -> None:
    symbols = REFERENCE["odd"][0]
    with pytest.raises(FormatError, match="damaged table description"):
        fse.decompress(BLOCK, 41, max(symbols) - 1)


def test_damage_ends_in_an_error_or_in_symbols() -> None:
    rng = random.Random(9)
    sources = [geometric(s, 20 + 37 * s, 1, 30) for s in range(1, 30)]
    blocks = [(fse.compress(source), len(source)) for source in sources]
    for _ in range(5000):
        block, count = rng.choice(blocks)
        assert block is not None
        damaged = bytearray(block)
        for _ in range(rng.randint(0, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        damaged = damaged[: rng.randint(1, len(damaged))]
        try:
            symbols = fse.decompress(bytes(damaged), count, 31)
        except FormatError:
            continue
        assert len(symbols) == count
        assert max(symbols) <= 31


def decoded(decode: Callable[[bytes, int], bytes], block: bytes, count: int) -> bytes | None:
    """What a decoder makes of a block; None where it refuses."""
    try:
        return decode(block, count)
    except (FormatError, AssertionError):
        return None


def test_damaged_blocks_decode_as_the_oracle_says() -> None:
    rng = random.Random(10)
    blocks = [(bytes.fromhex(block), len(source)) for source, block in REFERENCE.values()]
    accepted = 0
    for _ in range(3000):
        block, count = rng.choice(blocks)
        damaged = bytearray(block)
        # Most often in the bit-stream: a damaged table rarely adds up.
        at = rng.randrange(len(block) // 2, len(block) - 1)
        damaged[at] ^= 1 << rng.randrange(8)
        symbols = decoded(fse.decompress, bytes(damaged), count)
        assert symbols == decoded(oracle.decode, bytes(damaged), count)
        accepted += symbols is not None
    assert 0 < accepted < 3000


def test_destination_too_small() -> None:
    from dcncodec import _fse  # type: ignore[attr-defined]

    symbols, block = REFERENCE["odd"]
    size = len(block) // 2
    work = _fse.ffi.new("dcn_fse_encoder *")
    for capacity in (0, 1, size - 1, size):
        target = _fse.ffi.new("uint8_t[]", capacity)
        result = _fse.lib.dcn_fse_compress(target, capacity, symbols, len(symbols), work)
        code = _fse.lib.dcn_fse_error_code(result)
        name = _fse.ffi.string(_fse.lib.dcn_fse_error_name(code))
        assert name == (b"no error" if capacity == size else b"destination too small")


def test_every_error_has_a_name() -> None:
    from dcncodec import _fse  # type: ignore[attr-defined]

    names = [_fse.ffi.string(_fse.lib.dcn_fse_error_name(code)) for code in range(9)]
    assert len(set(names)) == 9
    assert b"unknown error" not in names


def planes_of_every_form(count: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(2)
    return np.stack(
        [
            laplacian(rng, count, 32),
            np.full(count, 7, np.uint8),
            uniform(rng, count, 32) if count < 60 else np.arange(count, dtype=np.uint8) % 32,
        ]
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 64, 1024, 65025])
@pytest.mark.parametrize("threads", [1, 3])
def test_planes_round_trip(count: int, threads: int) -> None:
    planes = planes_of_every_form(count)
    payload, sizes = fse.encode_planes(planes, threads)
    assert len(payload) == sizes.sum()
    assert sizes[1] == (3 if count > 3 else count)
    assert (sizes <= count).all()
    assert (fse.decode_planes(payload, sizes, count, 32, threads) == planes).all()


def test_threads_do_not_change_the_bytes() -> None:
    rng = np.random.default_rng(3)
    planes = np.stack([laplacian(rng, 65025, 32) for _ in range(24)])
    one, four = fse.encode_planes(planes, 1), fse.encode_planes(planes, 4)
    assert one[0] == four[0]
    assert (one[1] == four[1]).all()
    assert (fse.decode_planes(*four, 65025, 32, 4) == planes).all()


def test_no_fse_block_has_the_length_of_a_repeated_symbol() -> None:
    rng = np.random.default_rng(4)
    for count in range(4, 40):
        planes = np.stack([degenerate(rng, count, 3) for _ in range(50)])
        payload, sizes = fse.encode_planes(planes)
        for plane, size in zip(planes, sizes, strict=True):
            assert (size == 3) == (len(set(plane.tolist())) == 1)
        assert (fse.decode_planes(payload, sizes, count) == planes).all()


@pytest.mark.parametrize(
    ("payload", "sizes", "count", "message"),
    [
        (b"\x05\x00\x01", [3], 6, "wrong channel size"),
        (b"\x06\x00\x20", [3], 6, "symbol outside the alphabet"),
        (b"\x20" * 6, [6], 6, "symbol outside the alphabet"),
        (b"\x01" * 7, [7], 6, "wrong channel size"),
        (b"\x01" * 7, [6], 6, "wrong channel size"),
        (b"\x01" * 5, [6], 6, "wrong channel size"),
        (b"\x01" * 6, [0, 6], 6, "wrong channel size"),
        (b"\x01" * 2, [2], 3, "wrong channel size"),
        (b"", [], 6, "cannot be decoded"),
        (b"\x01", [1], 0, "cannot be decoded"),
    ],
)
def test_damaged_planes(payload: bytes, sizes: list[int], count: int, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        fse.decode_planes(payload, np.array(sizes, np.uint32), count)


@pytest.mark.parametrize("alphabet", [0, 257])
def test_alphabets_are_those_of_bytes(alphabet: int) -> None:
    with pytest.raises(ValueError, match="alphabet"):
        fse.decode_planes(b"\x00", np.array([1], np.uint32), 1, alphabet)


def test_empty_planes() -> None:
    with pytest.raises(FormatError, match="wrong source"):
        fse.encode_planes(np.empty((0, 5), np.uint8))
