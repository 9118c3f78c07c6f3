"""``dcn recode``: .dcn files to .dcn files with the same latents; without torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dcncodec.cli.batch import Batch, read_input, write_output
from dcncodec.cli.common import (
    Command,
    StripCommand,
    entropy_option,
    file_options,
    jobs_option,
    strip_option,
    threads_option,
)
from dcncodec.cli.kinds import check_dcn_input, check_dcn_target
from dcncodec.cli.plan import Job, Kind, Plan, make_plan, same_file
from dcncodec.cli.work import Watch, choose_jobs, default_jobs, share_of
from dcncodec.errors import UsageError
from dcncodec.formats.packed import Metadata
from dcncodec.formats.suffixes import DCN
from dcncodec.notices import Notice
from dcncodec.records import replace

SMALL_BYTES = 2**20
"""Of files whose pictures are small."""


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
@jobs_option
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
    jobs: int | None,
    threads: int | None,
) -> None:
    """Code .dcn files anew, without decoding their pictures.

    The latents stay the same: what changes is their entropy mode, and metadata. One INPUT and
    OUTPUT, or any number of files, folders and quoted patterns with --output-dir. A - stands for
    standard input or output.
    """
    plan = make_plan(paths, output_dir, recursive, force, KIND)
    metadata = Metadata(*(_block(path, plan) for path in (icc, exif, xmp)))
    processes = choose_jobs(jobs, plan.jobs, default_jobs("cpu", threads), SMALL_BYTES)
    share = share_of(threads, processes)
    work = RecodeWork(entropy or "auto", stripped, metadata, model, share, max_pixels, force)
    Batch(plan, as_json, quiet).run_work(work, _describe, processes)


@dataclass(frozen=True)
class RecodeWork:
    """See ``Work``; its fields are the command's options."""

    entropy: Any
    stripped: frozenset[str]
    metadata: Metadata
    model: str | None
    threads: int | None
    max_pixels: int
    force: bool

    def read(self, job: Job) -> bytes:
        """See ``Work``."""
        return read_input(job.source)

    def load(self, watch: Watch) -> None:
        """See ``Work``."""

    def convert(self, job: Job, content: bytes, loaded: None, watch: Watch) -> dict[str, Any]:
        """See ``Work``."""
        from dcncodec.formats.layout import read_header
        from dcncodec.recoding import recode

        header = read_header(content)
        area = header.width * header.height
        watch.begin(job.name, area)

        def notify(notice: Notice) -> None:
            watch.notice(replace(notice, source=job.name))

        begin = time.perf_counter()
        coded = recode(
            content,
            entropy=self.entropy,
            strip=self.stripped,
            metadata=self.metadata,
            model=self.model,
            threads=self.threads,
            max_pixels=self.max_pixels or None,
            notify=notify,
            progress=watch.advance,
        )
        seconds = time.perf_counter() - begin
        write_output(job.target, coded, self.force)
        return {
            "input": job.source,
            "output": job.target,
            "input_bytes": len(content),
            "bytes": len(coded),
            "bpp": len(coded) * 8 / area,
            "width": header.width,
            "height": header.height,
            "model": header.model,
            "seconds": seconds,
        }


def _block(path: str | None, plan: Plan) -> bytes | None:
    """The content of a file that is to be put in, which is an input, too."""
    if path is None:
        return None
    for job in plan.jobs:
        if job.target and same_file(job.target, path):
            raise UsageError("is an input and would be lost; name another output", job.target)
    return read_input(path)


KIND = Kind(lambda: {DCN}, DCN, check_dcn_target, check_dcn_input)


def _describe(result: dict[str, Any]) -> str:
    change = result["bytes"] / result["input_bytes"] - 1
    return (
        f"{result['input']} -> {result['output']}: {result['bytes']:,} bytes, "
        f"{result['bpp']:.3f} bpp ({change:+.1%})"
    )
