"""``dcn train SOURCES``: train a codec, resume it, export it."""

from __future__ import annotations

from typing import Any

import click

from dcncodec.cli.common import Finite, machine_options
from dcncodec.cli.training import Training, run_training, training_options
from dcncodec.models.roles import Role


@click.command()
@training_options
@click.option(
    "--channels",
    "latent_channels",
    type=click.Choice(["16", "32", "64"]),
    callback=lambda _context, _option, value: int(value) if value else None,
    help="Latent channels.  [default: 32, or those of the resumed run]",
)
@click.option(
    "--init", metavar="NAME|PATH", help="Start from a model's weights, where shapes agree."
)
@click.option("--lambda-h", type=Finite(0), help="Weight of the entropy in the loss.")
@click.option(
    "--bits",
    type=click.IntRange(1, 5),
    help="Of the codebook that the latents may use (DCN paper, Fig. A.3).  [default: 5]",
)
@click.option("--lambda-ssim", type=Finite(0), help="Weight of 1 - SSIM in the loss.")
@machine_options
def command(**options: Any) -> None:
    """Train a codec on SOURCES: folders of images (with all below them) and tar shards.

    DIR receives checkpoint.safetensors, log.csv and the learning curve. SIGINT, SIGTERM and SIGHUP
    save and end the run with exit code 130, 143 or 129; the same command goes on from there.
    Several processes train together under torchrun; DIR must then be visible to all of them.

    \b
    Examples:
      dcn train photos/ shards/*.tar --out runs/a --max-minutes 60 --export my-model
      dcn train --out runs/a --export my-model
      dcn encode --model ./my-model photo.png photo.dcn
    """
    run_training(
        options, ("latent_channels", "init"), _load, _describe, _validation, {"init": Role.CODEC}
    )


def _load() -> Training:
    from dcncodec.train.engine.export import export_model
    from dcncodec.train.tasks.codec_setup import Settings, train

    return Training(Settings, train, export_model)


def _describe(figures: dict[str, float]) -> str:
    return f"loss {figures['loss']:.1f}  bpp {figures['bpp']:.3f}  PSNR {figures['psnr']:.2f}"


def _validation(figures: dict[str, float]) -> str:
    return (
        f"bpp {figures['validation_bpp']:.3f}  PSNR {figures['validation_psnr']:.2f}  "
        f"SSIM {figures['validation_ssim']:.4f}"
    )
