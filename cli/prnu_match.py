"""``dcn forensics prnu match``, ``localise``: what fingerprints tell of photos."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcncodec.cli.batch import Batch, read_input, write_output
from dcncodec.cli.common import quiet_option
from dcncodec.cli.photos import plan_photos
from dcncodec.cli.plan import Job
from dcncodec.cli.streams import STREAM
from dcncodec.cli.warned import warned
from dcncodec.errors import ImageError
from dcncodec.notices import Notice

if TYPE_CHECKING:
    from dcncodec.forensics.prnu.fingerprint import Fingerprint
    from dcncodec.forensics.prnu.localise import Predictor
    from dcncodec.forensics.prnu.residual import Floats
    from dcncodec.models.card import ModelFolder

camera_option = partial(
    click.option, "--camera", required=True, metavar="NAME|PATH", help="Fingerprint."
)


@click.command("match")
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
                _warn_own(job, row["camera"], "which match whatever took them")
        return {"photo": job.name, "cameras": rows}

    Batch(plan, as_json, quiet).run(_source, load, convert, partial(_verdicts, search=search))


@click.command("localise")
@click.argument("paths", nargs=-1, required=True, metavar="PHOTO...")
@camera_option()
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

    def load() -> tuple[ModelFolder, Fingerprint, Predictor]:
        from dcncodec.forensics.prnu.folder import load_fingerprint, open_fingerprint
        from dcncodec.forensics.prnu.localise import Predictor

        folder = open_fingerprint(camera)
        predictor = Predictor.from_dict(folder.card["predictor"], str(folder.path))
        return folder, load_fingerprint(folder), predictor

    batch = Batch(plan, as_json, quiet)

    def convert(
        job: Job, photo: Path | bytes, loaded: tuple[ModelFolder, Fingerprint, Predictor]
    ) -> dict[str, Any]:
        from dcncodec.forensics.prnu.fingerprint import digest_of
        from dcncodec.forensics.prnu.localise import STEP, heat_map, localise, spread
        from dcncodec.forensics.prnu.match import THRESHOLD, match
        from dcncodec.forensics.prnu.photos import STANDARD, read_photo

        folder, fingerprint, predictor = loaded
        pixels = read_photo(photo, fingerprint.pipeline or STANDARD)
        whole = match(pixels, fingerprint)
        found = localise(pixels, fingerprint, predictor)
        if whole.pce < THRESHOLD:
            text = (
                f"does not match {folder.name} as a whole (PCE {whole.pce:.1f}): the map tells "
                "nothing"
            )
            warned(Notice("quality", text, job.name))
        own = digest_of(pixels) in folder.card["digests"]
        if own:
            _warn_own(job, folder.name, "whose map finds the fingerprint whatever was changed")
        if job.target:
            write_output(job.target, heat_map(pixels, found, predictor.window), force)
        changed = spread(found, pixels.shape, predictor.window) > 0.5
        return {
            "photo": job.name,
            "camera": folder.name,
            "own": own,
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


def _warn_own(job: Job, camera: str, what: str) -> None:
    """Say that a photo is a fingerprint's own, and what that makes of the answer."""
    text = f"is one of the photos that {camera} was estimated from, {what}"
    warned(Notice("quality", text, job.name))


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
