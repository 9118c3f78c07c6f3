"""Batches that other processes make ahead of the training: for samples that a GPU cannot make.

A batch is a function of its step, so that it does not matter which process makes it, nor how many
there are.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcncodec.errors import TrainingError

Batch = tuple[Tensor, ...]
Maker = Callable[[int], Batch]

AHEAD = 3
"""Batches for each process that wait or are being made."""

_maker: Maker | None = None


def default_loaders(device: torch.device) -> int:
    """Processes that make batches where the user names none: all cores but one where a GPU trains,
    and otherwise none."""
    return len(os.sched_getaffinity(0)) - 1 if device.type == "cuda" else 0


class Ahead:
    """The batches of a training, step by step.

    Args:
        make: from a step to its batch; picklable. The processes map its tensors from one file,
            so that they take memory once.
        processes: that make batches; with 0 the training does so itself.
    """

    def __init__(self, make: Maker, processes: int) -> None:
        self.make, self.processes = make, processes
        self.waiting: deque[tuple[int, Future[Any]]] = deque()
        self.pool: ProcessPoolExecutor | None = None
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        if processes:
            self.folder = tempfile.TemporaryDirectory(prefix="dcn-")
            path = Path(self.folder.name) / "maker"
            torch.save(make, path)
            # Not forked: torch's threads do not survive it.
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(processes, context, _begin, (path,))

    def take(self, step: int) -> Batch:
        """The batch of a step; the next ones are begun.

        Raises:
            TrainingError: a process was killed.
            DcnError: what ``make`` raises.
        """
        if self.pool is None:
            return self.make(step)
        try:
            arrays = self._first(self.pool, step).result()
            self.waiting.popleft()
        except BrokenProcessPool:
            raise TrainingError(
                "a process that makes batches was killed, probably for lack of memory; use fewer "
                "--loaders"
            ) from None
        return tuple(torch.from_numpy(array) for array in arrays)

    def begin(self, step: int) -> None:
        """Wait for the processes to start and make the batch of a step, which ``take`` will give.

        Raises:
            DcnError: what ``make`` raises.
        """
        if self.pool is not None:
            with suppress(BrokenProcessPool):  # which ``take`` will tell
                self._first(self.pool, step).result()

    def _first(self, pool: ProcessPoolExecutor, step: int) -> Future[Any]:
        """The batch of a step; those behind it are begun."""
        if not self.waiting or self.waiting[0][0] != step:
            self.waiting.clear()
        following = self.waiting[-1][0] + 1 if self.waiting else step
        while len(self.waiting) < AHEAD * self.processes:
            self.waiting.append((following, pool.submit(_make, following)))
            following += 1
        return self.waiting[0][1]

    def close(self) -> None:
        """End the processes."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
        if self.folder is not None:
            self.folder.cleanup()


def _begin(path: Path) -> None:
    global _maker  # noqa: PLW0603
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    with suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
    _maker = torch.load(path, mmap=True, weights_only=False)  # what this process's parent wrote


def _make(step: int) -> list[Any]:
    assert _maker is not None
    # Arrays are sent as they are; tensors would take a file descriptor each.
    return [tensor.numpy() for tensor in _maker(step)]
