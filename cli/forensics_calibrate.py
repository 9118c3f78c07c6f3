"""``dcn forensics calibrate``: thresholds of verdicts, at known rates of false alarms."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dcncodec.cli.checks import check_model
from dcncodec.cli.common import load_torch, progress_bar, quiet_option, threads_option
from dcncodec.cli.lines import json_line, say
from dcncodec.cli.warned import take_warnings, warned
from dcncodec.forensics.parts import PARTS, Part
from dcncodec.notices import Notice

if TYPE_CHECKING:
    from dcncodec.forensics.photos import Photos
    from dcncodec.models.card import ModelFolder


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
@quiet_option
@threads_option
def command(
    names: tuple[str, ...],
    folder: Path,
    part: Part,
    limit: int | None,
    as_json: bool,
    quiet: bool,
    threads: int | None,
) -> None:
    """Measure the scores of photos to which nothing was done, and write thresholds into the cards.

    \b
    Example:
      dcn forensics calibrate dcn-vr-forensic --data pristine/
    """
    for name in names:
        check_model(name, None)
    from dcncodec.forensics.photos import Photos

    photos = Photos(folder, limit, part)
    load_torch(threads)
    from dcncodec.forensics.calibration import measure
    from dcncodec.forensics.folder import open_forensic
    from dcncodec.forensics.verdict import FALSE_ALARMS
    from dcncodec.models.card import read_model, write_model_card
    from dcncodec.models.families.fan import CALIBRATION
    from dcncodec.models.registry import find_model
    from dcncodec.models.roles import Role

    for name in names:
        model = find_model(name, None)
        if model.role is Role.LOCALISER:
            entry = _localiser(model, photos, quiet)
            if as_json:
                say(json_line({"name": model.name, **entry, "warnings": take_warnings()}))
            else:
                say(_line(model.name, entry))
            continue
        fan = open_forensic(name)
        with progress_bar(fan.name, len(photos), quiet=quiet) as bar:
            found = measure(fan, photos, folder.resolve().name, partial(bar.update, 1))
        entry = found.entry()
        _doubt(int(entry["native_versions"]), max(FALSE_ALARMS), fan.name)
        card = read_model(fan.model.card_path).card
        write_model_card(fan.model.card_path, card | {CALIBRATION: entry})
        if as_json:
            say(json_line({"name": fan.name, **entry, "warnings": take_warnings()}))
        else:
            say(f"{fan.name}: thresholds {json.dumps(entry['thresholds'])}")


def _localiser(model: ModelFolder, photos: Photos, quiet: bool) -> dict[str, float]:
    """Measure the threshold of a localising network, and write it into its card."""
    import torch

    from dcncodec.forensics.trace.calibration import FALSE_ALARM, VERSIONS, threshold_of
    from dcncodec.forensics.trace.localise import Localiser
    from dcncodec.models.card import read_model, write_model_card

    with progress_bar(model.name, len(photos), quiet=quiet) as bar:
        judge = Localiser(model, torch.device("cpu"))
        threshold = threshold_of(judge, photos, partial(bar.update, 1))
    _doubt(len(photos) * VERSIONS, FALSE_ALARM, model.name)
    entry = {"threshold": round(threshold, 5), "false_alarm": FALSE_ALARM}
    write_model_card(model.card_path, read_model(model.card_path).card | entry)
    return entry


def _doubt(versions: int, share: float, name: str) -> None:
    """Tell of a model whose false alarms so few untouched versions cannot tell."""
    if versions * share < 1:
        text = f"{versions} untouched versions tell no share of false alarms; give more photos"
        warned(Notice("quality", text, name))


def _line(name: str, entry: dict[str, float]) -> str:
    return f"{name}: threshold {entry['threshold']:.4f}, false alarms {entry['false_alarm']:.0%}"
