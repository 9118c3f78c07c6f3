"""Cards and their readable forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dcncodec.errors import ModelError
from dcncodec.models.bundled import FOLDER
from dcncodec.models.card import CARD_FILE, FAN_CARD, read_model, write_model_card

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


def test_thresholds_of_earlier_scores_are_not_shown(tmp_path: Path) -> None:
    card = read_model(Path(FOLDER) / "fan-spectral" / FAN_CARD).card
    path = tmp_path / FAN_CARD
    write_model_card(path, card)
    assert "Not calibrated" not in path.with_suffix(".md").read_text()
    pairs = {rate: [4.0, 9.0] for rate in card["verdict"]["thresholds"]}
    write_model_card(path, card | {"verdict": {**card["verdict"], "thresholds": pairs}})
    assert "Not calibrated" in path.with_suffix(".md").read_text()


def test_a_card_with_a_number_beyond_all_others(tmp_path: Path) -> None:
    card = read_model(Path(FOLDER) / "fan-spectral" / FAN_CARD).card
    verdict = {**card["verdict"], "clear": 10**400}
    with pytest.raises(ModelError, match="damaged card"):
        write_model_card(tmp_path / FAN_CARD, card | {"verdict": verdict})
    assert not any(tmp_path.iterdir())
