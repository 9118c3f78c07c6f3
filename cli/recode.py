"""``dcn recode``: .dcn files to .dcn files with the same latents; without torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dcncodec.cli.batch import Batch, read_input, write_output
from dcncodec.cli.common import (
    Command,
    StripCommand,
    entropy_option,
    file_options,
    strip_option,
    threads_option,
)
from dcncodec.cli.kinds import check_dcn_input, check_dcn_target
from dcncodec.cli.plan import Job, Kind, Plan, make_plan, same_file
from dcncodec.errors import UsageError
from dcncodec.formats.packed import Metadata
from dcncodec.formats.suffixes import DCN
from dcncodec.notices import Notice


def _block_option(name: str, what: str) -> Callable[[Command], Command]:
    return click.option(
        f"--{name}",
        metavar="FILE",
        help=f"Put the {what} in FILE in the place of the file's own.",
    )


@click.command(cls=StripCommand)
@click.argument("paths", nargs=-1, required=True, metavar="INPUT... [OUTPUT]")
@entropy_option
@strip_option("taken as sRGB")
@_block_option("icc", "ICC profile")
@_block_option("exif", "EXIF block (a TIFF structure)")
@_block_option("xmp", "XMP packet")
@click.option("--model", metavar="NAME|PATH", help="The model, where it is not installed.")
@file_options
@threads_option
def command(
    paths: tuple[str, ...],
    entropy: Any,
    stripped: frozenset[str],
    icc: str | None,
    exif: str | None,
    xmp: str | None,
    model: str | None,
    output_dir: Path | None,
    recursive: bool,
    force: bool,
    max_pixels: int,
    as_json: bool,
    quiet: bool,
    threads: int | None,
) -> None:
    """Code .dcn files anew, without decoding their pictures.

    The latents stay the same: what changes is their entropy mode, and metadata. One INPUT and
    OUTPUT, or any number of files, folders and quoted patterns with --output-dir. A - stands for
    standard input or output.
    """
    plan = make_plan(paths, output_dir, recursive, force, KIND)
    metadata = Metadata(*(_block(path, plan) for path in (icc, exif, xmp)))
    batch = Batch(plan, as_json, quiet)

    def read(job: Job) -> bytes:
        return read_input(job.source)

    def convert(job: Job, data: bytes, _: None) -> dict[str, Any]:
        from dcncodec.formats.reader import read_header
        from dcncodec.recoding import recode

        header = read_header(data)
        area = header.width * header.height
        batch.display.begin(job.name, area)

        def notify(notice: Notice) -> None:
            batch.display.notice(replace(notice, source=job.name))

        begin = time.perf_counter()
        coded = recode(
            data,
            entropy=entropy or "auto",
            strip=stripped,
            metadata=metadata,
            model=model,
            threads=threads,
            max_pixels=max_pixels or None,
            notify=notify,
            progress=batch.display.advance,
        )
        seconds = time.perf_counter() - begin
        write_output(job.target, coded, force)
        return {
            "input": job.source,
            "output": job.target,
            "input_bytes": len(data),
            "bytes": len(coded),
            "bpp": len(coded) * 8 / area,
            "width": header.width,
            "height": header.height,
            "model": header.model,
            "seconds": seconds,
        }

    batch.run(read, lambda: None, convert, _describe)


def _block(path: str | None, plan: Plan) -> bytes | None:
    """The content of a file that is to be put in, which is an input, too."""
    if path is None:
        return None
    for job in plan.jobs:
        if job.target and same_file(job.target, path):
            raise UsageError(f"{job.target}: is an input and would be lost; name another output")
    return read_input(path)


KIND = Kind(lambda: {DCN}, DCN, check_dcn_target, check_dcn_input)


def _describe(result: dict[str, Any]) -> str:
    change = result["bytes"] / result["input_bytes"] - 1
    return (
        f"{result['input']} -> {result['output']}: {result['bytes']:,} bytes, "
        f"{result['bpp']:.3f} bpp ({change:+.1%})"
    )
