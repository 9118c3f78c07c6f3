"""Groups of commands that are imported when they run: torch takes seconds to load."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports them when they are needed.

    Args:
        lazy: names, in the order of a user's work, with one line about each.
        prefix: of the modules in ``dcncodec.cli``; each holds a ``command``.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, str], prefix: str = "", **more: Any) -> None:
        super().__init__(*args, **more)
        self.lazy, self.prefix = lazy, prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in self.lazy:
            return None
        command = importlib.import_module(f"dcncodec.cli.{self.prefix}{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.lazy.items()))
