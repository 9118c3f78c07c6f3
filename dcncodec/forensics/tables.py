"""Tables of forensic evaluations in HTML, by protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from dcncodec.forensics.evaluate import Evaluation
from dcncodec.forensics.field_evaluation import FieldEvaluation
from dcncodec.forensics.verdict import FALSE_ALARMS
from dcncodec.forensics.wifs import CUTS, QUALITIES, WifsEvaluation

NOTHING = "–"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in HTML."""
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def paper_table(evaluations: Sequence[Evaluation]) -> str:
    """One row for every evaluation under the paper's protocol."""
    head = ["FAN", "photos", "patches a class", "accuracy, %", "false alarms, %"]
    head += ["bpp", "PSNR, dB", "SSIM"]
    columns = [("bpp", ".3f"), ("psnr", ".2f"), ("ssim", ".4f")]
    if any(found.nip_psnr is not None for found in evaluations):
        head.append("camera pipeline, dB")
        columns.append(("nip_psnr", ".2f"))
    rows = []
    for found in evaluations:
        figures = found.figures()
        cells = [found.name, found.title, str(found.patches), percent(found.accuracy)]
        cells.append(percent(figures.get("false_alarms")))
        cells += [format(figures[n], form) if n in figures else NOTHING for n, form in columns]
        rows.append(cells)
    return table(head, rows)


def field_tables(evaluations: Sequence[FieldEvaluation]) -> list[str]:
    """One row for every evaluation in the field, and a table for each way to divide the photos."""
    head = ["FAN", "photos", "versions", "accuracy, %", "false alarms by patch, %"]
    for rate in FALSE_ALARMS:
        head += [f"photos at {rate:.0%}: false alarms, %", "detected, %", "told, %"]
    head += ["a stranger's false alarms, %", "bpp", "SSIM"]
    figures = [found.figures() for found in evaluations]
    rows = []
    for found, values in zip(evaluations, figures, strict=True):
        cells = [found.name, found.title, str(values["versions"]), percent(found.accuracy)]
        cells.append(percent(values.get("false_alarms")))
        for rate in FALSE_ALARMS:
            photos = values.get(f"photos_{rate:g}", {})
            cells += [percent(photos.get(n)) for n in ("false_alarms", "detected", "told")]
        cells.append(percent(values.get("outsider", {}).get("false_alarms")))
        cells += [format(values[n], ".4g") if n in values else NOTHING for n in ("bpp", "ssim")]
        rows.append(cells)
    parts = [table(head, rows)]
    for title, key in (
        ("Implementations", "by_implementation"),
        ("Lattices", "by_grid"),
        ("The class jpeg by lattice", "jpeg_by_grid"),
        ("Histories", "by_history"),
    ):
        parts += [f"<h2>{title}, accuracy in %</h2>", _divided(evaluations, figures, key)]
    return parts


def _divided(
    evaluations: Sequence[FieldEvaluation], figures: Sequence[Mapping[str, Any]], key: str
) -> str:
    """Accuracies by a way to divide the photos; one column for every evaluation."""
    names = sorted({name for values in figures for name in values[key]})
    head = ["", *(f"{found.name}, {found.title}" for found in evaluations)]
    rows = [
        [name, *(percent(values[key].get(name, {}).get("accuracy")) for values in figures)]
        for name in names
    ]
    return table(head, rows)


def wifs_tables(evaluations: Sequence[WifsEvaluation]) -> list[str]:
    """Tables A and B of WIFS 2020."""
    first = [
        [found.name, found.data, found.trained, *(percent(found.by_cut[cut]) for cut in CUTS)]
        for found in evaluations
    ]
    second = [
        [found.name, found.data, cut, *(percent(found.by_quality[cut][q]) for q in QUALITIES)]
        for found in evaluations
        for cut in CUTS
    ]
    return [
        "<h2>A: accuracy over the lattice, %</h2>",
        table(["FAN", "photos", "trained", *(f"tested {cut}" for cut in CUTS)], first),
        "<h2>B: JPEGs told by their quality, %</h2>",
        table(["FAN", "photos", "lattice", *map(str, QUALITIES)], second),
    ]


def percent(value: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return NOTHING if value is None else f"{value * 100:.1f}"
