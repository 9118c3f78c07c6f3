"""``dcn encode``: images to .dcn files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcncodec.cli.batch import Batch, read_input, write_output
from dcncodec.cli.common import (
    StripCommand,
    entropy_option,
    file_options,
    load_torch,
    machine_options,
    strip_option,
)
from dcncodec.cli.kinds import check_dcn_target
from dcncodec.cli.plan import Job, Kind, make_plan
from dcncodec.errors import ImageError, UsageError
from dcncodec.formats.sections import SIGNATURE
from dcncodec.formats.suffixes import DCN, RAW

if TYPE_CHECKING:
    from dcncodec.codec import Codec
    from dcncodec.formats.image import Picture


@click.command(cls=StripCommand)
@click.argument("paths", nargs=-1, required=True, metavar="INPUT... [OUTPUT]")
@click.option(
    "--quality",
    type=click.Choice(["low", "medium", "high"]),
    help="Which bundled model encodes.  [default: medium]",
)
@click.option("--model", metavar="NAME|PATH", help="Another model, by name or weight folder.")
@entropy_option
@click.option("--bare", is_flag=True, help="Write the paper's bit-stream without a container.")
@strip_option("converted to sRGB")
@click.option("--metrics", is_flag=True, help="Decode again and report PSNR and SSIM.")
@file_options
@machine_options
def command(
    paths: tuple[str, ...],
    quality: str | None,
    model: str | None,
    entropy: Any,
    bare: bool,
    stripped: frozenset[str],
    metrics: bool,
    output_dir: Path | None,
    recursive: bool,
    force: bool,
    max_pixels: int,
    as_json: bool,
    quiet: bool,
    device: str,
    threads: int | None,
    precision: Any,
) -> None:
    """Compress images.

    One INPUT and OUTPUT (by default beside INPUT, with the suffix .dcn), or any number of files,
    folders and quoted patterns with --output-dir. A - stands for standard input or output.
    """
    if quality is not None and model is not None:
        raise UsageError("--quality names a bundled model and --model another; give one of them")
    if bare and entropy not in {None, "channel"}:
        raise UsageError(f"--bare has one entropy mode, channel; leave out --entropy {entropy}")
    plan = make_plan(paths, output_dir, recursive, force, KIND)
    from dcncodec.models.registry import QUALITIES, find_model

    folder = find_model(model or QUALITIES[quality or DEFAULT_QUALITY]) if plan.jobs else None
    batch = Batch(plan, as_json, quiet)

    def read(job: Job) -> Picture:
        from dcncodec.formats.image import read_image, strip

        picture = read_image(read_input(job.source), max_pixels=max_pixels or None, name=job.name)
        # Encoding passes the picture's notices on.
        return strip(picture, stripped)

    def load() -> Codec:
        load_torch(threads)
        from dcncodec.codec import Codec

        assert folder is not None
        display = batch.display
        return Codec(
            folder,
            device=device,
            precision=precision,
            notify=display.notice,
            progress=display.advance,
        )

    def convert(job: Job, picture: Picture, codec: Codec) -> dict[str, Any]:
        area = picture.width * picture.height
        batch.display.begin(job.name, area * (1 + metrics))
        begin = time.perf_counter()
        if bare:
            data = codec.encode_bare(picture)
        else:
            data = codec.encode(picture, entropy=entropy or "auto", max_pixels=None)
        seconds = time.perf_counter() - begin
        write_output(job.target, data, force)
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
        if metrics:
            from dcncodec.metrics import poor_quality, quality_of

            def rows(top: int, bottom: int) -> Picture:
                region = (0, top, picture.width, bottom)
                return codec.decode(data, region=region, max_pixels=None)

            figures = quality_of(picture, codec.decode_bare(data) if bare else rows)
            if (notice := poor_quality(figures, picture.source)) is not None:
                batch.display.notice(notice)
            result |= figures
        return result

    batch.run(read, load, convert, _describe)


def _suffixes() -> set[str]:
    from dcncodec.formats.guard import suffixes_read

    return suffixes_read()


def _check_input(path: str, head: bytes) -> None:
    suffix = Path(path).suffix.lower()
    if head.startswith(SIGNATURE):
        raise UsageError(f"{path}: is a .dcn file already; 'dcn decode' makes a picture of it")
    if suffix in RAW:
        raise ImageError(f"{path}: is a camera's RAW file; 'dcn develop' makes a picture of it")


DEFAULT_QUALITY = "medium"
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
