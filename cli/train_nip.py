"""``dcn train nip``: train a camera pipeline, resume it, export it."""

from __future__ import annotations

from typing import Any

import click

from dcncodec.cli.common import machine_options
from dcncodec.cli.training import Training, run_training, training_options
from dcncodec.models.roles import Role


@click.command()
@training_options
@click.option(
    "--network",
    type=click.Choice(["inet", "unet", "dnet"]),
    help="The pipeline.  [default: dnet, or that of the resumed run]",
)
@click.option("--init", metavar="NAME|PATH", help="Start from a pipeline's weights.")
@machine_options
def command(**options: Any) -> None:
    """Train a camera pipeline to give what the standard pipeline gives.

    SOURCES are folders with RAW files of one camera, or folders and tar shards of pictures
    without traces of a camera, from which frames are simulated. Budget, DIR and signals are as
    in "dcn train".

    \b
    Examples:
      dcn train nip --network inet pristine/ --out runs/inet --export my-inet
      dcn develop photo.nef -o photo.png --pipeline ./my-inet
    """
    run_training(options, ("init",), _load, _describe, _validation, {"init": Role.PIPELINE})


def _load() -> Training:
    from dcncodec.train.tasks.nip_setup import NipSettings, export_nip, train_nip

    return Training(NipSettings, train_nip, export_nip)


def _describe(figures: dict[str, float]) -> str:
    return f"PSNR {figures['psnr']:.2f}"


def _validation(figures: dict[str, float]) -> str:
    return f"PSNR {figures['validation_psnr']:.2f}  SSIM {figures['validation_ssim']:.4f}"
