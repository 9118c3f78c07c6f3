"""The report of a run: one HTML file with tables, plots and viewer, which needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from dcncodec import pages
from dcncodec.bench import fits, plots, tables
from dcncodec.bench.results import Results, csv_text, write_text
from dcncodec.bench.viewer import Scene
from dcncodec.formats.peers.baselines import BASELINES
from dcncodec.pages import Table
from dcncodec.plotting import render_all, save_rendered


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
        MissingLibraryError: matplotlib or Jinja is not installed.
        OutputError: the folder cannot be written.
    """
    metrics = tables.measured_metrics(results.points)
    drawn = {name: render_all(figure) for name, figure in plots.all_plots(results, metrics).items()}
    html = page(results, {name: files["svg"] for name, files in drawn.items()}, scenes)
    for name, files in drawn.items():
        save_rendered(files, folder / "plots", name)
    parameters = csv_text(
        {"codec": codec, "image": image, **asdict(fit)}
        for (codec, image), fit in fits.fits(results.points).items()
    )
    write_text(folder / "plots" / "fits.csv", parameters)
    pages.write(folder / "report.html", html)


def page(results: Results, drawn: Mapping[str, bytes], scenes: Sequence[Scene]) -> str:
    """The HTML of a report.

    Args:
        drawn: SVG files by the names of ``plots.all_plots``.
        scenes: for the viewer, which is hidden without any.
    """
    crop = f", centre crops of {results.crop} pixels" if results.crop else ""
    machine = ", ".join(f"{key} {value}" for key, value in results.machine.items())
    singles = {name: svg for name, svg in drawn.items() if name.startswith(plots.SINGLES)}
    return pages.render(
        "report.html",
        "dcncodec.bench",
        title=f"dcn bench: {results.dataset}",
        summary=f"{len(results.images)} images{crop}. {machine}.",
        failures=results.failures,
        means={name: svg for name, svg in drawn.items() if name not in singles},
        singles=singles,
        tables=all_tables(results),
        scenes=[asdict(scene) for scene in scenes],
    )
