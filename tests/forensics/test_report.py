"""Pages of evaluations, with every figure as a file of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dcncodec.errors import MissingLibraryError
from dcncodec.forensics.report import write_page
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
