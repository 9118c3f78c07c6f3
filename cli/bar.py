"""A progress bar: one line on standard error, a terminal, drawn anew as the work goes on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dcncodec.cli.lines import escaped

INTERVAL = 0.1
"""Seconds between drawings."""
LONGEST = 40
"""Characters of the bar."""
_CLEAR = "\r\x1b[K"
_FULL, _EMPTY = "━", "╌"


class Bar:
    """How far a batch is, and the large picture in work.

    Args:
        total: number of files; one alone is not counted.
    """

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._name, self._pixels, self._finished = "", 0, 0
        self._begun = time.monotonic()
        self._next = 0.0
        self._shown = False
        self._draw()

    def begin(self, name: str, pixels: int) -> None:
        """The work on a picture begins: ``advance`` will count up to its pixels."""
        self._name, self._pixels, self._finished = name, pixels, 0
        self._draw()

    def advance(self, pixels: int) -> None:
        """So many of its pixels are finished."""
        self._finished = min(self._finished + pixels, self._pixels)
        self._draw()

    def file_done(self) -> None:
        """One more file is finished."""
        self._done += 1
        self._name, self._pixels = "", 0
        self._draw()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Without the bar, while lines are written."""
        self.clear()
        try:
            yield
        finally:
            self._next = 0.0
            self._draw()

    def clear(self) -> None:
        """Leave an empty line."""
        if self._shown:
            self._write(_CLEAR)
            self._shown = False

    def _draw(self) -> None:
        now = time.monotonic()
        within = self._finished / self._pixels if self._pixels else 0.0
        if now < self._next or not (self._pixels or self._total > 1):
            return
        self._next = now + INTERVAL
        share = (self._done + within) / self._total
        parts = [f"files {self._done}/{self._total}"] if self._total > 1 else []
        parts += [f"{escaped(self._name)} {within:.0%}"] if self._pixels else []
        if share > 0:
            seconds = round((now - self._begun) * (1 - share) / share)
            parts.append(f"{seconds // 60}:{seconds % 60:02d} left")
        text = "  ".join(parts)
        width = self._width()
        length = min(LONGEST, width - len(text) - 3)
        full = round(length * share)
        bar = _FULL * full + _EMPTY * (length - full) + "  " if length > 0 else ""
        self._write(_CLEAR + (bar + text)[: width - 1])
        self._shown = True

    @staticmethod
    def _width() -> int:
        with suppress(OSError, ValueError):
            return int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size(2).columns or 80
        return 80

    @staticmethod
    def _write(text: str) -> None:
        # Progress that cannot be shown is no reason to stop.
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()
