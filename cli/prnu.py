"""``dcn forensics prnu``: which camera took a photo, and which parts of it were changed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcncodec.cli.batch import Batch, read_input, write_output
from dcncodec.cli.checks import check_pipelines
from dcncodec.cli.common import progress_bar, quiet_option
from dcncodec.cli.lines import json_line, say, tell
from dcncodec.cli.photos import plan_photos
from dcncodec.cli.plan import Job
from dcncodec.cli.prnu_measure import processes_option, survive_command, transfer_command
from dcncodec.cli.streams import STREAM
from dcncodec.cli.warned import take_warnings, warned
from dcncodec.errors import ImageError, UsageError
from dcncodec.notices import Notice

if TYPE_CHECKING:
    from dcncodec.forensics.prnu.fingerprint import Estimator, Fingerprint
    from dcncodec.forensics.prnu.localise import Predictor
    from dcncodec.forensics.prnu.photos import Tally
    from dcncodec.forensics.prnu.residual import Floats
    from dcncodec.models.card import ModelFolder

ENOUGH = 20
"""Photos that a fingerprint should have."""
CONSISTENT = 0.1
"""NCC of the fingerprints of two halves, below which they have hardly anything in common."""

_camera_option = partial(
    click.option, "--camera", required=True, metavar="NAME|PATH", help="Fingerprint."
)


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
@_camera_option()
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


@command.command("match")
@click.argument("paths", nargs=-1, required=True, metavar="PHOTO...")
@click.option(
    "--camera",
    "cameras",
    multiple=True,
    required=True,
    metavar="NAME|PATH",
    help="Fingerprint; repeat for several.",
)
@click.option("--search", is_flag=True, help="PHOTO was cropped: try every place on the sensor.")
@click.option("-r", "--recursive", is_flag=True, help="Folders within folders, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a photo.")
@quiet_option
def match_command(
    paths: tuple[str, ...],
    cameras: tuple[str, ...],
    search: bool,
    recursive: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Did a camera take PHOTO? It did where the peak-to-correlation energy (PCE) is 60 or more.

    About one photo in 100,000 of other cameras reaches that. PHOTO is a picture, a .dcn or RAW
    file, a folder of such or a quoted pattern; not scaled, and turned as the sensor was. 'no match'
    is no proof: compression, scaling and denoising remove fingerprints. A match with a fingerprint
    that was estimated from the photo itself is none, either; a warning tells.
    """
    plan = plan_photos(paths, None, recursive, False, raw=True)

    def load() -> list[ModelFolder]:
        from dcncodec.forensics.prnu.folder import open_fingerprint

        return [open_fingerprint(camera) for camera in cameras]

    def convert(job: Job, photo: Path | bytes, folders: list[ModelFolder]) -> dict[str, Any]:
        rows = _matches(photo, folders, search)
        for row in rows:
            if row["own"]:
                text = (
                    f"is one of the photos that {row['camera']} was estimated from, which match "
                    "whatever took them"
                )
                warned(Notice("quality", text, job.name))
        return {"photo": job.name, "cameras": rows}

    Batch(plan, as_json, quiet).run(_source, load, convert, partial(_verdicts, search=search))


