"""A run on disk: ``results.json`` with everything, ``points.csv`` and ``speed.csv`` for others."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

import dcncodec
from dcncodec.bench.points import Failure, Point, is_measured
from dcncodec.errors import FormatError, UsageError
from dcncodec.formats.files import atomic_write, make_folder, read_bytes

FORMAT = "dcn-bench-1"


@dataclass
class Results:
    """A benchmark run.

    Attributes:
        dataset: its name as given.
        crop: side of the centre crops; None for whole images.
        titles: what plots call the codecs, by name.
        anchor: the codec that BD-rates compare with; empty where none was measured.
        points: every measured point.
        failures: what was skipped.
        speed: rows of ``speed.Timing.as_row``.
        ratios: rows of ``speed.Ratio``.
        threads: of the speed measurement.
        machine: processor, cores, versions.
    """

    dataset: str
    crop: int | None
    titles: dict[str, str]
    anchor: str
    points: list[Point]
    failures: list[Failure] = field(default_factory=list)
    speed: list[dict[str, Any]] = field(default_factory=list)
    ratios: list[dict[str, Any]] = field(default_factory=list)
    threads: int = 0
    machine: dict[str, str] = field(default_factory=dict)

    @property
    def images(self) -> list[str]:
        """Names of the images that were measured."""
        return list(dict.fromkeys(point.image for point in self.points))

    def title(self, codec: str) -> str:
        """What plots and tables call a codec."""
        return self.titles.get(codec, codec)

    def write(self, folder: Path) -> None:
        """Write the files, replacing those of an earlier run.

        Raises:
            OutputError: the folder cannot be made or written.
        """
        make_folder(folder)
        content = {"format": FORMAT, **asdict(self)}
        content["points"] = [point.as_row() for point in self.points]
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        write_text(folder / "results.json", text)
        write_text(folder / "points.csv", csv_text(point.as_row() for point in self.points))
        write_text(folder / "speed.csv", csv_text(self.speed))


def read(path: Path) -> Results:
    """A run that ``Results.write`` left: its ``results.json``, or the folder of it.

    Raises:
        UsageError: there is no such file.
        FormatError: it is not of such a run.
    """
    file = path / "results.json" if path.is_dir() else path
    data = read_bytes(file)
    try:
        content = json.loads(data)
        if content.pop("format") != FORMAT:
            raise ValueError
        names = {entry.name for entry in fields(Point)}
        content["points"] = [
            Point(**{name: value for name, value in row.items() if name in names})
            for row in content["points"]
        ]
        if not all(is_measured(point.measured()) for point in content["points"]):
            raise ValueError
        content["failures"] = [Failure(**row) for row in content["failures"]]
        return Results(**content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FormatError("not results of dcn bench; give a results.json", file) from None


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, replacing an earlier one."""
    with atomic_write(path, overwrite=True) as file:
        file.write(text.encode())


def csv_text(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as CSV; columns are all keys in the order in which they appear."""
    listed = list(rows)
    columns = list(dict.fromkeys(key for row in listed for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(listed)
    return text.getvalue()


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def machine() -> dict[str, str]:
    """What times depend on."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    return {
        "processor": model,
        "cores": str(cores()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "dcncodec": dcncodec.__version__,
    }


def choose_anchor(asked: str | None, measured: Sequence[str]) -> str:
    """The codec that others are compared with: the one asked for, else BPG, JPEG or the first.

    Raises:
        UsageError: the one asked for is not among those measured.
    """
    if asked is not None:
        if asked not in measured:
            known = ", ".join(measured) or "none"
            raise UsageError(f"--anchor {asked}: was not measured; measured are: {known}")
        return asked
    return next((name for name in ("bpg", "jpeg", *measured) if name in measured), "")
