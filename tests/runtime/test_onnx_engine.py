"""ONNX Runtime gives what torch gives, within a grey level, and says what it cannot do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alike import MISFITS, PHOTO, check_alike, rewrite
from safetensors.torch import load_file
from torch_threads import one_torch_thread
from vr_models import write_vr

from dcncodec.errors import LimitError, MissingLibraryError, ModelError
from dcncodec.formats.geometry import Area
from dcncodec.models.card import ModelFolder
from dcncodec.models.program import Transform
from dcncodec.models.registry import list_models, open_folder
from dcncodec.runtime import onnx_engine
from dcncodec.runtime.onnx_engine import OnnxEngine
from dcncodec.runtime.windows import Transforms


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


def check(folder: ModelFolder, pixels: np.ndarray, rates: tuple[int, ...]) -> None:
    check_alike(folder, OnnxEngine(folder, "cpu", 1), pixels, rates)


@pytest.mark.parametrize("folder", list_models(), ids=lambda folder: folder.name)
def test_bundled_models(folder: ModelFolder) -> None:
    check(folder, PHOTO[:64, :88], (0, 37, 255) if folder.geometry.rates else (0,))


def test_rates(vr: ModelFolder) -> None:
    check(vr, PHOTO[:24, :16], (0, 100, 255))


def test_other_sizes(vr: ModelFolder, tiny_model: Path) -> None:
    check(vr, PHOTO[:9, :7], (128,))
    check(open_folder(tiny_model), PHOTO[:9, :7], (0,))


def test_a_part_is_that_of_the_whole(vr: ModelFolder) -> None:
    engine = OnnxEngine(vr, "cpu", 1)
    latents = np.arange(24 * 12, dtype=np.int16).reshape(24, 3, 4) % 9
    whole = engine.synthesis(latents, 99)
    assert (engine.synthesis(latents, 99, Area(1, 2, 3, 3)) == whole[8:24, 16:24]).all()


@pytest.mark.parametrize(("change", "message"), MISFITS)
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
