"""Training recipes side by side: the same data, seed and steps (or minutes) for every variant.

    python -m dcncodec.bench.paper.recipes SOURCES... (--steps N | --minutes M) [--only NAME ...]

The variants change one thing after the other between the presets ``paper`` and ``fast``, with the
paper's loss, since losses must be the same to be compared. All are judged by it with one histogram
per channel, as the coder spends it, on the same held-out crops.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import torch

from dcncodec.errors import DcnError
from dcncodec.models.dcn import DCN
from dcncodec.runtime.devices import choose_device, choose_precision
from dcncodec.train.engine.data import Dataset, load_images
from dcncodec.train.engine.presets import RECIPES
from dcncodec.train.engine.recipes import LAMBDA_H, Recipe
from dcncodec.train.engine.run import Budget
from dcncodec.train.tasks.codec import CodecLoss, Trainer, validate

_FAST = replace(RECIPES["fast"], lambda_h=LAMBDA_H, lambda_ssim=0.0)
_PAPER = replace(RECIPES["paper"], batch=_FAST.batch, patch=_FAST.patch)

VARIANTS = {
    "fast": _FAST,
    "fast, soft gradient": replace(_FAST, straight_through=False),
    "fast, global histogram": replace(_FAST, histogram="global"),
    "fast, Adam": replace(_FAST, muon=False),
    "paper": _PAPER,
    "paper, rate 1e-3": replace(_PAPER, learning_rate=1e-3),
    "paper, batch 50": RECIPES["paper"],
}
"""The paper's at the batch of ``fast`` too, which makes more steps of the same time."""


@dataclass(frozen=True)
class Outcome:
    """What a variant reached: steps, seconds of training and the validation's figures."""

    steps: int
    seconds: float
    figures: dict[str, float]


def run(
    recipe: Recipe, data: Dataset, channels: int, budget: Budget, precision: torch.dtype
) -> Outcome:
    """Train one variant from the same random weights as the others.

    Raises:
        TrainingError: the loss is no longer finite.
    """
    device = data.training.pixels.device
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(DCN(channels).to(device), recipe, data, Path(folder), precision=precision)
        trainer.run(budget, lambda _: None)
    judge = CodecLoss(trainer.codec, replace(recipe, histogram="channel"), precision)
    with trainer.averaged():
        figures = validate(judge, data.validation)
    return Outcome(trainer.progress.step, trainer.progress.seconds, figures)


def lines(outcomes: Iterator[tuple[str, Outcome]]) -> Iterator[str]:
    """The table, line by line, as variants finish."""
    yield f"{'recipe':<26}{'steps':>7}{'seconds':>9}{'loss':>8}{'PSNR':>8}{'bpp':>8}{'SSIM':>8}"
    for name, outcome in outcomes:
        figures = outcome.figures
        yield (
            f"{name:<26}{outcome.steps:7d}{outcome.seconds:9.0f}"
            f"{figures['validation_loss']:8.0f}{figures['validation_psnr']:8.2f}"
            f"{figures['validation_bpp']:8.3f}{figures['validation_ssim']:8.4f}"
        )


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--steps", type=click.IntRange(1), help="Optimisation steps of every variant.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Minutes of each.")
@click.option("--only", multiple=True, type=click.Choice(list(VARIANTS)), help="These alone.")
@click.option("--channels", type=click.IntRange(1, 255), default=32, show_default=True)
@click.option("--patch", type=click.IntRange(8), default=_FAST.patch, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all cores]")
def main(
    sources: tuple[Path, ...],
    steps: int | None,
    minutes: float | None,
    only: tuple[str, ...],
    channels: int,
    patch: int,
    device: str,
    threads: int | None,
) -> None:
    """Train every variant on SOURCES and print the table."""
    if steps is None and minutes is None:
        raise click.UsageError("give --steps or --minutes")
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        target = choose_device(device)
        precision = choose_precision("auto", target)
        data = load_images(sources, patch).to(target)
        budget = Budget(steps, minutes)
        names = only or tuple(VARIANTS)
        outcomes = (
            (name, run(replace(VARIANTS[name], patch=patch), data, channels, budget, precision))
            for name in names
        )
        for line in lines(outcomes):
            click.echo(line)
    except DcnError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
