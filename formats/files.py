"""Files on disk: reading them whole, and writing them completely or not at all."""

from __future__ import annotations

import errno
import os
import re
import select
import stat
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress

from dcncodec.errors import FormatError, OutputError, UsageError
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

_REMEDIES = {
    errno.ENOSPC: (OutputError, "the disk is full; make room or write elsewhere"),
    errno.EDQUOT: (OutputError, "the disk quota is used up; make room or write elsewhere"),
    errno.EFBIG: (OutputError, "the file is too large for this disk; write elsewhere"),
    errno.EIO: (OutputError, "the disk reports an error; write elsewhere"),
    errno.EPIPE: (OutputError, "whoever read it has closed it; the output is not complete"),
    errno.EBADF: (OutputError, "is closed; open it for writing"),
    errno.ENXIO: (OutputError, "nobody reads it; choose another output"),
    errno.ENOENT: (OutputError, "its folder does not exist; create it first"),
    errno.ENOTDIR: (OutputError, "its folder is a file; choose another name"),
    errno.EACCES: (OutputError, "no permission to write there; write elsewhere"),
    errno.EPERM: (OutputError, "no permission to write there; write elsewhere"),
    errno.EROFS: (OutputError, "the disk is read-only; write elsewhere"),
    errno.ENAMETOOLONG: (UsageError, "the name is too long; choose another"),
    errno.EISDIR: (UsageError, "is a folder; name a file in it"),
    errno.EEXIST: (UsageError, "exists already; overwrite it with --force or choose another name"),
}
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE, errno.EBADF}
"""What writing itself can raise, in contrast to whatever else the caller does meanwhile."""
_DESCRIPTOR = re.compile(r"/(?:dev/fd|proc/self/fd)/(\d{1,9})")
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_PROC = "/proc/self/fd"


def descriptor_of(path: str | os.PathLike[str]) -> int | None:
    """The number of the open file for which a name such as /dev/stdout or /dev/fd/3 stands."""
    name = os.path.normpath(path)
    if name in _STANDARD:
        return _STANDARD[name]
    found = _DESCRIPTOR.fullmatch(name)
    return int(found[1]) if found else None


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, overwrite: bool) -> Iterator[IO[bytes]]:
    """A binary file that appears under its name when the block ends, or not at all.

    The bytes go to a temporary file in the same folder, reach the disk, and then take the name
    `path`. The temporary file has no name where the disk can do that, so that nothing stays
    behind, however the process ends. When the block raises (KeyboardInterrupt included), an
    existing `path` stays as it was. Without `overwrite` a file that appears under the name while
    the block runs is kept too. A replaced file keeps its permissions; of a symbolic link the
    target is replaced. Devices, pipes and open files (/dev/null, /dev/fd/3) are written directly.

    Raises:
        UsageError: `path` exists and `overwrite` is false, or it is a folder.
        OutputError: it cannot be written.
    """
    label = os.fspath(path)
    with explained_disk(label):
        number = descriptor_of(path)
        target, mode = (label, None) if number is not None else _target(label, overwrite)
    if number is not None or (mode is not None and not stat.S_ISREG(mode)):
        with explained_disk(label):
            # Opened anew, a file at which standard output points would begin again.
            opened = os.dup(number) if number is not None else os.open(target, os.O_WRONLY)
        with explained_disk(label, DISK_ERRORS), os.fdopen(opened, "wb") as file:
            yield file
        return
    with explained_disk(label):
        descriptor, temporary = _open_temporary(_folder_of(target))
    try:
        with explained_disk(label, DISK_ERRORS), os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            os.fsync(file.fileno())
            with explained_disk(label):
                if temporary is not None:
                    _rename(temporary, target, overwrite)
                else:
                    _give_name(file.fileno(), target, overwrite)
    finally:
        if temporary is not None:
            with suppress(FileNotFoundError):
                os.unlink(temporary)


def _folder_of(path: str) -> str:
    return os.path.dirname(path) or os.curdir


def _target(path: str, overwrite: bool) -> tuple[str, int | None]:
    """The file that will be written, and its mode if it exists."""
    mode = None
    with suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
    if mode is not None and stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "")
    if mode is not None and not stat.S_ISREG(mode):
        # Links to pipes lead nowhere by name.
        return path, mode
    if mode is not None and not overwrite:
        raise FileExistsError(errno.EEXIST, "")
    return (os.path.realpath(path) if os.path.islink(path) else path), mode


