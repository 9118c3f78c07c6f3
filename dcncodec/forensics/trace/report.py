"""Pages of what ``evaluate`` measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dcncodec.forensics.report import write_page
from dcncodec.forensics.tables import NOTHING
from dcncodec.forensics.trace.evaluate import Evaluation
from dcncodec.pages import Table
from dcncodec.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


THREE = "{:.3f}"


def write_masks(found: Sequence[Evaluation], data: str, folder: Path) -> None:
    """Write ``report.html`` and the bars of its figure; the folder must exist.

    Raises:
        MissingLibraryError: matplotlib or Jinja is not installed.
        OutputError: a file cannot be written.
    """
    head = ["network", "kind", "photos", "pixel AUC", "F1 at 0.5", "best F1", "F1 of everything"]
    rows = [
        [e.name, r.kind, str(r.photos), *map(THREE.format, (r.auc, r.f1, r.best_f1, r.baseline))]
        for e in found
        for r in e.rows
    ]
    parts: list[str | Table] = [f"{data}; means over photos.", Table("", head, rows)]
    if any(e.image_auc is not None for e in found):
        shares = [(e, [e.image_auc, e.found, e.accused]) for e in found]
        cells = [
            [e.name, *(NOTHING if value is None else f"{value:.3f}" for value in values)]
            for e, values in shares
        ]
        head = ["network", "image AUC", "manipulated found", "clean accused"]
        parts.append(Table("", head, cells))
    write_page("Manipulated parts", parts, {"Pixel AUC": auc_bars(found)}, folder)


def auc_bars(found: Sequence[Evaluation]) -> Figure:
    """Pixel AUC by kind, one bar for every network."""
    kinds = [row.kind for row in found[0].rows]
    figure = new_figure(1.5 + 1.2 * len(kinds), 3)
    axis = figure.subplots()
    width = 0.8 / len(found)
    for number, evaluation in enumerate(found):
        places = [i + (number - (len(found) - 1) / 2) * width for i in range(len(kinds))]
        axis.bar(places, [row.auc for row in evaluation.rows], width, label=evaluation.name)
    axis.set_xticks(range(len(kinds)), kinds)
    axis.set_ylim(0.4, 1)
    axis.set_ylabel("pixel AUC")
    axis.grid(axis="y", alpha=0.3)
    axis.legend()
    return figure
