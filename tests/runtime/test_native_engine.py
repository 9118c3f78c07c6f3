"""The networks' C core gives what torch gives, on all of its paths, and says what it cannot do."""

from __future__ import annotations

import mmap
import sys
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from alike import MISFITS, PHOTO, check_alike, engine_of, rewrite, transforms
from safetensors.torch import load_file
from vr_models import write_vr

from dcncodec.codec import Codec
from dcncodec.errors import LimitError, MissingLibraryError, ModelError
from dcncodec.formats.geometry import Area
from dcncodec.formats.tensors import Tensor
from dcncodec.models.card import ModelFolder
from dcncodec.models.families import find_codec
from dcncodec.models.program import Program, Transform
from dcncodec.models.registry import list_models, open_folder
from dcncodec.runtime import engine, native_engine, windows
from dcncodec.runtime.engine import Memo
from dcncodec.runtime.native_engine import NativeEngine, core_has_bf16
from dcncodec.runtime.windows import Memos

if TYPE_CHECKING:
    from dcncodec.runtime.native_engine import Path as Instructions

PATHS: list[Instructions] = ["plain", "avx2", "avx512"]


@pytest.mark.parametrize("folder", list_models(), ids=lambda folder: folder.name)
def test_bundled_models(folder: ModelFolder) -> None:
    rates = (0, 37, 255) if folder.geometry.rates else (0,)
    check_alike(folder, engine_of(folder), PHOTO[:64, :88], rates)


@pytest.mark.parametrize("path", PATHS)
def test_paths(vr: ModelFolder, tiny_model: Path, path: Instructions) -> None:
    for folder in (vr, open_folder(tiny_model)):
        check_alike(folder, engine_of(folder, path), PHOTO[:40, :56], (77,))


def test_all_rates(vr: ModelFolder) -> None:
    check_alike(vr, engine_of(vr), PHOTO[:24, :16], tuple(range(0, 256, 15)))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 7), (157, 180)])
def test_all_sizes(vr: ModelFolder, tiny_model: Path, size: tuple[int, int]) -> None:
    pixels = PHOTO[: size[0], : size[1]]
    for folder in (vr, open_folder(tiny_model)):
        check_alike(folder, engine_of(folder), pixels, (128,))


@pytest.mark.parametrize("name", ["dcn-16c", "dcn-64c", "dcn-vr"])
def test_bfloat16_is_as_good(name: str) -> None:
    (folder,) = (model for model in list_models() if model.name == name)
    pixels, plane = PHOTO[:120, :176], Area(0, 0, 15, 22)
    wide = transforms(folder, engine_of(folder))
    narrow = transforms(folder, engine_of(folder, bf16=True))
    for rate in (0, 255) if folder.geometry.rates else (0,):
        latents = wide.analyse(pixels, plane, rate)
        assert (latents != narrow.analyse(pixels, plane, rate)).mean() < 0.02
        errors = [
            np.square(t.synthesise(latents, plane, plane, rate).astype(float) - pixels).mean()
            for t in (wide, narrow)
        ]
        assert 10 * np.log10(errors[1] / errors[0]) < 0.02


@pytest.mark.parametrize("path", PATHS)
def test_memos_change_no_latent(vr: ModelFolder, tiny_model: Path, path: Instructions) -> None:
    pixels = np.ascontiguousarray(PHOTO[:40, :56])
    for folder in (vr, open_folder(tiny_model)):
        own, memo = engine_of(folder, path), Memo()
        for rate in (200, 3, 77):
            assert (own.analysis(pixels, rate, memo) == own.analysis(pixels, rate)).all()
        # What is kept was taken: other pixels are not seen any more as a whole.
        other = own.analysis(pixels[::-1], 77)
        assert (own.analysis(pixels[::-1], 77, memo) != other).any()


def test_memos_of_windows(vr: ModelFolder) -> None:
    own, memos = transforms(vr, engine_of(vr)), Memos()
    own.window = 7
    plane = Area(0, 0, 20, 23)
    for rate in (9, 180):
        found = own.analyse_unrounded(PHOTO, plane, rate, memos)
        assert (found == own.analyse_unrounded(PHOTO, plane, rate)).all()
    assert len(memos) == 12


def test_windows_give_the_pixels_of_the_whole_image(vr: ModelFolder) -> None:
    own = transforms(vr, engine_of(vr))
    plane = Area(0, 0, 20, 23)
    whole = own.analyse(PHOTO, plane, 99)
    shown = own.synthesise(whole, plane, plane, 99)
    own.window = 7
    assert (whole == own.analyse(PHOTO, plane, 99)).all()
    assert (shown == own.synthesise(whole, plane, plane, 99)).all()


