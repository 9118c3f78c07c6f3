"""The tables of a run, as rows of text: for the terminal, for the report, for a README."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, median

import numpy as np

from dcncodec.bench import fits
from dcncodec.bench.metrics import IN_DECIBEL, METRICS
from dcncodec.bench.names import called, label
from dcncodec.bench.points import Point
from dcncodec.bench.rd import Curves, equal_rate, summaries
from dcncodec.bench.results import Results
from dcncodec.pages import Table
from dcncodec.rate_curves import Method

RATES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Bits per pixel of the table of mean qualities."""


def measured_metrics(points: Iterable[Point]) -> list[str]:
    """The metrics that at least one point has."""
    listed = list(points)
    return [name for name in METRICS if any(point.metric(name) is not None for point in listed)]


def bd_rates(results: Results, method: Method = "pchip") -> Table:
    """Every codec's BD-rate against the anchor, one column a metric."""
    metrics = measured_metrics(results.points)
    all_curves = {metric: Curves(results.points, metric) for metric in metrics}
    codecs = list(dict.fromkeys(point.codec for point in results.points))
    total = len(results.images)
    rows = []
    for codec in codecs:
        cells = [results.title(codec)]
        for curves in all_curves.values():
            found = curves.bd_rates(results.anchor, codec, method)
            if codec == results.anchor:
                cells.append("0 %")
            elif not found:
                cells.append("–")
            else:
                part = "" if len(found) == total else f" ({len(found)}/{total})"
                cells.append(f"{fmean(found.values()) * 100:+.1f} %{part}")
        rows.append(tuple(cells))
    kind = "piecewise cubic" if method == "pchip" else "cubic"
    return Table(
        f"BD-rate against {results.title(results.anchor)}, {kind}",
        ("codec", *(METRICS[metric].removesuffix(", dB") for metric in metrics)),
        rows,
        "Effective payload at equal quality, mean of the images; negative needs fewer bits.",
    )


def qualities(results: Results, metric: str) -> Table:
    """Mean quality at several rates, similarities in dB."""
    curves = Curves(results.points, metric)
    total = len(results.images)
    rows = []
    for codec in curves.codecs:
        cells = [results.title(codec)]
        for rate in RATES:
            found = curves.mean_quality(codec, rate)
            if found is None:
                cells.append("–")
            else:
                part = "" if found[1] == total else f" ({found[1]}/{total})"
                cells.append(f"{found[0]:.2f}{part}")
        if any(cell != "–" for cell in cells[1:]):
            rows.append(tuple(cells))
    unit = METRICS[metric] + (
        ", dB" if metric in IN_DECIBEL and "dB" not in METRICS[metric] else ""
    )
    head = ("codec", *(f"{rate:g} bpp" for rate in RATES))
    return Table(f"{unit}, at payload bits per pixel", head, rows)


def fitted(results: Results) -> Table:
    """How well the parametric curves fit, and their mean SSIM at several rates."""
    found = fits.fits(results.points)
    rows = []
    for codec in results.titles:
        curves = [curve for (name, _), curve in found.items() if name == codec]
        if curves:
            values = fits.mean_curve(curves, np.array(RATES))
            cells = (number(None if np.isnan(value) else value, ".4f") for value in values)
            error = f"{median(curve.error for curve in curves):.4f}"
            rows.append((results.title(codec), f"{len(curves)}", error, *cells))
    head = ("codec", "images", "median error", *(f"{rate:g} bpp" for rate in RATES))
    return Table(
        "SSIM of the averaged curve fits, at payload bits per pixel",
        head,
        rows,
        "f(x) = 1 / (1 + exp(-a x^b + g)) - d, fitted to each image; error: root mean square.",
    )


