"""``dcn train trace``: train a network that localises manipulations, stage by stage."""

from __future__ import annotations

from typing import Any

import click

from dcncodec.cli.common import machine_options
from dcncodec.cli.train_forensic import Names
from dcncodec.cli.training import Training, loaders_option, run_training, training_options


@click.command()
@training_options
@click.option(
    "--stage",
    type=click.Choice(["features", "anomaly", "joint"]),
    help="What is trained.  [default: features, or that of the resumed run]",
)
@click.option(
    "--size",
    type=click.Choice(["paper", "12", "8"]),
    help="Of the networks.  [default: that of --init, or 8; paper with that preset]",
)
@click.option(
    "--classes",
    type=click.Choice(["7", "25", "49", "96", "185", "385"]),
    callback=lambda _context, _option, value: int(value) if value else None,
    help="Level of the manipulations' hierarchy.  [default: that of --init, or 25; 385 in paper]",
)
@click.option(
    "--codecs",
    type=Names(),
    metavar="NAMES",
    help="Codecs that a quarter of the forgeries go through, or none.  [default: dcn-16c, dcn-32c, "
    "dcn-vr and dcn-vr-forensic]",
)
@click.option(
    "--features-share",
    type=click.FloatRange(0, min_open=True),
    help="Learning rate of the features over the rest's, stage joint.  [default: 0.2]",
)
@click.option("--init", metavar="NAME|PATH", help="What an earlier stage has exported.")
@loaders_option
@machine_options
def command(**options: Any) -> None:
    """Train a network that localises manipulations (ManTra-Net) on SOURCES: folders and tar shards.

    First --stage features: tell 385 manipulations of whole patches apart; then anomaly: map the
    manipulated parts of photos; at last joint: both together. Each begins with what the one before
    it has exported. Budget, DIR and signals are as in "dcn train".

    \b
    Examples:
      dcn train trace photos/ --out runs/f --max-minutes 45 --export runs/trace-features
      dcn train trace photos/ --stage anomaly --init runs/trace-features --out runs/a \\
          --max-minutes 30 --export my-trace
      dcn forensics localise photo.jpg --model ./my-trace --heatmap map.png
    """
    run_training(options, ("init", "loaders"), _load, _describe, _validation)


def _load() -> Training:
    from dcncodec.train.tasks.trace_setup import TraceSettings, export_trace, train_trace

    return Training(TraceSettings, train_trace, export_trace)


def _describe(figures: dict[str, float]) -> str:
    text = f"loss {figures['loss']:.4f}"
    if "accuracy" in figures:
        text += f"  accuracy {figures['accuracy']:.3f}, of families {figures['families']:.3f}"
    return text


def _validation(figures: dict[str, float]) -> str:
    if "validation_auc" in figures:
        return f"loss {figures['validation_loss']:.4f}  pixel AUC {figures['validation_auc']:.3f}"
    return (
        f"accuracy {figures['validation_accuracy']:.3f}, of families "
        f"{figures['validation_families']:.3f}"
    )
