"""``dcn forensics forge``, ``evaluate-masks``: photos with a manipulated part, who finds it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from dcncodec.cli.batch import write_output
from dcncodec.cli.checks import check_distinct
from dcncodec.cli.common import MAX_SEED, load_torch, machine_options, progress_bar
from dcncodec.cli.lines import json_line, say, say_text
from dcncodec.cli.warned import take_warnings, warned
from dcncodec.errors import UsageError
from dcncodec.notices import Notice

KINDS = ("splice", "copy-move", "removal", "enhance")


def _kinds(_context: click.Context, _option: click.Parameter, value: str) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(name.strip() for name in value.split(",")))
    for name in chosen:
        if name not in KINDS:
            raise UsageError(f"--kinds {name}: choose of {','.join(KINDS)}")
    return chosen


@click.command()
@click.argument("photos", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the forgeries, of masks/ with the same names, and of forgeries.json.",
)
@click.option(
    "--kinds",
    default=",".join(KINDS),
    show_default=True,
    callback=_kinds,
    metavar="NAMES",
    help="What is made of each photo.",
)
@click.option("--seed", type=click.IntRange(0, MAX_SEED), default=0, show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Only the first photos.")
@click.option("-f", "--force", is_flag=True, help="Replace forgeries that exist.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a forgery.")
def forge_command(
    photos: Path,
    output: Path,
    kinds: tuple[str, ...],
    seed: int,
    limit: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Manipulate a part of every photo in the folder PHOTOS, once in each kind.

    The part is filled from another photo (splice), from elsewhere in the photo (copy-move), from
    around it (removal), or processed by one of 385 functions (enhance). To train and to measure
    with; "evaluate-masks" does the latter.

    \b
    Example:
      dcn forensics forge photos/ -o forged/ --kinds splice,removal --seed 1
    """
    from dcncodec.forensics.trace.forging import forge_folder, sources

    count = len(sources(photos, limit)) * len(kinds)
    with progress_bar(str(output), count) as bar:
        advance = partial(bar.update, 1)
        rows = forge_folder(photos, output, kinds, seed, limit, force, advance)
    for row in rows if as_json else ():
        say(json_line(row))
    if not as_json:
        say(f"{output}: {len(rows)} forgeries")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME|PATH...")
@click.option(
    "--data",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of manipulated photos: pictures or .dcn files.",
)
@click.option(
    "--masks",
    type=click.Path(path_type=Path),
    help="Folder of masks with the photos' names, white where manipulated.  [default: DATA/masks]",
)
@click.option(
    "--clean",
    type=click.Path(path_type=Path),
    help="Folder of photos that were not manipulated, to tell the others from.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of report.html and results.json.",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first photos of each folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a network.")
@click.option("--update-card", metavar="TEST", help="Write the results into the cards as TEST.")
@machine_options
def evaluate_command(
    names: tuple[str, ...],
    folder: Path,
    masks: Path | None,
    clean: Path | None,
    report: Path | None,
    limit: int | None,
    as_json: bool,
    update_card: str | None,
    device: str,
    threads: int | None,
    precision: Any,
) -> None:
    """How well networks find manipulated parts: localising ones, and FANs by their maps.

    Pixel AUC and F1, means over photos; with --clean how well the mean of a map tells manipulated
    photos from others.

    \b
    Example:
      dcn forensics forge photos/ -o forged/
      dcn forensics evaluate-masks trace-8 fan-none --data forged/ --clean photos/
    """
    from dcncodec.forensics.trace.evaluate import evaluate, pairs, photos_in

    chosen = pairs(folder, masks or folder / "masks")[:limit]
    others = photos_in(clean)[:limit] if clean is not None else []
    load_torch(threads)
    from dcncodec import pages
    from dcncodec.forensics.trace.localise import open_judge
    from dcncodec.forensics.trace.report import write_masks
    from dcncodec.models.card import update_card as add_results
    from dcncodec.models.registry import find_model
    from dcncodec.models.roles import Role
    from dcncodec.runtime.devices import choose_device, choose_precision

    if report is not None:
        pages.check()
    place = choose_device(device)
    models = [find_model(name, None) for name in names]
    check_distinct([model.name for model in models])
    judges = [open_judge(name, place, choose_precision(precision, place)) for name in names]
    found = []
    for model, judge in zip(models, judges, strict=True):
        count = len(chosen) + len(others)
        with progress_bar(judge.name, count) as bar:
            found.append(evaluate(judge, chosen, others, partial(bar.update, 1)))
        if update_card is not None:
            if model.role is Role.LOCALISER:
                add_results(model, {update_card: found[-1].card_figures()})
            else:
                text = "is no localising network; its card keeps no such results"
                warned(Notice("model", text, judge.name))
    results = [{"name": e.name, "data": str(folder), **e.figures()} for e in found]
    if report is not None:
        text = json.dumps(results, indent=2) + "\n"
        write_output(str(report / "results.json"), text.encode(), force=True)
        write_masks(found, folder.resolve().name, report)
    for result, evaluation in zip(results, found, strict=True):
        if as_json:
            say(json_line(result | {"warnings": take_warnings()}))
        else:
            say_text("\n".join(_lines(evaluation)))


def _lines(found: Any) -> list[str]:
    lines = [
        f"{found.name}, {row.kind:<9} {row.photos:4d} photos  pixel AUC {row.auc:.3f}  "
        f"F1 {row.f1:.3f}, best {row.best_f1:.3f} (everything: {row.baseline:.3f})"
        for row in found.rows
    ]
    if found.image_auc is not None:
        accused = "" if found.accused is None else f"  clean ones accused {found.accused:.1%}"
        detected = "" if found.found is None else f"  manipulated ones found {found.found:.1%}"
        lines.append(f"{found.name}, photos    AUC {found.image_auc:.3f}{detected}{accused}")
    return lines
