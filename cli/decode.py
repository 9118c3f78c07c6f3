"""``dcn decode``: .dcn files to images."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcncodec.cli.batch import Batch, read_input
from dcncodec.cli.common import (
    Machine,
    StripCommand,
    file_options,
    jobs_option,
    machine_options,
    strip_option,
)
from dcncodec.cli.kinds import check_dcn_input
from dcncodec.cli.plan import Job, Kind, make_plan, read_head
from dcncodec.cli.streams import STREAM, write_stream
from dcncodec.cli.work import Watch, choose_jobs, default_jobs, share_of
from dcncodec.errors import UsageError
from dcncodec.formats.files import make_folder
from dcncodec.formats.sections import SIGNATURE
from dcncodec.formats.suffixes import DCN, WRITTEN, is_picture
from dcncodec.runtime.engine import choose_threads

if TYPE_CHECKING:
    from dcncodec.codec import Codec
    from dcncodec.formats.header import Header
    from dcncodec.formats.image import Picture
    from dcncodec.formats.reader import Reader
    from dcncodec.models.card import ModelFolder
    from dcncodec.notices import Notify

SMALL_BYTES = 2**20
"""Of files whose pictures are small."""


def _region(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    try:
        left, top, right, bottom = (int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter("give four whole numbers: left,top,right,bottom") from None
    return left, top, right, bottom


def _format(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    name = value.lower().removeprefix(".")
    if f".{name}" not in WRITTEN:
        raise click.BadParameter(f"{value}: choose one of {', '.join(s[1:] for s in WRITTEN)}")
    return name


@click.command(cls=StripCommand)
@click.argument("paths", nargs=-1, required=True, metavar="INPUT... [OUTPUT]")
@click.option(
    "--region",
    callback=_region,
    metavar="L,T,R,B",
    help="Decode only this part: left, top, right, bottom in pixels.",
)
@click.option("--model", metavar="NAME|PATH", help="The model, where it is not installed.")
@click.option("--bare", is_flag=True, help="INPUT is a bare bit-stream; needs --model.")
@strip_option("converted to sRGB")
@click.option(
    "--format",
    "file_format",
    callback=_format,
    metavar="FORMAT",
    help="png, jpg, tif, webp, bmp, ppm, pgm or avif, instead of by the output's suffix.",
)
@file_options
@jobs_option
@machine_options
def command(
    paths: tuple[str, ...],
    region: Any,
    model: str | None,
    bare: bool,
    stripped: frozenset[str],
    file_format: str | None,
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
    """Decompress .dcn files.

    One INPUT and OUTPUT (by default beside INPUT, as PNG), or any number of files, folders and
    quoted patterns with --output-dir. A - stands for standard input or output.
    """
    if bare and model is None:
        raise UsageError("a bare stream does not name its model: give it with --model")
    if bare and region is not None:
        raise UsageError("--region needs a .dcn file, not a bare stream")
    suffix = f".{file_format or 'png'}"
    kind = Kind(lambda: {DCN}, suffix, partial(_check_target, file_format))
    if not bare:
        kind = replace(kind, check_input=check_dcn_input)
    plan = make_plan(paths, output_dir, recursive, force, kind)
    from dcncodec.models.registry import find_model

    given = find_model(model) if model is not None and plan.jobs else None
    processes = choose_jobs(jobs, plan.jobs, default_jobs(device, threads), SMALL_BYTES)
    work = DecodeWork(
        region=region,
        model=given,
        bare=bare,
        stripped=stripped,
        file_format=file_format,
        force=force,
        max_pixels=max_pixels,
        machine=Machine(device, share_of(threads, processes), precision),
    )
    Batch(plan, as_json, quiet).run_work(work, _describe, processes)


@dataclass(frozen=True)
class DecodeWork:
    """See ``Work``; its fields are the command's options."""

    region: Any
    model: ModelFolder | None
    bare: bool
    stripped: frozenset[str]
    file_format: str | None
    force: bool
    max_pixels: int
    machine: Machine

    def read(self, job: Job) -> tuple[bytes, Reader | None, ModelFolder | None]:
        """See ``Work``: the bytes, the file in them if they are one, and the model that it names,
        None where no pixel needs it."""
        from dcncodec.assembly import all_exact
        from dcncodec.entropy import check_model
        from dcncodec.formats import container
        from dcncodec.models.registry import find_by_prefix

        data = read_input(job.source)
        if self.bare:
            if data.startswith(SIGNATURE):
                raise UsageError("is a .dcn file, no bare stream; leave out --bare", job.name)
            assert self.model is not None
            return data, None, self.model
        file = container.read(data, max_pixels=None)
        header = file.header
        area = header.plane if self.region is None else header.region(*self.region)
        if self.model is not None:
            check_model(header, self.model)
            return data, file, self.model
        if all_exact(file, area):
            return data, file, None
        return data, file, find_by_prefix(header.model, header.model_hash, file.coding)

    def load(self, watch: Watch) -> Callable[[Path], Codec]:
        """See ``Work``: a function that opens models."""

        def open_codec(path: Path) -> Codec:
            return self.machine.codec(path, watch)

        # Files of a batch mostly name the same model.
        return lru_cache(maxsize=4)(open_codec)

    def convert(
        self,
        job: Job,
        content: tuple[bytes, Reader | None, ModelFolder | None],
        loaded: Callable[[Path], Codec],
        watch: Watch,
    ) -> dict[str, Any]:
        """See ``Work``."""
        from dcncodec.assembly import decode_exact

        data, file, folder = content
        begin = time.perf_counter()
        limit = self.max_pixels or None
        picture = None
        if file is not None:
            watch.begin(job.name, _pixels(file.header, self.region))
            picture = decode_exact(file, region=self.region, max_pixels=limit, notify=watch.notice)
            name = file.header.model
        if picture is None:
            assert folder is not None
            name = folder.name
            codec = loaded(folder.path)
            if file is None:
                picture = codec.decode_bare(data)
            else:
                picture = codec.decode(file, region=self.region, max_pixels=limit)
        seconds = time.perf_counter() - begin
        if self.stripped:
            from dcncodec.formats.srgb import strip

            picture = strip(picture, self.stripped)
        for notice in picture.notices:
            watch.notice(notice)
        self._write(job, picture, watch.notice)
        return {
            "input": job.source,
            "output": job.target,
            "bytes": len(data),
            "width": picture.width,
            "height": picture.height,
            "model": name,
            "seconds": seconds,
        }

    def _write(self, job: Job, picture: Picture, notify: Notify) -> None:
        from dcncodec.formats.writing import write_image

        write = partial(
            write_image,
            picture,
            format=self.file_format,
            notify=notify,
            threads=choose_threads(self.machine.threads),
        )
        if job.target == STREAM:
            buffer = io.BytesIO()
            write(buffer)
            write_stream(buffer.getbuffer())
            return
        make_folder(Path(job.target).parent)
        write(Path(job.target), overwrite=self.force)


