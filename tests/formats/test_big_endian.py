"""The context coder on a big-endian machine (s390x under qemu, where that is installed)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "csrc/context"
CROSS, EMULATOR = "s390x-linux-gnu-gcc", "qemu-s390x-static"


def digest(compiler: str, folder: Path, *flags: str, emulator: tuple[str, ...] = ()) -> str:
    """What the coder's fuzzer says of blocks that it encodes and decodes."""
    program = folder / compiler
    subprocess.run(
        [
            compiler,
            *("-std=c11", "-O2", "-DDCN_CONTEXT_STANDALONE", "-DNON_ZERO_PER_STREAM=8", *flags),
            *sorted(SOURCES.glob("*.c")),
            *("-pthread", "-lm", "-o", program),
        ],
        check=True,
    )
    done = subprocess.run(
        [*emulator, program, "digest"], check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.mark.skipif(
    not (shutil.which(CROSS) and shutil.which(EMULATOR)),
    reason=f"needs {CROSS} and {EMULATOR} (Debian: gcc-s390x-linux-gnu, qemu-user-static)",
)
def test_bytes_are_those_of_a_big_endian_machine(tmp_path: Path) -> None:
    here = digest("cc", tmp_path)
    assert len(here) == 9
    assert digest(CROSS, tmp_path, "-static", emulator=(EMULATOR,)) == here