def check_output(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Tell at once what `atomic_write` would tell at its beginning, and touch nothing.

    Raises:
        UsageError: `path` exists and `overwrite` is false, or it is a folder.
        OutputError: its folder does not exist, or may not be written.
    """
    label = os.fspath(path)
    with explained_disk(label):
        if descriptor_of(path) is not None:
            return
        target, mode = _target(label, overwrite)
        if mode is not None and not stat.S_ISREG(mode):
            return
        folder = _folder_of(target)
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "")


def _temporary_name(folder: str) -> str:
    return os.path.join(folder, f".dcn-{os.urandom(8).hex()}.tmp")


def _open_temporary(folder: str) -> tuple[int, str | None]:
    """A new file in a folder: its descriptor, and its name unless it has none."""
    # Not through `tempfile`, which hides its files from other users: the umask decides.
    flags = os.O_RDWR | os.O_CLOEXEC
    if hasattr(os, "O_TMPFILE") and os.path.isdir(_PROC):
        try:
            return os.open(folder, flags | os.O_TMPFILE, 0o666), None
        except OSError as error:
            # What disks and kernels answer that do not know the flag.
            if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}:
                raise
    name = _temporary_name(folder)
    return os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o666), name


def _give_name(descriptor: int, target: str, overwrite: bool) -> None:
    """Give a complete file without a name its name."""
    source = f"{_PROC}/{descriptor}"
    # With a folder's descriptor, which an absolute path does not need, Python follows the link.
    if not overwrite:
        os.link(source, target, src_dir_fd=descriptor, follow_symlinks=True)
        return
    temporary = _temporary_name(_folder_of(target))
    os.link(source, temporary, src_dir_fd=descriptor, follow_symlinks=True)
    try:
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _rename(temporary: str, target: str, overwrite: bool) -> None:
    """Give a complete file its name instead of its temporary one."""
    if overwrite:
        os.replace(temporary, target)
        return
    # Other than a rename, a link fails if the name has been taken meanwhile.
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        # The disk knows no links (FAT, some network disks): reserve the name first.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            os.replace(temporary, target)
        except BaseException:
            os.unlink(target)
            raise


@contextmanager
def explained_disk(label: str, numbers: Container[int] | None = None) -> Iterator[None]:
    """Turn errors of the operating system (only those `numbers`, if given) into one line."""
    try:
        yield
    except OSError as error:
        if numbers is not None and error.errno not in numbers:
            raise
        kind, remedy = _REMEDIES.get(
            error.errno or 0, (OutputError, f"cannot be written ({error.strerror or error})")
        )
        raise kind(remedy, label) from error
    except ValueError as error:
        if numbers is not None:
            raise
        raise UsageError(f"{label!r}: not a file name ({error})") from error


def write_whole(descriptor: int, content: bytes | memoryview, label: str) -> None:
    """Write all bytes to an open file, however many calls and waits that takes.

    Raises:
        OutputError: it cannot be written.
    """
    view = memoryview(content)
    with explained_disk(label):
        while view:
            try:
                view = view[os.write(descriptor, view) :]
            except BlockingIOError:
                select.select([], [descriptor], [])


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """A file's content.

    Raises:
        UsageError: it is missing, a folder, an endless device, an output, or may not be read.
        FormatError: it is empty.
    """
    label = os.fspath(path)
    if descriptor_of(path) in {1, 2}:
        # In a pipe it would wait for itself.
        raise UsageError("is an output of this command; name a file", label)
    try:
        with open(path, "rb") as file:
            data = read_finite(file, label)
    except FileNotFoundError as error:
        raise UsageError("no such file; check the name", label) from error
    except IsADirectoryError as error:
        raise UsageError("is a folder; name a file in it", label) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot be read ({reason}); check its permissions", label) from error
    if not data:
        raise FormatError("is empty; get the file again", label)
    return data


def content_of(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes],
) -> bytes:
    """The bytes of a file that is given by its path, by them, or as a stream from where it stands.

    Raises:
        UsageError: it is none of these, or as `read_bytes`.
        FormatError: as `read_bytes`.
    """
    if isinstance(source, str | os.PathLike):
        return read_bytes(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if callable(getattr(source, "read", None)) and isinstance(data := source.read(), bytes):
        return data
    raise UsageError(f"{type(source).__name__}: give a path, bytes or a binary stream")


def read_finite(file: IO[bytes], label: str) -> bytes:
    """All bytes of an open file; of a device, such as /dev/zero, they might never end.

    Raises:
        UsageError: it is such a device.
        OSError: as reading.
    """
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISREG(mode):
        return file.read()
    device = stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not file.isatty())
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(file.fileno(), 1 << 20)
        except BlockingIOError:
            select.select([file], [], [])
            continue
        if part and device:
            raise UsageError("is a device without an end; name a file", label)
        if not part:
            return b"".join(parts)
        parts.append(part)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they do not exist.

    Raises:
        OutputError: that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot be made ({reason}); name another", folder) from None
