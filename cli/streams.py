"""The standard streams: what goes out is written whole or fails, whatever is at the other end."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dcncodec.errors import FormatError, UsageError
from dcncodec.formats.files import descriptor_of, read_finite, write_whole
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

STREAM = "-"
"""Stands for standard input or output in place of a file's name."""
INPUT_NAME, OUTPUT_NAME = "standard input", "standard output"


class Ended(BaseException):
    """A signal asks the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP raise ``Ended``, so that temporary files are removed on the way out; a
    second one kills.

    Signals that are ignored (nohup) stay so.
    """

    def end(number: int, _: FrameType | None) -> None:
        restore()
        raise Ended(number)

    def restore() -> None:
        for number in usual:
            signal.signal(number, signal.SIG_DFL)

    usual = [s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is signal.SIG_DFL]
    for number in usual:
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()


class _Whole(io.RawIOBase):
    """An open file whose writes are never partial; closing it leaves the file open."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, content: Any, /) -> int:
        view = memoryview(content).cast("B")
        write_whole(self._descriptor, view, OUTPUT_NAME)
        return view.nbytes


@contextmanager
def standard_streams() -> Iterator[None]:
    """Make the standard streams safe to use.

    Numbers 0 to 2 that are closed lead to /dev/null, in the direction that fails, or the next
    file that is opened would be taken for a standard stream. Standard output is written whole,
    also where Python does not buffer it, and shows as escapes what its encoding does not have.
    A program that has put something else in its place (a test) keeps that.

    Raises:
        OutputError: at the end, if standard output cannot take what is left.
    """
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)
    usual = sys.stdout
    if usual is not sys.__stdout__:
        yield
        return
    whole = io.TextIOWrapper(
        _Whole(1),  # type: ignore[type-var]
        encoding=getattr(usual, "encoding", None) or "utf-8",
        errors="backslashreplace",
        write_through=True,
    )
    sys.stdout = whole
    try:
        yield
        whole.flush()
    finally:
        sys.stdout = usual


def check_output_stream() -> None:
    """Refuse to fill a terminal with bytes that are no text.

    Raises:
        UsageError: standard output is a terminal.
        OutputError: it is closed.
    """
    if sys.stdout is not None and sys.stdout.isatty():
        raise UsageError(
            "is a terminal, which cannot show pictures; name a file, or pipe it", OUTPUT_NAME
        )


def write_stream(content: bytes | memoryview) -> None:
    """Write bytes to standard output.

    Raises:
        OutputError: not all of them can be written.
    """
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def read_stream() -> bytes:
    """All bytes of standard input.

    Raises:
        UsageError: it is closed, a folder or a device without an end.
        FormatError: nothing comes.
    """
    try:
        if sys.stdin is None:
            raise OSError(errno.EBADF, "it is closed")
        stream = sys.stdin.buffer
        # Without a descriptor it is whatever a program has put in place of standard input.
        data = read_finite(stream, INPUT_NAME) if hasattr(stream, "raw") else stream.read()
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", INPUT_NAME) from error
    if not data:
        raise FormatError("is empty; pipe a file into it", INPUT_NAME)
    return data


def is_stream(path: str, number: int) -> bool:
    """Whether a command's argument stands for standard input (0) or output (1)."""
    return path == STREAM or descriptor_of(path) == number


def on_terminal() -> bool:
    """Whether standard error is a terminal, where progress is shown."""
    return sys.stderr is not None and sys.stderr.isatty()
