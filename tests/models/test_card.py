"""Cards and their readable forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dcncodec.models.bundled import FOLDER
from dcncodec.models.card import CARD_FILE, FAN_CARD, read_model, write_model_card
from dcncodec.models.families.fan import has_gauges

CARDS = sorted(path for name in (CARD_FILE, FAN_CARD) for path in Path(FOLDER).rglob(name))


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_bundled_cards_are_readable_as_they_are(path: Path, tmp_path: Path) -> None:
    """What a card says now, in the words of now."""
    write_model_card(tmp_path / path.name, read_model(path).card)
    for suffix in (".json", ".md"):
        written = (tmp_path / path.name).with_suffix(suffix).read_text()
        assert written == path.with_suffix(suffix).read_text()


def test_a_card_reads_the_same_when_it_is_written_again(tmp_path: Path) -> None:
    """Though JSON makes lists of tuples."""
    card = read_model(Path(FOLDER) / "fan-none" / FAN_CARD).card
    recipe = {**card["recipe"], "classes": tuple(card["recipe"]["classes"])}
    path = tmp_path / FAN_CARD
    write_model_card(path, {**card, "recipe": recipe})
    first = path.with_suffix(".md").read_text()
    write_model_card(path, json.loads(path.read_text()))
    assert path.with_suffix(".md").read_text() == first


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, False),
        ({"gauges": True}, True),
        ({"recipe": {"trainable": ["dcn"], "gauges": True}}, True),
        ({"recipe": {"trainable": [], "gauges": True}}, False),
        # What others wrote:
        ({"recipe": None}, False),
        ({"recipe": [1]}, False),
        ({"recipe": {"trainable": None, "gauges": True}}, False),
        ({"recipe": {"trainable": 5, "gauges": True}}, False),
        ({"codec": "x"}, False),
        ({"codec": {"gauges": True}}, True),
    ],
)
def test_gauges_of_any_card(changes: dict[str, Any], found: bool) -> None:
    card = read_model(Path(FOLDER) / "dcn-16c" / CARD_FILE).card
    assert has_gauges({**card, **changes}) == found
