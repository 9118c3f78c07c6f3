"""What the training commands share: options, the course of a command, the display of progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import click

from dcncodec.cli.checks import check_model, check_out, check_pipelines, check_sources
from dcncodec.cli.common import MAX_SEED, Finite, load_torch
from dcncodec.cli.lines import escaped, tell
from dcncodec.cli.streams import on_terminal
from dcncodec.errors import UsageError
from dcncodec.models.card import check_export
from dcncodec.models.roles import Role

MAX_BATCH, MAX_PATCH, MAX_STEPS = 65_536, 16_384, 10**12
"""Beyond these a number is a slip of the hand."""

Command = TypeVar("Command", bound=Callable[..., Any])
Figures = dict[str, float]
Report = Callable[[Figures], None]

COMMON = (
    *("sources", "folder", "preset", "max_steps", "max_minutes", "seed", "export"),
    *("device", "precision"),
)
"""Options that are fields of every training's settings."""


@dataclass(frozen=True)
class Training:
    """What a command trains.

    Attributes:
        settings: class of the user's choices, a ``RunSettings``.
        train: takes them, and what shows lines and figures; gives a signal's number or 0.
        export: from a run's folder to a weight folder; gives a SHA-256.
    """

    settings: Callable[..., Any]
    train: Callable[[Any, Callable[[str], None], Report], int]
    export: Callable[[Path, Path], str]


def training_options(command: Command) -> Command:
    """SOURCES, ``--out`` (as ``folder``), ``--preset``, budget, batch, rate, seed, ``--export``."""
    for option in (
        click.option(
            "--export",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Write the finished model as a weight folder; also works without SOURCES.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0, MAX_SEED),
            help="Of weights and crops.  [default: 0, or that of the resumed run]",
        ),
        click.option("--learning-rate", type=Finite(0, min_open=True), help="The highest; Adam's."),
        click.option(
            "--patch", type=click.IntRange(8, MAX_PATCH), help="Side of a crop in pixels."
        ),
        click.option(
            "--batch", type=click.IntRange(1, MAX_BATCH), help="Crops a step, over all processes."
        ),
        click.option(
            "--max-minutes",
            type=Finite(0, min_open=True),
            help="Minutes of training, over all resumed parts.",
        ),
        click.option(
            "--max-steps",
            type=click.IntRange(1, MAX_STEPS),
            help="Steps, over all resumed parts.  [default: the preset's; none with --max-minutes]",
        ),
        click.option(
            "--preset",
            type=click.Choice(["fast", "paper"]),
            help="Recipe.  [default: fast, or that of the resumed run]",
        ),
        click.option(
            "--out",
            "folder",
            required=True,
            type=click.Path(path_type=Path, file_okay=False),
            metavar="DIR",
            help="The run's folder; a checkpoint in it is resumed.",
        ),
        click.argument("sources", nargs=-1, type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


def loaders_option(command: Command) -> Command:
    """``--loaders``."""
    return click.option(
        "--loaders",
        type=click.IntRange(0, 256),
        help="Processes that make patches.  [default: with a GPU all cores but one, otherwise "
        "none]",
    )(command)


def run_training(
    options: dict[str, Any],
    own: tuple[str, ...],
    load: Callable[[], Training],
    describe: Callable[[Figures], str],
    validation: Callable[[Figures], str],
    models: Mapping[str, Role] = MappingProxyType({}),
) -> None:
    """Train as the options say, or export a run where there are no sources.

    Args:
        options: of the command. What is neither common nor ``own`` overrides the recipe.
        own: the other fields of its settings.
        load: imports what it trains, once the options make sense.
        describe, validation: as of ``display``.
        models: options that name models, and their roles.

    Raises:
        UsageError: there is nothing to do.
        DcnError: a source or a model is missing.
        SystemExit: a signal ended the run.
    """
    threads, folder, export = options.pop("threads"), options["folder"], options["export"]
    if not options["sources"] and export is None:
        raise UsageError("nothing to train on: give SOURCES")
    check_sources(options["sources"])
    check_out(folder, options["sources"])
    if export is not None:
        check_export(export)
    for name, role in models.items():
        if role is Role.PIPELINE:
            check_pipelines([options[name]])
        else:
            chosen = options[name]
            for model in chosen if isinstance(chosen, tuple) else (chosen,):
                check_model(model, role)
    load_torch(threads)
    training = load()
    if not options["sources"]:
        sha256 = training.export(folder, export)
        tell(f"{export}: exported, SHA-256 {sha256[:16]}")
        return
    fields = {name: options.pop(name) for name in (*COMMON, *own)}
    overrides = {name: value for name, value in options.items() if value is not None}
    with display(describe, validation) as (notify, report):
        number = training.train(training.settings(**fields, overrides=overrides), notify, report)
    if number:
        sys.exit(128 + number)


@contextmanager
def display(
    describe: Callable[[Figures], str], validation: Callable[[Figures], str]
) -> Iterator[tuple[Callable[[str], None], Report]]:
    """How lines and figures are shown: a progress bar on a terminal, plain lines otherwise.

    Args:
        describe: figures of the training as text.
        validation: figures of a validation as text.

    Yields:
        What shows a line, and what shows figures.
    """
    if not on_terminal():
        yield tell, _plain(describe, validation)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=1.0)
        quality = ""

        def report(figures: Figures) -> None:
            nonlocal quality
            if _validated(figures):
                quality = "  validation: " + validation(figures)
            text = f"{_course(figures)}  {describe(figures)}{quality}"
            bar.update(task, completed=figures["share"], description=text)

        yield lambda line: bar.console.print(escaped(line), markup=False, highlight=False), report


def _course(figures: Figures) -> str:
    """How far the run is, and how long it will take."""
    steps = f" of {figures['max_steps']:,.0f}" if "max_steps" in figures else ""
    left = timedelta(seconds=round(figures["left"]))
    return f"step {figures['step']:,.0f}{steps}  {figures['seconds']:,.0f} s, {left} left"


def _validated(figures: Figures) -> bool:
    return any(name.startswith("validation_") for name in figures)


def _plain(describe: Callable[[Figures], str], validation: Callable[[Figures], str]) -> Report:
    """One line for the first step, and one a validation."""
    begun = False

    def report(figures: Figures) -> None:
        nonlocal begun
        if not begun or _validated(figures):
            line = f"{_course(figures)}  {describe(figures)}"
            if _validated(figures):
                line += f"  validation: {validation(figures)}"
            tell(line)
            begun = True

    return report
