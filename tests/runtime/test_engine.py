"""Which runtime runs a codec's networks, on what is installed and there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from dcncodec.errors import MissingLibraryError, UsageError
from dcncodec.models.registry import open_folder
from dcncodec.runtime import engine, onnx_engine
from dcncodec.runtime.engine import choose_runtime, open_engine
from dcncodec.runtime.native_engine import NativeEngine


def test_runtimes_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_runtime("cpu", "auto") == choose_runtime("cpu", "fp32") == "native"
    for there in (False, True):
        monkeypatch.setattr(engine, "core_has_bf16", lambda there=there: there)
        assert choose_runtime("cpu", "bf16") == ("native" if there else "torch")


def test_runtimes_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_runtime("cuda:1", "auto") == "torch"
    monkeypatch.setattr(engine, "GPU_FILES", ("/dev/null",))
    for there in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_runtime("auto", "auto") == ("torch" if there else "native")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert choose_runtime("cuda", "fp32") == "onnx"
    assert choose_runtime("cuda", "bf16") == "torch"
    for there in (False, True):
        monkeypatch.setattr(onnx_engine, "has_cuda", lambda there=there: there)
        assert choose_runtime("auto", "auto") == ("onnx" if there else "native")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert choose_runtime("auto", "auto") == "native"


def test_there_are_no_other_devices_and_precisions() -> None:
    for device in ("gpu", "cuda:", "meta", ""):
        with pytest.raises(UsageError, match="choose auto, cpu, cuda or cuda:N"):
            choose_runtime(device, "auto")
    with pytest.raises(UsageError, match="--precision half"):
        choose_runtime("cpu", "half")  # type: ignore[arg-type]


def test_without_torch(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(tiny_model)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert isinstance(open_engine(folder, "auto", "auto"), NativeEngine)
    with pytest.raises(UsageError, match="--device cuda:0: neither torch nor onnxruntime-gpu"):
        open_engine(folder, "cuda:0", "auto")
    monkeypatch.setattr(engine, "core_has_bf16", lambda: False)
    assert isinstance(open_engine(folder, "auto", "auto"), NativeEngine)
    with pytest.raises(MissingLibraryError, match=r"bfloat16: .* pip install 'dcncodec\[train\]'"):
        open_engine(folder, "cpu", "bf16")
    monkeypatch.setattr(engine, "has_programs", lambda family: False)
    with pytest.raises(MissingLibraryError, match="family dcn has no programs: this needs torch"):
        open_engine(folder, "auto", "auto")
