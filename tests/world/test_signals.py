"""Signals while a file is written: nothing stays behind, and the exit code tells which it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SCRIPT = textwrap.dedent(
    """
    import os, sys, time
    from dcncodec.cli import group, main
    from dcncodec.formats.files import atomic_write
    if sys.argv[2] == "named":
        del os.O_TMPFILE
    def run():
        with atomic_write(sys.argv[1], overwrite=True) as file:
            file.write(b"half")
            file.flush()
            print("ready", flush=True)
            time.sleep(60)
        return 0
    group.group.main = lambda **_: run()
    main.main()
    """
)


def start(target: Path, disk: str, **options: bool) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(target), disk],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("disk", ["unnamed", "named"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_asked_to_end(tmp_path: Path, number: signal.Signals, disk: str) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    process = start(target, disk)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert error == f"dcn: ended by {number.name}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert target.read_bytes() == b"old"


def test_killed(tmp_path: Path) -> None:
    """Nobody can clean up then; a file without a name needs no cleaning."""
    process = start(tmp_path / "a", "unnamed")
    process.kill()
    process.communicate(timeout=60)
    assert list(tmp_path.iterdir()) == []


def test_nohup_stays(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start(tmp_path / "a", "unnamed")
    finally:
        signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    process.communicate()
