"""Several processes that train one network together, started by torchrun."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from dcncodec.runtime.devices import choose_device


def rank_and_world() -> tuple[int, int]:
    """This process's number and how many train together; 0 of 1 outside of a group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def own_device(name: str) -> torch.device:
    """The device ``name``; under torchrun ``auto`` and ``cuda`` mean this process's own GPU.

    Raises:
        UsageError: there is no such device.
    """
    device = choose_device(name)
    if device.type == "cuda" and ":" not in name and "LOCAL_RANK" in os.environ:
        return choose_device(f"cuda:{os.environ['LOCAL_RANK']}")
    return device


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the group that torchrun's variables describe; without them, train alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
        # All leave together: the first process writes files while the others have finished, and
        # a group that one of them has left breaks down in the rest.
        largest([0.0], device)
    finally:
        # Cycles within DistributedDataParallel keep the group's threads beyond its end, until the
        # interpreter's own end aborts on them.
        gc.collect()
        dist.destroy_process_group()


def largest(values: list[float], device: torch.device) -> list[float]:
    """The element-wise maximum over all processes, so that they decide alike."""
    if rank_and_world()[1] == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    agreed: list[float] = tensor.tolist()
    return agreed
