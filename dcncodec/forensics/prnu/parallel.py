"""The same work on many photos, in several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from dcncodec.errors import DcnError

T = TypeVar("T")
U = TypeVar("U")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def each(function: Callable[[T], U], items: Sequence[T], processes: int = 1) -> Iterator[U]:
    """``function(item)`` of all items, in their order.

    Args:
        function: a module's, or a ``partial`` of one; its results do not depend on others.
        items: what it gets.
        processes: that work at the same time; with 1 this one does it all. At most two results
            for each wait to be taken, so that they do not fill the memory.

    Raises:
        DcnError: what ``function`` raises, or a process was killed.
    """
    count = min(processes, len(items))
    if count < 2:
        yield from map(function, items)
        return
    # Not forked: torch's threads do not survive it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, _use_one_thread) as pool:
        waiting: deque[Future[U]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 2 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise DcnError(
                "a process was killed, probably for lack of memory; use fewer --processes"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _use_one_thread() -> None:
    # Before torch is loaded, which may never happen.
    os.environ["OMP_NUM_THREADS"] = "1"
