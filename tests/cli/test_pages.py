"""Commands that write pages say before their work what brings the library that fills them in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import Runner, one_line
from PIL import Image
from torch_threads import one_torch_thread

TRANSFER = "forensics prnu transfer photos --pipelines standard --report out"
CALLS = {
    "forensics evaluate fan-none --data photos -o out": "forensics",
    "forensics evaluate-masks fan-none --data photos --report out": "forensics",
    "forensics sweep photos --data photos --jpeg 50 --minutes 1 -o out": "forensics",
    TRANSFER: "forensics",
    "forensics prnu survive photos -c jpeg:50 --report out": "forensics",
    "bench --dataset photos -c jpeg --workers 1 --no-speed --cache-dir out -o out": "bench",
}
"""And the extra that each of them names."""


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("photos/masks").mkdir(parents=True)
    for name in "abcdef":
        pixels = rng.integers(0, 256, (256, 256, 3), np.uint8)
        Image.fromarray(pixels).save(f"photos/{name}.png")
        Image.fromarray(np.eye(256, dtype=bool)).save(f"photos/masks/{name}.png")
    with one_torch_thread():
        yield


@pytest.mark.parametrize(("call", "extra"), CALLS.items())
def test_a_missing_extra(
    dcn: Runner, monkeypatch: pytest.MonkeyPatch, call: str, extra: str
) -> None:
    if call == TRANSFER:
        pytest.importorskip("colour_demosaicing")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    found = dcn(*call.split())
    one_line(found, f"reports need Jinja2: pip install 'dcncodec[{extra}]'")
    assert not Path("out").exists()


@pytest.mark.parametrize("figure", ["figure5 --workers 1 --cache-dir out", "figure6"])
def test_a_missing_matplotlib(dcn: Runner, monkeypatch: pytest.MonkeyPatch, figure: str) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = dcn("bench", *figure.split(), "--dataset", "photos", "-c", "dcn-16c", "-o", "out")
    one_line(found, "plots need matplotlib")
    assert not Path("out").exists()


def test_masks_without_a_page(dcn: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Need nothing that pages do."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    found = dcn("forensics", "evaluate-masks", "fan-none", "--data", "photos", "--limit", 1)
    assert found.code == 0, found.err
