"""Speed and size of the entropy coder beside zstandard level 1: one run, one thread.

    python -m dcncodec.bench.paper.fse_speed

Laplacian indices of 32 code words, in blocks of 4,096 symbols and in one block of 1 MiB. Absolute
speeds say little on a shared machine; the ratio to zstandard, measured in turns in the same run,
can be compared between machines.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import zstandard
from numpy.typing import NDArray

from dcncodec.formats import fse

TOTAL = 1 << 20
SCALES = (0.3, 0.7, 1.5, 3.0)
REPEATS = 15


@dataclass(frozen=True)
class Row:
    """One line of the table: MB/s of both coders, sizes over the blocks' empirical entropy."""

    scale: float
    block: int
    compress: float
    decompress: float
    size: float
    zstd_compress: float
    zstd_decompress: float
    zstd_size: float


def laplacian(scale: float, count: int = TOTAL) -> NDArray[np.uint8]:
    """Codebook indices, uint8 (count,), of Laplacian latents of the given scale."""
    values = np.rint(np.random.default_rng(1).laplace(15, scale, count))
    return values.clip(0, 31).astype(np.uint8)


def entropy_bytes(blocks: NDArray[np.uint8]) -> float:
    """Sum of the empirical entropies of blocks (n, count), in bytes."""
    total = 0.0
    for block in blocks:
        counts = np.bincount(block)
        counts = counts[counts > 0]
        total -= float((counts * np.log2(counts / block.size)).sum()) / 8
    return total


def measure(scale: float, block: int) -> Row:
    """Both coders in turns on the same blocks; the best time of each counts.

    Both are called once for all blocks: planes here, one multi-buffer call there.
    """
    planes = laplacian(scale).reshape(-1, block)
    segments: list[bytes | bytearray | memoryview] = [plane.tobytes() for plane in planes]
    payload, sizes = fse.encode_planes(planes)
    compressor = zstandard.ZstdCompressor(level=1)
    decompressor = zstandard.ZstdDecompressor()
    frames = compressor.multi_compress_to_buffer(segments, threads=1)
    best = [float("inf")] * 4
    actions: tuple[Callable[[], object], ...] = (
        lambda: fse.encode_planes(planes),
        lambda: fse.decode_planes(payload, sizes, block),
        lambda: compressor.multi_compress_to_buffer(segments, threads=1),
        lambda: decompressor.multi_decompress_to_buffer(frames, threads=1),
    )
    for _ in range(REPEATS):
        for i, action in enumerate(actions):
            begin = time.perf_counter()
            action()
            best[i] = min(best[i], time.perf_counter() - begin)
    least = entropy_bytes(planes)
    speeds = [TOTAL / seconds / 1e6 for seconds in best]
    zstd_size = sum(len(frames[i]) for i in range(len(frames)))
    return Row(
        scale,
        block,
        speeds[0],
        speeds[1],
        len(payload) / least,
        speeds[2],
        speeds[3],
        zstd_size / least,
    )


def main() -> None:
    """Print the table."""
    print("scale   block  fse MB/s: c, d  over entropy  zstd -1: c, d  over entropy   c/z   d/z")
    for block in (4096, TOTAL):
        for scale in SCALES:
            row = measure(scale, block)
            print(
                f"{row.scale:5.1f} {row.block:7d} {row.compress:8.0f} {row.decompress:7.0f}"
                f" {row.size - 1:12.1%} {row.zstd_compress:14.0f} {row.zstd_decompress:7.0f}"
                f" {row.zstd_size - 1:12.1%} {row.compress / row.zstd_compress:6.2f}"
                f" {row.decompress / row.zstd_decompress:5.2f}"
            )


if __name__ == "__main__":
    main()
