"""``dcn models``: which models are installed, and whether they are what they claim."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from dcncodec.cli.batch import write_output
from dcncodec.cli.common import quiet_option, show_card
from dcncodec.cli.lines import complain, json_line, say
from dcncodec.cli.warned import take_warnings
from dcncodec.errors import ModelError
from dcncodec.formats.files import check_output
from dcncodec.models.card import ModelFolder
from dcncodec.models.families import write_graph
from dcncodec.models.registry import DEFAULT_MODEL, find_all, find_model, list_models
from dcncodec.models.roles import Role


@click.group()
def command() -> None:
    """List, show and verify models."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model.")
@quiet_option
def list_command(as_json: bool, quiet: bool) -> None:
    """One line for every installed model."""
    for folder in list_models(None):
        facts = _facts(folder)
        if as_json:
            say(json_line(facts | {"warnings": take_warnings()}))
        else:
            say(
                f"{folder.name:<18} {'default' if facts['default'] else '':<7} "
                f"{facts['kind']:<20}  "
                f"{folder.sha256[:16]}  {folder.path}"
            )


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="The card as JSON.")
@quiet_option
def show_command(name: str, as_json: bool, quiet: bool) -> None:
    """Print the card of model NAME (or of a weight folder)."""
    folder = find_model(name, None)
    show_card(folder.card_path, folder.card, as_json)


@command.command("verify")
@click.argument("names", nargs=-1)
@quiet_option
def verify_command(names: tuple[str, ...], quiet: bool) -> None:
    """Compare the files of models (all by default) with the hashes in their cards.

    A forensic model is checked with the networks that were tuned with it.
    """
    failed = False
    for name in names or dict.fromkeys(folder.name for folder in list_models(None)):
        try:
            for folder in find_all(name):
                for part in folder.parts:
                    folder.part(part)
        except ModelError as error:
            complain(str(error))
            failed = True
        else:
            say(f"{name}: ok")
    if failed:
        sys.exit(1)


@command.command("export-onnx")
@click.argument("name")
@click.option(
    "-d",
    "--output-dir",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Folder for the graphs; made where it does not exist.  [default: here]",
)
@click.option("-f", "--force", is_flag=True, help="Replace files that exist.")
def export_command(name: str, output_dir: Path, force: bool) -> None:
    """Write the networks of codec NAME (or of a weight folder) as ONNX graphs.

    NAME-analysis.onnx makes latents of pixels, NAME-synthesis.onnx pixels of latents; their inputs
    and outputs have names, and dimensions that are free in height and width.
    """
    from dcncodec.models.program import Transform

    folder = find_model(name)
    targets = {t: output_dir / f"{folder.name}-{t.value}.onnx" for t in Transform}
    for target in targets.values():
        if os.path.lexists(target):
            check_output(target, overwrite=force)
    for transform, target in targets.items():
        content = write_graph(folder, transform)
        write_output(str(target), content, force)
        say(f"{target}: {len(content):,} bytes")


def _facts(folder: ModelFolder) -> dict[str, object]:
    channels = folder.geometry.channels if folder.role is Role.CODEC else None
    return {
        "name": folder.name,
        "family": folder.family,
        "default": folder.name == DEFAULT_MODEL,
        "latent_channels": channels,
        "kind": folder.role.value if channels is None else f"{channels:3d} channels",
        "sha256": folder.sha256,
        "path": str(folder.path),
    }
