"""``dcn train`` knows its trainings by name, and as 0.1 spelled them."""

from __future__ import annotations

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from dcncodec.cli.group import group
from dcncodec.cli.train import COMMANDS, PASSED_ON, Trainings, command


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("codec a --out b", "codec a --out b"),
        ("nip a --out b", "nip a --out b"),
        ("forensic a --out b", "forensic a --out b"),
        ("codec --finetune forensic", "codec --finetune forensic"),
        ("a --out b", "codec a --out b"),
        ("a -xy -h --no-such", "codec a -xy -h --no-such"),
        ("--out b --export c", "codec --out b --export c"),
        ("--out=b a", "codec --out=b a"),
        ("./nip --out b", "codec ./nip --out b"),
        ("a -- --finetune nip", "codec a -- --finetune nip"),
        ("--finetune forensic a --out b", "forensic a --out b"),
        ("a --out b --finetune forensic --model c", "forensic a --out b --model c"),
        ("a --finetune=forensic --out b", "forensic a --out b"),
    ],
)
def test_every_spelling(monkeypatch: pytest.MonkeyPatch, spelled: str, meant: str) -> None:
    found: list[str] = []

    def recorded(group: Trainings, ctx: click.Context, name: str) -> click.Command:
        class Recorder(click.Command):
            def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
                found.extend([name, *args])
                return []

        return Recorder(name)

    monkeypatch.setattr(Trainings, "get_command", recorded)
    Trainings("train", lazy=COMMANDS, context_settings=PASSED_ON).main(
        spelled.split(), standalone_mode=False
    )
    assert found == meant.split()


def test_help_names_the_trainings() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    for name in COMMANDS:
        assert f"  {name} " in text
    for name, option in (("codec", "--channels"), ("forensic", "--lambda-c"), ("nip", "--network")):
        result = CliRunner().invoke(command, [name, "--help"])
        assert (result.exit_code, option in result.output) == (0, True)


@pytest.mark.parametrize(
    ("spelled", "complaint"),
    [
        ("--finetune nonsense a --out b", "No such command 'nonsense'"),
        ("a --finetune", "Option '--finetune' requires an argument"),
    ],
)
def test_unknown_trainings(spelled: str, complaint: str) -> None:
    result = CliRunner().invoke(command, spelled.split())
    assert result.exit_code == 2
    assert complaint in result.output


def test_without_arguments_there_is_help() -> None:
    result = CliRunner().invoke(command, [])
    assert "--help" in result.output
    assert set(COMMANDS) <= set(result.output.split())


@pytest.mark.parametrize(
    ("spelled", "begun", "expected"),
    [
        ("train a --finetune", "", set()),
        ("train a", "--chan", {"--channels"}),
        ("train --finetune forensic a", "--lambda", {"--lambda-c"}),
        ("train", "for", {"forensic"}),
    ],
)
def test_a_shell_completes(spelled: str, begun: str, expected: set[str]) -> None:
    found = ShellComplete(group, {}, "dcn", "_DCN_COMPLETE").get_completions(spelled.split(), begun)
    assert expected <= {item.value for item in found}
