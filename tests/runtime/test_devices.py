"""The device and the number format follow the request and the hardware."""

from __future__ import annotations

import pytest
import torch

from dcncodec.errors import UsageError
from dcncodec.runtime import devices
from dcncodec.runtime.devices import choose_device, choose_precision
from dcncodec.runtime.engine import DEVICE_RULE

CPU = torch.device("cpu")


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU


@pytest.mark.parametrize("name", ["gpu", "tpu:1", "meta", ""])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(UsageError, match=f"{DEVICE_RULE}$"):
        choose_device(name)


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(UsageError, match="has 1 CUDA devices"):
        choose_device("cuda:1")


def test_precision() -> None:
    assert choose_precision("bf16", CPU) == torch.bfloat16
    assert choose_precision("fp32", CPU) == torch.float32
    with pytest.raises(UsageError, match="--precision half"):
        choose_precision("half", CPU)  # type: ignore[arg-type]


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_precision_follows_the_processor(
    monkeypatch: pytest.MonkeyPatch, native: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: native)
    assert choose_precision("auto", CPU) == dtype
