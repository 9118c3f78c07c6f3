"""Runs ``dcn`` in the tests' own process, where torch is already loaded."""

from __future__ import annotations

import sys
from typing import NamedTuple

import pytest

from dcncodec.cli.main import main


class Result(NamedTuple):
    """Exit code and output of one command."""

    code: int
    out: str
    err: str


class Runner:
    """Runs ``main`` with arguments; output is captured where the operating system writes it.

    Args:
        prefix: words between ``dcn`` and the arguments, of a group of commands.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        *prefix: str,
    ) -> None:
        self.monkeypatch, self.capfd, self.prefix = monkeypatch, capfd, prefix

    def __call__(self, *arguments: object) -> Result:
        self.monkeypatch.setattr(sys, "argv", ["dcn", *self.prefix, *map(str, arguments)])
        self.capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = self.capfd.readouterr()
        return Result(code, out, err)


def one_line(result: Result, *words: str, code: int = 1) -> None:
    """The command failed with one line on standard error that holds all words."""
    assert result.code == code, result
    lines = result.err.strip().splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("dcn: ")
    for word in words:
        assert word in lines[0]
