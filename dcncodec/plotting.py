"""Figures without a display; matplotlib is optional."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dcncodec.errors import MissingLibraryError
from dcncodec.formats.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches.

    Raises:
        MissingLibraryError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingLibraryError("plots need matplotlib: pip install 'dcncodec[bench]'") from None
    # Without pyplot, which would ask for a display and keep every figure.
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as ``name.svg`` and ``name.png``, replacing older ones.

    Raises:
        OutputError: a file cannot be written.
    """
    for kind in ("svg", "png"):
        with atomic_write(folder / f"{name}.{kind}", overwrite=True) as file:
            figure.savefig(file, format=kind)
