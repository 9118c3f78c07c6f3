"""Tables of forensic evaluations, by protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dcncodec.forensics.evaluate import Evaluation
from dcncodec.forensics.field_evaluation import FieldEvaluation
from dcncodec.forensics.verdict import FALSE_ALARMS
from dcncodec.forensics.wifs import CUTS, QUALITIES, WifsEvaluation
from dcncodec.pages import Table

NOTHING = "–"
PHOTO_COLUMNS = tuple(
    column
    for rate in FALSE_ALARMS
    for column in (f"photos at {rate:.0%}: false alarms, %", "detected, %", "told, %")
)
"""Verdicts on whole photos (``verdict.photo_figures``)."""


def paper_table(evaluations: Sequence[Evaluation]) -> Table:
    """One row for every evaluation under the paper's protocol."""
    head = ["FAN", "photos", "patches a class", "accuracy, %", "false alarms, %"]
    judged = any(found.judged for found in evaluations)
    head += [*(PHOTO_COLUMNS if judged else ()), "bpp", "PSNR, dB", "SSIM"]
    columns = [("bpp", ".3f"), ("psnr", ".2f"), ("ssim", ".4f")]
    if any(found.nip_psnr is not None for found in evaluations):
        head.append("camera pipeline, dB")
        columns.append(("nip_psnr", ".2f"))
    rows = []
    for found in evaluations:
        figures = found.figures()
        cells = [found.name, found.title, str(found.patches), percent(found.accuracy)]
        cells.append(percent(figures.get("false_alarms")))
        cells += _photo_cells(figures) if judged else []
        cells += [format(figures[n], form) if n in figures else NOTHING for n, form in columns]
        rows.append(cells)
    return Table("", head, rows)


def field_tables(evaluations: Sequence[FieldEvaluation]) -> list[Table]:
    """One row for every evaluation in the field, and a table for each way to divide the photos."""
    head = ["FAN", "photos", "versions", "accuracy, %", "false alarms by patch, %"]
    head += [*PHOTO_COLUMNS, "a stranger's false alarms, %", "bpp", "SSIM"]
    figures = [found.figures() for found in evaluations]
    rows = []
    for found, values in zip(evaluations, figures, strict=True):
        cells = [found.name, found.title, str(values["versions"]), percent(found.accuracy)]
        cells.append(percent(values.get("false_alarms")))
        cells += _photo_cells(values)
        cells.append(percent(values.get("outsider", {}).get("false_alarms")))
        cells += [format(values[n], ".4g") if n in values else NOTHING for n in ("bpp", "ssim")]
        rows.append(cells)
    return [
        Table("", head, rows),
        _divided("Implementations", evaluations, figures, "by_implementation"),
        _divided("Lattices", evaluations, figures, "by_grid"),
        _divided("The class jpeg by lattice", evaluations, figures, "jpeg_by_grid"),
        _divided("Histories", evaluations, figures, "by_history"),
    ]


def _photo_cells(figures: Mapping[str, Any]) -> list[str]:
    """What is in ``PHOTO_COLUMNS``."""
    rates = [figures.get(f"photos_{rate:g}", {}) for rate in FALSE_ALARMS]
    return [percent(r.get(name)) for r in rates for name in ("false_alarms", "detected", "told")]


def _divided(
    title: str,
    evaluations: Sequence[FieldEvaluation],
    figures: Sequence[Mapping[str, Any]],
    key: str,
) -> Table:
    """Accuracies by a way to divide the photos; one column for every evaluation."""
    names = sorted({name for values in figures for name in values[key]})
    head = ["", *(f"{found.name}, {found.title}" for found in evaluations)]
    rows = [
        [name, *(percent(values[key].get(name, {}).get("accuracy")) for values in figures)]
        for name in names
    ]
    return Table(f"{title}, accuracy in %", head, rows)


def wifs_tables(evaluations: Sequence[WifsEvaluation]) -> list[Table]:
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
    tested = [f"tested {cut}" for cut in CUTS]
    return [
        Table("A: accuracy over the lattice, %", ["FAN", "photos", "trained", *tested], first),
        Table(
            "B: JPEGs told by their quality, %",
            ["FAN", "photos", "lattice", *map(str, QUALITIES)],
            second,
        ),
    ]


def percent(value: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return NOTHING if value is None else f"{value * 100:.1f}"