def _pixels(header: Header, region: Any) -> int:
    """How many will be decoded."""
    left, top, right, bottom = region or (0, 0, header.width, header.height)
    return int((right - left) * (bottom - top))


def _check_target(file_format: str | None, path: str) -> None:
    """Refuse suffixes of what is not written, and of other formats than the one asked for."""
    suffix = Path(path).suffix.lower()
    if file_format is None and suffix not in WRITTEN:
        several = "; several inputs need an output folder: -d" if suffix == DCN else ""
        raise UsageError(
            f"no image format is called {suffix or '(no suffix)'!r}; choose one of "
            f"{', '.join(WRITTEN)}, or say --format{several}",
            path,
        )
    known = is_picture(suffix) or suffix == DCN
    if file_format is not None and known and WRITTEN.get(suffix) != WRITTEN[f".{file_format}"]:
        raise UsageError(
            f"would hold {file_format}, but {suffix} is the suffix of another format; "
            "several inputs need an output folder: -d",
            path,
        )
    try:
        taken = Path(path).is_file() and read_head(path).startswith(SIGNATURE)
    except (OSError, ValueError):
        return
    if taken:
        raise UsageError(
            "is a .dcn file and would be lost; name another output, or an output folder with -d",
            path,
        )


def _describe(result: dict[str, Any]) -> str:
    return f"{result['input']} -> {result['output']}: {result['width']} x {result['height']} px"
