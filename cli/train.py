"""``dcn train``: train a codec, resume it, export it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from dcncodec.cli.common import machine_options, set_threads
from dcncodec.errors import UsageError

Report = Callable[[dict[str, float]], None]


@click.command()
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The run's folder; a checkpoint in it is resumed.",
)
@click.option(
    "--preset",
    type=click.Choice(["fast", "paper"]),
    help="Recipe.  [default: fast, or that of the resumed run]",
)
@click.option(
    "--channels",
    type=click.Choice(["16", "32", "64"]),
    help="Latent channels.  [default: 32, or those of the resumed run]",
)
@click.option(
    "--init", metavar="NAME|PATH", help="Start from a model's weights, where shapes agree."
)
@click.option(
    "--max-steps",
    type=click.IntRange(1),
    help="Steps, over all resumed parts.  [default: the preset's; none with --max-minutes]",
)
@click.option(
    "--max-minutes",
    type=click.FloatRange(0, min_open=True),
    help="Minutes of training, over all resumed parts.",
)
@click.option("--batch", type=click.IntRange(1), help="Crops a step, over all processes.")
@click.option("--patch", type=click.IntRange(8), help="Side of a crop in pixels.")
@click.option(
    "--learning-rate", type=click.FloatRange(0, min_open=True), help="The highest; Adam's."
)
@click.option("--lambda-h", type=click.FloatRange(0), help="Weight of the entropy in the loss.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    help="Of weights and crops.  [default: 0, or that of the resumed run]",
)
@click.option(
    "--export",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the finished model as a weight folder; also works without SOURCES.",
)
@machine_options
def command(
    sources: tuple[Path, ...],
    folder: Path,
    preset: str | None,
    channels: str | None,
    init: str | None,
    max_steps: int | None,
    max_minutes: float | None,
    seed: int | None,
    export: Path | None,
    device: str,
    threads: int | None,
    precision: Any,
    **overrides: Any,
) -> None:
    """Train a codec on SOURCES: folders of images (with all below them) and tar shards.

    DIR receives checkpoint.safetensors, log.csv and the learning curve. SIGINT and SIGTERM save
    and end the run with exit code 130 or 143; the same command goes on from there. Several
    processes train together under torchrun; DIR must then be visible to all of them.

    \b
    Examples:
      dcn train photos/ shards/*.tar --out runs/a --max-minutes 60 --export my-model
      dcn train --out runs/a --export my-model
      dcn encode --model my-model photo.png photo.dcn
    """
    if not sources and export is None:
        raise UsageError("nothing to train on: give folders of images or tar shards")
    set_threads(threads)
    if not sources:
        assert export is not None
        from dcncodec.train.export import export_model

        sha256 = export_model(folder, export)
        click.echo(f"{export}: exported, SHA-256 {sha256[:16]}", err=True)
        return
    from dcncodec.train.start import Settings, train

    settings = Settings(
        sources=sources,
        folder=folder,
        preset=preset,
        latent_channels=int(channels) if channels else None,
        init=init,
        overrides={name: value for name, value in overrides.items() if value is not None},
        max_steps=max_steps,
        max_minutes=max_minutes,
        seed=seed,
        device=device,
        precision=precision,
        export=export,
    )
    with _display() as (notify, report):
        number = train(settings, notify, report)
    if number:
        sys.exit(128 + number)


@contextmanager
def _display() -> Iterator[tuple[Callable[[str], None], Report]]:
    """How lines and figures are shown: a progress bar on a terminal, plain lines otherwise."""
    if not sys.stderr.isatty():
        yield _echo, _plain
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=1.0)
        quality = ""

        def report(figures: dict[str, float]) -> None:
            nonlocal quality
            if "validation_ssim" in figures:
                quality = f"  SSIM {figures['validation_ssim']:.4f}"
            bar.update(task, completed=figures["share"], description=_training(figures) + quality)

        yield lambda line: bar.console.print(line, markup=False, highlight=False), report


def _echo(line: str) -> None:
    click.echo(line, err=True)


def _plain(figures: dict[str, float]) -> None:
    """One line a validation."""
    if "validation_ssim" in figures:
        _echo(
            f"{_training(figures)}  validation: bpp {figures['validation_bpp']:.3f}  "
            f"PSNR {figures['validation_psnr']:.2f}  SSIM {figures['validation_ssim']:.4f}"
        )


def _training(figures: dict[str, float]) -> str:
    return (
        f"step {figures['step']:,.0f}  {figures['seconds']:,.0f} s  loss {figures['loss']:.1f}  "
        f"bpp {figures['bpp']:.3f}  PSNR {figures['psnr']:.2f}"
    )
