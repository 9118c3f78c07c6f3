"""Standard streams that are full, closed, cut off or terminals: written whole, or told so.

These commands end before torch is loaded.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import IO, Any

import pytest

DCN = str(Path(sys.executable).with_name("dcn"))
LONG = ["completion", "bash"]
BYTES = textwrap.dedent(
    """
    import sys
    from dcncodec.cli import main, streams
    def run():
        print("before", flush=True, file=sys.stderr)
        streams.check_output_stream()
        streams.write_stream(bytes(range(256)) * 2000)
        return 0
    main._run = run
    main.main()
    """
)
"""A command that writes 512,000 bytes to standard output."""


def run(
    command: list[str], unbuffered: bool = False, **streams: Any
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"PYTHONUNBUFFERED": "1"} if unbuffered else {})
    streams.setdefault("stderr", subprocess.PIPE)
    return subprocess.run(command, check=False, text=True, env=environment, timeout=60, **streams)


def lines_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line != "before"]


@pytest.fixture
def full() -> IO[bytes]:
    with open("/dev/full", "wb") as file:  # noqa: PTH123
        yield file


COMMANDS = [[DCN, "--help"], [DCN, *LONG], [DCN, "--version"], [sys.executable, "-c", BYTES]]


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("command", COMMANDS)
def test_full_disk(full: IO[bytes], command: list[str], unbuffered: bool) -> None:
    done = run(command, unbuffered, stdout=full)
    assert done.returncode == 1
    (line,) = lines_of(done)
    assert line == "dcn: standard output: the disk is full; make room or write elsewhere"


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("command", COMMANDS[1:])
def test_whoever_read_has_left(command: list[str], unbuffered: bool) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(command, unbuffered, stdout=writer)
    finally:
        os.close(writer)
    assert done.returncode == 1
    (line,) = lines_of(done)
    assert line.startswith("dcn: standard output: whoever read it has closed it")


@pytest.mark.parametrize("unbuffered", [False, True])
def test_slow_readers_get_all(unbuffered: bool) -> None:
    """A pipe that does not wait, as some programs leave it, takes 64 KiB at a time."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    environment = os.environ | ({"PYTHONUNBUFFERED": "1"} if unbuffered else {})
    process = subprocess.Popen([sys.executable, "-c", BYTES], stdout=writer, env=environment)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        received = file.read()
    assert process.wait(60) == 0
    assert received == bytes(range(256)) * 2000


def closed(redirection: str, *command: str) -> subprocess.CompletedProcess[str]:
    return run(["sh", "-c", f'exec "$0" "$@" {redirection}', *command], stdout=subprocess.PIPE)


@pytest.mark.parametrize("command", COMMANDS)
def test_standard_output_is_closed(command: list[str]) -> None:
    done = closed(">&-", *command)
    assert done.returncode == 1
    (line,) = lines_of(done)
    assert line == "dcn: standard output: is closed; open it for writing"


@pytest.mark.parametrize("command", [["encode", "-", "-"], ["decode", "-", "x.png"], ["info", "-"]])
def test_standard_input_is_closed(command: list[str], tmp_path: Path) -> None:
    done = closed(f"<&-; cd {tmp_path}", DCN, *command)
    assert done.returncode in {1, 2}
    (line,) = lines_of(done)
    assert "standard input: cannot be read" in line


@pytest.mark.parametrize(("source", "words"), [("/dev/null", "is empty"), ("/dev/zero", "no end")])
def test_standard_input_without_an_end_or_beginning(source: str, words: str) -> None:
    with open(source, "rb") as file:  # noqa: PTH123
        done = run([DCN, "info", "-"], stdin=file, stdout=subprocess.PIPE)
    assert done.returncode == 1
    (line,) = lines_of(done)
    assert words.replace("no end", "without an end") in line


def test_standard_error_is_closed_or_full(tmp_path: Path) -> None:
    for redirection in ("2>&-", "2>/dev/full"):
        done = closed(redirection, DCN, "info", str(tmp_path / "missing.dcn"))
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
        assert closed(redirection, DCN, "--version").stdout.startswith("dcn")


def test_files_never_become_standard_streams(tmp_path: Path) -> None:
    """With numbers 0 to 2 free, the next file that is opened would be taken for one of them."""
    script = "from dcncodec.cli import main, streams\nmain._run = lambda: open({!r}, 'wb').fileno()"
    target = str(tmp_path / "x")
    done = closed(">&- 2>&- <&-", sys.executable, "-c", script.format(target) + "\nmain.main()")
    assert done.returncode > 2


def test_pictures_are_not_shown_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    leader, terminal = pty.openpty()
    try:
        for target in ("-", "/dev/stdout", "/dev/fd/1"):
            done = run([DCN, "encode", str(tmp_path / "a.png"), target], stdout=terminal)
            assert done.returncode == 2
            (line,) = lines_of(done)
            assert "standard output: is a terminal" in line
    finally:
        os.close(leader)
        os.close(terminal)


def test_names_of_open_files(tmp_path: Path) -> None:
    """/dev/stdout, a file descriptor and the shell's >(cmd) are written where they lead."""
    script = textwrap.dedent(
        """
        import sys
        from dcncodec.cli.batch import write_output
        for name in sys.argv[1:]:
            write_output(name, b"content", force=False)
        """
    )
    out = tmp_path / "out"
    with out.open("wb") as file:
        subprocess.run(
            [sys.executable, "-c", script, "/dev/stdout", "/dev/fd/1"], check=True, stdout=file
        )
    assert out.read_bytes() == b"contentcontent"
    shell = f"{sys.executable} -c '{script}' >(cat > {tmp_path}/piped); wait"
    subprocess.run(["bash", "-c", shell], check=True, timeout=60)
    assert (tmp_path / "piped").read_bytes() == b"content"
    assert {path.name for path in tmp_path.iterdir()} == {"out", "piped"}
