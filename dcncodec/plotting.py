"""Figures without a display; matplotlib is optional."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcncodec.errors import MissingLibraryError

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
