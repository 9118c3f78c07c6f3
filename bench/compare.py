"""What changed between two runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import fmean
from typing import Any

from dcncodec.bench.points import Point
from dcncodec.bench.rd import Curves, summaries
from dcncodec.bench.results import Results
from dcncodec.bench.tables import Table, measured_metrics


def compare(before: Results, after: Results) -> list[Table]:
    """Tables of differences: BD-rates of each codec against itself, means, times, what is missing.

    Only images, codecs and settings that both runs have are compared.
    """
    return [
        table
        for table in (
            _codecs(before, after),
            _settings(before, after),
            _speed(before, after),
            _missing(before, after),
        )
        if table.rows
    ]


def _codecs(before: Results, after: Results) -> Table:
    """BD-rate of each codec's new points against its old ones."""
    metrics = measured_metrics(before.points)
    rows = []
    for codec in dict.fromkeys(point.codec for point in before.points):
        old = [_renamed(point, "before") for point in before.points if point.codec == codec]
        new = [_renamed(point, "after") for point in after.points if point.codec == codec]
        if not new or len({point.setting for point in old}) < 2:
            continue
        cells = []
        for metric in metrics:
            found = Curves(old + new, metric).bd_rates("before", "after")
            cells.append(f"{fmean(found.values()) * 100:+.2f} %" if found else "–")
        rows.append((codec, *cells))
    head = ("codec", *metrics)
    return Table("BD-rate of the second run against the first", head, rows)


def _renamed(point: Point, codec: str) -> Point:
    return replace(point, codec=codec)


def _settings(before: Results, after: Results) -> Table:
    """Means that differ, over the images of both runs."""
    shared = set(before.images) & set(after.images)
    old, new = (
        {
            (row.codec, row.setting): row
            for row in summaries([point for point in run.points if point.image in shared])
        }
        for run in (before, after)
    )
    rows = []
    for key, first in old.items():
        second = new.get(key)
        if second is None:
            continue
        cells = [
            _change(first.bpp, second.bpp, lambda a, b: f"{(b / a - 1) * 100:+.2f} %"),
            _change(first.psnr, second.psnr, lambda a, b: f"{b - a:+.3f}"),
            _change(first.ssim, second.ssim, lambda a, b: f"{b - a:+.5f}"),
            _change(first.msssim, second.msssim, lambda a, b: f"{b - a:+.5f}"),
        ]
        if any(cell not in {"=", "–"} for cell in cells):
            rows.append((*key, *cells))
    head = ("codec", "setting", "bpp", "PSNR, dB", "SSIM", "MS-SSIM")
    note = f"Means over {len(shared)} images of both runs; settings without a change are left out."
    return Table("Settings that changed", head, rows, note)


def _change(
    before: float | None, after: float | None, describe: Callable[[float, float], str]
) -> str:
    if before is None or after is None:
        return "–"
    return "=" if before == after else describe(before, after)


def _speed(before: Results, after: Results) -> Table:
    """Times over those of the first run."""

    def key(row: dict[str, Any]) -> tuple[str, str, str]:
        return row["size"], row["codec"], row["setting"]

    known = {key(row): row for row in before.speed}
    rows = []
    for row in after.speed:
        if (old := known.get(key(row))) is not None:
            cells = (f"{row[name] / old[name]:.2f}" for name in ("encode_s", "decode_s"))
            rows.append((*key(row), *cells))
    head = ("size", "codec", "setting", "encoding", "decoding")
    return Table("Times over those of the first run", head, rows)


def _missing(before: Results, after: Results) -> Table:
    """Measurements that only one run has."""
    keys = [
        {(point.codec, point.setting, point.image) for point in run.points}
        for run in (before, after)
    ]
    rows = []
    for title, only in (("first", keys[0] - keys[1]), ("second", keys[1] - keys[0])):
        counts: dict[str, int] = {}
        for codec, _, _ in sorted(only):
            counts[codec] = counts.get(codec, 0) + 1
        rows += [(title, codec, str(count)) for codec, count in counts.items()]
    return Table("Measurements in one run only", ("run", "codec", "points"), rows)
