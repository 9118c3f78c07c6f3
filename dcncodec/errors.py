"""Exceptions of dcn. Each class knows the exit code with which the command line ends.

Messages are one line, shown to users as is. A reason says what is wrong with the content, and what
to do; who knows the file adds its name (`DcnError.about`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike


class DcnError(Exception):
    """Base of every error that a user, a file or the machine can cause.

    Args:
        reason: what is wrong, and what to do.
        file: that it is about; its name stands before the reason.
    """

    exit_code = 1

    def __init__(self, reason: str = "", file: str | PathLike[str] = "") -> None:
        # Both are kept as arguments, or the error would not come back from other processes.
        super().__init__(reason, str(file))
        self.reason, self.file = reason, str(file)

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}" if self.file else self.reason

    def about(self, file: str | PathLike[str], *others: str | PathLike[str]) -> None:
        """Say which file was worked on, unless that or one of some others is known already.

        An error about another file, such as a model's, names both.
        """
        if self.file in map(str, (file, *others)):
            return
        self.reason, self.file = str(self), str(file)
        self.args = (self.reason, self.file)


@contextmanager
def about(file: str | PathLike[str]) -> Iterator[None]:
    """What goes wrong inside is about a file (see `DcnError.about`)."""
    try:
        yield
    except DcnError as error:
        error.about(file)
        raise


class UsageError(DcnError):
    """The request itself makes no sense (unknown option value, output that exists, ...)."""

    exit_code = 2


class FormatError(DcnError):
    """Bytes that are not a valid dcn file, bit-stream or FSE block."""


class ImageError(DcnError):
    """An image file that cannot be read, or pixels that cannot be encoded."""


class LimitError(DcnError):
    """A safety limit was reached; the message names the setting that raises it."""


class ModelError(DcnError):
    """A model that is missing, damaged or not the one that a file names."""


class OutputError(DcnError):
    """An output file that cannot be written."""


class TargetError(DcnError):
    """A size or a likeness that no rate of a model reaches."""


TOOLBOX = ("train", "bench", "forensics")
"""The extras that bring torch and what draws; commands have the same names."""


class MissingLibraryError(DcnError):
    """An optional library is not installed; the message names the extra that brings it.

    Args:
        reason: what is needed for what, and what to do unless an extra does.
        file: as of ``DcnError``.
        extras: each of which brings it; the first one is named.
    """

    def __init__(
        self, reason: str = "", file: str | PathLike[str] = "", extras: tuple[str, ...] = ()
    ) -> None:
        super().__init__(reason + (_remedy(extras[0]) if extras else ""), file)
        self.extras = extras

    def prefer(self, extra: str | None) -> None:
        """Name another extra, if that brings the library as well."""
        if extra in self.extras:
            self.reason = self.reason.replace(_remedy(self.extras[0]), _remedy(extra))
            self.args = (self.reason, self.file)


def _remedy(extra: str) -> str:
    return f": pip install 'dcncodec[{extra}]'"


def no_torch() -> MissingLibraryError:
    """What is raised where torch is missing."""
    return MissingLibraryError("this needs torch", extras=TOOLBOX)


class TrainingError(DcnError):
    """Training data, a checkpoint or a setting that training cannot go on with."""


_OUT_OF_MEMORY = (
    "allocate memory",
    "out of memory",
    "bad_alloc",
    "not enough memory",
    "Errno 12",
    "failed to map",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, as NumPy, torch, its libraries or the operating system say it."""
    if isinstance(error, RuntimeError | OSError | ImportError):
        # torch's own class, which nobody here may import.
        return type(error).__name__ == "OutOfMemoryError" or any(
            words in str(error) for words in _OUT_OF_MEMORY
        )
    return isinstance(error, MemoryError)
