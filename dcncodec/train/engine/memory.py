"""Memory that a training asks for in every step anew."""

from __future__ import annotations

import ctypes
import sys

LARGEST, LARGEST_BEFORE = 2**31 - 1, 2**25
"""Of ``mallopt``'s values, which are C ints, and of blocks that are not mapped, in older glibc."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Let the process keep what tensors give back, for the next step's tensors.

    Else glibc gives large blocks back to the system at once, and every step pays for its pages
    anew. Nothing happens where the C library is another one.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    # The second alone would do harm: after either, glibc raises the threshold of maps no more.
    if any(mallopt(MMAP_THRESHOLD, size) for size in (LARGEST, LARGEST_BEFORE)):
        mallopt(TRIM_THRESHOLD, LARGEST)
