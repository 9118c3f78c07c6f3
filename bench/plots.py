"""Plots of a run, as SVG and PNG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from dcncodec.bench.metrics import METRICS
from dcncodec.bench.names import called, label
from dcncodec.bench.points import Point
from dcncodec.bench.rd import Curves, equal_quality
from dcncodec.bench.results import Results
from dcncodec.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 6
"""Small plots side by side where every image has its own."""
RATE_LIMIT = 2.5
"""The right end of the axis of rates, bits per pixel."""
SINGLES = "images_"
"""How the names of plots begin that show every image by itself."""
COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#17becf")
MARKERS = "osD^vPX"
"""Fewer than colours, and no divisor: 56 codecs differ in one or the other."""


def styles(codecs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of every codec; the same in all plots of a run."""
    return {
        codec: {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[i % len(MARKERS)],
            "linewidth": 2.2 if i == 0 else 1.2,
            "markersize": 5 if i == 0 else 3.5,
        }
        for i, codec in enumerate(codecs)
    }


def mean_line(points: Iterable[Point], metric: str) -> tuple[list[float], list[float]]:
    """Mean rate and mean quality of every setting, by rising rate.

    SSIM is on its own scale, as the paper plots it, MS-SSIM in dB.
    """
    groups: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        value = point.metric(metric) if metric == "ssim" else point.scale(metric)
        if value is not None:
            groups.setdefault(point.setting, []).append((point.bpp, value))
    pairs = sorted(
        (fmean(rate for rate, _ in group), fmean(value for _, value in group))
        for group in groups.values()
    )
    return [rate for rate, _ in pairs], [value for _, value in pairs]


def rate_distortion(results: Results, metric: str) -> Figure:
    """Mean quality over mean rate of every setting, one line a codec."""
    figure = new_figure(7, 4.6)
    axes = figure.add_subplot()
    _draw(axes, results, metric)
    axes.set_xlabel("payload, bits per pixel")
    axes.set_title(f"{results.dataset}, mean of {len(results.images)} images")
    axes.legend(fontsize=8)
    return figure


def overview(results: Results, metrics: Sequence[str]) -> Figure:
    """The same side by side for some metrics, with one legend."""
    figure = new_figure(4 * len(metrics) + 1.2, 3.8)
    for number, metric in enumerate(metrics):
        _draw(axes := figure.add_subplot(1, len(metrics), number + 1), results, metric)
    figure.supxlabel("payload, bits per pixel", fontsize=9)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return figure


def _draw(axes: Axes, results: Results, metric: str) -> None:
    total = len(results.images)
    for codec, style in styles(list(results.titles)).items():
        points = [point for point in results.points if point.codec == codec]
        rates, values = mean_line(points, metric)
        if rates:
            images = len({point.image for point in points})
            part = "" if images == total else f" ({images}/{total})"
            axes.plot(rates, values, label=results.title(codec) + part, **style)
    finish(axes)
    axes.set_ylabel(_axis(metric))


def per_image(results: Results, metric: str) -> Figure:
    """One small plot an image."""
    images = results.images
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(2.6 * columns + 1.6, 2.1 * rows + 0.6)
    look = styles(list(results.titles))
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in results.points:
        groups.setdefault((point.image, point.codec), []).append(point)
    legend: dict[str, Any] = {}
    for number, image in enumerate(images):
        axes = figure.add_subplot(rows, columns, number + 1)
        for codec, style in look.items():
            rates, values = mean_line(groups.get((image, codec), ()), metric)
            if rates:
                (line,) = axes.plot(rates, values, **style | {"markersize": 2, "linewidth": 0.9})
                legend.setdefault(results.title(codec), line)
        finish(axes)
        axes.set_title(image, fontsize=7)
        axes.tick_params(labelsize=6)
    figure.supxlabel("payload, bits per pixel", fontsize=9)
    figure.supylabel(_axis(metric), fontsize=9)
    figure.legend(list(legend.values()), list(legend), loc="outside right upper", fontsize=8)
    return figure


def _axis(metric: str) -> str:
    return "SSIM" if metric == "ssim" else METRICS[metric]


def finish(axes: Axes) -> None:
    """Give a rate-distortion plot its grid, and limits that fit what lies below RATE_LIMIT."""
    lines = [np.asarray(line.get_xydata(), np.float64) for line in axes.get_lines()]
    rates, values = np.concatenate([np.empty((0, 2)), *lines]).T
    shown = values[(rates <= RATE_LIMIT) & np.isfinite(values)]
    axes.set_xlim(0, RATE_LIMIT)
    if shown.size:
        margin = 0.04 * float(np.ptp(shown)) or 1.0
        axes.set_ylim(float(shown.min()) - margin, float(shown.max()) + margin)
    axes.grid(alpha=0.3)


def speed_over_rate(results: Results, metric: str) -> Figure | None:
    """BD-rate over speed, encoding and decoding; None where nothing was timed."""
    rows = [
        (row, rate)
        for row in results.speed
        if row["size"] == results.speed[0]["size"]
        and (rate := _rate_over_anchor(results, row, metric)) is not None
    ]
    if not rows:
        return None
    figure = new_figure(9, 4)
    look = styles(list(results.titles))
    for number, operation in enumerate(("encode", "decode")):
        axes = figure.add_subplot(1, 2, number + 1)
        for row, rate in rows:
            place = row[f"{operation}_mp_s"], rate
            style = look[row["codec"]]
            axes.plot(*place, color=style["color"], marker=style["marker"])
            axes.annotate(label(row), place, (4, 4), textcoords="offset points", fontsize=7)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.25, y=0.12)
        axes.set_xlabel(f"{operation[:-1]}ing, megapixels per second")
        axes.grid(alpha=0.3, which="both")
    name = METRICS[metric].removesuffix(", dB")
    figure.axes[0].set_ylabel(f"BD-rate against {results.title(results.anchor)}, {name}, %")
    figure.suptitle(
        f"{rows[0][0]['size']} pixels, {results.threads} threads; best is at the lower right",
        fontsize=9,
    )
    return figure


def _rate_over_anchor(results: Results, row: dict[str, Any], metric: str) -> float | None:
    """BD-rate in percent of what was timed; of a model of one rate the bits at its own quality."""
    codec = row["codec"]
    if codec == results.anchor:
        return 0.0
    if "analysis_s" in row and row["setting"] == called(codec, row["setting"]):
        found = equal_quality(results.points, codec, results.anchor, metric)
        ratios = found.get(row["setting"], {}).values()
        return (fmean(ratios) - 1) * 100 if ratios else None
    rates = Curves(results.points, metric).bd_rates(results.anchor, codec).values()
    return fmean(rates) * 100 if rates else None


def all_plots(results: Results, metrics: Sequence[str]) -> dict[str, Figure]:
    """Every plot of a run by file name."""
    found = {f"rd_{metric}": rate_distortion(results, metric) for metric in metrics}
    for metric in metrics:
        if (figure := speed_over_rate(results, metric)) is not None:
            found[f"speed_{metric}"] = figure
    return found | {f"{SINGLES}{metric}": per_image(results, metric) for metric in metrics}
