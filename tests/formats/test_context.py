"""The context coder: its paths, its oracle, extremes, threads, damage, and what it refuses."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import spec_context as oracle
from context_samples import random_latents, random_model
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save

from dcncodec.errors import FormatError, ModelError
from dcncodec.formats import context
from dcncodec.formats.coding import MAX_CODED_BYTES
from dcncodec.formats.context import ContextModel
from dcncodec.formats.context_coder import ContextCoder
from dcncodec.formats.context_tensors import digest
from dcncodec.formats.geometry import Area, Geometry

KINDS = ["zero", "sparse", "extreme", "ends"]


def lists(tensors: dict[str, NDArray[Any]]) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in tensors.items()}


def paths(tensors: dict[str, NDArray[Any]]) -> list[ContextModel]:
    """The model with the plain path and each that this processor has."""
    models = [ContextModel(tensors, "plain")]
    for path in ("avx2", "vnni"):
        with suppress(ModelError):  # of a processor without it; the tensors are valid
            models.append(ContextModel(tensors, path))  # type: ignore[arg-type]
    return models


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    channels=st.one_of(st.integers(1, 40), st.integers(1, 255)),
    hidden=st.one_of(st.integers(1, 80), st.integers(1, 512)),
    neighbours=st.integers(1, 12),
    rows=st.integers(1, 6),
    columns=st.integers(1, 7),
    rate=st.integers(0, 255),
    kind=st.sampled_from(KINDS),
    wild=st.booleans(),
)
def test_paths_agree(
    seed: int,
    channels: int,
    hidden: int,
    neighbours: int,
    rows: int,
    columns: int,
    rate: int,
    kind: str,
    wild: bool,
) -> None:
    plain, *others = paths(random_model(seed, channels, hidden, neighbours, wild=wild))
    latents = random_latents(seed, channels, rows, columns, kind)
    means, scales = plain.predict(latents, rate)
    block = plain.encode(latents, rate)
    np.testing.assert_array_equal(plain.decode(block, rows, columns, rate), latents)
    for other in others:
        for ours, theirs in zip((means, scales), other.predict(latents, rate), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert other.encode(latents, rate) == block
        np.testing.assert_array_equal(other.decode(block, rows, columns, rate), latents)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    channels=st.integers(1, 40),
    rows=st.integers(1, 30),
    columns=st.integers(1, 5),
    centred=st.booleans(),
    wild=st.booleans(),
)
def test_quantise(
    seed: int, channels: int, rows: int, columns: int, centred: bool, wild: bool
) -> None:
    """Alike with every path and number of threads, within bounds, between the nearest word and the
    mean of it."""
    rng = np.random.default_rng(seed)
    plain, *others = paths(random_model(seed, channels, 2 * channels, wild=wild))
    targets = rng.normal(0, 3, (channels, rows, columns)).astype(np.float32)
    weights = rng.uniform(0, 20, channels).astype(np.float32)
    chosen = plain.quantise(targets, weights, -5, 6, 9, centred=centred)
    assert chosen.dtype == np.int16
    assert -5 <= chosen.min() <= chosen.max() <= 6
    for other in others:
        found = other.quantise(targets, weights, -5, 6, 9, 3, centred=centred)
        np.testing.assert_array_equal(found, chosen)
    nearest = np.floor(targets + 0.5).clip(-5, 6)
    used = np.flatnonzero(nearest.any((1, 2)))
    active = used[-1] + 1 if len(used) else 0
    assert not chosen[active:].any()
    means = ((plain.predict(chosen, 9)[0] + 8) >> 4).clip(-5, 6)
    ends = np.stack([nearest, means])[:, :active]
    assert (chosen[:active] >= ends.min(0)).all()
    assert (chosen[:active] <= ends.max(0)).all()


def test_quantise_weighs_bits() -> None:
    """Heavy distances round, light ones save bits; what is no number counts as 0."""
    model = ContextModel(random_model(5, 12, 24, wild=False))
    targets = np.random.default_rng(5).normal(0, 2, (12, 20, 20)).astype(np.float32)
    heavy = model.quantise(targets, np.full(12, 1e9, np.float32), -99, 99)
    np.testing.assert_array_equal(heavy, np.floor(targets + 0.5))
    light = model.quantise(targets, np.full(12, 3, np.float32), -99, 99)
    spent = [float(model.bits(words).sum()) for words in (heavy, light)]
    assert spent[1] < spent[0]
    targets[0, 0, 0] = np.nan
    targets[1, 0, 0] = np.inf
    words = model.quantise(targets, np.full(12, 1e9, np.float32), -99, 99)
    assert words[0, 0, 0] == 0
    assert words[1, 0, 0] == 99


def test_quantise_refuses() -> None:
    model = ContextModel(random_model(0, 3, 6))
    targets, weights = np.zeros((3, 4, 4), np.float32), np.ones(3, np.float32)
    for wrong in (targets.astype(np.int16), targets[:2], targets[0]):
        with pytest.raises(ValueError, match="not float32"):
            model.quantise(wrong, weights, -1, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weights are"):
        model.quantise(targets, weights[:2], -1, 1)
    with pytest.raises(ValueError, match=r"code words 1\.\.2"):
        model.quantise(targets, weights, 1, 2)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    channels=st.one_of(st.integers(1, 9), st.sampled_from([16, 33, 255])),
    hidden=st.integers(1, 24),
    neighbours=st.integers(1, 12),
    knots=st.integers(1, 9),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    rate=st.integers(0, 255),
    kind=st.sampled_from(KINDS),
    wild=st.booleans(),
)
def test_oracle_agrees(
    seed: int,
    channels: int,
    hidden: int,
    neighbours: int,
    knots: int,
    rows: int,
    columns: int,
    rate: int,
    kind: str,
    wild: bool,
) -> None:
    tensors = random_model(seed, channels, hidden, neighbours, knots, wild=wild)
    model, second = ContextModel(tensors), lists(tensors)
    latents = random_latents(seed, channels, rows, columns, kind)
    means, scales = oracle.predictions(second, latents.tolist(), rate)
    for ours, theirs in zip(model.predict(latents, rate), (means, scales), strict=True):
        assert ours.tolist() == theirs
    block = model.encode(latents, rate)
    assert oracle.block(second, block, rows, columns, rate) == latents.tolist()
    assert model.decode(block, rows, columns, rate).tolist() == latents.tolist()


@pytest.mark.parametrize("rate", range(0, 256, 15))
def test_every_rate_has_its_own_biases(rate: int) -> None:
    tensors = random_model(3, 4, 9, knots=8, wild=False)
    latents = random_latents(4, 4, 3, 3)
    means, scales = oracle.predictions(lists(tensors), latents.tolist(), rate)
    for ours, theirs in zip(
        ContextModel(tensors).predict(latents, rate), (means, scales), strict=True
    ):
        assert ours.tolist() == theirs


def test_zeros_take_one_byte() -> None:
    model = ContextModel(random_model(0, 5, 8))
    assert model.encode(np.zeros((5, 255, 255), np.int16)) == b"\0"
    assert not model.decode(b"\0", 255, 255).any()
    assert not model.bits(np.zeros((5, 4, 4), np.int16)).any()


def test_channels_behind_the_last_one_cost_nothing() -> None:
    model = ContextModel(random_model(1, 20, 40))
    latents = random_latents(1, 20, 8, 8)
    latents[7:] = 0
    block = model.encode(latents)
    assert block[0] == 7
    np.testing.assert_array_equal(model.decode(block, 8, 8), latents)
    assert not model.bits(latents)[7:].any()


@pytest.fixture(scope="module")
def busy() -> tuple[ContextModel, NDArray[np.int16], bytes]:
    """A block with as many streams as the encoder makes."""
    model = ContextModel(random_model(5, 12, 30, wild=False))
    latents = random_latents(5, 12, 130, 120)
    block = model.encode(latents, 100)
    assert block[1] == 8
    return model, latents, block


@pytest.mark.parametrize("threads", range(1, 9))
def test_threads_change_nothing(
    busy: tuple[ContextModel, NDArray[np.int16], bytes], threads: int
) -> None:
    model, latents, block = busy
    assert model.encode(latents, 100, threads) == block
    np.testing.assert_array_equal(model.decode(block, 130, 120, 100, threads), latents)
    assert model.bits(latents, 100, threads).tobytes() == model.bits(latents, 100).tobytes()
    # Damage in a row that other threads wait for ends them all.
    damaged = bytearray(block)
    damaged[len(block) // 3] ^= 0x55
    with pytest.raises(FormatError, match=r"damaged stream|outside 16 bits"):
        model.decode(damaged, 130, 120, 100, threads)


def test_bits_are_those_of_the_block(busy: tuple[ContextModel, NDArray[np.int16], bytes]) -> None:
    model, latents, block = busy
    assert float(model.bits(latents, 100).sum()) / 8 == pytest.approx(len(block) - 60, abs=30)


@pytest.mark.parametrize("kind", KINDS)
def test_bits_of_any_latents(kind: str) -> None:
    model = ContextModel(random_model(8, 6, 20))
    latents = random_latents(8, 6, 20, 20, kind)
    size = len(model.encode(latents, 9))
    assert float(model.bits(latents, 9).sum()) / 8 == pytest.approx(size, rel=0.01, abs=8)


def test_largest_block_in_bounded_time() -> None:
    tensors = random_model(0, 255, 16, 1, knots=1, scales=1, wild=False)
    tensors["radius"][:] = 0
    tensors["low_bits"][:] = 0
    tensors["frequencies"] = np.tile(np.array([2**15 - 1, 1], np.uint16), 16)
    for name in ("mean.weight", "linear_neighbours.weight", "linear_before.weight"):
        tensors[name][:] = 0
    tensors["mean.bias"][:] = 0
    model = ContextModel(tensors)
    latents = np.zeros((255, 255, 255), np.int16)
    latents[-1, -1, -1] = 1
    block = model.encode(latents)
    assert len(block) < 200
    start = time.process_time()
    assert model.decode(block, 255, 255)[-1, -1, -1] == 1
    assert time.process_time() - start < 30


def mutated(block: bytes, rng: random.Random) -> bytes:
    changed = bytearray(block)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(changed)) if changed else 0
        kind = rng.randrange(5)
        if kind == 0:
            del changed[at:]
        elif kind == 1:
            changed[at:at] = rng.randbytes(rng.randrange(1, 6))
        elif kind == 2 and changed:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 3 and changed:
            changed[rng.randrange(min(12, len(changed)))] = rng.choice((0, 1, 2, 16, 17, 127, 255))
        elif changed:
            del changed[at : at + rng.randrange(1, 6)]
    return bytes(changed)


def outcome(model: ContextModel, block: bytes, rows: int, columns: int, threads: int) -> str:
    try:
        latents = model.decode(block, rows, columns, 77, threads)
    except FormatError as error:
        return "error" if str(error).startswith("context-coded data: ") else str(error)
    return "valid" if latents.shape == (model.channels, rows, columns) else "shape"


def test_mutations_end_in_an_error_or_latents() -> None:
    """10,000 of them, on one and on several threads."""
    rng = random.Random(16)
    cases = []
    for seed, kind in enumerate(["sparse", "extreme", "ends", "sparse"]):
        model = ContextModel(random_model(seed, 6, 13, wild=seed % 2 == 0))
        cases.append((model, model.encode(random_latents(seed, 6, 11, 9, kind), 77)))
    wide = ContextModel(random_model(9, 6, 9, wild=False))
    wide_block = wide.encode(random_latents(9, 6, 90, 90), 77)
    assert wide_block[1] > 1
    start = time.process_time()
    ends = {"valid": 0, "error": 0}
    for number in range(10_000):
        model, block = cases[number % 4]
        rows, columns, threads = 11, 9, 1
        if number % 100 == 0:
            model, block, rows, columns, threads = wide, wide_block, 90, 90, 3
        ends[outcome(model, mutated(block, rng), rows, columns, threads)] += 1
    assert ends["error"] > 9000
    assert time.process_time() - start < 60


@pytest.mark.parametrize(
    ("block", "error"),
    [
        (b"", "damaged stream table"),
        (b"\0\0", "damaged stream table"),
        (b"\6\1", "damaged stream table"),
        (b"\1", "damaged stream table"),
        (b"\1\0" + bytes(9), "damaged stream table"),
        (b"\1\x11" + bytes(90), "damaged stream table"),
        (b"\1\3\5\5" + b"\0\0\0\1\0" * 3, "damaged stream table"),  # of two rows
        (b"\1\2\xff", "damaged stream table"),
        (b"\1\2\x80\0" + b"\0\0\0\1\0" * 2, "damaged stream table"),
        (b"\1\2\x09" + b"\0\0\0\1\0" * 2, "damaged stream table"),
        (b"\1\1\0\0\0\1", "damaged stream table"),
        (b"\1\1\0\0\0\0\0", "damaged stream"),
        (b"\1\1\xff\xff\xff\xff\xff", "damaged stream"),
    ],
)
def test_malformed_blocks(block: bytes, error: str) -> None:
    model = ContextModel(random_model(2, 5, 8))
    with pytest.raises(FormatError, match=error):
        model.decode(block, 2, 3)


def test_longest_block() -> None:
    """The container's limit is that of the coder, which the worst latents come near."""
    lib = context._extension().lib
    model = ContextModel(random_model(1, 255, 1, 1))
    assert lib.dcn_context_bound(model._model, 255, 255) == MAX_CODED_BYTES
    tensors = random_model(4, 9, 9, scales=1)
    tensors["radius"][:] = 0
    tensors["low_bits"][:] = 15
    tensors["frequencies"] = np.tile(np.array([1, 2**15 - 1], np.uint16), 16)
    worst = ContextModel(tensors)
    latents = random_latents(1, 9, 30, 30, "ends")
    block = worst.encode(latents)
    assert len(block) > 2 * latents.size
    np.testing.assert_array_equal(worst.decode(block, 30, 30), latents)


