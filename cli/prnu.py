"""``dcn forensics prnu``: which camera took a photo, and which parts of it were changed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dcncodec.cli.checks import check_pipelines
from dcncodec.cli.common import progress_bar, quiet_option
from dcncodec.cli.lines import json_line, say, tell
from dcncodec.cli.prnu_match import camera_option, localise_command, match_command
from dcncodec.cli.prnu_measure import processes_option, survive_command, transfer_command
from dcncodec.cli.warned import take_warnings, warned
from dcncodec.errors import ImageError, UsageError

if TYPE_CHECKING:
    from dcncodec.forensics.prnu.fingerprint import Estimator, Fingerprint
    from dcncodec.forensics.prnu.photos import Tally

ENOUGH = 20
"""Photos that a fingerprint should have."""
CONSISTENT = 0.1
"""NCC of the fingerprints of two halves, below which they have hardly anything in common."""


@click.group()
def command() -> None:
    """Sensor fingerprints: which camera took a photo, and where was it changed?

    \b
    Example:
      dcn forensics prnu fingerprint photos/ -o camera/
      dcn forensics prnu match photo.png --camera camera/
    """


command.add_command(transfer_command)
command.add_command(survive_command)
command.add_command(match_command)
command.add_command(localise_command)


@command.command("fingerprint")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the fingerprint.")
@click.option("--add", metavar="NAME|PATH", help="Go on with the sums of this fingerprint.")
@click.option(
    "--pipeline",
    default="standard",
    show_default=True,
    metavar="NAME|PATH",
    help="What develops RAW files: standard, libraw, or a neural pipeline.",
)
@click.option("-f", "--force", is_flag=True, help="Replace the fingerprint if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print its card as JSON.")
@quiet_option
@processes_option
def fingerprint_command(
    sources: tuple[Path, ...],
    output: Path | None,
    add: str | None,
    pipeline: str,
    force: bool,
    as_json: bool,
    quiet: bool,
    processes: int | None,
) -> None:
    """Estimate the fingerprint of the camera that took all photos in SOURCES.

    They are folders with 20 photos or more, all of one size and whole as the sensor gave them;
    flat frames (of the sky, of a lit wall) are best, in focus or not. Or they are fingerprints,
    the photos of which are added.
    """
    from dcncodec.forensics.prnu.fingerprint import Estimator
    from dcncodec.forensics.prnu.folder import (
        check_target,
        load_sums,
        open_fingerprint,
        write_fingerprint,
    )
    from dcncodec.forensics.prnu.photos import LIBRAW

    if (output is None) == (add is None):
        raise UsageError("name the fingerprint: -o FOLDER for a new one, or --add FOLDER")
    check_pipelines([pipeline], LIBRAW)
    remarks: list[str] = []
    stale = False
    if add is None:
        assert output is not None
        if output.resolve() in {source.resolve() for source in sources}:
            raise UsageError("is an input and would be lost; name another folder", output)
        check_target(output, force)
        estimator, names, developed = Estimator(), [], ""
    else:
        folder = open_fingerprint(add)
        output, force = folder.path, True
        estimator, names = load_sums(folder), [folder.card["source"]]
        developed = folder.card["pipeline"]
        stale = bool(folder.card["predictor"])
    for source in sources:
        found, tally, used = _add(estimator, source, pipeline, processes, quiet)
        names.append(found)
        remarks += tally.remarks()
        developed = developed or used
    if estimator.photos < 2:
        listed = f" ({'; '.join(remarks)})" if remarks else ""
        raise ImageError(
            f"{', '.join(map(str, sources))}: a fingerprint needs 2 photos, better {ENOUGH} or "
            f"more; {estimator.photos} there{listed}"
        )
    made = write_fingerprint(output, estimator, ", ".join(names), developed, overwrite=force)
    if stale:
        warned(f"{output}: its predictor is of the smaller fingerprint; make it anew")
    for line in (*remarks, *_doubts(made)):
        warned(line)
    folder = open_fingerprint(output)
    if as_json:
        say(json_line(folder.card | {"warnings": take_warnings()}))
        return
    height, width = made.values.shape
    pce = made.expected_pce
    say(
        f"{output}: {made.photos} photos of {width} x {height} pixels"
        + (f"; expect a PCE of about {pce:,.0f}" if pce else "")
    )


@command.command("predictor")
@click.argument("source", type=click.Path(path_type=Path))
@camera_option()
@click.option(
    "--window",
    type=click.IntRange(17),
    default=129,
    show_default=True,
    help="Side in pixels of the windows that localise judges; odd.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the predictor as JSON.")
@quiet_option
@processes_option
def predictor_command(
    source: Path, camera: str, window: int, as_json: bool, quiet: bool, processes: int | None
) -> None:
    """Learn from unchanged photos in SOURCE how strong a camera's fingerprint is in what.

    'localise' needs that. Take other photos of the camera than those of its fingerprint.
    """
    from dcncodec.forensics.prnu.folder import (
        load_fingerprint,
        open_fingerprint,
        write_predictor,
    )
    from dcncodec.forensics.prnu.localise import Predictor
    from dcncodec.forensics.prnu.photos import photos_in, sample_photos

    if window % 2 == 0:
        raise UsageError(f"--window {window}: choose an odd number, so that it has a centre")
    folder = open_fingerprint(camera)
    files = photos_in(source)
    fingerprint = load_fingerprint(folder)
    work = sample_photos(files, fingerprint, window, _processes(processes))
    with progress_bar(str(source), len(files), work, quiet=quiet) as bar:
        samples = list(bar)
    predictor = Predictor.fit(samples, window)
    write_predictor(folder, predictor.as_dict())
    if as_json:
        say(json_line(predictor.as_dict() | {"warnings": take_warnings()}))
    else:
        say(
            f"{folder.path}: {len(samples)} photos; R2 {predictor.r2:.3f} in windows of {window} "
            "pixels"
        )


def _add(
    estimator: Estimator, source: Path, pipeline: str, processes: int | None, quiet: bool
) -> tuple[str, Tally, str]:
    """Add a folder: its description, what became of its photos, the pipeline of RAW files."""
    from dcncodec.forensics.prnu.folder import load_sums, open_fingerprint
    from dcncodec.forensics.prnu.photos import Tally, add_photos, is_raw, photos_in
    from dcncodec.models.card import CARD_FILE

    if (source / CARD_FILE).is_file():
        folder = open_fingerprint(source)
        estimator.merge(load_sums(folder))
        tally = Tally(int(folder.card["photos"]))
        return str(folder.card["source"]), tally, str(folder.card["pipeline"])
    files = photos_in(source)
    with progress_bar(str(source), len(files), quiet=quiet) as bar:
        tally = add_photos(
            estimator, files, pipeline, _processes(processes), partial(bar.update, 1)
        )
    if tally.flat and not quiet:
        tell(f"{source}: {tally.flat} of {tally.counted} photos are flat frames, the best kind")
    return source.resolve().name, tally, pipeline if any(map(is_raw, files)) else ""


def _doubts(made: Fingerprint) -> list[str]:
    """What a user should know of a weak fingerprint."""
    lines = []
    if made.photos < ENOUGH:
        pce = made.expected_pce
        expected = "no match is likely" if pce is None else f"expect a PCE of about {pce:,.0f}"
        lines.append(f"{made.photos} photos are few, {ENOUGH} are better: {expected}")
    if made.consistency is not None and made.consistency < CONSISTENT:
        lines.append(
            f"two halves of the photos hardly agree (NCC {made.consistency:.3f}): are they all of "
            "one camera, whole and not denoised?"
        )
    return lines


def _processes(wanted: int | None) -> int:
    from dcncodec.forensics.prnu.parallel import cores

    return wanted or cores()
