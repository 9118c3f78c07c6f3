"""What the commands of ``dcn bench`` share: options, progress, tables, the end of a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dcncodec.cli.common import Device
from dcncodec.cli.lines import complain, escaped, tell
from dcncodec.cli.streams import on_terminal
from dcncodec.errors import DcnError
from dcncodec.formats.geometry import MAX_DIMENSION
from dcncodec.runtime.engine import DEVICE_NAMES

if TYPE_CHECKING:
    from dcncodec.bench.codecs import Spec
    from dcncodec.bench.datasets import Item
    from dcncodec.bench.points import Failure
    from dcncodec.bench.results import Results
    from dcncodec.bench.runner import Outcome
    from dcncodec.pages import Table

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_WORKERS = 1024

WIDTH = 160
"""Characters of a line where no terminal limits it."""


def image_options(command: Command) -> Command:
    """Which images."""
    for option in (
        click.option("--limit", type=click.IntRange(1), help="Only the first images."),
        click.option(
            "--crop", type=click.IntRange(8, MAX_DIMENSION), help="Side of centre crops, in pixels."
        ),
        click.option(
            "--data-dir",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder that holds kodak/, clic/ or raw/.  [default: $DCN_DATA, ~/.cache/dcn]",
        ),
        click.option(
            "--dataset",
            default="kodak",
            show_default=True,
            metavar="NAME",
            help="kodak (fetched when missing), clic, raw, or a folder of images.",
        ),
    ):
        command = option(command)
    return command


def codecs_option(command: Command) -> Command:
    """Which codecs."""
    return click.option(
        "-c",
        "--codec",
        "codecs",
        multiple=True,
        metavar="NAME",
        help="dcn, a model or its folder, or another codec; repeat for several.",
    )(command)


def codec_options(command: Command) -> Command:
    """Which codecs, and where networks run."""
    for option in (
        click.option(
            "--precision",
            type=click.Choice(["auto", "bf16", "fp32"]),
            default="auto",
            show_default=True,
            help="Number format of the networks.",
        ),
        click.option(
            "--device",
            type=Device(),
            default="auto",
            show_default=True,
            help=f"{DEVICE_NAMES}.",
        ),
        codecs_option,
    ):
        command = option(command)
    return command


def run_options(command: Command) -> Command:
    """How curves are measured."""
    for option in (
        click.option(
            "--cache-dir",
            type=click.Path(path_type=Path, file_okay=False),
            help="Where results are kept for the next run.  [default: ~/.cache/dcn/bench]",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1, MAX_WORKERS),
            help="Processes.  [default: all cores]",
        ),
    ):
        command = option(command)
    return command


def rate_option(default: float, help_text: str) -> Callable[[Command], Command]:
    """``--bpp``."""
    return click.option(
        "--bpp", type=click.FloatRange(0.05, 8), default=default, show_default=True, help=help_text
    )


rounds_option = click.option("--rounds", type=click.IntRange(1, 1000), default=3, show_default=True)


def output_option(default: str) -> Callable[[Command], Command]:
    """``--output``."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, file_okay=False),
        default=default,
        show_default=True,
        help="Folder of the results; those of an earlier run are replaced.",
    )


def find_items(
    dataset: str,
    data_dir: Path | None,
    crop: int | None,
    limit: int | None,
    codecs: Sequence[str] = (),
) -> list[Item]:
    """The images of a run, once the names of its codecs are known to be right."""
    from dcncodec.bench import names
    from dcncodec.bench.datasets import find

    names.check(codecs)
    return find(dataset, data_dir, crop)[:limit]


def measure(
    chosen: list[Spec],
    items: list[Item],
    workers: int | None,
    cache_dir: Path | None,
    perceptual: bool,
) -> Outcome:
    """Measure with a progress bar.

    Raises:
        DcnError: nothing at all came out.
    """
    from dcncodec.bench import runner
    from dcncodec.bench.cache import Cache
    from dcncodec.bench.datasets import cache_folder
    from dcncodec.bench.results import cores

    with _counter() as progress:
        outcome = runner.run(
            chosen,
            items,
            workers=workers or cores(),
            cache=Cache(cache_dir or cache_folder() / "bench"),
            perceptual=perceptual,
            progress=progress,
        )
    if not outcome.points:
        _complain(outcome.failures)
        raise DcnError("nothing was measured")
    return outcome


def add_times(
    run: Results,
    chosen: list[Spec],
    items: list[Item],
    threads: int | None,
    bpp: float,
    sizes: tuple[str, ...],
    rounds: int,
    memory: bool,
) -> None:
    """Add times to a run's results."""
    from dcncodec.bench import speed
    from dcncodec.bench.results import cores

    with steps() as progress:
        outcome = speed.run(
            chosen,
            items,
            threads=min(threads or cores(), cores()),
            bpp=bpp,
            sizes=sizes,
            rounds=rounds,
            memory=memory,
            progress=progress,
        )
    run.threads = outcome.threads
    run.speed = [timing.as_row() for timing in outcome.timings]
    run.ratios = [asdict(ratio) for ratio in outcome.ratios()]
    run.failures += [failure for failure in outcome.failures if failure not in run.failures]


@contextmanager
def _counter() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal; else a line for every tenth."""
    if not on_terminal():
        shown = [-1]

        def line(done: int, total: int) -> None:
            tenth = 10 * done // max(total, 1)
            if tenth > shown[0]:
                shown[0] = tenth
                tell(f"measured {done} of {total}")

        yield line
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("measuring", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """What is going on, on a terminal."""
    if not on_terminal():
        yield lambda step: None
        return
    from rich.console import Console

    with Console(stderr=True).status("timing") as status:
        yield status.update


def show(table: Table) -> None:
    """Print a table; wide where no terminal limits it."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    if not table.rows:
        return
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    shown = RichTable(
        title=escaped(table.title),
        caption=escaped(table.note) or None,
        box=SIMPLE_HEAD,
        title_justify="left",
    )
    for number, title in enumerate(table.head):
        shown.add_column(title, justify="left" if number == 0 else "right", no_wrap=True)
    for row in table.rows:
        # As text, or rich would take brackets for its own marks.
        shown.add_row(*(Text(escaped(cell)) for cell in row))
    console.print(shown)


def _complain(failures: list[Failure]) -> None:
    for failure in failures:
        complain(f"skipped {failure}")


def end(run: Results) -> None:
    """Report what was skipped; the exit code tells."""
    _complain(run.failures)
    if run.failures:
        complain(f"{len(run.failures)} skipped")
        sys.exit(1)
