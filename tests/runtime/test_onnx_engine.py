"""ONNX Runtime gives what torch gives, within a grey level, and says what it cannot do."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save
from skimage import data as samples
from vr_models import write_vr

from dcncodec.codec import Codec
from dcncodec.errors import LimitError, MissingLibraryError, ModelError, UsageError
from dcncodec.formats.geometry import Area
from dcncodec.models.card import ModelFolder
from dcncodec.models.graph import Transform
from dcncodec.models.load import load_codec
from dcncodec.models.registry import list_models, open_folder
from dcncodec.runtime import engine, onnx_engine
from dcncodec.runtime.engine import choose_runtime, open_engine
from dcncodec.runtime.onnx_engine import OnnxEngine
from dcncodec.runtime.torch_engine import TorchEngine
from dcncodec.runtime.windows import Transforms

PHOTO = np.ascontiguousarray(samples.astronaut()[96:253, 130:310])
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def vr(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A model of the family vr with random weights where its trainings begin with zeros."""
    folder = write_vr(tmp_path_factory.mktemp("models") / "vr")
    torch.manual_seed(3)
    weights = load_file(folder / "model.safetensors")
    for name in weights:
        if name.startswith(("analysis_net.", "synthesis_net.")):
            weights[name] += 0.01 * torch.randn_like(weights[name])
    rewrite(folder, weights)
    return open_folder(folder)