def test_the_same_result_with_any_number_of_threads(
    vr: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.os, "sched_getaffinity", lambda _: set(range(3)))
    files = {Codec(vr, device="cpu", threads=n).encode(PHOTO) for n in (1, 2, 3)}
    assert len(files) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [*MISFITS, (lambda w: w["degain"].fill_(np.nan), "weights degain are not all finite")],
)
def test_weights_that_do_not_fit(tmp_path: Path, change: Any, message: str) -> None:
    folder = write_vr(tmp_path / "vr", channels=4)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    rewrite(folder, weights)
    with pytest.raises(ModelError, match=message):
        NativeEngine(open_folder(folder), 1).synthesis(np.zeros((4, 2, 2), np.int16), 0)


@pytest.mark.parametrize(("value", "message"), [(-1.0, "not positive"), (np.inf, "latent_scale")])
def test_scales_that_are_none(tiny_model: Path, tmp_path: Path, value: float, message: str) -> None:
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    weights["latent_scale"].fill_(value)
    rewrite(tmp_path, weights)
    with pytest.raises(ModelError, match=message):
        NativeEngine(open_folder(tmp_path), 1).synthesis(np.zeros((4, 1, 1), np.int16), 0)


def test_weights_of_each_type(tmp_path: Path) -> None:
    folder = write_vr(tmp_path / "vr", channels=4)
    latents = np.full((4, 2, 3), 5, np.int16)
    halves = load_file(folder / "model.safetensors")
    # What both of the short types can hold.
    weights = {name: t.clamp(-100, 100).bfloat16().half().float() for name, t in halves.items()}
    weights = {name: torch.where(t.abs() < 1e-3, 0, t) for name, t in weights.items()}
    shown = []
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        rewrite(folder, {name: tensor.to(kind) for name, tensor in weights.items()})
        shown.append(NativeEngine(open_folder(folder), 1).synthesis(latents, 128))
    assert (shown[0] == shown[1]).all()
    assert (shown[0] == shown[2]).all()


def test_damaged_weights_are_told_at_once(tiny_model: Path, tmp_path: Path) -> None:
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(
            path.read_bytes()[: 5000 if "model" in path.name else None]
        )
    with pytest.raises(ModelError, match="damaged or replaced"):
        NativeEngine(open_folder(tmp_path), 1)


