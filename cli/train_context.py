"""``dcn train context``: fit a context model to a codec, resume it, add it to the codec."""

from __future__ import annotations

from typing import Any

import click

from dcncodec.cli.common import machine_options
from dcncodec.cli.training import Training, run_training, training_options
from dcncodec.models.roles import Role


@click.command()
@training_options
@click.option(
    "--model",
    metavar="NAME|PATH",
    help="The codec, whose networks stay as they are.  [default: that of the resumed run]",
)
@click.option("--hidden", type=click.IntRange(1, 512), help="Units of a layer.  [default: 192]")
@click.option("--crops", type=click.IntRange(1), help="Whose latents are used.  [default: 1200]")
@machine_options
def command(**options: Any) -> None:
    """Fit a context model to the latents of a codec: the same pictures in smaller files.

    SOURCES are folders of images and tar shards. With --export the codec and its context model
    become a weight folder, which may be the codec's own. Budget, DIR and signals are as in
    "dcn train codec".

    \b
    Examples:
      dcn train context --model ./my-model photos/ --out runs/c --max-minutes 7 --export my-model
    """
    run_training(options, ("model",), _load, _describe, _validation, {"model": Role.CODEC})


def _load() -> Training:
    from dcncodec.train.tasks.context_setup import (
        ContextSettings,
        export_context,
        train_context,
    )

    return Training(ContextSettings, train_context, export_context)


def _describe(figures: dict[str, float]) -> str:
    return f"bpp {figures['loss']:.4f}"


def _validation(figures: dict[str, float]) -> str:
    return f"bpp {figures['validation_bpp']:.4f}"
