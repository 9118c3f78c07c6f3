"""Where and how precisely networks run in torch."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from dcncodec.errors import UsageError
from dcncodec.runtime.engine import DEVICE_RULE

if TYPE_CHECKING:
    from dcncodec.runtime.engine import Precision

BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Processor flags (x86, then Arm) that mean bfloat16 is faster than float32."""


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Within it torch works on ``count`` threads, on which the last bit of a sum depends."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_device(name: str = "auto") -> torch.device:
    """``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N`` as a device.

    Raises:
        UsageError: the name is unknown, or the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in {"cpu", "cuda"}:
        raise UsageError(f"--device {name}: {DEVICE_RULE}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices; "
            "use --device cpu or auto"
        )
    return device


def choose_precision(name: Precision, device: torch.device) -> torch.dtype:
    """The number format of the networks: bfloat16 where the hardware multiplies it natively.

    Raises:
        UsageError: the name is unknown.
    """
    if name == "auto":
        native = torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu_has_bf16()
        return torch.bfloat16 if native else torch.float32
    if name not in {"bf16", "fp32"}:
        raise UsageError(f"--precision {name}: choose auto, bf16 or fp32")
    return torch.bfloat16 if name == "bf16" else torch.float32


@functools.cache
def cpu_has_bf16() -> bool:
    """Whether this processor has bfloat16 instructions (Linux; False where that is unknown)."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return not BF16_FLAGS.isdisjoint(flags.split())
