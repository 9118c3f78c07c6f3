"""``dcn train nip``: train a camera pipeline, resume it, export it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from dcncodec.cli.common import machine_options, set_threads
from dcncodec.cli.training import display, training_options
from dcncodec.errors import UsageError


@click.command()
@training_options
@click.option(
    "--network",
    type=click.Choice(["inet", "unet", "dnet"]),
    help="The pipeline.  [default: dnet, or that of the resumed run]",
)
@click.option("--init", metavar="NAME|PATH", help="Start from a pipeline's weights.")
@machine_options
def command(
    sources: tuple[Path, ...],
    folder: Path,
    preset: str | None,
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
    """Train a camera pipeline to give what the standard pipeline gives.

    SOURCES are folders with RAW files of one camera, or folders and tar shards of pictures
    without traces of a camera, from which frames are simulated. Budget, DIR and signals are as
    in "dcn train".

    \b
    Examples:
      dcn train nip --network inet pristine/ --out runs/inet --export my-inet
      dcn develop photo.nef -o photo.png --pipeline my-inet
    """
    if not sources and export is None:
        raise UsageError("nothing to train on: give folders of RAW files or pictures")
    set_threads(threads)
    from dcncodec.train.nip_start import NipSettings, export_nip, train_nip

    if not sources:
        assert export is not None
        sha256 = export_nip(folder, export)
        click.echo(f"{export}: exported, SHA-256 {sha256[:16]}", err=True)
        return
    settings = NipSettings(
        sources=sources,
        folder=folder,
        preset=preset,
        init=init,
        overrides={name: value for name, value in overrides.items() if value is not None},
        max_steps=max_steps,
        max_minutes=max_minutes,
        seed=seed,
        device=device,
        precision=precision,
        export=export,
    )
    with display(_describe, _validation) as (notify, report):
        number = train_nip(settings, notify, report)
    if number:
        sys.exit(128 + number)


def _describe(figures: dict[str, float]) -> str:
    return f"step {figures['step']:,.0f}  {figures['seconds']:,.0f} s  PSNR {figures['psnr']:.2f}"


def _validation(figures: dict[str, float]) -> str:
    return f"PSNR {figures['validation_psnr']:.2f}  SSIM {figures['validation_ssim']:.4f}"
