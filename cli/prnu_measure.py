"""``dcn forensics prnu transfer`` and ``survive``: measurements on simulated cameras."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dcncodec.cli.batch import write_output
from dcncodec.cli.checks import check_pipelines
from dcncodec.cli.common import Finite, progress_bar, quiet_option
from dcncodec.cli.lines import json_line, say
from dcncodec.cli.warned import take_warnings

if TYPE_CHECKING:
    from dcncodec.forensics.prnu.survive import Survival
    from dcncodec.forensics.prnu.transfer import Transfer

Command = TypeVar("Command", bound=Callable[..., Any])


def processes_option(command: Command) -> Command:
    """``--processes``."""
    return click.option(
        "--processes", type=click.IntRange(1), help="That work at once.  [default: all cores]"
    )(command)


def _measure_options(command: Command) -> Command:
    """The simulated sensor, where the report goes, ``--json``, ``--quiet`` and ``--processes``."""
    for option in (
        processes_option,
        quiet_option,
        click.option("--json", "as_json", is_flag=True, help="Print the results as JSON."),
        click.option(
            "--report",
            required=True,
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder of report.html, results.json and plots.",
        ),
        click.option(
            "--strength",
            type=Finite(1e-4, 0.1),
            default=0.01,
            show_default=True,
            help="Standard deviation of the simulated sensor's gains.",
        ),
        click.option(
            "--sensor", type=click.IntRange(0), default=7, show_default=True, help="Which sensor."
        ),
    ):
        command = option(command)
    return command


class _Case(click.ParamType[tuple[int, int]]):
    name = "case"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        found = re.fullmatch(r"(\d{2,4}):(\d{2,4})", value)
        if not found or int(found[2]) % 2 == 0 or int(found[2]) < 17:
            self.fail(
                f"{value}: give the flipped part's side and an odd window: 128:65", param, ctx
            )
        return int(found[1]), int(found[2])


@click.command("transfer")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--pipelines",
    default="standard,libraw,inet,dnet",
    show_default=True,
    help="Which are compared, with commas between; dnet@0.01 gets a hundredth of the light.",
)
@click.option(
    "--flip",
    "cases",
    multiple=True,
    type=_Case(),
    default=["128:65"],
    show_default=True,
    metavar="SIDE:WINDOW",
    help="Sides of the part that is flipped and of the windows that look for it; repeat for more.",
)
@_measure_options
def transfer_command(
    folder: Path,
    pipelines: str,
    cases: tuple[tuple[int, int], ...],
    sensor: int,
    strength: float,
    report: Path,
    as_json: bool,
    quiet: bool,
    processes: int | None,
) -> None:
    """Do fingerprints hold from one camera pipeline to another (NIP paper, Fig. 5)?

    FOLDER holds pictures without compression history, in train/ and val/ or all in one. A
    simulated camera takes them, and every pipeline develops the same RAW frames.
    """
    from dcncodec.forensics.prnu.parallel import cores
    from dcncodec.forensics.prnu.photos import LIBRAW
    from dcncodec.forensics.prnu.simulate import Camera, exposed, split_pictures
    from dcncodec.forensics.prnu.transfer import Case, steps, transfer
    from dcncodec.formats.files import make_folder

    check_pipelines([exposed(name)[0] for name in pipelines.split(",")], LIBRAW)
    split, camera = split_pictures(folder), Camera(sensor, strength)
    from dcncodec import pages
    from dcncodec.forensics.prnu.report import write_transfer

    pages.check()
    make_folder(report)
    total = steps(split, camera)
    with progress_bar(str(folder), total, quiet=quiet) as bar:
        found = transfer(
            split,
            camera,
            pipelines.split(","),
            [Case(*case) for case in cases],
            processes or cores(),
            partial(bar.update, 1),
        )
    _finish(found, report, as_json)
    write_transfer(found, report)
    if not as_json:
        _say_transfer(found)
        say(f"{report / 'report.html'}: tables and plots")


@click.command("survive")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-c",
    "--codec",
    "codecs",
    multiple=True,
    metavar="NAME[:SETTING]",
    help="A model or a codec, with or without a setting: dcn-32c, dcn-vr:73, jpeg:50, avif; repeat "
    "for several.  [default: all models, jpeg, jpeg2000, avif]",
)
@_measure_options
def survive_command(
    folder: Path,
    codecs: tuple[str, ...],
    sensor: int,
    strength: float,
    report: Path,
    as_json: bool,
    quiet: bool,
    processes: int | None,
) -> None:
    """Does the fingerprint survive codecs? PCE and matched photos over the rate.

    FOLDER holds pictures without compression history, in train/ and val/ or all in one. A
    simulated camera takes them; the standard pipeline develops them before they are compressed.
    """
    from dcncodec.forensics.prnu.parallel import cores
    from dcncodec.forensics.prnu.simulate import Camera, split_pictures
    from dcncodec.forensics.prnu.survive import PEERS, parse_codecs, survive
    from dcncodec.formats.files import make_folder

    channels = parse_codecs(codecs)
    split, camera = split_pictures(folder), Camera(sensor, strength)
    from dcncodec import pages
    from dcncodec.forensics.prnu.report import survival_cells, write_survival

    pages.check()
    make_folder(report)
    total = len(split.fingerprint) + len(split.evaluation)
    with progress_bar(str(folder), total, quiet=quiet) as bar:
        found = survive(split, camera, channels, processes or cores(), partial(bar.update, 1))
    _finish(found, report, as_json)
    write_survival(found, report)
    if not as_json:
        heads = "".join(f"{peer:>10}" for peer in PEERS)
        say(f"{'codec':<18} setting    bpp       PCE     NCC matched{heads} (PCE at that rate)")
        for codec, setting, bpp, pce, ncc, matched, *peers in survival_cells(found.rows):
            others = "".join(f"{value:>10}" for value in peers)
            say(f"{codec:<18} {setting:>7} {bpp:>6} {pce:>9} {ncc:>7} {matched:>7}{others}")
        say(f"{report / 'report.html'}: table and plot")


def _finish(found: Survival | Transfer, report: Path, as_json: bool) -> None:
    """Write the results before the plots, whose drawing may fail."""
    facts = found.as_dict()
    write_output(str(report / "results.json"), (json_line(facts) + "\n").encode(), force=True)
    if as_json:
        say(json_line(facts | {"warnings": take_warnings()}))


def _say_transfer(found: Transfer) -> None:
    facts = found.as_dict()
    tables = {"NCC of fingerprints": facts["fingerprint_ncc"], "PCE, median": facts["pce_median"]}
    for case in facts["localisation"]:
        tables[f"F1, {case['flip']} px flipped, windows of {case['window']}"] = case["f1"]
    for title, rows in tables.items():
        say(f"{title} (rows: fingerprint, columns: photo)")
        say(" " * 12 + "".join(f"{name:>12}" for name in found.pipelines))
        for name, row in rows.items():
            say(f"{name:<12}" + "".join(f"{value:>12,.4g}" for value in row.values()))
    others = facts["other_sensors"]
    say(
        f"other sensors: {others['matched']} of {others['photos']} photos match, "
        f"PCE {others['largest_pce']:.1f} at most"
    )
