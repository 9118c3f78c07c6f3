"""The report of a run: one HTML file with tables, plots and viewer, which needs nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from dcncodec.bench import plots, tables
from dcncodec.bench.page import PAGE
from dcncodec.bench.results import Results, write_text
from dcncodec.bench.tables import Table
from dcncodec.formats.baselines import BASELINES


def all_tables(results: Results) -> list[Table]:
    """Every table of a run that has rows."""
    metrics = tables.measured_metrics(results.points)
    found = [
        tables.bd_rates(results),
        tables.bd_rates(results, "cubic"),
        *(tables.qualities(results, metric) for metric in metrics),
        tables.points_of(results, list(results.titles)),
        tables.at_own_rates(results, own_codecs(results)),
        tables.speed(results),
        tables.breakdown(results),
        tables.ratios(results),
    ]
    return [table for table in found if table.rows]


def own_codecs(results: Results) -> list[str]:
    """The codecs of a run that are dcn's."""
    return [codec for codec in results.titles if codec not in BASELINES]


def short(results: Results) -> list[Table]:
    """The tables for a terminal: BD-rates, dcn's own points, times."""
    own = own_codecs(results)
    found = [
        tables.bd_rates(results),
        tables.points_of(results, own),
        tables.at_own_rates(results, own),
        tables.speed(results),
        tables.ratios(results),
    ]
    return [table for table in found if table.rows]


def write(results: Results, scenes: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write the plots of a run and ``report.html``.

    Args:
        scenes: what ``viewer.scenes`` gave.

    Raises:
        MissingLibraryError: matplotlib is not installed.
        OutputError: the folder cannot be written.
    """
    metrics = tables.measured_metrics(results.points)
    images = []
    for name, figure in plots.all_plots(results, metrics).items():
        svg = base64.b64encode(plots.save(figure, folder / "plots", name)).decode()
        images.append(f'<img class="plot" alt="{name}" src="data:image/svg+xml;base64,{svg}">')
    write_text(folder / "report.html", page(results, images, scenes))


def page(results: Results, images: Sequence[str], scenes: Sequence[dict[str, Any]]) -> str:
    """The HTML of a report, with image elements and scenes put in."""
    crop = f", centre crops of {results.crop} pixels" if results.crop else ""
    machine = ", ".join(f"{key} {value}" for key, value in results.machine.items())
    failures = "".join(f"<li>{escape(str(failure))}</li>" for failure in results.failures)
    # "</" would end the script element.
    data = json.dumps(list(scenes)).replace("</", "<\\/")
    values = {
        "title": escape(f"dcn bench: {results.dataset}"),
        "summary": escape(f"{len(results.images)} images{crop}. {machine}."),
        "failures": f"<h2>Skipped</h2><ul>{failures}</ul>" if failures else "",
        "tables": "".join(map(_table, all_tables(results))),
        "plots": "".join(images),
        "scenes": data,
    }
    html = PAGE
    for name, value in values.items():
        html = html.replace(f"@{name}@", value)
    return html


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    note = f"<p>{escape(table.note)}</p>" if table.note else ""
    return f"<h2>{escape(table.title)}</h2><table><tr>{head}</tr>{rows}</table>{note}"
