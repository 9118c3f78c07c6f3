"""Files on disk: reading them whole, and writing them completely or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from dcncodec.errors import FormatError, OutputError, UsageError

_REMEDIES = {
    errno.ENOSPC: (OutputError, "the disk is full; make room or write elsewhere"),
    errno.EDQUOT: (OutputError, "the disk quota is used up; make room or write elsewhere"),
    errno.EFBIG: (OutputError, "the file is too large for this disk; write elsewhere"),
    errno.EIO: (OutputError, "the disk reports an error; write elsewhere"),
    errno.ENOENT: (OutputError, "its folder does not exist; create it first"),
    errno.ENOTDIR: (OutputError, "its folder is a file; choose another name"),
    errno.EACCES: (OutputError, "no permission to write there; write elsewhere"),
    errno.EPERM: (OutputError, "no permission to write there; write elsewhere"),
    errno.EROFS: (OutputError, "the disk is read-only; write elsewhere"),
    errno.ENAMETOOLONG: (UsageError, "the name is too long; choose another"),
    errno.EISDIR: (UsageError, "is a folder; name a file in it"),
    errno.EEXIST: (UsageError, "exists already; overwrite it with --force or choose another name"),
}
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What writing itself can raise, in contrast to whatever else the caller does meanwhile."""


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, overwrite: bool) -> Iterator[IO[bytes]]:
    """A binary file that appears under its name when the block ends, or not at all.

    The bytes go to a temporary file in the same folder, reach the disk, and then take the name
    `path`. When the block raises (KeyboardInterrupt included), the temporary file is removed and
    an existing `path` stays as it was. Without `overwrite` a file that appears under the name
    while the block runs is kept too. A replaced file keeps its permissions; of a symbolic link
    the target is replaced. Devices and pipes (/dev/null) are written directly.

    Raises:
        UsageError: `path` exists and `overwrite` is false, or it is a folder.
        OutputError: it cannot be written.
    """
    label = os.fspath(path)
    with _explained(label):
        target, mode = _target(Path(path), overwrite)
    if mode is not None and not stat.S_ISREG(mode):
        with _explained(label):
            file: IO[bytes] = target.open("wb")
        with _explained(label, _DISK), file:
            yield file
        return
    temporary = target.with_name(f".dcn-{os.urandom(8).hex()}.tmp")
    with _explained(label):
        # Not through `tempfile`, which hides its files from other users: the umask decides.
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with _explained(label, _DISK), os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            os.fsync(file.fileno())
        with _explained(label):
            _name(temporary, target, overwrite)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _target(path: Path, overwrite: bool) -> tuple[Path, int | None]:
    """The file that will be written, and its mode if it exists."""
    mode = None
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
    if mode is not None and stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "")
    if mode is not None and stat.S_ISREG(mode) and not overwrite:
        raise FileExistsError(errno.EEXIST, "")
    return (path.resolve() if path.is_symlink() else path), mode


def _name(temporary: Path, target: Path, overwrite: bool) -> None:
    """Give a complete file its name."""
    if overwrite:
        temporary.replace(target)
        return
    # Other than a rename, a link fails if the name has been taken meanwhile.
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        # The disk knows no links (FAT, some network disks): reserve the name first.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            temporary.replace(target)
        except BaseException:
            target.unlink()
            raise


@contextmanager
def _explained(label: str, numbers: Container[int] | None = None) -> Iterator[None]:
    """Turn errors of the operating system (only those `numbers`, if given) into one line."""
    try:
        yield
    except OSError as error:
        if numbers is not None and error.errno not in numbers:
            raise
        kind, remedy = _REMEDIES.get(
            error.errno or 0, (OutputError, f"cannot be written ({error.strerror or error})")
        )
        raise kind(f"{label}: {remedy}") from error
    except ValueError as error:
        if numbers is not None:
            raise
        raise UsageError(f"{label!r}: not a file name ({error})") from error


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """A file's content.

    Raises:
        UsageError: it is missing, a folder, or may not be read.
        FormatError: it is empty.
    """
    label = os.fspath(path)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"{label}: no such file; check the name") from error
    except IsADirectoryError as error:
        raise UsageError(f"{label}: is a folder; name a file in it") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{label}: cannot be read ({reason}); check its permissions") from error
    if not data:
        raise FormatError(f"{label}: is empty; get the file again")
    return data


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they do not exist.

    Raises:
        OutputError: that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); name another") from None
