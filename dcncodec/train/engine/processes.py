"""Several processes that train one network together, started by torchrun or by ``workers``."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch
import torch.distributed as dist

from dcncodec.errors import DcnError, TrainingError
from dcncodec.runtime.devices import choose_device

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a training after its step."""


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


@contextmanager
def workers(count: int, work: Callable[..., object], *arguments: object) -> Iterator[None]:
    """Train together with ``count - 1`` more processes of this machine.

    Inside, this process is the first of the group that ``process_group`` joins.

    Args:
        count: processes in all; with 1 nothing happens.
        work: called in each of the others, with the arguments; importable and picklable.

    Raises:
        TrainingError: one of the others failed, and with it the group.
    """
    if count < 2:
        yield
        return
    # All of them start afresh: a fork would share the threads' locks of torch.
    context = multiprocessing.get_context("spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    threads = torch.get_num_threads()
    others = [
        context.Process(
            target=_join, args=(group | {"RANK": str(rank)}, threads, work, arguments), daemon=True
        )
        for rank in range(1, count)
    ]
    for process in others:
        process.start()
    os.environ.update(group | {"RANK": "0"})
    try:
        yield
        for process in others:
            process.join()
    except RuntimeError as error:
        raise TrainingError(f"a worker failed, and with it the training ({error})") from None
    finally:
        for process in others:
            process.kill()  # those that run still wait for this one, deaf to gentler signals
            process.join()
        for name in (*group, "RANK"):
            os.environ.pop(name, None)


def _join(
    environment: dict[str, str], threads: int, work: Callable[..., object], arguments: tuple[object]
) -> None:
    os.environ.update(environment)
    torch.set_num_threads(threads)
    # What goes wrong in one goes wrong in the first process, which says it.
    with suppress(DcnError, RuntimeError, KeyboardInterrupt):
        work(*arguments)


def largest(values: list[float], device: torch.device) -> list[float]:
    """The element-wise maximum over all processes, so that they decide alike."""
    if rank_and_world()[1] == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    agreed: list[float] = tensor.tolist()
    return agreed
