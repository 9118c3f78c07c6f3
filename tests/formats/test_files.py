"""Writing files completely or not at all, and reading them."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from dcncodec.errors import DcnError, FormatError, OutputError, UsageError
from dcncodec.formats import files
from dcncodec.formats.files import atomic_write, check_output, read_bytes, write_whole


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def write(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(data)


def fail(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def test_writes(tmp_path: Path) -> None:
    with atomic_write(str(tmp_path / "a"), overwrite=False) as file:
        file.write(b"ab")
        file.seek(0)
        assert file.read() == b"ab"
        assert "a" not in names(tmp_path)
    assert (tmp_path / "a").read_bytes() == b"ab"
    assert names(tmp_path) == ["a"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o600)
    write(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(UsageError, match=f"{path}: exists already; overwrite it with --force"):
        write(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.fixture(params=["unnamed", "named", "without links"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the disk can do: files without names, links, or neither."""
    if request.param != "unnamed":
        monkeypatch.delattr(os, "O_TMPFILE")
    if request.param == "without links":
        monkeypatch.setattr(os, "link", _no_links)
    return str(request.param)


def test_file_that_appears_meanwhile_is_kept(tmp_path: Path, disk: str) -> None:
    path = tmp_path / "a"

    def race() -> None:
        with atomic_write(path, overwrite=False) as file:
            file.write(b"new")
            path.write_bytes(b"somebody else's")

    with pytest.raises(UsageError, match="exists already"):
        race()
    assert path.read_bytes() == b"somebody else's"
    assert names(tmp_path) == ["a"]


def _no_links(*_: object) -> None:
    raise fail(errno.EPERM)


def test_every_disk(tmp_path: Path, disk: str) -> None:
    write(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"
    write(tmp_path / "a", b"y", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"y"
    assert names(tmp_path) == ["a"]


def test_nothing_is_there_while_writing(tmp_path: Path) -> None:
    """So that nothing stays behind, however the process ends."""
    with atomic_write(tmp_path / "a", overwrite=False) as file:
        file.write(b"x" * 100_000)
        file.flush()
        assert names(tmp_path) == []


def test_disk_without_links_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise fail(errno.ENOSPC)

    monkeypatch.delattr(os, "O_TMPFILE")
    monkeypatch.setattr(os, "link", _no_links)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="disk is full"):
        write(tmp_path / "a", b"x")
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, FormatError, SystemExit])
@pytest.mark.parametrize("existing", [True, False])
def test_nothing_is_left_after_an_error(
    tmp_path: Path, error: type[BaseException], existing: bool
) -> None:
    path = tmp_path / "a"
    if existing:
        path.write_bytes(b"old")

    def interrupted() -> None:
        with atomic_write(path, overwrite=True) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert names(tmp_path) == ["a"] * existing
    assert not existing or path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; make room or write elsewhere"),
        (errno.EDQUOT, "the disk quota is used up; make room or write elsewhere"),
        (errno.EFBIG, "the file is too large for this disk; write elsewhere"),
        (errno.EIO, "the disk reports an error; write elsewhere"),
    ],
)
def test_disk_errors_while_writing(tmp_path: Path, number: int, words: str) -> None:
    path = tmp_path / "a"
    with pytest.raises(OutputError) as caught, atomic_write(path, overwrite=False):
        raise fail(number)
    assert str(caught.value) == f"{path}: {words}"
    assert names(tmp_path) == []


def test_other_errors_of_the_caller_stay_what_they_are(tmp_path: Path) -> None:
    for error in (FileNotFoundError(errno.ENOENT, "input"), ValueError("mine")):
        with pytest.raises(type(error)), atomic_write(tmp_path / "a", overwrite=False):
            raise error
    assert names(tmp_path) == []


def test_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="/dev/full: the disk is full"):
        write(Path("/dev/full"), b"x" * 100_000)


