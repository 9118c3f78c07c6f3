"""Pages of evaluations, with every figure as a file of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from dcncodec.errors import MissingLibraryError
from dcncodec.forensics.evaluate import Evaluation
from dcncodec.forensics.report import trade_off, write_page
from dcncodec.plotting import new_figure


def test_a_page_and_its_figures(tmp_path: Path) -> None:
    write_page("A title", ["some text"], {"Cost, in all": new_figure(1, 1)}, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"report.html", "cost-in-all.svg"}
    page = (tmp_path / "report.html").read_text()
    for words in ("<h1>A title</h1>", "some text", "Cost, in all"):
        assert words in page


def test_without_jinja_no_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingLibraryError, match="reports need Jinja2"):
        write_page("A title", [], {"Cost": new_figure(1, 1)}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_rates_of_a_codec_are_one_line() -> None:
    def found(name: str, bpp: float, rate: int | None = None) -> Evaluation:
        classes, values = ("native",), ({"native": value} for value in (30.0, 0.9, bpp))
        return Evaluation(name, "set", classes, np.ones((1, 1), np.int64), *values, rate=rate)

    left, right = trade_off([found("b", 0.7, 90), found("a", 0.5), found("b", 0.4, 60)]).axes
    lines = {str(line.get_label()): list(line.get_xdata()) for line in left.get_lines()}
    assert lines == {"b": [0.4, 0.7], "a": [0.5]}
    assert [text.get_text() for text in left.texts] == ["60", "90", "a"]
    assert len(right.get_lines()) == 2
