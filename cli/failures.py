"""What went wrong, as one line and an exit code: for a whole command and for one file of many."""

from __future__ import annotations

import traceback
from pathlib import Path

import click

from dcncodec.errors import DcnError, is_out_of_memory, no_torch

NO_MEMORY = "not enough memory; free some, or try a smaller picture"


def explain(error: Exception) -> DcnError:
    """What ends a command: an error whose text is one line, with the exit code."""
    if isinstance(error, DcnError):
        return error
    if isinstance(error, click.ClickException):
        usage = DcnError(_usage(error))
        usage.exit_code = error.exit_code
        return usage
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        return no_torch()
    if is_out_of_memory(error):
        return DcnError(NO_MEMORY)
    if isinstance(error, OSError) and error.strerror:
        return DcnError(error.strerror, "" if error.filename is None else error.filename)
    # Nobody has foreseen this one: the place helps to find out.
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f", {Path(place[0].filename).name}:{place[0].lineno}" if place else ""
    text = " ".join(str(error).split())
    return DcnError(f"unexpected {type(error).__name__}: {text[:300]}{where}; please report it")


def _usage(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    if context is None:
        return text
    return f"{text.rstrip('.')}; see '{context.command_path} --help'"
