"""Batches that other processes make ahead of the training: for samples that a GPU cannot make.

A batch is a function of its step, so that it does not matter which process makes it, nor how many
there are.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcncodec.errors import TrainingError
from dcncodec.runtime.devices import torch_threads
from dcncodec.train.engine.processes import ENDING

Batch = tuple[Tensor, ...]
Maker = Callable[[int], Batch]

AHEAD = 3
"""Batches for each process that wait or are being made."""

_maker: Maker | None = None


def default_loaders(device: torch.device) -> int:
    """Processes that make batches where the user names none: all cores but one where a GPU trains,
    and otherwise none. Trainings that torchrun starts on one machine share its cores."""
    if device.type != "cuda":
        return 0
    sharing = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, len(os.sched_getaffinity(0)) // sharing - 1)


class Ahead:
    """The batches of a training, step by step.

    Args:
        make: from a step to its batch; picklable. The processes map its tensors from one file,
            so that they take memory once.
        processes: that make batches; with 0 the training does so itself.

    Raises:
        TrainingError: there is no room for the file.
    """

    def __init__(self, make: Maker, processes: int) -> None:
        self.make, self.processes = make, processes
        self.waiting: deque[tuple[int, Future[Any]]] = deque()
        self.pool: ProcessPoolExecutor | None = None
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        if processes:
            self.folder = tempfile.TemporaryDirectory(prefix="dcn-")
            path = Path(self.folder.name) / "maker"
            try:
                torch.save(make, path)
            except (OSError, RuntimeError) as error:
                self.folder.cleanup()
                raise TrainingError(
                    f"cannot be written for the --loaders ({str(error).splitlines()[0]}); choose "
                    "another $TMPDIR, or --loaders 0",
                    path.parent,
                ) from None
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
            with torch_threads(1):  # as in the processes
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

    @contextmanager
    def making(self, step: int) -> Iterator[None]:
        """Batches are made within it, and that of a step before: the processes have started.

        Raises:
            DcnError: what ``make`` raises.
        """
        try:
            self.begin(step)
            yield
        finally:
            self.close()

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
            with _signals_blocked():
                self.waiting.append((following, pool.submit(_make, following)))
            following += 1
        return self.waiting[0][1]

    def close(self) -> None:
        """End the processes."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
        if self.folder is not None:
            self.folder.cleanup()


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """What is started within it never gets the signals that end a training after its step: they
    are often sent to a whole group of processes, and the step at hand still needs its batch."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _begin(path: Path) -> None:
    global _maker  # noqa: PLW0603
    threading.Thread(target=_end_with_parent, daemon=True).start()
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
