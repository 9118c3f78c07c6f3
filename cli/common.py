"""What the commands share: files in and out, options, one-line errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from dcncodec.errors import DcnError, UsageError
from dcncodec.formats.geometry import MAX_PIXELS

Command = TypeVar("Command", bound=Callable[..., Any])

STREAM = "-"


def show_card(path: Path, card: dict[str, Any], as_json: bool) -> None:
    """Print the readable form of a model's card, which lies beside it; without it the card."""
    readable = path.with_suffix(".md")
    if as_json or not readable.exists():
        click.echo(json.dumps(card, indent=2))
    else:
        click.echo(readable.read_text(encoding="utf-8"))


def machine_options(command: Command) -> Command:
    """``--device``, ``--threads`` and ``--precision``."""
    for option in (
        click.option(
            "--precision",
            type=click.Choice(["auto", "bf16", "fp32"]),
            default="auto",
            show_default=True,
            help="Number format of the networks; auto is bf16 where the hardware has it.",
        ),
        click.option(
            "--threads", type=click.IntRange(1), help="CPU threads.  [default: all cores]"
        ),
        click.option(
            "--device",
            default="auto",
            show_default=True,
            metavar="DEVICE",
            help="auto, cpu, cuda or cuda:N.",
        ),
    ):
        command = option(command)
    return command


def file_options(command: Command) -> Command:
    """``--output-dir``, ``--force``, ``--max-pixels`` and ``--json``."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object a file on stdout."),
        click.option(
            "--max-pixels",
            type=click.IntRange(0),
            default=MAX_PIXELS,
            show_default=True,
            help="Refuse larger images; 0 for no limit.",
        ),
        click.option("-f", "--force", is_flag=True, help="Replace files that exist."),
        click.option(
            "-d",
            "--output-dir",
            type=click.Path(path_type=Path),
            help="Folder for the outputs of several inputs.",
        ),
    ):
        command = option(command)
    return command


def set_threads(threads: int | None) -> None:
    """Limit torch to a number of threads."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def jobs(
    paths: Sequence[str], output_dir: Path | None, inputs: set[str], output: str
) -> list[tuple[str, str]]:
    """Input and output of every file.

    ``IN``, ``IN OUT``, or any number of files, folders and quoted patterns with an output folder.

    Args:
        paths: the command's arguments.
        output_dir: where the outputs of a batch go.
        inputs: suffixes to look for in folders.
        output: suffix of the outputs.

    Raises:
        UsageError: several inputs without a folder, or nothing found.
    """
    if output_dir is None:
        if len(paths) == 2 and not Path(paths[0]).is_dir():
            return [(paths[0], paths[1])]
        if len(paths) != 1 or Path(paths[0]).is_dir() or _is_pattern(paths[0]):
            raise UsageError("several inputs, or a folder, need an output folder: --output-dir")
        if paths[0] == STREAM:
            return [(STREAM, STREAM)]
        return [(paths[0], str(Path(paths[0]).with_suffix(output)))]
    if not output_dir.is_dir():
        raise UsageError(f"{output_dir}: no such folder; make it first")
    found = [path for argument in paths for path in _expand(argument, inputs)]
    return [(path, str(output_dir / (Path(path).stem + output))) for path in found]


def _is_pattern(argument: str) -> bool:
    return not Path(argument).exists() and any(sign in argument for sign in "*?[")


def _expand(argument: str, suffixes: set[str]) -> Iterator[str]:
    path = Path(argument)
    if path.is_dir():
        found = sorted(str(p) for p in path.iterdir() if p.suffix.lower() in suffixes)
        if not found:
            raise UsageError(f"{argument}: holds no files of a known kind")
        yield from found
    elif _is_pattern(argument):
        found = sorted(str(p) for p in Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        if not found:
            raise UsageError(f"{argument}: no file matches")
        yield from found
    else:
        yield argument


def run_batch(
    work: list[tuple[str, str]],
    convert: Callable[[str, str], dict[str, Any]],
    describe: Callable[[dict[str, Any]], str],
    as_json: bool,
) -> None:
    """Convert every file; one that fails does not stop the others.

    Exits with 1 (for a single file: with the error's code) if any failed.
    """
    taken: set[str] = set()
    failures = 0
    for source, target in _with_progress(work):
        try:
            if target != STREAM and target in taken:
                raise UsageError(f"{target}: another input of this run has that output; skipped")
            taken.add(target)
            result = convert(source, target)
        except DcnError as error:
            name = "standard input" if source == STREAM else source
            text = str(error)
            if len(work) == 1:
                raise type(error)(
                    text if name in text or target in text else f"{name}: {text}"
                ) from None
            failures += 1
            click.echo(
                f"dcn: {text if name in text or target in text else f'{name}: {text}'}", err=True
            )
            continue
        if as_json:
            click.echo(json.dumps(result), err=target == STREAM)
        elif target != STREAM:
            click.echo(describe(result))
    if failures:
        click.echo(f"dcn: {failures} of {len(work)} files failed", err=True)
        sys.exit(1)


def _with_progress(work: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    if len(work) < 2 or not sys.stderr.isatty():
        yield from work
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(work, description="files")


def read_input(source: str) -> bytes:
    """All bytes of a file or of standard input."""
    if source == STREAM:
        return sys.stdin.buffer.read()
    from dcncodec.formats.files import read_bytes

    return read_bytes(Path(source))


def write_output(target: str, content: bytes, force: bool) -> None:
    """Write a file whole or not at all, or standard output."""
    if target == STREAM:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    from dcncodec.formats.files import atomic_write

    with atomic_write(Path(target), overwrite=force) as file:
        file.write(content)
