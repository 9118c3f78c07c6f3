"""The built-in BPG beside reference bpgenc: payload at equal PSNR, on the same images.

    python -m dcncodec.bench.paper.bpg_anchor --data ../shared/data/kodak \\
        --anchors ../shared/anchors/rd_kodak.json

Prints one line per image and quantiser, then the mean; exits with 1 when a point needs more than
the tolerance more or less than bpgenc, or when there was nothing to compare.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcncodec.errors import DcnError, UsageError
from dcncodec.formats.peers import bpg

TOLERANCE = 0.05
"""Largest deviation of the payload at equal PSNR, a fraction."""
QPS = (22, 28, 34, 40)
_NEIGHBOURS = 4
"""Anchor points that an interpolating cubic goes through."""


@dataclass(frozen=True)
class Point:
    """One quantiser on one image or on a curve.

    Attributes:
        qp: bpgenc's quantiser.
        bpp: bits of payload per pixel.
        psnr: dB, over R, G and B together.
    """

    qp: float
    bpp: float
    psnr: float


def read_anchors(path: Path) -> dict[str, list[Point]]:
    """The curves of bpgenc by image name, from a file such as rd_kodak.json.

    Raises:
        UsageError: the file cannot be read, or has no BPG curves.
    """
    try:
        content = json.loads(path.read_text())
        columns = [content["cols"].index(name) for name in ("q", "bpp_payload", "psnr")]
        return {
            image: [Point(*(row[column] for column in columns)) for row in rows]
            for image, rows in content["rows"]["bpg"].items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"no BPG curves can be read from it ({error})", path) from error


def bpp_at(curve: Sequence[Point], psnr: float) -> float | None:
    """Bits per pixel of a curve at `psnr` dB; None outside of it.

    A cubic through the logarithms at the nearest points: straight lines between points that are
    3 dB apart would be a few percent too high.
    """
    if not min(p.psnr for p in curve) <= psnr <= max(p.psnr for p in curve):
        return None
    near = sorted(curve, key=lambda p: abs(p.psnr - psnr))[:_NEIGHBOURS]
    x = np.array([p.psnr - psnr for p in near])
    logarithm = np.polyfit(x, np.log([p.bpp for p in near]), len(near) - 1)[-1]
    return math.exp(float(logarithm))


def measure(pixels: NDArray[np.uint8], qp: int) -> Point:
    """Code an image, uint8 (H, W, 3), and decode it again."""
    data = bpg.encode(pixels, qp)
    error = float(np.mean((bpg.decode(data).astype(np.float64) - pixels) ** 2))
    psnr = 10 * math.log10(255**2 / error) if error else math.inf
    return Point(qp, 8 * bpg.picture_data_size(data) / (pixels.shape[0] * pixels.shape[1]), psnr)


def deviations(
    pixels: NDArray[np.uint8], curve: Sequence[Point], qps: Iterable[int]
) -> list[tuple[Point, float]]:
    """Measured points inside the curve, each with its excess of payload, a fraction."""
    result = []
    for qp in qps:
        point = measure(pixels, qp)
        expected = bpp_at(curve, point.psnr)
        if expected is not None:
            result.append((point, point.bpp / expected - 1))
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the images, PNG")
    parser.add_argument("--anchors", type=Path, required=True, help="rd_kodak.json")
    parser.add_argument("--images", nargs="*", help="names without suffix (default: all)")
    parser.add_argument("--qp", type=int, nargs="*", default=QPS, help="quantisers")
    options = parser.parse_args(arguments)
    excesses: list[float] = []
    try:
        anchors = read_anchors(options.anchors)
        for name in options.images or sorted(anchors):
            if name not in anchors or not (options.data / f"{name}.png").is_file():
                raise UsageError(f"{name}: no such image in {options.data} with BPG anchors")
            with Image.open(options.data / f"{name}.png") as image:
                pixels = np.asarray(image.convert("RGB"))
            for point, excess in deviations(pixels, anchors[name], options.qp):
                excesses.append(excess)
                figures = f"qp {point.qp:2}  {point.bpp:.4f} bpp  {point.psnr:.2f} dB"
                print(f"{name}  {figures}  {excess:+.2%}", flush=True)
    except DcnError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if not excesses:
        print("no point lies on an anchor curve", file=sys.stderr)
        return 1
    worst = max(map(abs, excesses))
    print(f"{len(excesses)} points: mean {np.mean(excesses):+.2%}, worst {worst:.2%}")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    raise SystemExit(main())
