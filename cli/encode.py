"""``dcn encode``: images to .dcn files."""

from __future__ import annotations

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


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="INPUT... [OUTPUT]")
@click.option(
    "--quality",
    type=click.Choice(["low", "medium", "high"]),
    default="medium",
    show_default=True,
    help="Which bundled model encodes.",
)
@click.option("--model", metavar="NAME|PATH", help="Another model, by name or weight folder.")
@click.option(
    "--entropy",
    type=click.Choice(["auto", "channel", "global"]),
    default="auto",
    show_default=True,
    help="How channels are coded; auto takes the smaller.",
)
@click.option("--bare", is_flag=True, help="Write the paper's bit-stream without a container.")
@click.option("--strip", is_flag=True, help="Leave ICC, EXIF and XMP metadata out.")
@click.option("--metrics", is_flag=True, help="Decode again and report PSNR and SSIM.")
@file_options
@machine_options
def command(
    paths: tuple[str, ...],
    quality: str,
    model: str | None,
    entropy: Any,
    bare: bool,
    strip: bool,
    metrics: bool,
    output_dir: Path | None,
    force: bool,
    max_pixels: int,
    as_json: bool,
    device: str,
    threads: int | None,
    precision: Any,
) -> None:
    """Compress images.

    One INPUT and OUTPUT (by default beside INPUT, with the suffix .dcn), or any number of files,
    folders and quoted patterns with --output-dir. A - stands for standard input or output.
    """
    from dcncodec.formats.image import read_image, suffixes_read

    work = jobs(paths, output_dir, suffixes_read(), ".dcn")
    set_threads(threads)
    from dcncodec.codec import Codec
    from dcncodec.metrics import quality_of
    from dcncodec.models.registry import QUALITIES

    codec = Codec(model or QUALITIES[quality], device=device, precision=precision)

    def convert(source: str, target: str) -> dict[str, Any]:
        name = "standard input" if source == "-" else source
        content = read_input(source)
        picture = read_image(content, max_pixels=max_pixels or None, name=name)
        begin = time.perf_counter()
        if bare:
            data = codec.encode_bare(picture)
        else:
            data = codec.encode(picture, entropy=entropy, keep_metadata=not strip, max_pixels=None)
        seconds = time.perf_counter() - begin
        write_output(target, data, force)
        result = {
            "input": source,
            "output": target,
            "bytes": len(data),
            "bpp": len(data) * 8 / (picture.width * picture.height),
            "width": picture.width,
            "height": picture.height,
            "model": codec.model.name,
            "seconds": seconds,
        }
        if metrics:
            decoded = codec.decode_bare(data) if bare else codec.decode(data, max_pixels=None)
            result |= quality_of(picture, decoded)
        return result

    run_batch(work, convert, _describe, as_json)


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
