"""Notices: what was dropped, converted or is doubtful, told without stopping.

Whatever has something to say takes a function ``notify`` and calls it with a `Notice`, or puts
notices into its result (``Picture.notices``); nothing in the library prints. Collecting them is
``notices: list[Notice] = []`` and ``notify=notices.append``. The default, `warn`, turns each into a
Python warning, so that ``warnings.filterwarnings("error", category=DcnWarning)`` and the like work.
"""

from __future__ import annotations

from collections.abc import Callable

from dcncodec.records import record
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal[
        "alpha",  # transparency that is missing, or may be
        "colour",  # colours that were converted, or whose meaning is not known
        "damage",  # a file that is damaged, but was read
        "depth",  # precision that was lost
        "frames",  # further frames, pages or images of a file that were left out
        "memory",  # slower work because memory is short
        "metadata",  # metadata that was changed or left out
        "model",  # a model that was skipped
        "quality",  # a result that is poor, or larger than its input
        "skipped",  # files that were left out
    ]

ABOUT_PIXELS: frozenset[Kind] = frozenset({"alpha", "colour", "damage", "depth", "frames"})
"""Kinds that matter to those who look at a picture's pixels alone."""


@record
class Notice:
    """One thing that the caller should know.

    Attributes:
        kind: for programs.
        text: for people, one line without the name of the file.
        source: the file that it is about, as errors call it; "" for none.
    """

    kind: Kind
    text: str
    source: str = ""

    def __str__(self) -> str:
        return f"{self.source}: {self.text}" if self.source else self.text


class DcnWarning(UserWarning):
    """A notice as a Python warning."""


Notify = Callable[[Notice], object]


def warn(notice: Notice) -> None:
    """Raise a notice as a `DcnWarning`; at most once for each text and file unless the program
    has set other filters."""
    import warnings

    warnings.warn(DcnWarning(str(notice)), stacklevel=3)
