"""``dcn forensics localise``: where photos were manipulated."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcncodec.cli.batch import Batch, read_input, write_output
from dcncodec.cli.common import load_torch, machine_options, quiet_option
from dcncodec.cli.photos import add_outputs, plan_photos
from dcncodec.cli.plan import Job

if TYPE_CHECKING:
    from dcncodec.forensics.trace.localise import Localiser

DEFAULT = "trace-8"


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PHOTO...")
@click.option(
    "--model", default=DEFAULT, show_default=True, metavar="NAME|PATH", help="Localising network."
)
@click.option(
    "--heatmap",
    type=click.Path(path_type=Path),
    help="Write the photo, its manipulated parts tinted: a .png file; for several photos a folder.",
)
@click.option(
    "--map",
    "numbers",
    type=click.Path(path_type=Path),
    help="Write probabilities, float32, one a pixel: a .npy file; for several photos a folder.",
)
@click.option("-r", "--recursive", is_flag=True, help="Folders within folders, too.")
@click.option("-f", "--force", is_flag=True, help="Replace heat maps and maps that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print everything, a coarse map as well.")
@quiet_option
@machine_options
def command(
    paths: tuple[str, ...],
    model: str,
    heatmap: Path | None,
    numbers: Path | None,
    recursive: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
    device: str,
    threads: int | None,
    precision: Any,
) -> None:
    """Which parts of each PHOTO do not belong to the rest: pasted, moved, removed, retouched.

    PHOTO is a picture, a .dcn file, a folder of such or a quoted pattern; - alone stands for
    standard input. Nothing needs to be known of the camera or the codec. What was done to all of a
    photo alike is not found; small regions, and photos that were scaled down, less surely.

    \b
    Example:
      dcn forensics localise photo.jpg --heatmap map.png --map map.npy
    """
    plan = plan_photos(paths, heatmap, recursive, force)
    maps = add_outputs(plan, paths, numbers, ".npy", recursive, force)
    batch = Batch(plan, as_json, quiet)

    def load() -> Localiser:
        load_torch(threads)
        from dcncodec.forensics.trace.localise import Localiser
        from dcncodec.models.registry import find_model
        from dcncodec.models.roles import Role
        from dcncodec.runtime.devices import choose_device, choose_precision

        place = choose_device(device)
        return Localiser(
            find_model(model, Role.LOCALISER), place, choose_precision(precision, place)
        )

    def convert(job: Job, content: bytes, judge: Localiser) -> dict[str, Any]:
        import numpy as np

        from dcncodec.forensics.judge import heat_map, read_photo
        from dcncodec.forensics.trace.localise import no_photo

        pixels = read_photo(content, job.name, batch.display.notice)
        batch.display.begin(job.name, pixels.shape[0] * pixels.shape[1])
        found = judge.judge(pixels, batch.display.advance)
        if (notice := no_photo(pixels, job.name)) is not None:
            batch.display.notice(notice)
        if job.target:
            write_output(job.target, heat_map(pixels, found), force)
        if job.source in maps:
            file = io.BytesIO()
            np.save(file, found.probabilities)
            write_output(maps[job.source], file.getvalue(), force)
        return {"photo": job.name, **found.as_dict()}

    batch.run(lambda job: read_input(job.source), load, convert, _line)


def _line(record: dict[str, Any]) -> str:
    answer = record["verdict"]
    if record["false_alarm"] is None:
        answer += ", not calibrated"
    else:
        answer += f" (score {record['score']:.3f}, threshold {record['threshold']:.3f}"
        answer += f"; false alarms {record['false_alarm']:.0%})"
    return f"{record['photo']}: {answer}; {record['share']:.1%} of it probably manipulated"
