"""Memory that a training asks for in every step anew."""

from __future__ import annotations

import ctypes
import sys

LARGEST = 2**31 - 1
"""Of ``mallopt``'s values, which are C ints."""
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
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, LARGEST)
