"""What commands do with each of many files, in a form that other processes can do it, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dcncodec.cli.plan import Job
from dcncodec.cli.streams import STREAM
from dcncodec.errors import DcnError
from dcncodec.notices import Notice
from dcncodec.runtime.engine import choose_threads, has_gpu

WORKER_BYTES = 3 * 2**28
"""Memory of a process at most while it works on a window; pictures come on top."""
FILES_EACH = 4
"""A process is not worth its start for fewer."""


class Watch(Protocol):
    """Who is told how the work on a file goes on."""

    def notice(self, notice: Notice) -> None:
        """Something that the user should know."""

    def begin(self, name: str, pixels: int) -> None:
        """The work on a picture begins: ``advance`` will count up to its pixels."""

    def advance(self, pixels: int) -> None:
        """So many pixels are finished."""


class Work(Protocol):
    """What a command does with every file; it can be sent to other processes."""

    def read(self, job: Job) -> Any:
        """What is in an input."""

    def load(self, watch: Watch) -> Any:
        """What conversions need, called once in each process when the first input has been read.
        What it raises ends the batch."""

    def convert(self, job: Job, content: Any, loaded: Any, watch: Watch) -> dict[str, Any]:
        """Write the output; the facts for JSON."""


class Recorder:
    """A ``Watch`` that keeps notices for who asks.

    Attributes:
        notices: in their order.
    """

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def notice(self, notice: Notice) -> None:
        """See ``Watch``."""
        self.notices.append(notice)

    def begin(self, name: str, pixels: int) -> None:
        """See ``Watch``; files that several processes work on have no bar of their own."""

    def advance(self, pixels: int) -> None:
        """See ``Watch``."""


@dataclass
class Outcome:
    """What became of a file.

    Attributes:
        result: the facts, or None.
        error: why there are none.
        fatal: whether the error ends the batch.
        notices: in their order.
        warned: texts of ``DcnWarning``.
    """

    result: dict[str, Any] | None = None
    error: DcnError | None = None
    fatal: bool = False
    notices: list[Notice] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)


def default_jobs(device: str, threads: int | None) -> int:
    """Files that are worked on at a time unless a user says it: one a thread, one on GPUs."""
    return 1 if device != "cpu" and (device != "auto" or has_gpu()) else choose_threads(threads)


def share_of(threads: int | None, processes: int) -> int | None:
    """Threads of each of some processes."""
    return threads if processes == 1 else max(1, choose_threads(threads) // processes)


def choose_jobs(asked: int | None, plan: Sequence[Job], default: int, small: int) -> int:
    """How many processes work on a batch.

    Args:
        asked: by the user; None for ``default`` where all inputs are small, else one.
        plan: the files.
        default: see ``default_jobs``.
        small: bytes of an input at most.

    Returns:
        At least 1, and no more than there is memory for.
    """
    if asked is None:
        several = default > 1 and all(_bytes(job) <= small for job in plan)
        asked = min(default, len(plan) // FILES_EACH) if several else 1
    if asked == 1:
        return 1
    return max(1, min(asked, len(plan), free_memory() // WORKER_BYTES))


def _bytes(job: Job) -> int:
    return 2**62 if job.source == STREAM else Path(job.source).stat().st_size


def free_memory() -> int:
    """Bytes that processes could take now; very many where that is unknown."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return 2**62
