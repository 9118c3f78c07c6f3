"""Figures without a display; matplotlib is optional."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dcncodec.errors import TOOLBOX, MissingLibraryError
from dcncodec.formats.files import atomic_write, make_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
"""Of PNG files."""


def check() -> None:
    """MissingLibraryError where matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise MissingLibraryError("plots need matplotlib", extras=("bench", *TOOLBOX)) from None


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches.

    Raises:
        MissingLibraryError: matplotlib is not installed.
    """
    check()
    from matplotlib.figure import Figure

    # Without pyplot, which would ask for a display and keep every figure.
    return Figure(figsize=(width, height), layout="constrained")


def render(figure: Figure, kind: str) -> bytes:
    """The file of a figure; the same bytes for the same figure.

    Args:
        kind: ``svg`` or ``png``.
    """
    import matplotlib as mpl

    file = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "dcn", "svg.fonttype": "path"}):
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(file, format=kind, dpi=DPI, metadata=metadata)
    return file.getvalue()


def render_all(figure: Figure) -> dict[str, bytes]:
    """The files of a figure, ``svg`` and ``png``."""
    return {kind: render(figure, kind) for kind in ("svg", "png")}


def save_rendered(rendered: Mapping[str, bytes], folder: Path, name: str) -> None:
    """Write what ``render_all`` gave, as ``save_figure``."""
    make_folder(folder)
    for kind, content in rendered.items():
        with atomic_write(folder / f"{name}.{kind}", overwrite=True) as file:
            file.write(content)


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as ``name.svg`` and ``name.png`` into a folder, replacing older ones.

    Raises:
        OutputError: they cannot be written.
    """
    save_rendered(render_all(figure), folder, name)
