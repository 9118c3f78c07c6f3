"""What went wrong, as one line and an exit code: for a whole command and for one file of many."""

from __future__ import annotations

import traceback
from pathlib import Path

import click

from dcncodec.errors import DcnError, MissingLibraryError, is_out_of_memory

NO_TORCH = "this needs torch: pip install 'dcncodec[train]'"
NO_MEMORY = "not enough memory; free some, or try a smaller picture"


def explain(error: Exception) -> tuple[str, int]:
    """One line for an error, and the exit code with which it ends a command."""
    if isinstance(error, DcnError):
        return str(error), error.exit_code
    if isinstance(error, click.ClickException):
        return _usage(error), error.exit_code
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        return NO_TORCH, MissingLibraryError.exit_code
    if is_out_of_memory(error):
        return NO_MEMORY, 1
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename is not None else ""
        return f"{name}{error.strerror}", 1
    # Nobody has foreseen this one: the place helps to find out.
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f", {Path(place[0].filename).name}:{place[0].lineno}" if place else ""
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {text[:300]}{where}; please report it", 1


def named(text: str, name: str, *others: str) -> str:
    """A message with the file that it is about, unless it names that (or one of others)."""
    return text if any(known in text for known in (name, *others)) else f"{name}: {text}"


def _usage(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    if context is None:
        return text
    return f"{text.rstrip('.')}; see '{context.command_path} --help'"