def rewrite(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Give a model other weights, and a card that fits them."""
    content = save(weights)
    (folder / "model.safetensors").write_bytes(content)
    card = json.loads((folder / "card.json").read_text())
    card["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


def both(folder: ModelFolder) -> tuple[Transforms, Transforms]:
    """Torch in float32, and ONNX Runtime."""
    engines = TorchEngine(load_codec(folder), CPU, torch.float32), OnnxEngine(folder, "cpu", 1)
    peer, own = (Transforms(e, folder.geometry, [].append) for e in engines)
    return peer, own


def check_alike(folder: ModelFolder, pixels: np.ndarray, rates: tuple[int, ...]) -> None:
    peer, own = both(folder)
    plane = Area(0, 0, -(-pixels.shape[0] // 8), -(-pixels.shape[1] // 8))
    for rate in rates:
        latents = peer.analyse(pixels, plane, rate)
        found = own.analyse(pixels, plane, rate)
        # Another order of summation may move a value across a rounding threshold, rarely, by one.
        assert np.abs(latents.astype(int) - found).max() <= 1
        assert (latents != found).mean() < 1e-3
        expected = peer.synthesise(latents, plane, plane, rate).astype(int)
        shown = own.synthesise(latents, plane, plane, rate)
        assert np.abs(expected - shown).max() <= 1
        assert (expected != shown).mean() < 1e-2


@pytest.mark.parametrize("folder", list_models(), ids=lambda folder: folder.name)
def test_bundled_models(folder: ModelFolder) -> None:
    check_alike(folder, PHOTO[:64, :88], (0, 37, 255) if folder.geometry.rates else (0,))


def test_all_rates(vr: ModelFolder) -> None:
    check_alike(vr, PHOTO[:24, :16], tuple(range(0, 256, 15)))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 7), (157, 180)])
def test_all_sizes(vr: ModelFolder, tiny_model: Path, size: tuple[int, int]) -> None:
    pixels = PHOTO[: size[0], : size[1]]
    check_alike(vr, pixels, (128,))
    check_alike(open_folder(tiny_model), pixels, (0,))


def test_windows_give_the_pixels_of_the_whole_image(vr: ModelFolder) -> None:
    _, transforms = both(vr)
    plane = Area(0, 0, 20, 23)
    whole = transforms.analyse(PHOTO, plane, 99)
    shown = transforms.synthesise(whole, plane, plane, 99)
    transforms.window = 7
    parts = transforms.analyse(PHOTO, plane, 99)
    assert (whole != parts).mean() < 1e-3
    again = transforms.synthesise(whole, plane, plane, 99)
    assert np.abs(shown.astype(int) - again).max() <= 1


def test_the_same_result_with_any_number_of_threads(
    vr: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.os, "sched_getaffinity", lambda _: set(range(3)))
    files = {Codec(vr, device="cpu", threads=n).encode(PHOTO) for n in (1, 2, 3)}
    assert len(files) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("synthesis_net.tail.0.bias"), "does not fit"),
        (lambda w: w.update({"synthesis_net.tail.9.bias": torch.zeros(3)}), "does not fit"),
        (lambda w: w.update({"fine.weight": torch.zeros(3)}), "does not fit"),
        (lambda w: w.update({"degain": torch.zeros(8, 3)}), "does not fit"),
        (lambda w: w["degain"].fill_(np.nan), "weights degain are not all finite"),
        (lambda w: w.update({"degain": w["degain"].int()}), "weights degain are not all finite"),
    ],
)
def test_weights_that_do_not_fit_the_graph(tmp_path: Path, change: Any, message: str) -> None:
    folder = write_vr(tmp_path / "vr", channels=4)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    rewrite(folder, weights)
    with pytest.raises(ModelError, match=message):
        OnnxEngine(open_folder(folder), "cpu", 1).synthesis(np.zeros((4, 2, 2), np.int16), 0)


def test_weights_of_half_the_precision(tmp_path: Path) -> None:
    folder = write_vr(tmp_path / "vr", channels=4)
    latents = np.full((4, 2, 3), 5, np.int16)
    weights = {n: t.bfloat16() for n, t in load_file(folder / "model.safetensors").items()}
    shown = []
    for kind in (torch.float32, torch.bfloat16):
        rewrite(folder, {name: tensor.to(kind) for name, tensor in weights.items()})
        shown.append(OnnxEngine(open_folder(folder), "cpu", 1).synthesis(latents, 128))
    assert (shown[0] == shown[1]).all()


def test_damaged_weights_are_told_at_once(tiny_model: Path, tmp_path: Path) -> None:
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(
            path.read_bytes()[: 5000 if "model" in path.name else None]
        )
    with pytest.raises(ModelError, match="damaged or replaced"):
        OnnxEngine(open_folder(tmp_path), "cpu", 1)


def test_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_runtime("cpu", "auto") == choose_runtime("cpu", "fp32") == "onnx"
    assert choose_runtime("cpu", "bf16") == "torch"
    assert choose_runtime("cuda:1", "auto") == "torch"
    monkeypatch.setattr(engine, "GPU_FILES", ("/dev/null",))
    for there in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_runtime("auto", "auto") == ("torch" if there else "onnx")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert choose_runtime("auto", "auto") == choose_runtime("cuda", "fp32") == "onnx"
    for device in ("gpu", "cuda:", "meta", ""):
        with pytest.raises(UsageError, match="choose auto, cpu, cuda or cuda:N"):
            choose_runtime(device, "auto")
    with pytest.raises(UsageError, match="--precision half"):
        choose_runtime("cpu", "half")  # type: ignore[arg-type]


def test_without_torch(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(tiny_model)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert open_engine(folder, "auto", "auto").device == "cpu"
    with pytest.raises(MissingLibraryError, match=r"bfloat16: .* pip install 'dcncodec\[train\]'"):
        open_engine(folder, "cpu", "bf16")
    with pytest.raises(UsageError, match="--device cuda:0: neither torch nor onnxruntime-gpu"):
        open_engine(folder, "cuda:0", "auto")
    monkeypatch.setattr(engine, "find_codec", lambda family: object())
    with pytest.raises(MissingLibraryError, match="family dcn has no graphs: this needs torch"):
        open_engine(folder, "auto", "auto")


def test_without_onnx_runtime(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = OnnxEngine(open_folder(tiny_model), "cpu", 1)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingLibraryError, match="pip install onnxruntime"):
        running.synthesis(np.zeros((4, 1, 1), np.int16), 0)


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
def test_a_gpu_of_onnx_runtime(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    class Library:
        @staticmethod
        def get_available_providers() -> list[str]:
            return [onnx_engine.CUDA, onnx_engine.CPU]

    monkeypatch.setattr(onnx_engine, "_library", lambda: Library)
    running = OnnxEngine(open_folder(tiny_model), device, 1)
    assert running.device.startswith("cuda")
    assert running._providers() == [(onnx_engine.CUDA, {"device_id": "0"}), onnx_engine.CPU]
    running.move_to_cpu()
    assert (running.device, running._providers()) == ("cpu", [onnx_engine.CPU])


@pytest.mark.parametrize("text", ["Failed to allocate memory for requested buffer", "bad_alloc"])
def test_too_little_memory(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    class Session:
        def run(self, *_: Any) -> Any:
            raise Exception(f"[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : {text}")

    folder = open_folder(tiny_model)
    running = OnnxEngine(folder, "cpu", 1)
    monkeypatch.setattr(running, "_open", lambda transform: Session())
    notices: list[Any] = []
    transforms = Transforms(running, folder.geometry, notices.append)
    plane = Area(0, 0, 4, 4)
    with pytest.raises(LimitError, match="not enough memory even for windows of 256 pixels"):
        transforms.synthesise(np.zeros((4, 4, 4), np.int16), plane, plane)
    assert len(notices) == 2


def test_graphs_are_made_when_they_are_needed(tiny_model: Path) -> None:
    running = OnnxEngine(open_folder(tiny_model), "cpu", 1)
    running.synthesis(np.zeros((4, 1, 1), np.int16), 0)
    assert set(running._sessions) == {Transform.SYNTHESIS}
    running.release()
    assert not running._sessions
