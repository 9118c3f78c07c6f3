"""Peak memory of encoding and decoding a large image, over the image itself.

    python -m dcncodec.bench.large_images [--side 10000] [--model NAME]

Each runs in a process of its own; the figure is its peak resident memory less that of the same
process with the libraries and the model loaded, less the image (3 bytes per pixel).
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

MIB = 1 << 20


def image(side: int) -> NDArray[np.uint8]:
    """A synthetic image, uint8 (side, side, 3): smooth structure with noise."""
    pixels = np.empty((side, side, 3), np.uint8)
    x = np.arange(side, dtype=np.float32)
    rng = np.random.default_rng(0)
    for y, row in enumerate(pixels):
        wave = 128 + 80 * np.sin((x + y) / 97) * np.cos((x - 2 * y) / 143)
        row[:] = (wave[:, None] + rng.integers(-6, 7, (side, 3))).astype(np.uint8)
    return pixels


def peak() -> int:
    """Peak resident memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(action: str, side: int, model: str, path: Path) -> int:
    """Encode or decode in this process; returns peak memory over start and image in bytes."""
    from dcncodec.codec import Codec

    codec = Codec(model)
    codec.decode(codec.encode(np.zeros((64, 64, 3), np.uint8)))
    start = peak()
    if action == "encode":
        path.write_bytes(codec.encode(image(side), max_pixels=None))
    else:
        codec.decode(path.read_bytes(), max_pixels=None)
    return peak() - start - 3 * side * side


@click.command()
@click.option("--side", type=click.IntRange(64), default=10_000, show_default=True)
@click.option("--model", default="dcn-32c", show_default=True)
@click.option("--action", type=click.Choice(["encode", "decode"]), hidden=True)
@click.option("--file", "path", type=click.Path(path_type=Path), hidden=True)
def main(side: int, model: str, action: str | None, path: Path | None) -> None:
    """Print the peak memory of both directions."""
    if action is not None and path is not None:
        click.echo(run(action, side, model, path))
        return
    with tempfile.TemporaryDirectory() as folder:
        for step in ("encode", "decode"):
            command = [sys.executable, "-m", "dcncodec.bench.large_images", "--side", str(side)]
            command += ["--model", model, "--action", step, "--file", f"{folder}/x.dcn"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            over = int(done.stdout)
            click.echo(f"{step} {side} x {side}: {over / MIB:.0f} MiB over the image")


if __name__ == "__main__":
    main()
