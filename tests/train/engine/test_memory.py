"""Memory kept from step to step."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from dcncodec.train.engine.memory import MMAP_THRESHOLD, TRIM_THRESHOLD, keep_freed_memory

STEPS = """
import resource, sys
import torch
from dcncodec.train.engine.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def step():
    return [torch.ones(2**18 + 1000 * index) for index in range(16)]
step()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Prints the page faults of eight steps, after two that found the memory."""


def _faults(how: str) -> int:
    run = subprocess.run(
        [sys.executable, "-c", STEPS, how], capture_output=True, text=True, check=True
    )
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_tensors_serve_the_next_step() -> None:
    assert _faults("keep") * 3 < _faults("leave")


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
@pytest.mark.parametrize(("most", "maps"), [(2**31 - 1, 2**31 - 1), (2**25, 2**25), (0, None)])
def test_older_libraries_take_less(
    monkeypatch: pytest.MonkeyPatch, most: int, maps: int | None
) -> None:
    """And where they take nothing, all stays as it was."""
    kept: dict[int, int] = {}

    def mallopt(option: int, value: int) -> int:
        if option == MMAP_THRESHOLD and value > most:
            return 0
        kept[option] = value
        return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    keep_freed_memory()
    both = {MMAP_THRESHOLD: maps, TRIM_THRESHOLD: 2**31 - 1}
    assert kept == (both if maps else {})
