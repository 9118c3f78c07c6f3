"""The report of a run: one HTML file with tables, plots and viewer, which needs nothing else."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

from dcncodec.bench import fits, plots, tables
from dcncodec.bench.page import PAGE
from dcncodec.bench.results import Results, csv_text, write_text
from dcncodec.bench.tables import Table
from dcncodec.bench.viewer import Scene
from dcncodec.formats.peers.baselines import BASELINES


def all_tables(results: Results) -> list[Table]:
    """Every table of a run that has rows."""
    metrics = tables.measured_metrics(results.points)
    found = [
        tables.bd_rates(results),
        tables.bd_rates(results, "cubic"),
        *(tables.qualities(results, metric) for metric in metrics),
        tables.fitted(results),
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


def write(results: Results, scenes: Sequence[Scene], folder: Path) -> None:
    """Write ``plots/``, with the fitted curves' parameters as CSV, and ``report.html``.

    Args:
        scenes: what ``viewer.scenes`` gave.

    Raises:
        MissingLibraryError: matplotlib is not installed.
        OutputError: the folder cannot be written.
    """
    metrics = tables.measured_metrics(results.points)
    drawn = {
        name: plots.save(figure, folder / "plots", name)
        for name, figure in plots.all_plots(results, metrics).items()
    }
    parameters = csv_text(
        {"codec": codec, "image": image, **asdict(fit)}
        for (codec, image), fit in fits.fits(results.points).items()
    )
    write_text(folder / "plots" / "fits.csv", parameters)
    write_text(folder / "report.html", page(results, drawn, scenes))


def page(results: Results, drawn: Mapping[str, bytes], scenes: Sequence[Scene]) -> str:
    """The HTML of a report.

    Args:
        drawn: SVG files by the names of ``plots.all_plots``.
        scenes: for the viewer, which is hidden without any.
    """
    crop = f", centre crops of {results.crop} pixels" if results.crop else ""
    machine = ", ".join(f"{key} {value}" for key, value in results.machine.items())
    failures = "".join(f"<li>{escape(str(failure))}</li>" for failure in results.failures)
    images = {name: _image(name, svg) for name, svg in drawn.items()}
    # "<" could end the script element, or open a comment in it.
    data = json.dumps([asdict(scene) for scene in scenes]).replace("<", "\\u003c")
    values = {
        "title": escape(f"dcn bench: {results.dataset}"),
        "summary": escape(f"{len(results.images)} images{crop}. {machine}."),
        "failures": f"<h2>Skipped</h2><ul>{failures}</ul>" if failures else "",
        "means": "".join(
            image for name, image in images.items() if not name.startswith(plots.SINGLES)
        ),
        "singles": "".join(
            image for name, image in images.items() if name.startswith(plots.SINGLES)
        ),
        "tables": "".join(map(_table, all_tables(results))),
        "scenes": data,
    }
    # In one pass, because a value may hold what looks like a place for another.
    return re.sub(r"@(\w+)@", lambda place: values[place[1]], PAGE)


def _image(name: str, svg: bytes) -> str:
    source = base64.b64encode(svg).decode()
    return f'<img class="plot" alt="{name}" src="data:image/svg+xml;base64,{source}">'


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    note = f"<p>{escape(table.note)}</p>" if table.note else ""
    return f"<h2>{escape(table.title)}</h2><table><tr>{head}</tr>{rows}</table>{note}"