@command.command("localise")
@click.argument("paths", nargs=-1, required=True, metavar="PHOTO...")
@_camera_option()
@click.option(
    "--heatmap",
    type=click.Path(path_type=Path),
    help="Write the photo, its changed parts tinted: a .png file; for several photos a folder.",
)
@click.option("-r", "--recursive", is_flag=True, help="Folders within folders, too.")
@click.option("-f", "--force", is_flag=True, help="Replace heat maps that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print everything, window by window.")
@quiet_option
def localise_command(
    paths: tuple[str, ...],
    camera: str,
    heatmap: Path | None,
    recursive: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Which parts of each PHOTO, taken by a camera, lack its fingerprint?

    \b
    Example:
      dcn forensics prnu predictor more-photos/ --camera camera/ --window 65
      dcn forensics prnu localise photo.png --camera camera/ --heatmap map.png
    """
    plan = plan_photos(paths, heatmap, recursive, force, raw=True)

    def load() -> tuple[str, Fingerprint, Predictor]:
        from dcncodec.forensics.prnu.folder import load_fingerprint, open_fingerprint
        from dcncodec.forensics.prnu.localise import Predictor

        folder = open_fingerprint(camera)
        predictor = Predictor.from_dict(folder.card["predictor"], str(folder.path))
        return folder.name, load_fingerprint(folder), predictor

    batch = Batch(plan, as_json, quiet)

    def convert(
        job: Job, photo: Path | bytes, loaded: tuple[str, Fingerprint, Predictor]
    ) -> dict[str, Any]:
        from dcncodec.forensics.prnu.localise import STEP, heat_map, localise, spread
        from dcncodec.forensics.prnu.match import THRESHOLD, match
        from dcncodec.forensics.prnu.photos import STANDARD, read_photo

        name, fingerprint, predictor = loaded
        pixels = read_photo(photo, fingerprint.pipeline or STANDARD)
        whole = match(pixels, fingerprint)
        found = localise(pixels, fingerprint, predictor)
        if whole.pce < THRESHOLD:
            text = f"does not match {name} as a whole (PCE {whole.pce:.1f}): the map tells nothing"
            warned(Notice("quality", text, job.name))
        if job.target:
            write_output(job.target, heat_map(pixels, found, predictor.window), force)
        changed = spread(found, pixels.shape, predictor.window) > 0.5
        return {
            "photo": job.name,
            "camera": name,
            "match": whole.as_dict(),
            "share": round(float(changed.mean()), 4),
            "window": predictor.window,
            "stride": STEP,
            "probabilities": [[round(float(p), 3) for p in row] for row in found],
        }

    batch.run(_source, load, convert, _located)


def _source(job: Job) -> Path | bytes:
    """Where a photo is read from: RAW files only by their path."""
    return read_input(job.source) if job.source == STREAM else Path(job.source)


def _matches(photo: Path | bytes, folders: list[ModelFolder], search: bool) -> list[dict[str, Any]]:
    """A photo beside each camera, and whether the fingerprint was estimated from it, too;
    ImageError where none of them can have taken it."""
    from dcncodec.forensics.prnu.fingerprint import digest_of
    from dcncodec.forensics.prnu.folder import load_fingerprint
    from dcncodec.forensics.prnu.match import match_signals, photo_signals
    from dcncodec.forensics.prnu.photos import STANDARD, read_photo

    signals: dict[str, tuple[str, tuple[Floats, Floats]]] = {}
    rows: list[dict[str, Any]] = []
    for folder in folders:
        fingerprint = load_fingerprint(folder)
        pipeline = fingerprint.pipeline or STANDARD
        if pipeline not in signals:
            pixels = read_photo(photo, pipeline)
            signals[pipeline] = digest_of(pixels), photo_signals(pixels)
        digest, compared = signals[pipeline]
        try:
            found = match_signals(*compared, fingerprint, search).as_dict()
        except ImageError as error:
            if len(folders) == 1:
                raise
            found = {"verdict": "refused", "reason": str(error)}
        rows.append({"camera": folder.name, "own": digest in folder.card["digests"]} | found)
    if all(row["verdict"] == "refused" for row in rows):
        raise ImageError(rows[0]["reason"])
    return rows


def _verdicts(record: dict[str, Any], search: bool) -> str:
    lines = []
    for row in record["cameras"]:
        text = row.get("reason") or f"PCE {row['pce']:,.1f}, NCC {row['ncc']:.4f}"
        if search and "shift" in row:
            top, left = row["shift"]
            text += f", at column {left}, row {top} of the sensor"
        lines.append(f"{row['camera']}: {row['verdict']} ({text})")
    return f"{record['photo']}: {'; '.join(lines)}"


def _located(record: dict[str, Any]) -> str:
    return (
        f"{record['photo']}: {record['share'] * 100:.1f}% of it probably lacks the fingerprint of "
        f"{record['camera']} (PCE {record['match']['pce']:,.1f} as a whole)"
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
