"""``dcn models``: which models are installed, and whether they are what they claim."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dcncodec.cli.common import show_card
from dcncodec.cli.lines import complain, json_line, say
from dcncodec.errors import ModelError
from dcncodec.models.registry import (
    CODEC,
    FAMILIES,
    QUALITIES,
    TUNED,
    ModelFolder,
    find_model,
    list_models,
    open_folder,
)

if TYPE_CHECKING:
    from dcncodec.forensics.folder import ForensicFolder


@click.group()
def command() -> None:
    """List, show and verify models."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model.")
def list_command(as_json: bool) -> None:
    """One line for every installed model."""
    for folder in list_models(None):
        facts = _facts(folder)
        if as_json:
            say(json_line(facts))
        else:
            say(
                f"{folder.name:<18} {facts['quality'] or '':<7} {facts['kind']:<18}  "
                f"{folder.sha256[:16]}  {folder.path}"
            )


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="The card as JSON.")
def show_command(name: str, as_json: bool) -> None:
    """Print the card of model NAME (or of a weight folder)."""
    folder = find_model(name, None)
    show_card(folder.path / "card.json", folder.card, as_json)


@command.command("verify")
@click.argument("names", nargs=-1)
def verify_command(names: tuple[str, ...]) -> None:
    """Compare the weights of models (all by default) with the hashes in their cards.

    Those of forensic models (dcn forensics list) are among them.
    """
    from dcncodec.forensics.folder import list_forensic

    fans = [folder.name for folder in list_forensic()]
    failed = False
    for name in names or sorted({*fans, *(folder.name for folder in list_models(None))}):
        try:
            for folder in _parts(name, name in fans):
                _ = folder.content
        except ModelError as error:
            complain(str(error))
            failed = True
        else:
            say(f"{name}: ok")
    if failed:
        sys.exit(1)


def _parts(name: str, forensic: bool) -> list[ModelFolder | ForensicFolder]:
    """What a name or path stands for: a model, or a FAN with the networks tuned with it."""
    from dcncodec.forensics.folder import CARD_FILE, open_forensic

    if not forensic and not (Path(name) / CARD_FILE).is_file():
        return [find_model(name, None)]
    fan = open_forensic(name)
    tuned = [path for path in (fan.path, fan.path / TUNED) if (path / "card.json").exists()]
    return [fan, *(open_folder(path, None) for path in tuned)]


def _facts(folder: ModelFolder) -> dict[str, object]:
    codec = folder.family == CODEC
    return {
        "name": folder.name,
        "family": folder.family,
        "quality": next((q for q, name in QUALITIES.items() if name == folder.name), None),
        "latent_channels": folder.latent_channels if codec else None,
        "kind": f"{folder.latent_channels:3d} channels" if codec else FAMILIES[folder.family],
        "sha256": folder.sha256,
        "path": str(folder.path),
    }