def test_devices_are_written_and_not_replaced() -> None:
    write(Path("/dev/null"), b"x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_open_files_are_written_where_they_stand(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w+b", buffering=0) as file:
        file.write(b"12")
        name = Path(f"/dev/fd/{file.fileno()}")
        write(name, b"34")
        assert (tmp_path / "a").read_bytes() == b"1234"
    with pytest.raises(OutputError, match="is closed"):
        write(name, b"x")
    assert names(tmp_path) == ["a"]


def test_links_to_pipes_are_written(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    (tmp_path / "pipe").symlink_to(f"/proc/self/fd/{writer}")
    write(tmp_path / "pipe", b"x")
    assert os.read(reader, 10) == b"x"
    os.close(reader)
    with pytest.raises(OutputError, match="has closed it"):
        write(tmp_path / "pipe", b"x")
    os.close(writer)


def test_whole_through_a_pipe_that_is_full() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    content = os.urandom(300_000)
    received: list[bytes] = []

    def read() -> None:
        while part := os.read(reader, 10_000):
            received.append(part)

    thread = threading.Thread(target=read)
    thread.start()
    write_whole(writer, content, "pipe")
    os.close(writer)
    thread.join()
    os.close(reader)
    assert b"".join(received) == content


@pytest.mark.parametrize("force", [True, False])
def test_check_output_tells_what_writing_would(tmp_path: Path, force: bool) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "folder").mkdir()
    for name in ("a", "folder", "b", "none/b", "a/b", "x" * 300, "/dev/full", "/dev/stdout", "\0"):
        outcomes = []
        for attempt in (check_output, write_nothing):
            try:
                attempt(tmp_path / name, overwrite=force)
            except DcnError as error:
                outcomes.append(str(error))
            else:
                outcomes.append("")
        assert outcomes[0] == outcomes[1], name
        (tmp_path / "b").unlink(missing_ok=True)


def write_nothing(path: Path, *, overwrite: bool) -> None:
    write(path, b"", overwrite=overwrite)


def test_devices_without_an_end_are_not_read() -> None:
    with pytest.raises(UsageError, match="without an end"):
        read_bytes("/dev/zero")
    with pytest.raises(FormatError, match="is empty"):
        read_bytes("/dev/null")


def test_symbolic_links_stay(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to("target")
    with pytest.raises(UsageError, match="exists already"):
        write(link, b"new")
    write(link, b"new", overwrite=True)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    target.unlink()
    write(link, b"again")
    assert target.read_bytes() == b"again"


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("folder", UsageError, "is a folder; name a file in it"),
        ("missing/a", OutputError, "its folder does not exist; create it first"),
        ("file/a", OutputError, "its folder is a file; choose another name"),
        ("x" * 300, UsageError, "the name is too long; choose another"),
        ("loop", OutputError, "cannot be written"),
        ("nul\0", UsageError, "not a file name"),
    ],
)
def test_places_that_cannot_be_written(
    tmp_path: Path, name: str, kind: type[DcnError], words: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    before = names(tmp_path)
    with pytest.raises(kind, match=words):
        write(tmp_path / name, b"x", overwrite=True)
    assert names(tmp_path) == before


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> int:
        raise fail(number)

    monkeypatch.setattr(files.os, "open", refuse)
    with pytest.raises(OutputError, match="write elsewhere"):
        write(tmp_path / "a", b"x")


def test_reads(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"ab")
    assert read_bytes(tmp_path / "a") == b"ab"
    assert read_bytes(str(tmp_path / "a")) == b"ab"


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    with pytest.raises(UsageError, match=f"{path}: no such file; check the name"):
        read_bytes(path)
    with pytest.raises(UsageError, match="is a folder; name a file in it"):
        read_bytes(tmp_path)
    path.touch()
    with pytest.raises(FormatError, match="is empty; get the file again"):
        read_bytes(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_bytes(path / "b")

    def refuse(*_: object) -> bytes:
        raise fail(errno.EACCES)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UsageError, match="Permission denied"):
        read_bytes(path)