def test_without_the_core(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native_engine._extension.cache_clear()
    monkeypatch.delattr("dcncodec._net", raising=False)
    monkeypatch.setitem(sys.modules, "dcncodec._net", None)
    with pytest.raises(MissingLibraryError, match="C core is not built"):
        NativeEngine(open_folder(tiny_model), 1).synthesis(np.zeros((4, 1, 1), np.int16), 0)


def test_too_little_memory(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(tiny_model)
    own = transforms(folder, engine_of(folder))
    notices: list[Any] = []
    own.notify = notices.append

    def none(*_: Any, **__: Any) -> Any:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(native_engine.mmap, "mmap", none)
    own.engine.release()
    plane = Area(0, 0, 4, 4)
    with pytest.raises(LimitError, match="not enough memory even for windows of 256 pixels"):
        own.synthesise(np.zeros((4, 4, 4), np.int16), plane, plane)
    assert len(notices) == 2


def test_memos_can_be_done_without(vr: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is too little memory for them, latents are the same."""
    own, memo = engine_of(vr), Memo()
    pixels = np.ascontiguousarray(PHOTO[:40, :56])
    expected = own.analysis(pixels, 9)

    class Full(mmap.mmap):
        def __new__(cls, *_: Any, **__: Any) -> Any:
            raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(native_engine.mmap, "mmap", Full)
    for _ in range(2):
        assert (own.analysis(pixels, 9, memo) == expected).all()
    assert memo.kept is None


def test_smaller_windows_begin_with_no_memos(
    vr: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, memos = transforms(vr, engine_of(vr)), Memos()
    own.window, own.notify = 64, lambda _: None
    monkeypatch.setattr(windows, "SMALLEST_WINDOW", 1)
    plane = Area(0, 0, 20, 23)
    expected = own.analyse_unrounded(PHOTO, plane, 9, memos)
    assert len(memos) == 1
    analysis, seen = own.engine.analysis, []

    def once_too_little(*given: Any) -> Any:
        seen.append(given)
        if len(seen) == 1:
            raise MemoryError
        return analysis(*given)

    monkeypatch.setattr(own.engine, "analysis", once_too_little)
    own.window = 32
    memos.clear()
    memos[plane] = Memo()
    found = own.analyse_unrounded(PHOTO, plane, 9, memos)
    assert np.allclose(found, expected, atol=1e-4)
    assert own.window == 16
    assert plane not in memos
    assert len(memos) == 4


def test_memory_is_kept_and_given_back(tiny_model: Path) -> None:
    own = engine_of(open_folder(tiny_model))
    own.synthesis(np.zeros((4, 2, 2), np.int16), 0)
    kept = own._workspace
    own.synthesis(np.zeros((4, 1, 1), np.int16), 0)
    assert kept is not None
    assert own._workspace is kept
    own.release()
    assert own._workspace is None


def whole_numbers(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Tensor:
    """Of which all sums are exact."""
    values = random.integers(-1, 2, shape) * (random.random(shape) < 0.2)
    return Tensor(name, "F32", shape, memoryview(values.astype("<f4").tobytes()))


class Random:
    """Weights for any layer."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def take(self, name: str, *shape: int) -> Tensor:
        return whole_numbers(name, shape, self._random)


def made_of(seed: int) -> Program:
    """Every kind of layer, in an order that no family has."""
    program, weights = Program("random", Transform.SYNTHESIS, 7, 0.5), Random(seed)
    a, b = program.buffer(20, 1), program.buffer(20, 1)
    local, wide = program.buffer(20, 1, local=True), program.buffer(33, 1, local=True)
    fine, last = program.buffer(32, 2), program.buffer(48, 2, local=True)
    program.convolve(weights, "0", 0, a, side=3, leaky=True)
    program.filter(weights, "1", a, local)
    program.convolve(weights, "2", local, wide, leaky=True)
    program.convolve(weights, "3", wide, b, add=a)
    program.convolve(weights, "4", b, fine, shuffle=2)
    program.convolve(weights, "5", fine, last, side=3, wide=True)
    return program


def reference(program: Program, latents: np.ndarray) -> np.ndarray:
    """The same layer by layer in torch."""
    buffers = {0: torch.from_numpy(latents.astype(np.float64))[None]}
    for layer in program.layers:
        channels = program.buffers[layer.input].channels
        groups = channels if layer.depthwise else 1
        weight, bias = (
            torch.from_numpy(np.frombuffer(t.data, "<f4").astype(np.float64).reshape(t.shape))
            for t in (layer.weight, layer.bias)
        )
        x = torch.nn.functional.conv2d(
            buffers[layer.input], weight, bias, padding=layer.padding, groups=groups
        )
        x = torch.where(x > 0, x, x * program.slope) if layer.leaky else x
        x = torch.nn.functional.pixel_shuffle(x, layer.shuffle)
        buffers[layer.output] = x + buffers[layer.add] if layer.add in buffers else x
    blocks = buffers[program.layers[-1].output][0].numpy()
    (_, rows, columns) = blocks.shape
    pixels = blocks.reshape(4, 4, 3, rows, columns).transpose(3, 0, 4, 1, 2)
    levels = pixels.reshape(4 * rows, 4 * columns, 3) * 127.5 + 127.5
    return np.rint(levels).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("bf16", [False, True])
def test_all_sums_of_whole_numbers_are_exact(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, path: Instructions, bf16: bool
) -> None:
    folder = open_folder(tiny_model)
    engine_of(folder, path, bf16)
    random = np.random.default_rng(5)
    for seed in range(4):
        program = made_of(seed)
        family = type("Family", (), {"program": lambda *_, own=program: own})
        monkeypatch.setattr(native_engine, "find_codec", lambda _, own=family: own)
        own = NativeEngine(folder, 2, bf16=bf16, path=path)
        rows, columns = random.integers(1, [12, 60])
        latents = random.integers(-2, 3, (7, rows, columns)).astype(np.int16)
        found, expected = own.synthesis(latents, 0), reference(program, latents)
        if bf16:
            # What has more than eight bits is rounded before products, on all paths alike.
            assert (found != expected).mean() < 1e-3
            expected = NativeEngine(folder, 1, bf16=True, path="plain").synthesis(latents, 0)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": 9}, "a number is out of range"),
        ({"padding": 3}, "a number is out of range"),
        ({"input": 3}, "what is not known"),
        ({"output": 1}, "writes what is still read"),
        ({"input_map": array("I", [99] * 144)}, "a map leads out of the weights"),
        ({"bias": Tensor("x", "F32", (3,), memoryview(bytes(12)))}, "a number is out of range"),
    ],
)
def test_programs_that_are_none(tiny_model: Path, change: dict[str, Any], message: str) -> None:
    folder = open_folder(tiny_model)
    program = find_codec("dcn").program(folder, Transform.SYNTHESIS)
    layer = program.layers[1]
    for name, value in change.items():
        object.__setattr__(layer, name, value)
    with pytest.raises(ModelError, match=message):
        native_engine._Net(folder, program, False, "plain")


def test_bfloat16_needs_a_processor(tiny_model: Path) -> None:
    if core_has_bf16():
        engine_of(open_folder(tiny_model), "auto", bf16=True)
    with pytest.raises(ModelError, match="lacks these instructions"):
        NativeEngine(open_folder(tiny_model), 1, bf16=True, path="avx2").synthesis(
            np.zeros((4, 1, 1), np.int16), 0
        )
