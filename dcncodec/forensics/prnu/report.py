"""Plots and pages of what ``transfer`` and ``survive`` measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dcncodec.forensics.prnu.match import THRESHOLD
from dcncodec.forensics.prnu.survive import LADDER, PEERS, Row, Survival
from dcncodec.forensics.prnu.transfer import Pair, Transfer
from dcncodec.forensics.report import write_page
from dcncodec.pages import Table
from dcncodec.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {"jpeg": "JPEG", "jpeg2000": "JPEG 2000", "avif": "AVIF"}
STYLES = {LADDER: "o-", "jpeg": "k-", "jpeg2000": "k--", "avif": "k:"}
"""Of curves; other models are curves of their own, or single points."""


def write_survival(found: Survival, folder: Path) -> None:
    """Write ``report.html`` and ``survival.svg``; the folder must exist."""
    head = ["codec", "setting", "bpp", "PCE", "NCC", "photos matched"]
    head += [f"PCE of {TITLES[peer]} at that rate" for peer in PEERS]
    parts: list[str | Table] = [
        f"{found.photos} photos, a fingerprint of {found.fingerprint_photos}, simulated gains "
        f"of {found.strength * 100:g}%; medians, and means of the rate.",
        Table("", head, survival_cells(found.rows)),
    ]
    for curve in dict.fromkeys(row.curve for row in found.rows):
        rate = found.rate_needed(curve)
        if rate is not None:
            parts.append(f"{curve}: 90% of the photos still match at {rate:.3f} bpp.")
    write_page("Fingerprints behind codecs", parts, {"Survival": survival_plot(found)}, folder)


def survival_cells(rows: Sequence[Row]) -> list[list[str]]:
    """The table's cells."""
    return [
        [
            row.codec,
            row.setting,
            "–" if row.bpp is None else f"{row.bpp:.3f}",
            f"{row.pce:,.1f}",
            f"{row.ncc:.4f}",
            f"{row.matched * 100:.0f}%",
            *(f"{row.peers[peer]:,.1f}" if peer in row.peers else "–" for peer in PEERS),
        ]
        for row in rows
    ]


def survival_plot(found: Survival) -> Figure:
    """PCE and share of matched photos over rate."""
    figure = new_figure(8, 3.4)
    left, right = figure.subplots(1, 2)
    curves: dict[str, list[Row]] = {}
    for row in found.rows:
        if row.bpp is not None:
            curves.setdefault(row.curve, []).append(row)
    for name, rows in curves.items():
        ordered = sorted(rows, key=lambda row: row.bpp or 0)
        rates = [row.bpp for row in ordered]
        style = STYLES.get(name, "D-")
        left.plot(rates, [max(r.pce, 1) for r in ordered], style, label=TITLES.get(name, name))
        right.plot(rates, [r.matched * 100 for r in ordered], style)
    left.axhline(THRESHOLD, color="black", linewidth=0.7, linestyle=":")
    left.set_yscale("log")
    left.set_ylabel("PCE, median")
    right.set_ylabel("photos matched, %")
    for axes in (left, right):
        axes.set_xlabel("payload, bits per pixel")
        axes.set_xlim(0, 2.5)
        axes.grid(alpha=0.3)
    left.legend(fontsize=7)
    return figure


def write_transfer(found: Transfer, folder: Path) -> None:
    """Write ``report.html`` and the panels of Fig. 5; the folder must exist."""
    count = len(found.others)
    matched = sum(value >= THRESHOLD for value in found.others)
    parts = [
        f"Photos for fingerprint, predictor and evaluation: {', '.join(map(str, found.counts))}"
        f"; simulated gains of {found.strength * 100:g}%. Rows: the pipeline of fingerprint and "
        "predictor; columns: that of the photo.",
        f"{matched} of {count} photos of other sensors match; their largest PCE is "
        f"{max(found.others):.1f}.",
    ]
    medians = {pair: float(np.median(values)) for pair, values in found.pce.items()}
    figures = {
        "NCC of fingerprints": _matrix(found.pipelines, found.fingerprint_ncc, ".3f"),
        "PCE, median": _matrix(found.pipelines, medians, ",.0f"),
    }
    for case in found.located:
        means = {pair: found.mean_f1(case, pair) for pair in found.located[case]}
        title = f"F1 of a flipped part of {case.flip} px, windows of {case.window} px"
        figures[title] = _matrix(found.pipelines, means, ".2f")
    figures["Maps of one photo"] = _maps(found)
    write_page("Fingerprints of camera pipelines", parts, figures, folder)


def _matrix(names: Sequence[str], values: Mapping[Pair, float], form: str) -> Figure:
    figure = new_figure(1.6 + 0.8 * len(names), 1.2 + 0.8 * len(names))
    axes = figure.subplots()
    grid = np.array([[values[a, b] for b in names] for a in names])
    axes.imshow(grid, cmap="Blues", vmin=0, vmax=grid.max())
    for (row, column), value in np.ndenumerate(grid):
        colour = "white" if value > 0.6 * grid.max() else "black"
        axes.text(
            column, row, format(value, form), ha="center", va="center", color=colour, fontsize=8
        )
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("photo", fontsize=8)
    axes.set_ylabel("fingerprint", fontsize=8)
    return figure


def _maps(found: Transfer) -> Figure:
    count = len(found.pipelines)
    figure = new_figure(1.5 * count + 0.6, 1.5 * count + 0.6)
    panels = figure.subplots(count, count, squeeze=False)
    for row, fingerprint in enumerate(found.pipelines):
        for column, photo in enumerate(found.pipelines):
            axes = panels[row, column]
            axes.imshow(found.maps[fingerprint, photo], cmap="magma", vmin=0, vmax=1)
            axes.set_xticks([])
            axes.set_yticks([])
            if row == 0:
                axes.set_title(photo, fontsize=8)
            if column == 0:
                axes.set_ylabel(fingerprint, fontsize=8)
    return figure
