"""``dcn forensics``: measure forensic networks, and ask them about photos."""

from __future__ import annotations

import json
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcncodec.cli import prnu
from dcncodec.cli.batch import Batch, read_input, write_output
from dcncodec.cli.common import load_torch, quiet_option, show_card, threads_option
from dcncodec.cli.lines import json_line, say, say_text
from dcncodec.cli.photos import plan_photos
from dcncodec.cli.plan import Job
from dcncodec.errors import UsageError

if TYPE_CHECKING:
    from dcncodec.forensics.evaluate import Evaluation


@click.group()
def command() -> None:
    """Tell how photos were manipulated, after compression, and which camera took them."""


command.add_command(prnu.command, "prnu")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model: its card.")
def list_command(as_json: bool) -> None:
    """One line for every installed forensic model: what its FAN looks through, and its classes."""
    from dcncodec.forensics.folder import list_forensic

    for folder in list_forensic():
        if as_json:
            say(json_line(folder.card))
        else:
            codec = f" ({folder.card['codec']['name']})" if folder.card["codec"] else ""
            half = ", halved" if folder.downsample else ""
            channel = f"{folder.channel}{codec}{half}"
            say(f"{folder.name:<18} {channel:<24} {','.join(folder.classes)}")


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="The card as JSON.")
def show_command(name: str, as_json: bool) -> None:
    """Print the card of forensic model NAME (or of a folder)."""
    from dcncodec.forensics.folder import open_forensic

    folder = open_forensic(name)
    show_card(folder.model.card_path, folder.card, as_json)


@command.command("evaluate")
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
@threads_option
def evaluate_command(
    names: tuple[str, ...],
    folders: tuple[Path, ...],
    output: Path,
    limit: int | None,
    as_json: bool,
    update_card: bool,
    threads: int | None,
) -> None:
    """Accuracy, confusion and cost of FANs behind their channels, on photos never trained on.

    Photos are manipulated, sent through real files of the channel and judged in patches.

    \b
    Example:
      dcn forensics evaluate dcn-16c-fan dcn-16c-forensic --data photos/
    """
    for path in folders:
        if not path.is_dir():
            raise UsageError(f"{path}: no such folder")
    load_torch(threads)
    from dcncodec.forensics import report
    from dcncodec.forensics.evaluate import evaluate
    from dcncodec.forensics.folder import open_forensic
    from dcncodec.forensics.photos import Photos
    from dcncodec.formats.files import make_folder
    from dcncodec.models import card

    chosen = [open_forensic(name) for name in names]
    sets = {name: Photos(folder, limit) for name, folder in _named(folders).items()}
    make_folder(output)
    found: list[Evaluation] = []
    for data, photos in sets.items():
        for folder in chosen:
            title = f"{folder.name} on {data}"
            with click.progressbar(length=len(photos), label=title, file=sys.stderr) as bar:
                found.append(evaluate(folder, photos, data, partial(bar.update, 1)))
            if not as_json:
                say(_line(found[-1]))
            if update_card:
                card.update_card(folder.model, {data: found[-1].figures()})
            results = [{"name": e.name, "data": e.data, **e.figures()} for e in found]
            text = json.dumps(results, indent=2) + "\n"
            write_output(str(output / "results.json"), text.encode(), force=True)
    figures = report.figures_of(found, chosen, next(iter(sets.values())))
    report.write(found, figures, output)
    if as_json:
        say_text(text.rstrip("\n"))
    else:
        say(f"{output / 'report.html'}: tables and plots")


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
    help="Write the photo with its patches tinted: a .png file; for several photos a folder.",
)
@click.option("-r", "--recursive", is_flag=True, help="Folders within folders, too.")
@click.option("-f", "--force", is_flag=True, help="Replace heat maps that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print everything, patch by patch.")
@quiet_option
@threads_option
def detect_command(
    paths: tuple[str, ...],
    fan: str | None,
    heatmap: Path | None,
    recursive: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
    threads: int | None,
) -> None:
    """How each PHOTO was manipulated: its class as a whole and patch by patch.

    PHOTO is a file, a folder or a quoted pattern; - alone stands for standard input. A photo in
    which every patch is flat cannot be judged.

    \b
    Examples:
      dcn forensics detect photo.dcn --heatmap map.png
      dcn forensics detect -r photos/ --fan fan-none --heatmap maps/
    """
    plan = plan_photos(paths, heatmap, recursive, force)

    def load() -> None:
        load_torch(threads)

    def convert(job: Job, content: bytes, _: None) -> dict[str, Any]:
        from dcncodec.forensics.detect import detect, heat_map, open_photo

        pixels, folder = open_photo(content, job.name, fan)
        detection = detect(pixels, folder)
        if job.target:
            write_output(job.target, heat_map(pixels, detection), force)
        return {"photo": job.name, **detection.as_dict()}

    Batch(plan, as_json, quiet).run(lambda job: read_input(job.source), load, convert, _verdict)


def _verdict(record: dict[str, Any]) -> str:
    counts = Counter("flat" if p["flat"] else p["class"] for p in record["patches"])
    listed = ", ".join(f"{count} {name}" for name, count in counts.items())
    patches = f"{len(record['patches'])} patches of {record['patch']} pixels: {listed}"
    if record["class"] is None:
        return f"{record['photo']}: cannot be judged (by {record['fan']}); {patches}"
    share = record["probabilities"][record["class"]] * 100
    return f"{record['photo']}: {record['class']} ({share:.0f}%, by {record['fan']}); {patches}"


def _named(folders: tuple[Path, ...]) -> dict[str, Path]:
    """Folders by their last name, or by as much of their path as tells them apart."""
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        raise UsageError("--data: names a folder twice")
    depth = 1
    while len({path[-depth:] for path in parts}) < len(parts):
        depth += 1
    return {"/".join(path[-depth:]): folder for path, folder in zip(parts, folders, strict=True)}


def _line(found: Evaluation) -> str:
    figures: dict[str, Any] = found.figures()
    text = f"{found.name} on {found.data}: accuracy {found.accuracy * 100:.1f}%"
    if found.bpp is not None:
        text += (
            f"  bpp {figures['bpp']:.3f}  PSNR {figures['psnr']:.2f}  SSIM {figures['ssim']:.4f}"
        )
    if "nip_psnr" in figures:
        text += f"  camera pipeline PSNR {figures['nip_psnr']:.2f}"
    return text
