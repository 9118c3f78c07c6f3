"""``dcn train`` knows its trainings by name, and as 0.1 spelled them."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from dcncodec.cli.train import COMMANDS, command, named


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("", ""),
        ("--help", "--help"),
        ("codec a --out b", "codec a --out b"),
        ("nip a --out b", "nip a --out b"),
        ("forensic a --out b", "forensic a --out b"),
        ("a --out b", "codec a --out b"),
        ("--out b --export c", "codec --out b --export c"),
        ("./nip --out b", "codec ./nip --out b"),
        ("--finetune forensic a --out b", "forensic a --out b"),
        ("a --out b --finetune forensic --model c", "forensic a --out b --model c"),
        ("a --finetune=forensic --out b", "forensic a --out b"),
        ("a --finetune", "codec a --finetune"),
    ],
)
def test_every_spelling(spelled: str, meant: str) -> None:
    assert named(spelled.split()) == meant.split()


def test_help_names_the_trainings() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    for name in COMMANDS:
        assert f"  {name} " in text
    for name, option in (("codec", "--channels"), ("forensic", "--lambda-c"), ("nip", "--network")):
        result = CliRunner().invoke(command, [name, "--help"])
        assert (result.exit_code, option in result.output) == (0, True)


def test_unknown_trainings() -> None:
    result = CliRunner().invoke(command, ["--finetune", "nonsense", "a", "--out", "b"])
    assert result.exit_code == 2
    assert "nonsense" in result.output
