"""``dcn forensics evaluate``: how well FANs tell manipulations, by one of three protocols."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcncodec.cli.batch import write_output
from dcncodec.cli.checks import check_distinct, check_model
from dcncodec.cli.common import load_torch, progress_bar, quiet_option, threads_option
from dcncodec.cli.lines import say, say_text
from dcncodec.errors import UsageError
from dcncodec.forensics.parts import PARTS
from dcncodec.formats.geometry import MAX_RATE
from dcncodec.models.roles import Role

if TYPE_CHECKING:
    from dcncodec.forensics.report import Found


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME|PATH...")
@click.option(
    "--data",
    "folders",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of held-out photos, or of RAW files; repeat for several.",
)
@click.option(
    "--part",
    type=click.Choice(PARTS),
    help="Of the photos: choose by tune, report by report. Their names decide.  [default: all]",
)
@click.option(
    "--protocol",
    type=click.Choice(["paper", "field", "wifs2020"]),
    default="paper",
    show_default=True,
    help="The DCN paper's; other programs, strengths, histories and lattices; or JPEG's lattice "
    "and quality alone.",
)
@click.option(
    "--grid",
    "grids",
    multiple=True,
    metavar="DY,DX",
    help="paper: pixels cut off after the manipulation; repeat for several.  [default: 0,0]",
)
@click.option(
    "--history",
    "histories",
    multiple=True,
    metavar="none|QF|LO-HI[:420|:444]",
    help="paper: JPEG before the manipulation; repeat for several.  [default: none]",
)
@click.option(
    "--draws", type=click.IntRange(1), help="field: versions of each photo and class.  [default: 1]"
)
@click.option(
    "--resave",
    "resaves",
    multiple=True,
    metavar="jpeg:QF|resize:SCALE|crop:ROWS,COLUMNS|turn:DEGREES|mirror",
    help="field: judge decoded pictures after this, too; repeat for several.",
)
@click.option(
    "--outsider",
    metavar="NAME|PATH",
    help="field: a FAN without channel that judges clean decoded pictures, too.",
)
@click.option(
    "--rate",
    "rates",
    multiple=True,
    type=click.IntRange(0, MAX_RATE),
    help="Of codecs that have rates; repeat for several.  [default: their own defaults]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out/forensics"),
    show_default=True,
    help="Folder of report.html, results.json and plots.",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first photos of each folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.option("--update-card", is_flag=True, help="Write the results into the cards.")
@quiet_option
@threads_option
def command(
    names: tuple[str, ...],
    folders: tuple[Path, ...],
    output: Path,
    limit: int | None,
    as_json: bool,
    update_card: bool,
    quiet: bool,
    threads: int | None,
    **options: Any,
) -> None:
    """Accuracy, confusion and cost of FANs behind their channels, on photos never trained on.

    Photos are manipulated, sent through real files of the channel and judged in patches.

    \b
    Examples:
      dcn forensics evaluate dcn-16c-fan dcn-vr-forensic --data photos/
      dcn forensics evaluate dcn-16c-fan --data photos/ --part report --protocol field
      dcn forensics evaluate dcn-16c-fan --data photos/ --grid 0,0 --grid 3,5 --history 90:420
      dcn forensics evaluate fan-none fan-spectral --data photos/ --protocol wifs2020
    """
    protocol, part, rates = (options.pop(name) for name in ("protocol", "part", "rates"))
    _refuse_options(protocol, options)
    for name in names:
        check_model(name, Role.FAN)
    from dcncodec.forensics.photos import Photos

    sets = {
        name + (f" ({part})" if part else ""): Photos(folder, limit, part)
        for name, folder in named_folders(folders).items()
    }
    load_torch(threads)
    from dcncodec import pages
    from dcncodec.forensics import report
    from dcncodec.forensics.folder import open_forensic
    from dcncodec.formats.files import make_folder
    from dcncodec.models import card

    pages.check()
    chosen = [open_forensic(name) for name in names]
    check_distinct([folder.name for folder in chosen])
    if rates and not any(folder.rates for folder in chosen):
        raise UsageError(f"--rate: {chosen[0].name} stands behind one rate only; leave it out")
    for folder in chosen:
        folder.tell_unseen(rates)
    runs = _runs(protocol, options)
    make_folder(output)
    found: list[Found] = []
    results: list[dict[str, Any]] = []
    for data, photos in sets.items():
        for folder in chosen:
            asked = rates if folder.rates else ()
            for run in [partial(run, rate=rate) for rate in asked or (None,) for run in runs]:
                title = f"{folder.name} on {data}"
                with progress_bar(title, len(photos), quiet=quiet) as bar:
                    measured = run(folder, photos, data, partial(bar.update, 1))
                for one in measured:
                    if not as_json:
                        say(_line(one))
                    results.append({"name": one.name, "data": one.title, **one.figures()})
                found += measured
                text = json.dumps(results, indent=2) + "\n"
                write_output(str(output / "results.json"), text.encode(), force=True)
                # After them, which are not lost where a card cannot be written.
                for one in measured if update_card else ():
                    figures = one.figures() | photos.described()
                    card.update_card(folder.model, {one.title: figures})
    report.write(found, report.figures_of(found, chosen, next(iter(sets.values()))), output)
    if as_json:
        say_text(text.rstrip("\n"))
    else:
        say(f"{output / 'report.html'}: tables and plots")


def _refuse_options(protocol: str, options: dict[str, Any]) -> None:
    """UsageError where an option of another protocol is given."""
    own = {"paper": ("grids", "histories"), "field": ("draws", "resaves", "outsider")}
    for name, value in options.items():
        if value and name not in own.get(protocol, ()):
            option = {"grids": "grid", "histories": "history", "resaves": "resave"}.get(name, name)
            other = next(key for key, names in own.items() if name in names)
            raise UsageError(f"--{option} belongs to --protocol {other}; leave it out")


def _runs(protocol: str, options: dict[str, Any]) -> list[Callable[..., Sequence[Found]]]:
    """What is measured of every FAN on every set: functions of folder, photos, name, progress."""
    from dcncodec.forensics import field
    from dcncodec.forensics.evaluate import evaluate
    from dcncodec.forensics.field_evaluation import evaluate_field
    from dcncodec.forensics.folder import open_forensic
    from dcncodec.forensics.history import Condition, parse_grid, parse_history
    from dcncodec.forensics.wifs import evaluate_wifs

    if protocol == "wifs2020":
        return [partial(_alone, evaluate_wifs)]
    if protocol == "field":
        outsider = None
        if options["outsider"] is not None:
            outsider = open_forensic(options["outsider"])
            if outsider.channel != "none":
                raise UsageError(f"--outsider {outsider.name}: has a channel; name one without")
        for how in options["resaves"]:
            field.check_resave(how)
        return [
            partial(
                evaluate_field,
                draws=options["draws"] or 1,
                resaves=list(dict.fromkeys(("", *options["resaves"]))),
                outsider=outsider,
            )
        ]
    return [
        partial(_alone, evaluate, condition=Condition(parse_grid(grid), parse_history(history)))
        for history in options["histories"] or ("none",)
        for grid in options["grids"] or ("0,0",)
    ]


def _alone(measure: Callable[..., Found], *values: Any, **options: Any) -> list[Found]:
    """What gives one result, as those that give several."""
    return [measure(*values, **options)]


def named_folders(folders: tuple[Path, ...]) -> dict[str, Path]:
    """Folders by their last name, or by as much of their path as tells them apart."""
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        raise UsageError("--data: names a folder twice")
    depth = 1
    while len({path[-depth:] for path in parts}) < len(parts):
        depth += 1
    return {"/".join(path[-depth:]): folder for path, folder in zip(parts, folders, strict=True)}


def _line(found: Found) -> str:
    figures = found.figures()
    text = f"{found.name} on {found.title}: accuracy {found.accuracy * 100:.1f}%"
    if "false_alarms" in figures:
        text += f"  false alarms {figures['false_alarms'] * 100:.1f}% of patches"
    for rate in ("0.01", "0.05"):
        if (photos := figures.get(f"photos_{rate}")) is not None:
            text += f", {photos['false_alarms'] * 100:.1f}% of photos at {float(rate):.0%}"
    if "outsider" in figures:
        text += f", {figures['outsider']['false_alarms'] * 100:.1f}% by a stranger"
    if "bpp" in figures:
        text += (
            f"  bpp {figures['bpp']:.3f}  PSNR {figures['psnr']:.2f}  SSIM {figures['ssim']:.4f}"
        )
    if "nip_psnr" in figures:
        text += f"  camera pipeline PSNR {figures['nip_psnr']:.2f}"
    return text
