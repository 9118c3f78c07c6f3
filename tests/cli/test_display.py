"""Progress on a terminal: results above the bar, or whole in a file; a bar for one large photo."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

SCRIPT = textwrap.dedent(
    """
    from pathlib import Path
    from dcncodec.cli.batch import Batch, LARGE_PIXELS
    from dcncodec.cli.plan import Job, Plan
    from dcncodec.cli.warned import warned
    from dcncodec.notices import Notice
    import sys, time
    count, quiet = int(sys.argv[1]), sys.argv[2] == "quiet"
    batch = Batch(Plan([Job(f"photo{i}.png") for i in range(count)]), False, quiet)
    def convert(job, content, loaded):
        batch.display.begin(job.name, LARGE_PIXELS)
        batch.display.advance(LARGE_PIXELS // 2)
        warned(Notice("frames", "doubtful", job.name))
        time.sleep(0.3)  # the bar is drawn ten times a second
        return {"name": job.name}
    batch.run(lambda job: None, lambda: None, convert, lambda r: r["name"] + " " + "x" * 200)
    """
)


def run(count: int, mode: str, stdout: IO[str] | None = None) -> str:
    """What the terminal showed; standard output is the terminal, too, unless given."""
    leader, terminal = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(count), mode],
        stdout=terminal if stdout is None else stdout,
        stderr=terminal,
        text=True,
        env=environment,
    )
    os.close(terminal)
    shown = b""
    with process, suppress(OSError):
        # It ends with an error, when all who had the terminal open are gone.
        while part := os.read(leader, 10_000):
            shown += part
    os.close(leader)
    assert process.returncode == 0
    return shown.decode()


@pytest.mark.parametrize("count", [1, 3])
def test_results_in_a_file_are_whole(tmp_path: Path, count: int) -> None:
    with (tmp_path / "out").open("w+") as file:
        shown = run(count, "", file)
        file.seek(0)
        assert file.read() == "".join(f"photo{i}.png {'x' * 200}\n" for i in range(count))
    assert shown.count("warning: photo0.png: doubtful") == 1
    assert "xxx" not in shown
    assert ("files" in shown) == (count > 1)
    assert "50%" in shown


def test_results_on_the_terminal_are_lines_of_their_own() -> None:
    shown = run(3, "")
    for i in range(3):
        assert f"photo{i}.png {'x' * 200}\r\n" in shown


def test_quiet_shows_results_alone(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+") as file:
        assert run(2, "quiet", file) == ""
        file.seek(0)
        assert file.read().count("\n") == 2