def test_bytes_behind_the_end() -> None:
    model = ContextModel(random_model(2, 5, 8))
    block = model.encode(random_latents(2, 5, 4, 4))
    with pytest.raises(FormatError, match="damaged stream"):
        model.decode(block + b"\0", 4, 4)
    with pytest.raises(FormatError, match="damaged stream"):
        model.decode(block[:-1], 4, 4)


def test_coder_of_a_codec() -> None:
    model = ContextModel(random_model(6, 4, 7, wild=False))
    coder = ContextCoder(model, Geometry(4, 5), threads=2)
    latents = random_latents(6, 4, 9, 8).clip(-15, 16)
    block = coder.encode(latents, 30)
    area = Area(3, 5, 12, 13)
    np.testing.assert_array_equal(coder.decode(block, area, 30), latents)
    np.testing.assert_array_equal(coder.bits(latents, 30), model.bits(latents, 30))
    latents[2, 3, 4] = 17
    with pytest.raises(ValueError, match=r"code words -?\d+\.\.17 are not in -15\.\.16"):
        coder.encode(latents, 30)
    with pytest.raises(FormatError, match=r"\.\.17, the model has -15\.\.16"):
        coder.decode(model.encode(latents, 30), area, 30)
    with pytest.raises(ModelError, match="has 4 channels, the codec has 5"):
        ContextCoder(model, Geometry(5, 5))


