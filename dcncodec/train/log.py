"""The training log: one CSV line a validation, and the learning curve drawn from it."""

from __future__ import annotations

import csv
from pathlib import Path

from dcncodec.errors import MissingLibraryError, OutputError

COLUMNS = (
    "step",
    "seconds",
    "learning_rate",
    "loss",
    "bpp",
    "psnr",
    "validation_bpp",
    "validation_psnr",
    "validation_ssim",
)


class Log:
    """Appends figures to a CSV file.

    Args:
        path: the file; made with a header line when it does not exist.
        step: the step a run resumes at. Lines beyond it, written after the checkpoint that is
            resumed, are dropped, so that no step appears twice.

    Raises:
        OutputError: the file cannot be written.
    """

    INTERVAL_SECONDS = 2.0
    """Seconds between two reports of a run; a CSV line is written at every checkpoint."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        rows = [row for row in read_log(path) if row["step"] <= step] if path.exists() else []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise OutputError(f"{path}: cannot write the log ({error.strerror})") from None

    def write(self, figures: dict[str, float]) -> None:
        """Append one line with the columns of ``COLUMNS``."""
        try:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, COLUMNS).writerow(figures)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot write the log ({error.strerror})") from None


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a log as numbers; a line cut short by a kill is left out."""
    rows = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            try:
                rows.append({key: float(row[key]) for key in COLUMNS})
            except (KeyError, TypeError, ValueError):
                continue
    return rows


def plot_log(path: Path, output: Path) -> None:
    """Draw the learning curve (PSNR, SSIM and bpp over steps) as SVG or PNG.

    Raises:
        MissingLibraryError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingLibraryError("plots need matplotlib: pip install 'dcncodec[bench]'") from None
    rows = read_log(path)
    steps = [row["step"] for row in rows]
    figure = Figure(figsize=(7, 6), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True)
    for axis, name, label in zip(
        panels,
        ("validation_psnr", "validation_ssim", "validation_bpp"),
        ("PSNR, dB", "SSIM", "bpp (estimate)"),
        strict=True,
    ):
        axis.plot(steps, [row[name] for row in rows], marker=".")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    panels[-1].set_xlabel("step")
    figure.savefig(output)
