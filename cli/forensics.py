"""``dcn forensics``: measure forensic networks, and ask them about photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcncodec.cli import (
    forensics_calibrate,
    forensics_evaluate,
    forensics_localise,
    forensics_masks,
    forensics_sweep,
    prnu,
)
from dcncodec.cli.batch import Batch, read_input, write_output
from dcncodec.cli.checks import check_model
from dcncodec.cli.common import load_torch, quiet_option, show_card, threads_option
from dcncodec.cli.lines import json_line, say
from dcncodec.cli.photos import plan_photos
from dcncodec.cli.plan import Job
from dcncodec.cli.warned import take_warnings, warned
from dcncodec.errors import UsageError
from dcncodec.formats.sections import SIGNATURE
from dcncodec.models.roles import Role

if TYPE_CHECKING:
    from dcncodec.forensics.detect import FanJudge
    from dcncodec.formats.image import Picture


@click.group()
def command() -> None:
    """Tell how photos were manipulated, after compression, and which camera took them."""


command.add_command(prnu.command, "prnu")
command.add_command(forensics_evaluate.command, "evaluate")
command.add_command(forensics_calibrate.command, "calibrate")
command.add_command(forensics_sweep.command, "sweep")
command.add_command(forensics_localise.command, "localise")
command.add_command(forensics_masks.forge_command, "forge")
command.add_command(forensics_masks.evaluate_command, "evaluate-masks")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model: its card.")
@quiet_option
def list_command(as_json: bool, quiet: bool) -> None:
    """One line for every installed forensic model: what its FAN looks through, and its classes.

    A FAN that is not calibrated leaves all undecided.
    """
    from dcncodec.forensics.folder import list_forensic

    for folder in list_forensic():
        if as_json:
            say(json_line(folder.card | {"warnings": take_warnings()}))
        else:
            codec = f" ({folder.card['codec']['name']})" if folder.card["codec"] else ""
            half = ", halved" if folder.downsample else ""
            channel = f"{folder.channel}{codec}{half}"
            remark = " (not calibrated)" if folder.calibration is None else ""
            say(f"{folder.name:<18} {channel:<24} {','.join(folder.classes)}{remark}")


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="The card as JSON.")
@quiet_option
def show_command(name: str, as_json: bool, quiet: bool) -> None:
    """Print the card of forensic model NAME (or of a folder)."""
    from dcncodec.forensics.folder import open_forensic

    folder = open_forensic(name)
    show_card(folder.model.card_path, folder.card, as_json)


@command.command("detect")
@click.argument("paths", nargs=-1, required=True, metavar="PHOTO...")
@click.option(
    "--fan",
    metavar="NAME|PATH",
    help="Forensic folder.  [default: the one that knows the model of a .dcn file]",
)
@click.option(
    "--heatmap",
    type=click.Path(path_type=Path),
    help="Write the photo with its places tinted: a .png file; for several photos a folder.",
)
@click.option("-r", "--recursive", is_flag=True, help="Folders within folders, too.")
@click.option("-f", "--force", is_flag=True, help="Replace heat maps that exist.")
@click.option(
    "--false-alarm",
    type=click.Choice(["0.01", "0.05"]),
    default="0.05",
    show_default=True,
    help="Share of untouched photos that may be called manipulated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything, the map as well.")
@quiet_option
@threads_option
def detect_command(
    paths: tuple[str, ...],
    fan: str | None,
    heatmap: Path | None,
    recursive: bool,
    force: bool,
    false_alarm: str,
    as_json: bool,
    quiet: bool,
    threads: int | None,
) -> None:
    """Whether each PHOTO is native or was manipulated, and how: as a whole and in its parts.

    PHOTO is a file, a folder or a quoted pattern; - alone stands for standard input. The answer is
    native, manipulated or undecided, at a rate of false alarms that "dcn forensics calibrate" has
    measured; without that it is always undecided. A flat photo cannot be judged.

    \b
    Examples:
      dcn forensics detect photo.dcn --heatmap map.png
      dcn forensics detect --false-alarm 0.01 -r photos/ --fan fan-spectral --heatmap maps/
    """
    plan = plan_photos(paths, heatmap, recursive, force)
    check_model(fan, Role.FAN)

    def read(job: Job) -> bytes | Picture:
        from dcncodec.formats.image import read_image

        data = read_input(job.source)
        if data.startswith(SIGNATURE):
            return data
        if fan is None:
            raise UsageError("no .dcn file; say with --fan which FAN knows its channel", job.name)
        return read_image(data, name=job.name)

    def load() -> None:
        load_torch(threads)

    judges: dict[Path, FanJudge] = {}

    def convert(job: Job, content: bytes | Picture, _: None) -> dict[str, Any]:
        from dcncodec.forensics.detect import FanJudge, open_photo
        from dcncodec.forensics.judge import heat_map

        pixels, folder = open_photo(content, job.name, fan, notify=warned)
        judge = judges.setdefault(folder.path, FanJudge(folder, float(false_alarm)))
        detection = judge.judge(pixels)
        if job.target:
            write_output(job.target, heat_map(pixels, detection), force)
        return {"photo": job.name, **detection.as_dict()}

    Batch(plan, as_json, quiet).run(read, load, convert, _verdict)


def _verdict(record: dict[str, Any]) -> str:
    photo, fan = record["photo"], record["fan"]
    if not record["judged"]:
        return f"{photo}: cannot be judged, it is flat (by {fan})"
    answer, probabilities = record["verdict"], record["probabilities"]
    if record["class"] is not None:
        where = "" if record["extent"] == "whole" else " in part"
        answer = f"{answer}{where}: {record['class']}"
    elif answer == "undecided":
        likely = max(probabilities, key=lambda name: probabilities[name])
        answer += f", {likely} is the most probable ({probabilities[likely]:.0%})"
    if record["false_alarm"] is None:
        answer += "; not calibrated, see dcn forensics calibrate"
    else:
        answer += f"; false alarms {record['false_alarm']:.0%}"
    shares = (f"{share:.0%} {name}" for name, share in record["shares"].items() if share >= 0.005)
    return f"{photo}: {answer} (by {fan}); places: {', '.join(shares)}"