def test_weight_files() -> None:
    model = ContextModel(random_model(6, 3, 7))
    stored = model.to_tensors()
    content = save(stored | {"networks.weight": np.ones(3, np.float16)})
    again = ContextModel.from_bytes(content)
    assert again.sha256 == model.sha256 == digest(model.tensors)
    assert again.sha256 == oracle.digest(lists(model.tensors))
    other = dict(model.tensors) | {"mean.bias": np.asarray(model.tensors["mean.bias"]) + 1}
    assert digest(other) != model.sha256
    with pytest.raises(ModelError, match="has no context model"):
        ContextModel.from_bytes(save({"networks.weight": np.ones(3, np.float16)}))
    with pytest.raises(ModelError, match=r"unknown tensor mean\.gain"):
        ContextModel.from_bytes(save(stored | {"context.mean.gain": np.ones(3)}))
    with pytest.raises(ModelError, match="not a weight file"):
        ContextModel.from_bytes(content[:50])


@pytest.mark.parametrize(
    "latents",
    [
        np.zeros((5, 4, 4), np.int32),
        np.zeros((4, 4, 4), np.int16),
        np.zeros((5, 4), np.int16),
        np.zeros((5, 256, 1), np.int16),
        np.zeros((5, 1, 256), np.int16),
        np.zeros((5, 0, 4), np.int16),
    ],
)
def test_wrong_latents(latents: NDArray[np.int16]) -> None:
    model = ContextModel(random_model(2, 5, 8))
    for use in (model.encode, model.bits, model.predict):
        with pytest.raises(ValueError, match="latents"):
            use(latents)


def test_wrong_requests() -> None:
    model = ContextModel(random_model(2, 5, 8))
    with pytest.raises(ValueError, match="rate 256"):
        model.encode(random_latents(2, 5, 4, 4), 256)
    for rows, columns in ((0, 1), (1, 0), (256, 1), (1, 256)):
        with pytest.raises(ValueError, match="sides are 1 to 255"):
            model.decode(b"\0", rows, columns)
