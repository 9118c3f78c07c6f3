"""``dcn forensics sweep``: accuracy over rate of codecs and JPEG, many trainings one by one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from dcncodec.cli.checks import check_model, check_sources
from dcncodec.cli.common import MAX_SEED, Finite, load_torch, threads_option
from dcncodec.cli.lines import say, tell
from dcncodec.cli.training import MAX_BATCH, MAX_PATCH
from dcncodec.errors import UsageError
from dcncodec.forensics.parts import PARTS, Part
from dcncodec.formats.geometry import MAX_RATE
from dcncodec.models.roles import Role


@click.command()
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of photos to measure with.",
)
@click.option(
    "--part",
    type=click.Choice(PARTS),
    default="tune",
    show_default=True,
    help="Of these photos; choose by tune, report by report.",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first of them.")
@click.option("--model", "models", multiple=True, metavar="NAME|PATH", help="A codec to tune.")
@click.option(
    "--lambda-c",
    "lambdas",
    multiple=True,
    type=Finite(0),
    help="Weight of distortion and rate; repeat for several.",
)
@click.option(
    "--jpeg", "qualities", multiple=True, type=click.IntRange(1, 100), help="A quality of JPEG."
)
@click.option(
    "--beside",
    multiple=True,
    metavar="NAME|PATH",
    help="A forensic folder that is trained already, to measure; repeat for several.",
)
@click.option(
    "--rate",
    "rates",
    multiple=True,
    type=click.IntRange(0, MAX_RATE),
    help="Of a codec that has rates: to measure at; it learns between the lowest and the highest. "
    "Repeat for several.  [default: all, measured at three]",
)
@click.option(
    "--seeds", type=click.IntRange(1, MAX_SEED), default=1, show_default=True, help="Repetitions."
)
@click.option(
    "--minutes", type=Finite(0, min_open=True), help="Of every training; required for any."
)
@click.option(
    "--fan",
    "fans",
    multiple=True,
    metavar="NAME|PATH",
    help="Start from the FAN of a forensic folder, or from two, as dcn train forensic does.",
)
@click.option(
    "--critic",
    "critics",
    multiple=True,
    metavar="NAME|PATH",
    help="A FAN without channel that judges decoded pictures where a codec is tuned, too; repeat "
    "for several.",
)
@click.option(
    "--protocol",
    type=click.Choice(["paper", "field", "both"]),
    default="field",
    show_default=True,
    help="Of the trainings; both: half of the photos by either. Measured are the two in any case.",
)
@click.option(
    "--learning-rate", type=Finite(0, min_open=True), help="The highest of every training."
)
@click.option("--batch", type=click.IntRange(1, MAX_BATCH), help="Photos a step.")
@click.option("--patch", type=click.IntRange(8, MAX_PATCH), help="Side of a crop in pixels.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of runs, models, results.json, report.html and plots; a sweep in it goes on.",
)
@threads_option
def command(
    sources: tuple[Path, ...],
    data: Path,
    part: Part,
    limit: int | None,
    models: tuple[str, ...],
    lambdas: tuple[float, ...],
    qualities: tuple[int, ...],
    beside: tuple[str, ...],
    rates: tuple[int, ...],
    seeds: int,
    minutes: float | None,
    fans: tuple[str, ...],
    critics: tuple[str, ...],
    protocol: str,
    learning_rate: float | None,
    batch: int | None,
    patch: int | None,
    output: Path,
    threads: int | None,
) -> None:
    """Train FANs behind JPEG and codecs, tune the codecs on SOURCES, and measure them all.

    What is done is kept: the same command goes on, and more options add to it.

    \b
    Example:
      dcn forensics sweep pristine/train --data pristine --model dcn-16c --lambda-c 0.001 \\
          --lambda-c 0.01 --jpeg 20 --jpeg 50 --jpeg 80 --minutes 15 -o out/sweep
    """
    if not models and not qualities and not beside:
        raise UsageError("nothing to measure: give --model, --jpeg or --beside")
    if models or qualities:
        if not sources:
            raise UsageError("nothing to train on: give SOURCES")
        if minutes is None:
            raise UsageError("--model and --jpeg are trained: give --minutes")
        check_sources(sources)
    if critics and not (models and lambdas):
        raise UsageError(f"--critic {critics[0]}: no codec is tuned; give --model and --lambda-c")
    for name in (*beside, *fans, *critics):
        check_model(name, Role.FAN)
    load_torch(threads)
    from dcncodec import pages
    from dcncodec.bench.forensic_sweep import Sweep, points_of, trade_offs
    from dcncodec.forensics.folder import open_forensic
    from dcncodec.forensics.photos import Photos
    from dcncodec.forensics.report import write_page
    from dcncodec.forensics.tables import percent
    from dcncodec.models.registry import find_model
    from dcncodec.train.tasks.forensic_fans import ForensicSettings
    from dcncodec.train.tasks.forensic_field import BOTH, PLAIN

    pages.check()
    trained = [open_forensic(name) for name in dict.fromkeys(beside)]
    points = points_of(models, lambdas, qualities, seeds, trained)
    rated = [*(fan.rates for fan in trained), *(find_model(m).geometry.rates for m in models)]
    if rates and not any(rated):
        raise UsageError("--rate: none of the codecs has several; leave it out")
    for known in trained:
        known.tell_unseen(rates)
    overrides: dict[str, Any] = {"batch": batch, "patch": patch, "learning_rate": learning_rate}
    if protocol == "paper":
        overrides |= {**PLAIN, "vary_strengths": False, "resave": False}
    elif protocol == BOTH:
        overrides["implementations"] = BOTH
    settings = ForensicSettings(
        sources,
        output,
        overrides={name: value for name, value in overrides.items() if value is not None},
        max_minutes=minutes,
        fan=fans,
        critic=critics,
    )
    photos = Photos(data, limit, part)
    sweep = Sweep(output, sources, photos, f"{data.resolve().name} ({part})", settings, rates)
    number = sweep.run(points, tell)
    results = sweep.results()
    if results:
        head = ["training", "protocol", "rate", "accuracy, %", "false alarms, %", "bpp", "SSIM"]
        rows = [
            [
                str(result["name"]),
                str(result["protocol"]),
                "" if result["rate"] is None else str(result["rate"]),
                percent(result["accuracy"]),
                percent(result["false_alarms"]),
                f"{result['bpp']:.3f}",
                f"{result['ssim']:.4f}",
            ]
            for result in results
        ]
        write_page("Forensic sweep", [pages.Table("", head, rows)], trade_offs(results), output)
        say(f"{output / 'report.html'}: tables and plots")
    if number:
        sys.exit(128 + number)
