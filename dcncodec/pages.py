"""HTML pages that hold all they show; Jinja, which fills their templates in, is optional.

write(folder / "report.html", render("page.html", title="...", parts=[...], plots={...}))
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcncodec import plotting
from dcncodec.errors import MissingLibraryError
from dcncodec.formats.files import atomic_write


@dataclass(frozen=True)
class Table:
    """A title, a head and rows of text.

    Attributes:
        title: above it; may be empty.
        note: one line below.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def check() -> None:
    """Complain of what pages with plots lack, before the long work whose results they show.

    Raises:
        MissingLibraryError: Jinja or matplotlib is not installed.
    """
    plotting.check()
    _check_jinja()


def render(template: str, package: str = "dcncodec", **values: Any) -> str:
    """A page, in which nothing of a text is taken for HTML.

    Args:
        template: its name in the package's folder ``templates``; it may extend those of
            ``dcncodec``.
        values: what it names. ``page.html`` shows a ``title``, ``parts`` (paragraphs as text, and
            ``Table``) and ``plots`` (SVG files by title).

    Raises:
        MissingLibraryError: Jinja is not installed.
    """
    _check_jinja()
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (package, "dcncodec")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    return environment.get_template(template).render(values)


def _check_jinja() -> None:
    try:
        import jinja2  # noqa: F401
    except ImportError:
        raise MissingLibraryError("reports need Jinja2", extras=("bench", "forensics")) from None


def write(path: Path, page: str) -> None:
    """Write a page, replacing an earlier one; OutputError where that is not possible."""
    with atomic_write(path, overwrite=True) as file:
        file.write(page.encode())
