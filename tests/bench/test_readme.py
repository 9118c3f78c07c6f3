"""Tables and plot of the README from runs."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dcncodec.bench import readme
from dcncodec.bench.results import Results
from dcncodec.errors import UsageError

TEXT = "".join(f"{readme.MARK[0].format(n)}old\n<!-- end -->\n" for n in ("rates", "qualities"))
TEXT = f"before\n{TEXT}between\n{readme.MARK[0].format('models')}<!-- end -->\nafter\n"


def rated(results: Results, share: float) -> Results:
    """A run of dcn-vr alone, with a share of the bits of BPG's first three settings."""
    settings = {"0": "0", "1": "128", "2": "255"}
    points = [
        replace(
            point,
            codec="dcn-vr",
            setting=settings[point.setting],
            bytes_payload=round(point.bytes_payload * share),
        )
        for point in results.points
        if point.codec == "bpg" and point.setting in settings
    ]
    return replace(results, titles={"dcn-vr": "dcn-vr"}, points=points)


def test_tables_and_plot(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    results.write(tmp_path / "others")
    rated(results, 3).write(tmp_path / "old")
    rated(results, 0.5).write(tmp_path / "new")
    path = tmp_path / "README.md"
    path.write_text(TEXT)
    (tmp_path / "bench").mkdir()

    def run(*names: str) -> str:
        arguments = ["readme", *(str(tmp_path / name) for name in names), "--readme", str(path)]
        monkeypatch.setattr(sys, "argv", arguments)
        readme.main()
        return path.read_text()

    text = run("old", "others", "new")
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("\n<!-- end -->\nafter\n")
    assert "| dcn-vr | -50.0 % | -50.0 % | -50.0 % |\n" in text
    # JPEG's first three settings are as good.
    for quality, bpp, psnr, setting in (
        (0, 0.1, 26.75, 0),
        (50, 0.2, 29.75, 1),
        (100, 0.4, 32.75, 2),
    ):
        assert re.search(rf"\| {quality} \| {bpp:.3f} \| {psnr} \| .* \| {setting} \|\n", text)
    # With its 0.8 bpp dcn-vr would be beyond its last setting.
    assert "| `dcn-32c` | 0.800 | 31.00 | 0.9074 | 0.9074 | – | – | – |" in text
    assert (tmp_path / "bench" / "kodak.svg").read_bytes().startswith(b"<?xml")
    # In place, as often as one likes.
    assert run("others", "new") == run("others", "new")
    with pytest.raises(SystemExit, match="dcn-vr: not measured; give a run with them"):
        run("others")


def test_runs_and_texts_that_do_not_fit(results: Results) -> None:
    with pytest.raises(UsageError, match="different images"):
        readme.merged([results, replace(rated(results, 0.5), crop=256)])
    tables = readme.all_tables(readme.merged([results, rated(results, 0.5)]))
    with pytest.raises(UsageError, match="<!-- bench models --> is not there once"):
        readme.fill(TEXT.replace("bench models", "bench none"), tables)
