"""``dcn bench``: rate-distortion and speed beside the codecs that people use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcncodec.cli.bench_common import (
    add_times,
    codec_options,
    codecs_option,
    end,
    find_items,
    image_options,
    measure,
    output_option,
    rate_option,
    rounds_option,
    run_options,
    show,
    steps,
)
from dcncodec.cli.common import threads_option
from dcncodec.cli.lines import say
from dcncodec.errors import UsageError

SPEED_IMAGES = 5
SPEED_BPP = 0.5
PAPER_CROP = 512
FIGURE_CODECS = ("dcn", "jpeg", "jpeg2000", "bpg")
CODER_BPP = 0.75
CODER_MODELS = ("dcn-32c", "dcn-vr")
SPEED_CODECS = ("dcn", "jpeg", "jpeg2000", "webp", "avif", "jxl", "bpg", "x265")


@click.group(invoke_without_command=True)
@image_options
@codec_options
@run_options
@output_option("out/bench")
@click.option("--anchor", metavar="NAME", help="Codec of BD-rates.  [default: bpg, else jpeg]")
@click.option("--perceptual", is_flag=True, help="Also SSIMULACRA 2: a second an image.")
@click.option("--speed/--no-speed", "timed", default=True, help="Also time the codecs.")
@click.option(
    "--update-card", is_flag=True, help="Write the means into the cards of the dcn models."
)
@click.pass_context
def command(
    context: click.Context,
    dataset: str,
    data_dir: Path | None,
    crop: int | None,
    limit: int | None,
    codecs: tuple[str, ...],
    device: str,
    precision: Any,
    workers: int | None,
    cache_dir: Path | None,
    output: Path,
    anchor: str | None,
    perceptual: bool,
    timed: bool,
    update_card: bool,
) -> None:
    """Rate-distortion and speed beside the codecs that people use.

    \b
    dcn bench                              # Kodak, all codecs; report in out/bench
    dcn bench --crop 512 -c dcn -c jpeg    # the paper's centre crops, two codecs
    dcn bench speed --size 1920x1080
    dcn bench coder -c dcn-vr              # what codes latents, beside x265
    dcn bench compare before/ after/

    Codecs: dcn (the paper's models), the name or folder of any model, also with a
    level of effort (dcn-vr@6; --anchor dcn-vr shows what that gains), jpeg, jpeg420, jpeg2000,
    webp, avif, avif-iq, jxl, bpg, x265, and bpgenc where that program is on PATH. Runs
    are cached: what was measured before is not measured again.
    """
    if context.invoked_subcommand is not None:
        return
    items = find_items(dataset, data_dir, crop, limit, codecs)
    from dcncodec import pages
    from dcncodec.bench import cards, report, results, viewer
    from dcncodec.bench.codecs import DcnCodec, specs

    chosen = specs(codecs, device=device, precision=precision)
    # A wrong name, or what is missing, is told before minutes of work.
    results.choose_anchor(anchor, [spec.name for spec in chosen])
    pages.check()
    outcome = measure(chosen, items, workers, cache_dir, perceptual)
    measured = list(dict.fromkeys(point.codec for point in outcome.points))
    run = results.Results(
        dataset,
        crop,
        {spec.name: spec.open().title for spec in chosen},
        results.choose_anchor(anchor, measured),
        outcome.points,
        outcome.failures,
        machine=results.machine(),
    )
    items = [item for item in items if item.name in run.images]
    if timed:
        size = f"{outcome.points[0].width}x{outcome.points[0].height}"
        add_times(
            run, chosen, items[:SPEED_IMAGES], None, SPEED_BPP, (size,), rounds=3, memory=False
        )
    with steps() as progress:
        scenes = viewer.scenes(chosen, items, progress)
    run.write(output)
    report.write(run, scenes, output)
    for table in report.short(run):
        show(table)
    if update_card:
        for spec in chosen:
            codec = spec.open()
            if isinstance(codec, DcnCodec):
                cards.update(codec, run)
    say(f"{output / 'report.html'}: plots, tables and a viewer")
    end(run)


@command.command("speed")
@image_options
@codec_options
@output_option("out/bench-speed")
@click.option("--size", "sizes", multiple=True, metavar="WxH", help="Pixels; repeat for several.")
@threads_option
@rate_option(SPEED_BPP, "Rate at which the other codecs run.")
@rounds_option
@click.option("--memory/--no-memory", default=True, help="Also measure peak memory.")
def speed_command(
    dataset: str,
    data_dir: Path | None,
    crop: int | None,
    limit: int | None,
    codecs: tuple[str, ...],
    device: str,
    precision: Any,
    output: Path,
    sizes: tuple[str, ...],
    threads: int | None,
    bpp: float,
    rounds: int,
    memory: bool,
) -> None:
    """Encoding and decoding times in memory, in turns, beside other codecs.

    Writes results.json and speed.csv, and prints times, their ratios, and what dcn's consist of.
    """
    items = find_items(dataset, data_dir, crop, limit or SPEED_IMAGES, codecs)
    from dcncodec.bench import results, speed, tables
    from dcncodec.bench.codecs import specs

    chosen = specs(codecs or SPEED_CODECS, device=device, precision=precision)
    titles = {spec.name: spec.open().title for spec in chosen}
    run = results.Results(dataset, crop, titles, "", [], machine=results.machine())
    add_times(run, chosen, items, threads, bpp, sizes or speed.SIZES, rounds, memory=memory)
    run.write(output)
    for table in (tables.speed(run), tables.ratios(run), tables.breakdown(run)):
        show(table)
    end(run)


@command.command("coder")
@image_options
@codecs_option
@rate_option(CODER_BPP, "Rate of models for all rates; others have their own.")
@rounds_option
@click.option(
    "--instructions",
    type=click.Choice(["auto", "plain", "avx2", "vnni"]),
    default="auto",
    show_default=True,
    help="That evaluate context models; vnni is AVX-512's.",
)
def coder_command(
    dataset: str,
    data_dir: Path | None,
    crop: int | None,
    limit: int | None,
    codecs: tuple[str, ...],
    bpp: float,
    rounds: int,
    instructions: Any,
) -> None:
    """The coder of latents alone beside x265's encoding and FFmpeg's decoding of the same images.

    One thread, processor time, in turns, each image at the rate that the model gives it.
    """
    items = find_items(dataset, data_dir, crop, limit or SPEED_IMAGES, codecs)
    from dcncodec.bench import coder_speed
    from dcncodec.bench.codecs import specs

    chosen = specs(codecs or CODER_MODELS, device="cpu")
    images = [item.load() for item in items]
    with steps() as progress:
        rows = coder_speed.run(
            chosen, images, bpp=bpp, rounds=rounds, instructions=instructions, progress=progress
        )
    show(coder_speed.table(rows))


@command.command("compare")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
def compare_command(before: Path, after: Path) -> None:
    """Show what changed between two runs: their folders, or results.json in them."""
    from dcncodec.bench.compare import compare
    from dcncodec.bench.results import read

    changes = compare(read(before), read(after))
    for table in changes:
        show(table)
    if not changes:
        say("no difference")


@command.command("figure5")
@image_options
@codec_options
@run_options
@output_option("out/figures")
def figure5_command(
    dataset: str,
    data_dir: Path | None,
    crop: int | None,
    limit: int | None,
    codecs: tuple[str, ...],
    device: str,
    precision: Any,
    workers: int | None,
    cache_dir: Path | None,
    output: Path,
) -> None:
    """Figure 5 of the paper: SSIM over bits per pixel, with fitted curves."""
    items = find_items(dataset, data_dir, crop, limit, codecs)
    from dcncodec.bench.codecs import specs
    from dcncodec.bench.paper import figures
    from dcncodec.bench.results import Results
    from dcncodec.plotting import check, save_figure

    check()
    chosen = specs(codecs or FIGURE_CODECS, device=device, precision=precision)
    outcome = measure(chosen, items, workers, cache_dir, perceptual=False)
    titles = {spec.name: spec.open().title for spec in chosen}
    run = Results(dataset, crop, titles, "", outcome.points, outcome.failures)
    save_figure(figures.figure5(run), output, "figure5")
    say(f"{output / 'figure5.svg'}")
    end(run)


@command.command("figure6")
@image_options
@codec_options
@output_option("out/figures")
@click.option("--image", "names", multiple=True, metavar="NAME", help="Image; repeat for several.")
def figure6_command(
    dataset: str,
    data_dir: Path | None,
    crop: int | None,
    limit: int | None,
    codecs: tuple[str, ...],
    device: str,
    precision: Any,
    output: Path,
    names: tuple[str, ...],
) -> None:
    """Figure 6 of the paper: a dcn model beside JPEG of its SSIM and JPEG of its bits per pixel.

    The model is the first of --codec, by default dcn-32c.
    """
    items = find_items(dataset, data_dir, crop or PAPER_CROP, limit, codecs)
    from dcncodec.bench import viewer
    from dcncodec.bench.codecs import BaselineCodec, specs
    from dcncodec.bench.paper import figures
    from dcncodec.plotting import check, save_figure

    check()
    if unknown := set(names) - {item.name for item in items}:
        raise UsageError(f"--image {min(unknown)}: no such image in {dataset}")
    items = [item for item in items if item.name in names] if names else items[:2]
    reference = viewer.reference(specs(codecs or ("dcn",), device=device, precision=precision))
    if reference is None:
        raise UsageError("--codec: figure 6 needs dcn or a model")
    jpeg = specs(("jpeg",))[0].open()
    assert isinstance(jpeg, BaselineCodec)
    rows = []
    for item in items:
        pixels = item.load()
        rows.append((item.name, pixels, figures.versions(pixels, *reference, jpeg)))
    save_figure(figures.figure6(rows), output, "figure6")
    for name, _, versions in rows:
        for version in versions:
            say(f"{name}  {version.label}: {version.bpp:.3f} bpp, SSIM {version.ssim:.4f}")
    say(f"{output / 'figure6.png'}")
