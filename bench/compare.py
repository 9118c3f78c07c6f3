"""What changed between two runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from dcncodec.bench.metrics import METRICS
from dcncodec.bench.points import Point
from dcncodec.bench.rd import Curves, summaries
from dcncodec.bench.results import Results
from dcncodec.bench.tables import measured_metrics
from dcncodec.errors import UsageError
from dcncodec.pages import Table

CHANGES = {"psnr": "+.3f", "ssim": "+.5f", "msssim": "+.5f", "ssimulacra2": "+.2f"}
"""How a change of a metric is written."""


def compare(before: Results, after: Results) -> list[Table]:
    """Tables of differences: setup, BD-rates, means, times, failures, what one run alone has.

    Images count as the same when name and size are.

    Raises:
        UsageError: both runs measured images, but none is in both.
    """
    images = {_image(point) for point in before.points} & {_image(point) for point in after.points}
    if before.points and after.points and not images:
        raise UsageError("the two runs share no image of one size; give runs of the same images")
    old, new = (
        [point for point in run.points if _image(point) in images] for run in (before, after)
    )
    found = (
        _setup(before, after),
        _codecs(old, new),
        _settings(old, new),
        _times(before, after),
        _ratios(before, after),
        _failures(before, after),
        _alone(before, after),
    )
    return [table for table in found if table.rows]


def _image(point: Point) -> tuple[str, int, int]:
    return point.image, point.width, point.height


def _key(point: Point) -> tuple[str, str, tuple[str, int, int]]:
    return point.codec, point.setting, _image(point)


def _setup(before: Results, after: Results) -> Table:
    """On what the runs differ before anything is measured."""
    old, new = (
        {"dataset": run.dataset, "crop": f"{run.crop or 'none'}", **run.machine}
        # A run without times has no threads.
        | ({"threads": f"{run.threads}"} if run.speed else {})
        for run in (before, after)
    )
    rows = [
        (name, value, new[name])
        for name, value in old.items()
        if name in new and new[name] != value
    ]
    return Table("The runs differ in", ("", "first", "second"), rows)


def _codecs(old: Sequence[Point], new: Sequence[Point]) -> Table:
    """BD-rate of each codec's new points against its old ones."""
    metrics = measured_metrics(old)
    codecs = dict.fromkeys(point.codec for point in old)
    both = [replace(point, codec=f"{point.codec} before") for point in old]
    both += [replace(point, codec=f"{point.codec} after") for point in new]
    curves = [Curves(both, metric) for metric in metrics]
    rows = []
    for codec in codecs:
        cells = []
        for curve in curves:
            found = curve.bd_rates(f"{codec} before", f"{codec} after").values()
            cells.append(f"{fmean(found) * 100:+.2f} %" if found else "–")
        if any(cell != "–" for cell in cells):
            rows.append((codec, *cells))
    head = ("codec", *(METRICS[metric].removesuffix(", dB") for metric in metrics))
    return Table("BD-rate of the second run against the first", head, rows)


def _settings(old: Sequence[Point], new: Sequence[Point]) -> Table:
    """Means that differ, over what both runs measured."""
    shared = {_key(point) for point in old} & {_key(point) for point in new}
    means = [
        {
            (row.codec, row.setting): row
            for row in summaries([point for point in points if _key(point) in shared])
        }
        for points in (old, new)
    ]
    metrics = [name for name in measured_metrics(old) if name in measured_metrics(new)]
    rows = []
    for key, first in means[0].items():
        second = means[1][key]
        cells = ["=" if first.bpp == second.bpp else f"{(second.bpp / first.bpp - 1) * 100:+.2f} %"]
        for metric in metrics:
            a, b = getattr(first, metric), getattr(second, metric)
            cells.append("–" if None in {a, b} else "=" if a == b else f"{b - a:{CHANGES[metric]}}")
        if set(cells) - {"=", "–"}:
            rows.append((*key, *cells))
    head = ("codec", "setting", "bpp", *(METRICS[m].removesuffix(" dB") for m in metrics))
    note = "Means over the images of both runs; settings without a change are left out."
    return Table("Settings that changed", head, rows, note)


def _times(before: Results, after: Results) -> Table:
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
    note = "Below 1: the second run is faster, or its machine was less busy."
    return Table("Times over those of the first run", head, rows, note)


def _ratios(before: Results, after: Results) -> Table:
    """Speeds relative to peers, which a busy machine changes less than times."""

    def key(row: dict[str, Any]) -> tuple[str, str, str]:
        return row["size"], row["codec"], row["peer"]

    known = {key(row): row for row in before.ratios}
    rows = []
    for row in after.ratios:
        if (old := known.get(key(row))) is not None:
            cells = (f"{old[name]:.3g} → {row[name]:.3g}" for name in ("encode", "decode"))
            rows.append((*key(row), *cells))
    head = ("size", "model", "peer", "encoding", "decoding")
    return Table("Speed as a multiple of a peer's", head, rows, "Above 1: dcn is faster.")


def _failures(before: Results, after: Results) -> Table:
    """What was skipped in one run only."""
    rows = [("first", str(failure)) for failure in before.failures if failure not in after.failures]
    rows += [
        ("second", str(failure)) for failure in after.failures if failure not in before.failures
    ]
    return Table("Skipped in one run only", ("run", "what"), rows)


def _alone(before: Results, after: Results) -> Table:
    """How many points of each codec only one run has."""
    old, new = ({_key(point) for point in run.points} for run in (before, after))
    rows = []
    for title, only in (("first", old - new), ("second", new - old)):
        counts = Counter(codec for codec, _, _ in only)
        rows += [(title, codec, f"{count}") for codec, count in sorted(counts.items())]
    return Table("Measurements in one run only", ("run", "codec", "points"), rows)
