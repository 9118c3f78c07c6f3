"""``dcn decode``: .dcn files to images."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import click

from dcncodec.cli.common import (
    file_options,
    jobs,
    machine_options,
    read_input,
    run_batch,
    set_threads,
    write_output,
)
from dcncodec.errors import UsageError


def _region(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    try:
        left, top, right, bottom = (int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter("give four whole numbers: left,top,right,bottom") from None
    return left, top, right, bottom


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="INPUT... [OUTPUT]")
@click.option(
    "--region",
    callback=_region,
    metavar="L,T,R,B",
    help="Decode only this part: left, top, right, bottom in pixels.",
)
@click.option("--model", metavar="NAME|PATH", help="The model, where it is not installed.")
@click.option("--bare", is_flag=True, help="INPUT is a bare bit-stream; needs --model.")
@click.option("--strip", is_flag=True, help="Leave ICC, EXIF and XMP metadata out.")
@click.option(
    "--format",
    "file_format",
    default=None,
    metavar="FORMAT",
    help="png, jpg, tif, webp, bmp, ppm or pgm, instead of by the output's suffix.",
)
@file_options
@machine_options
def command(
    paths: tuple[str, ...],
    region: Any,
    model: str | None,
    bare: bool,
    strip: bool,
    file_format: str | None,
    output_dir: Path | None,
    force: bool,
    max_pixels: int,
    as_json: bool,
    device: str,
    threads: int | None,
    precision: Any,
) -> None:
    """Decompress .dcn files.

    One INPUT and OUTPUT (by default beside INPUT, as PNG), or any number of files, folders and
    quoted patterns with --output-dir. A - stands for standard input or output.
    """
    if bare and model is None:
        raise UsageError("a bare stream does not name its model: give it with --model")
    if bare and region is not None:
        raise UsageError("--region needs a .dcn file, not a bare stream")
    suffix = "." + (file_format or "png").lower().lstrip(".")
    work = jobs(paths, output_dir, {".dcn"}, suffix)
    set_threads(threads)
    from dcncodec.codec import Codec, codec_for
    from dcncodec.formats.image import Picture, write_image

    given = Codec(model, device=device, precision=precision) if model else None

    def convert(source: str, target: str) -> dict[str, Any]:
        data = read_input(source)
        begin = time.perf_counter()
        codec = given or codec_for(data, device, precision)
        if bare:
            picture = codec.decode_bare(data)
        else:
            picture = codec.decode(data, region=region, max_pixels=max_pixels or None)
        seconds = time.perf_counter() - begin
        if strip:
            picture = Picture(picture.pixels, picture.alpha, picture.grey)
        if target == "-":
            buffer = io.BytesIO()
            write_image(picture, buffer, format=file_format)
            write_output(target, buffer.getvalue(), force)
        else:
            write_image(picture, Path(target), format=file_format, overwrite=force)
        return {
            "input": source,
            "output": target,
            "bytes": len(data),
            "width": picture.width,
            "height": picture.height,
            "model": codec.model.name,
            "seconds": seconds,
        }

    run_batch(work, convert, _describe, as_json)


def _describe(result: dict[str, Any]) -> str:
    return f"{result['input']} -> {result['output']}: {result['width']} x {result['height']} px"
