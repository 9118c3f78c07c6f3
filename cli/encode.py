"""``dcn encode``: images to .dcn files."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from dcncodec.cli.batch import Batch, read_input, write_output
from dcncodec.cli.common import (
    Machine,
    StripCommand,
    entropy_option,
    file_options,
    jobs_option,
    machine_options,
    strip_option,
)
from dcncodec.cli.kinds import check_dcn_target
from dcncodec.cli.plan import Job, Kind, make_plan
from dcncodec.cli.work import Watch, choose_jobs, default_jobs, share_of
from dcncodec.encoder.effort import MAX_EFFORT, check_effort, passes_of
from dcncodec.encoder.quality import DEFAULT_NAME, NAMED, aim_of, only, parse_quality
from dcncodec.encoder.target import PASSES, RATES_TRIED, TARGETS
from dcncodec.errors import ImageError, UsageError
from dcncodec.formats.container import read
from dcncodec.formats.sections import SIGNATURE
from dcncodec.formats.suffixes import DCN, RAW
from dcncodec.models.registry import DEFAULT_MODEL, PAPER_MODELS, find_model

if TYPE_CHECKING:
    from dcncodec.codec import Codec
    from dcncodec.formats.image import Picture
    from dcncodec.models.card import ModelFolder

BARE_MODEL = PAPER_MODELS[1]
SMALL_BYTES = 4 * 2**20
"""Of files whose pictures are small."""


class _Quality(click.ParamType[Any]):
    name = "quality"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        try:
            return parse_quality(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in NAMED if name.startswith(incomplete)]


@click.command(cls=StripCommand)
@click.argument("paths", nargs=-1, required=True, metavar="INPUT... [OUTPUT]")
@click.option(
    "--quality",
    type=_Quality(),
    metavar="low|medium|high|0..100",
    help=f"{', '.join(f'{name}: {number}' for name, number in NAMED.items())}.  "
    f"[default: {DEFAULT_NAME}]",
)
@click.option("--target-size", type=int, metavar="BYTES", help="The best file that is not larger.")
@click.option("--target-bpp", type=float, metavar="B", help="The same in bits per pixel.")
@click.option(
    "--min-psnr", type=float, metavar="DB", help="The smallest file that is so alike, or nearly."
)
@click.option("--min-ssim", type=float, metavar="S", help="The same for SSIM, at most 1.")
@click.option("--min-msssim", type=float, metavar="S", help="The same for MS-SSIM.")
@click.option(
    "--effort",
    type=click.IntRange(0, MAX_EFFORT),
    default=0,
    show_default=True,
    help="More work for fewer bits at the same quality.",
)
@click.option(
    "--model",
    metavar="NAME|PATH",
    help="Another model, by name or weight folder. Those of one rate have no qualities, targets "
    f"and effort.  [default: {DEFAULT_MODEL}; {BARE_MODEL} for --bare]",
)
@entropy_option
@click.option(
    "--palette/--no-palette",
    default=True,
    show_default=True,
    help="Store text, line art and flat colours exactly where that is worth its bytes.",
)
@click.option("--bare", is_flag=True, help="Write the paper's bit-stream without a container.")
@strip_option("converted to sRGB")
@click.option("--metrics", is_flag=True, help="Decode again and report PSNR and SSIM.")
@file_options
@jobs_option
@machine_options
def command(
    paths: tuple[str, ...],
    quality: float | str | None,
    target_size: int | None,
    target_bpp: float | None,
    min_psnr: float | None,
    min_ssim: float | None,
    min_msssim: float | None,
    effort: int,
    model: str | None,
    entropy: Any,
    palette: bool,
    bare: bool,
    stripped: frozenset[str],
    metrics: bool,
    output_dir: Path | None,
    recursive: bool,
    force: bool,
    max_pixels: int,
    as_json: bool,
    quiet: bool,
    jobs: int | None,
    device: str,
    threads: int | None,
    precision: Any,
) -> None:
    """Compress images.

    One INPUT and OUTPUT (by default beside INPUT, with the suffix .dcn), or any number of files,
    folders and quoted patterns with --output-dir. A - stands for standard input or output.
    """
    values = (target_size, target_bpp, min_psnr, min_ssim, min_msssim)
    targets: dict[str, Any] = dict(zip(TARGETS, values, strict=True))
    given = {"quality": quality} | targets
    asked = only({f"--{name.replace('_', '-')}": value for name, value in given.items()})
    searching = asked is not None and quality is None
    if bare and asked is not None:
        raise UsageError(f"--bare has no rates; leave out {asked[0]}")
    if bare and effort:
        raise UsageError("--bare has no effort; leave out --effort")
    if bare and entropy not in {None, "channel"}:
        raise UsageError(f"--bare has one entropy mode, channel; leave out --entropy {entropy}")
    plan = make_plan(paths, output_dir, recursive, force, KIND)
    folder = None
    if plan.jobs:
        if model is None:
            model = BARE_MODEL if bare else DEFAULT_MODEL
        folder = find_model(model)
        # What the model does not have is said before the first picture is read.
        aim_of(folder, quality, None, targets)
        check_effort(effort, folder)
    processes = choose_jobs(jobs, plan.jobs, default_jobs(device, threads), SMALL_BYTES)
    work = EncodeWork(
        model=folder,
        options={"quality": quality, "effort": effort, "palette": palette} | targets,
        passes=(PASSES if searching else 1)
        + (RATES_TRIED if searching else 1) * passes_of(effort)
        + metrics,
        entropy=entropy or "auto",
        bare=bare,
        stripped=stripped,
        metrics=metrics,
        force=force,
        max_pixels=max_pixels,
        machine=Machine(device, share_of(threads, processes), precision),
    )
    Batch(plan, as_json, quiet).run_work(work, _describe, processes)


@dataclass(frozen=True)
class EncodeWork:
    """See ``Work``; its fields are the command's options.

    Attributes:
        model: None where there is nothing to do.
        options: ``quality``, ``effort``, ``palette`` and targets.
        passes: of the picture through the networks.
    """

    model: ModelFolder | None
    options: dict[str, Any]
    passes: int
    entropy: Any
    bare: bool
    stripped: frozenset[str]
    metrics: bool
    force: bool
    max_pixels: int
    machine: Machine

    def read(self, job: Job) -> Picture:
        """See ``Work``."""
        from dcncodec.formats.image import read_image, strip

        limit = self.max_pixels or None
        picture = read_image(read_input(job.source), max_pixels=limit, name=job.name)
        # Encoding passes the picture's notices on.
        return strip(picture, self.stripped)

    def load(self, watch: Watch) -> Codec:
        """See ``Work``."""
        assert self.model is not None
        return self.machine.codec(self.model, watch)

    def convert(self, job: Job, content: Picture, loaded: Codec, watch: Watch) -> dict[str, Any]:
        """See ``Work``."""
        picture, codec = content, loaded
        area = picture.width * picture.height
        watch.begin(job.name, area * self.passes)
        begin = time.perf_counter()
        if self.bare:
            data = codec.encode_bare(picture)
        else:
            data = codec.encode(picture, entropy=self.entropy, max_pixels=None, **self.options)
        seconds = time.perf_counter() - begin
        write_output(job.target, data, self.force)
        result = {
            "input": job.source,
            "output": job.target,
            "bytes": len(data),
            "bpp": len(data) * 8 / area,
            "width": picture.width,
            "height": picture.height,
            "model": codec.model.name,
            "seconds": seconds,
        }
        if self.metrics:
            from dcncodec.likeness import poor_quality, quality_of

            def rows(top: int, bottom: int) -> Picture:
                region = (0, top, picture.width, bottom)
                return codec.decode(data, region=region, max_pixels=None)

            figures = quality_of(picture, codec.decode_bare(data) if self.bare else rows)
            rate = read(data, max_pixels=None).rate if codec.geometry.rates else 0
            if (notice := poor_quality(figures, picture.source, rate)) is not None:
                watch.notice(notice)
            result |= figures
        return result


def _suffixes() -> set[str]:
    from dcncodec.formats.guard import suffixes_read

    return suffixes_read()


def _check_input(path: str, head: bytes) -> None:
    suffix = Path(path).suffix.lower()
    if head.startswith(SIGNATURE):
        raise UsageError("is a .dcn file already; 'dcn decode' makes a picture of it", path)
    if suffix in RAW:
        raise ImageError("is a camera's RAW file; 'dcn develop' makes a picture of it", path)


KIND = Kind(_suffixes, DCN, check_dcn_target, _check_input)


def _describe(result: dict[str, Any]) -> str:
    line = (
        f"{result['input']} -> {result['output']}: {result['bytes']:,} bytes, "
        f"{result['bpp']:.3f} bpp"
    )
    if result.get("psnr") is not None:
        line += f", PSNR {result['psnr']:.2f} dB"
    if result.get("ssim") is not None:
        line += f", SSIM {result['ssim']:.4f}"
    return line
