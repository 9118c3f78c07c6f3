"""``dcn train``: one name for the training of codecs, forensic networks and camera pipelines."""

from __future__ import annotations

import importlib
from typing import Any

import click


class Dispatcher(click.Command):
    """Hands over to the command that the arguments ask for."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """The context of that command."""
        module = "train_codec"
        if any(word == "--finetune" or word.startswith("--finetune=") for word in args):
            module = "train_forensic"
        elif args[:1] == ["nip"]:
            module, info_name, args = "train_nip", f"{info_name} nip", args[1:]
        command = importlib.import_module(f"dcncodec.cli.{module}").command
        assert isinstance(command, click.Command)
        return command.make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command whose context it is."""
        return ctx.command.invoke(ctx)


command = Dispatcher("train")
