"""``dcn train vr``: train a codec for all rates, resume it, finish a copy of it, export it."""

from __future__ import annotations

from typing import Any

import click

from dcncodec.cli.common import Finite, machine_options
from dcncodec.cli.training import Training, run_training, training_options


@click.command()
@training_options
@click.option(
    "--channels",
    "latent_channels",
    type=click.IntRange(1, 192),
    help="Of the latent.  [default: 96]",
)
@click.option("--blocks", type=click.IntRange(1, 16), help="Of the synthesis.  [default: 3]")
@click.option(
    "--analysis-blocks", type=click.IntRange(1, 16), help="Of the analysis.  [default: 6]"
)
@click.option(
    "--analysis-fine-blocks",
    type=click.IntRange(0, 16),
    help="Of the analysis at half its stride.  [default: 2]",
)
@click.option("--hidden", type=click.IntRange(1, 512), help="Of the context model. [default: 192]")
@click.option("--lambda-low", type=Finite(0, min_open=True), help="Lambda at rate 0.")
@click.option("--lambda-high", type=Finite(0, min_open=True), help="Lambda at rate 255.")
@click.option(
    "--linear-share",
    type=Finite(0),
    help="Learning rate of the linear maps over the context model's.  [default: 0.02]",
)
@click.option(
    "--network-share",
    type=Finite(0),
    help="That of the networks beside them, likewise.  [default: 1]",
)
@click.option(
    "--noise/--no-noise",
    default=None,
    help="Count the rate of latents with uniform noise, or of rounded ones.  [default: rounded]",
)
@click.option("--ssim-share", type=Finite(0, 1), help="Of the distortion: 1 - SSIM.  [default: 0]")
@click.option(
    "--ms-ssim-share", type=Finite(0, 1), help="Of the distortion: 1 - MS-SSIM.  [default: 0]"
)
@click.option(
    "--synthetic", type=Finite(0, 1), help="Share of crops that are no photos.  [default: 0.02]"
)
@click.option(
    "--init",
    metavar="NAME|PATH",
    help="Start from a model's weights; with more blocks than it has, those begin as nothing.",
)
@click.option(
    "--decay-minutes",
    type=Finite(0, min_open=True),
    help="Finish a copy of the run: its learning rate falls to zero. The run itself stays.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that train together, each on its part of a batch.",
)
@machine_options
def command(**options: Any) -> None:
    """Train a codec of the family vr on SOURCES: one network for all rates.

    It starts as the Karhunen-Loeve transform of the SOURCES' 8x8 patches and learns at a constant
    rate, for days if you like; --decay-minutes finishes a copy of it at any time. Budget, DIR and
    signals are as in "dcn train".

    \b
    Examples:
      dcn train vr photos/ shards/*.tar --out runs/vr --max-minutes 600
      dcn train vr photos/ shards/*.tar --out runs/vr --decay-minutes 20 --export my-vr
    """
    run_training(options, ("init", "decay_minutes", "workers"), _load, _describe, _validation)


def _load() -> Training:
    from dcncodec.train.tasks.vr_setup import VRSettings, export_vr, train_vr

    return Training(VRSettings, train_vr, export_vr)


def _describe(figures: dict[str, float]) -> str:
    return f"loss {figures['loss']:.4f}  bpp {figures['bpp']:.3f}  PSNR {figures['psnr']:.2f}"


def _validation(figures: dict[str, float]) -> str:
    parts = " ".join(f"{figures[f'validation_bd_{n}']:+.1f}" for n in ("low", "middle", "high"))
    return (
        f"bpp {figures['validation_bpp']:.3f}  PSNR {figures['validation_psnr']:.2f}  "
        f"BD-rate against BPG {figures['validation_bd']:+.1f}% (low, middle, high {parts})  "
        f"SSIM {figures['validation_bd_ssim']:+.1f}%  "
        f"MS-SSIM {figures['validation_bd_ms_ssim']:+.1f}%"
    )
