"""The training log: one CSV line a validation, and the learning curve drawn from it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dcncodec.errors import OutputError, TrainingError
from dcncodec.formats.files import atomic_write
from dcncodec.plotting import new_figure

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
        columns: names of the figures in a line.
        step: the step a run resumes at. Lines beyond it, written after the checkpoint that is
            resumed, are dropped, so that no step appears twice.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, step: int, columns: Sequence[str] = COLUMNS) -> None:
        self.path, self.columns = path, columns
        rows = [row for row in read_log(path, columns) if row["step"] <= step]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(path, overwrite=True) as file:
            file.write(text.getvalue().encode())

    def write(self, figures: dict[str, float]) -> None:
        """Append one line; figures that are no column are left out."""
        try:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self.columns, extrasaction="ignore").writerow(figures)
        except OSError as error:
            raise OutputError(f"cannot write the log ({error.strerror})", self.path) from None


def read_log(path: Path, columns: Sequence[str] = COLUMNS) -> list[dict[str, float]]:
    """The lines of a log as numbers, none if there is no log.

    A line cut short by a kill is left out.

    Raises:
        TrainingError: the file is not text.
    """
    rows = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                with suppress(KeyError, TypeError, ValueError):
                    rows.append({key: float(row[key]) for key in columns})
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"damaged log ({error}); remove it", path) from None
    return rows


LABELS = {
    "validation_accuracy": "accuracy",
    "validation_prnu": "NCC of fingerprints",
    "validation_auc": "pixel AUC",
    "validation_psnr": "PSNR, dB",
    "validation_ssim": "SSIM",
    "validation_bpp": "bpp (estimate)",
    "validation_bd": "BD-rate, %",
}
"""What a learning curve shows, where the log has it."""


def plot_log(path: Path, outputs: Sequence[Path], columns: Sequence[str] = COLUMNS) -> None:
    """Draw the learning curve (``LABELS`` over steps) as ``.svg`` or ``.png`` files.

    Raises:
        MissingLibraryError: matplotlib is not installed.
        OutputError: a file cannot be written.
    """
    rows = read_log(path, columns)
    shown = {name: label for name, label in LABELS.items() if name in columns}
    steps = [row["step"] for row in rows]
    figure = new_figure(7, 2 * len(shown))
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, label) in zip(panels, shown.items(), strict=True):
        axis.plot(steps, [row[name] for row in rows], marker=".")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    panels[-1].set_xlabel("step")
    for output in outputs:
        with atomic_write(output, overwrite=True) as file:
            figure.savefig(file, format=output.suffix.removeprefix("."))
