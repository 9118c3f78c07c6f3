"""Peak memory of encoding and of decoding one large image, each in a process of its own.

    python -m dcncodec.bench.memory                     # 10,000 x 10,000 pixels, dcn-32c
    python -m dcncodec.bench.memory --width 1920 --height 1080 --codec avif --setting 50

Prints the peak resident memory of the whole process (interpreter, libraries and weights included)
and what of it is not the image; exits with 1 where that exceeds the bound of 4 GiB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import DcnError, LimitError

Operation = Literal["encode", "decode"]

BOUND = 4 << 30
"""Bytes above the image that a 10,000 x 10,000 encode or decode may take."""
SIDE = 10_000
TILE = 250


@dataclass(frozen=True)
class Usage:
    """Memory of one process.

    Attributes:
        peak: largest resident set, bytes.
        image: the pixels alone, bytes.
    """

    peak: int
    image: int

    @property
    def above(self) -> int:
        """What is not the image."""
        return self.peak - self.image


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        codec: a baseline, or the name or folder of a model.
        setting: of a baseline; the rate of a model for all rates; else "".
        width, height: of the image.
        effort: of a model for all rates.
    """

    codec: str
    setting: str
    width: int
    height: int
    effort: int = 0


def pattern(width: int, height: int) -> NDArray[np.uint8]:
    """A waved and noisy image, uint8 (H, W, 3), made without further memory."""
    y, x = np.mgrid[:TILE, :TILE] * (2 * np.pi / TILE)
    waves = np.stack([np.sin(x + y), np.sin(3 * x - y), np.cos(2 * y)], axis=2) * 80 + 128
    noise = np.random.default_rng(1).normal(0, 8, waves.shape)
    tile = (waves + noise).clip(0, 255).astype(np.uint8)
    image = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            part = image[top : top + TILE, left : left + TILE]
            part[:] = tile[: part.shape[0], : part.shape[1]]
    return image


def peak_resident() -> int:
    """The largest resident set of this process so far, bytes.

    Not getrusage's maximum, which begins with that of the process that started this one.

    Raises:
        LimitError: the system does not tell.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        entry = next(line for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        raise LimitError("peak memory is measured on Linux only") from None
    return int(entry.split()[1]) << 10


def measure(case: Case, operation: Operation, file: Path) -> Usage:
    """Run one operation in a fresh process.

    Args:
        file: where encoding leaves its result and decoding finds it.

    Raises:
        DcnError: the operation failed.
    """
    command = [sys.executable, "-m", "dcncodec.bench.memory", "--operation", operation]
    command += ["--file", str(file)]
    for name, value in asdict(case).items():
        command += [f"--{name}", str(value)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended by signal {-done.returncode}"]
        raise DcnError(f"{case.codec}: {operation} failed ({lines[-1]})")
    return Usage(**json.loads(done.stdout))


def both(
    codec: str, setting: str, width: int, height: int, effort: int = 0
) -> dict[Operation, Usage]:
    """Encode, then decode what came out, each in a fresh process; arguments as of ``Case``."""
    case = Case(codec, setting, width, height, effort)
    with tempfile.TemporaryDirectory(prefix="dcn-memory-") as folder:
        file = Path(folder, "coded")
        operations: tuple[Operation, ...] = ("encode", "decode")
        return {name: measure(case, name, file) for name in operations}


def perform(case: Case, operation: Operation, file: Path) -> Usage:
    """One operation in this process; arguments as of ``measure``."""
    from dcncodec.formats.peers.baselines import BASELINES

    pixels = pattern(case.width, case.height) if operation == "encode" else None
    if case.codec in BASELINES:
        baseline = BASELINES[case.codec]
        if pixels is not None:
            file.write_bytes(baseline.compress(pixels, float(case.setting), 1))
        else:
            baseline.decompress(file.read_bytes(), 1)
    else:
        from dcncodec.codec import Codec

        loaded = Codec(case.codec, device="cpu")
        if pixels is not None:
            rate = int(case.setting) if case.setting else None
            file.write_bytes(loaded.encode(pixels, rate=rate, effort=case.effort))
        else:
            loaded.decode(file.read_bytes())
    return Usage(peak_resident(), case.width * case.height * 3)


def main() -> None:
    """Measure and print; the exit code tells whether the bound holds."""
    parser = argparse.ArgumentParser(prog="python -m dcncodec.bench.memory")
    parser.add_argument("--codec", default="dcn-32c", help="a model or another codec")
    parser.add_argument("--setting", default="", help="quality of another codec, rate")
    parser.add_argument("--effort", type=int, default=0, help="of a model for all rates")
    parser.add_argument("--width", type=int, default=SIDE)
    parser.add_argument("--height", type=int, default=SIDE)
    parser.add_argument("--operation", choices=["encode", "decode"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape = (options.codec, options.setting, options.width, options.height, options.effort)
    try:
        if options.operation:
            print(json.dumps(asdict(perform(Case(*shape), options.operation, options.file))))
            return
        usages = both(*shape)
    except DcnError as error:
        print(f"dcn: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"{options.codec}, {options.width} x {options.height} pixels, MiB")
    for name, usage in usages.items():
        print(
            f"{name}: peak {usage.peak / 2**20:,.0f}, image {usage.image / 2**20:,.0f}, "
            f"above it {usage.above / 2**20:,.0f} (bound {BOUND / 2**20:,.0f})"
        )
    if any(usage.above > BOUND for usage in usages.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
