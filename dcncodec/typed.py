"""What annotations need of ``typing``, for modules that ``dcn decode`` loads: loading that itself
takes a thirtieth of the time in which a small picture is decoded.

    from dcncodec.typed import TYPE_CHECKING

    if TYPE_CHECKING:
        from typing import Any
"""

from __future__ import annotations

TYPE_CHECKING = False
"""Type checkers take a constant of this name for true."""

if TYPE_CHECKING:
    from typing import Protocol, dataclass_transform, overload
else:
    Protocol = object

    def dataclass_transform(**_):
        """Nothing, when a program runs."""
        return overload

    def overload(function):
        """Nothing, when a program runs: the last definition counts."""
        return function


__all__ = ["TYPE_CHECKING", "Protocol", "dataclass_transform", "overload"]
