"""``dcn train SOURCES``: train a codec, resume it, export it."""

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
    "--channels",
    type=click.Choice(["16", "32", "64"]),
    help="Latent channels.  [default: 32, or those of the resumed run]",
)
@click.option(
    "--init", metavar="NAME|PATH", help="Start from a model's weights, where shapes agree."
)
@click.option("--lambda-h", type=click.FloatRange(0), help="Weight of the entropy in the loss.")
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
    with display(_describe, _validation) as (notify, report):
        number = train(settings, notify, report)
    if number:
        sys.exit(128 + number)


def _describe(figures: dict[str, float]) -> str:
    return (
        f"step {figures['step']:,.0f}  {figures['seconds']:,.0f} s  loss {figures['loss']:.1f}  "
        f"bpp {figures['bpp']:.3f}  PSNR {figures['psnr']:.2f}"
    )


def _validation(figures: dict[str, float]) -> str:
    return (
        f"bpp {figures['validation_bpp']:.3f}  PSNR {figures['validation_psnr']:.2f}  "
        f"SSIM {figures['validation_ssim']:.4f}"
    )