def points_of(results: Results, codecs: Sequence[str]) -> Table:
    """Means over the images of every setting of some codecs."""
    rows = []
    for row in summaries(results.points):
        if row.codec in codecs:
            rows.append(
                (
                    row.codec,
                    row.setting,
                    f"{row.bpp:.3f}",
                    f"{row.bpp_file:.3f}",
                    number(row.psnr, ".2f"),
                    number(row.ssim, ".4f"),
                    number(row.msssim, ".4f"),
                    "–" if row.jpeg_ratio is None else f"{row.jpeg_ratio * 100:.0f} %",
                )
            )
    head = ("codec", "setting", "bpp", "bpp, file", "PSNR", "SSIM", "MS-SSIM", "of JPEG's bits")
    return Table(
        "Means over the images",
        head,
        rows,
        "Last column: bits of JPEG 4:4:4 with the same SSIM, in the median image.",
    )


def at_own_rates(results: Results, codecs: Sequence[str], metric: str = "ssim") -> Table:
    """What other codecs reach at the rates of some codecs' settings."""
    others = [codec for codec in results.titles if codec not in codecs]
    rows = []
    for codec in codecs:
        reached = {other: equal_rate(results.points, codec, other, metric) for other in others}
        for row in summaries(results.points):
            own = getattr(row, metric)
            if row.codec == codec and own is not None:
                cells = (number(reached[other].get(row.setting), ".4f") for other in others)
                rows.append((row.setting, f"{row.bpp:.3f}", f"{own:.4f}", *cells))
    name = METRICS[metric].removesuffix(", dB")
    return Table(
        f"{name} at equal rate",
        ("setting", "bpp", "own", *(results.title(other) for other in others)),
        rows,
        "Mean over the images of what each other codec reaches at the same payload.",
    )


def speed(results: Results) -> Table:
    """Times and memory of every codec and size."""
    rows = []
    for row in results.speed:
        name = label(row)
        memory = [
            f"{row[f'{name}_memory'] / 2**20:.0f}" if f"{name}_memory" in row else "–"
            for name in ("encode", "decode")
        ]
        rows.append(
            (
                row["size"],
                name,
                "" if row["setting"] == name else row["setting"],
                f"{row['bpp_payload']:.2f}",
                f"{row['encode_s'] * 1e3:.1f}",
                f"{row['decode_s'] * 1e3:.1f}",
                f"{row['encode_mp_s']:.1f}",
                f"{row['decode_mp_s']:.1f}",
                f"{row['encode_cores']:.1f}, {row['decode_cores']:.1f}",
                ", ".join(memory),
            )
        )
    head = ("size", "codec", "setting", "bpp", "encode ms", "decode ms", "encode MP/s")
    return Table(
        f"Speed, in memory, {results.threads} threads at most, median",
        (*head, "decode MP/s", "cores in use", "memory, MiB"),
        rows,
        "Pairs: encoding, decoding. Memory: peak of a process above the image.",
    )


def breakdown(results: Results) -> Table:
    """What dcn's time consists of (DCN paper, Table 1)."""
    rows = []
    for row in results.speed:
        if "analysis_s" in row:
            coding = row["entropy_encode_s"] + row["entropy_decode_s"]
            networks = row["analysis_s"] + row["synthesis_s"]
            parts = ("analysis_s", "entropy_encode_s", "entropy_decode_s", "synthesis_s")
            times = (f"{row[part] * 1e3:.2f}" for part in parts)
            name = called(row["codec"], row["setting"])
            rows.append((row["size"], name, *times, f"{coding / networks * 100:.2f} %"))
    head = ("size", "model", "analysis", "entropy encode", "entropy decode", "synthesis")
    return Table("Parts of dcn's time, ms", (*head, "entropy / networks"), rows)


def ratios(results: Results) -> Table:
    """How often dcn works while a peer works once."""
    rows = [
        (
            row["size"],
            row["codec"],
            results.title(row["peer"]),
            f"{row['encode']:.3g}",
            f"{row['decode']:.3g}",
        )
        for row in results.ratios
    ]
    head = ("size", "model", "peer", "encoding", "decoding")
    return Table("Speed as a multiple of a peer's", head, rows, "Above 1: dcn is faster.")


def number(value: float | None, form: str) -> str:
    """A figure as text; a dash for none."""
    return "–" if value is None else format(value, form)
