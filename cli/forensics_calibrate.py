"""``dcn forensics calibrate``: thresholds of verdicts, at known rates of false alarms."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import click

from dcncodec.cli.common import load_torch, threads_option
from dcncodec.cli.lines import json_line, say
from dcncodec.forensics.parts import PARTS, Part


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME|PATH...")
@click.option(
    "--data",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of photos that no training has seen, and that nothing is reported of.",
)
@click.option(
    "--part",
    type=click.Choice(PARTS),
    default="tune",
    show_default=True,
    help="Of the photos; their names decide.",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first photos.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a FAN.")
@threads_option
def command(
    names: tuple[str, ...],
    folder: Path,
    part: Part,
    limit: int | None,
    as_json: bool,
    threads: int | None,
) -> None:
    """Measure the scores of photos to which nothing was done, and write thresholds into the cards.

    \b
    Example:
      dcn forensics calibrate dcn-16c-forensic --data pristine/
    """
    load_torch(threads)
    from dcncodec.forensics.calibration import measure
    from dcncodec.forensics.folder import open_forensic
    from dcncodec.forensics.photos import Photos
    from dcncodec.forensics.verdict import ENTRY
    from dcncodec.models.card import read_model, write_model_card

    photos = Photos(folder, limit, part)
    for fan in map(open_forensic, names):
        with click.progressbar(length=len(photos), label=fan.name, file=sys.stderr) as bar:
            found = measure(fan, photos, folder.resolve().name, partial(bar.update, 1))
        card = read_model(fan.model.card_path).card
        write_model_card(fan.model.card_path, card | {ENTRY: found.entry()})
        if as_json:
            say(json_line({"name": fan.name, **found.entry()}))
        else:
            say(f"{fan.name}: thresholds {json.dumps(found.entry()['thresholds'])}")
