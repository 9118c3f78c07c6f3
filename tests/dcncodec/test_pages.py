"""Pages hold their text as it is, and their plots."""

from __future__ import annotations

import base64
import sys
from html.parser import HTMLParser

import pytest

from dcncodec import pages
from dcncodec.errors import MissingLibraryError
from dcncodec.pages import Table

HOSTILE = "<script>alert('{{ title }}')</script> & \"a\""


class Read(HTMLParser):
    """Elements with their attributes, and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data.strip())


def test_text_is_no_html() -> None:
    parts = [HOSTILE, Table("", [HOSTILE], [[HOSTILE]]), Table(HOSTILE, ["a"], [["b"]], HOSTILE)]
    page = Read(pages.render("page.html", title=HOSTILE, parts=parts, plots={HOSTILE: b"<svg/>"}))
    assert "script" not in [tag for tag, _ in page.elements]
    assert page.text.count(HOSTILE) == 8
    (image,) = [found for tag, found in page.elements if tag == "img"]
    assert image["alt"] == HOSTILE
    kind, content = str(image["src"]).split(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content) == b"<svg/>"
    # A title that is empty is none.
    assert [tag for tag, _ in page.elements].count("h2") == 2


def test_without_jinja(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingLibraryError, match="reports need Jinja2"):
        pages.render("page.html", title="", parts=[], plots={})


@pytest.mark.parametrize(("library", "lack"), [("jinja2", "Jinja2"), ("matplotlib", "matplotlib")])
def test_what_pages_lack(monkeypatch: pytest.MonkeyPatch, library: str, lack: str) -> None:
    pages.check()
    for module in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingLibraryError, match=rf"{lack}: pip install 'dcncodec\[bench\]'"):
        pages.check()
