"""The warnings of the running command: lines on standard error, and what its JSON tells of them.

A warning comes from a `Notice` that a command takes, from one that nobody takes
(`notices.warn`), or from the command itself. All pass through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import click

from dcncodec.cli.lines import complain
from dcncodec.notices import Notice

_KEY = "dcncodec.cli.warned"


@dataclass
class _Channel:
    """Where warnings go: what shows a line, and those that no JSON object has told yet."""

    show: Callable[[str], None] = complain
    waiting: list[str] = field(default_factory=list)


def warned(what: Notice | str) -> None:
    """Show a warning, unless the user wants quiet, and keep it for JSON."""
    context = click.get_current_context(silent=True)
    channel = _channel(context)
    channel.waiting.append(str(what))
    if context is None or not context.params.get("quiet"):
        channel.show(f"warning: {what}")


def take_warnings() -> list[str]:
    """Those since the last call, for the JSON object that is printed next."""
    channel = _channel(click.get_current_context(silent=True))
    taken, channel.waiting = channel.waiting, []
    return taken


@contextmanager
def shown_by(show: Callable[[str], None]) -> Iterator[None]:
    """Let lines be shown otherwise, as above a progress bar."""
    channel = _channel(click.get_current_context(silent=True))
    usual, channel.show = channel.show, show
    try:
        yield
    finally:
        channel.show = usual


_outside = _Channel()
"""Of programs that use the parts of a command without it."""


def _channel(context: click.Context | None) -> _Channel:
    if context is None:
        return _outside
    channel = context.meta.setdefault(_KEY, _Channel())
    assert isinstance(channel, _Channel)
    return channel
