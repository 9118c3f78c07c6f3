"""Results on disk, tables, the report, cards."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dcncodec.bench import cards, datasets, plots, report, runner, tables
from dcncodec.bench import results as run_results
from dcncodec.bench.codecs import DcnCodec, specs
from dcncodec.bench.points import Failure
from dcncodec.bench.results import Results, choose_anchor, read
from dcncodec.bench.viewer import Scene, Version
from dcncodec.errors import FormatError, MissingLibraryError, OutputError, UsageError


def test_results_come_back(results: Results, tmp_path: Path) -> None:
    results.failures.append(Failure("jxl", "", "missing"))
    results.write(tmp_path / "run")
    assert read(tmp_path / "run") == results
    assert read(tmp_path / "run/results.json") == results
    lines = (tmp_path / "run/points.csv").read_text().splitlines()
    assert len(lines) == len(results.points) + 1
    assert lines[0].startswith("codec,setting,image,width,height,bytes_file,bytes_payload,psnr")
    head, *rows = (tmp_path / "run/speed.csv").read_text().splitlines()
    assert "entropy_encode_s" in head
    assert len(rows) == 2


@pytest.mark.parametrize("content", ["", "{}", "[]", "nonsense", '{"format": "other"}'])
def test_other_files_are_no_results(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(FormatError):
        read(tmp_path / "x.json")


def test_missing_results(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read(tmp_path / "x.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="name another"):
        run_results.make_folder(tmp_path / "file/run")


def test_the_anchor() -> None:
    assert choose_anchor(None, ["dcn", "jpeg", "bpg"]) == "bpg"
    assert choose_anchor(None, ["dcn", "jpeg"]) == "jpeg"
    assert choose_anchor(None, ["webp"]) == "webp"
    assert choose_anchor("webp", ["jpeg", "webp"]) == "webp"
    with pytest.raises(UsageError, match="--anchor avif: was not measured; measured are: jpeg"):
        choose_anchor("avif", ["jpeg"])


PAIRS = ((29.0, 30.5), (32.0, 33.5))
"""PSNR of the fixture's JPEG and BPG at 0.8 bpp on its two images."""


def test_tables(results: Results) -> None:
    bd = {row[0]: row[1:] for row in tables.bd_rates(results).rows}
    assert bd["JPEG 4:4:4"] == ("+100.0 %",) * 3
    assert bd["BPG 4:4:4"] == ("0 %",) * 3
    assert all(cell.startswith("+") for cell in bd["dcn"])
    cubic = {row[0]: row[1] for row in tables.bd_rates(results, "cubic").rows}
    assert cubic["JPEG 4:4:4"] == "+100.0 %"
    partly = replace(
        results, points=[p for p in results.points if (p.codec, p.image) != ("jpeg", "b")]
    )
    assert "(1/2)" in dict(row[:2] for row in tables.bd_rates(partly).rows)["JPEG 4:4:4"]
    psnr = {row[0]: row[1:] for row in tables.qualities(results, "psnr").rows}
    assert set(psnr) == {"JPEG 4:4:4", "BPG 4:4:4"}
    assert psnr["JPEG 4:4:4"][0] == "–"
    (own,) = tables.points_of(results, ["dcn"]).rows
    assert own[:4] == ("dcn", "dcn-32c", "0.800", "0.800")
    reached = ["0.9074", *(f"{1 - (10 ** (-x / 30) + 10 ** (-y / 30)) / 2:.4f}" for x, y in PAIRS)]
    (own,) = tables.at_own_rates(results, ["dcn"]).rows
    assert own == ("dcn-32c", "0.800", *reached)
    assert tables.breakdown(results).rows[0][-1] == "1.07 %"
    assert tables.speed(results).rows[0][-1] == "256, –"
    assert tables.ratios(results).rows == [("512x512", "dcn-32c", "JPEG 4:4:4", "0.5", "0.25")]
    fitted = {row[0]: row[1:] for row in tables.fitted(results).rows}
    assert set(fitted) == {"JPEG 4:4:4", "BPG 4:4:4"}
    images, error, *values = fitted["BPG 4:4:4"]
    assert (images, values[-1]) == ("2", f"{1 - (10 ** (-36 / 30) + 10 ** (-37.5 / 30)) / 2:.4f}")
    assert float(error) < 0.001
    assert [table.title for table in report.short(results)] == [
        table.title
        for table in (
            tables.bd_rates(results),
            tables.points_of(results, ["dcn"]),
            tables.at_own_rates(results, ["dcn"]),
            tables.speed(results),
            tables.ratios(results),
        )
    ]


def test_a_report_needs_nothing_else(results: Results, tmp_path: Path) -> None:
    results.failures.append(Failure("jxl", "", "<missing> {{ scenes }}"))
    nothing = Version("original", 24.0, None, None, "data:,")
    report.write(results, [Scene("a</script><!--", 2, 2, nothing, [])], tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", html)
    assert "default-src 'none'" in html
    assert "<li>jxl: &lt;missing&gt; {{ scenes }}</li>" in html
    # Nothing else is left to be filled in.
    assert re.findall(r"\{[{%].*?[%}]\}", html) == ["{{ scenes }}"]
    assert html.count("</script>") == 1
    assert "<!--" not in html
    for title in ("BD-rate against BPG 4:4:4, piecewise cubic", "SSIM of the averaged curve fits"):
        assert title in html
    assert html.count('<img class="plot"') == 3 * 3
    assert (tmp_path / "plots/rd_msssim.svg").exists()
    with (tmp_path / "plots/fits.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["codec"], row["image"]) for row in rows] == [
        (codec, image) for codec in ("bpg", "jpeg") for image in ("a", "b")
    ]
    assert {"a", "b", "g", "d", "low", "high", "error"} <= set(rows[0])


def test_without_jinja_no_file_is_written(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = plots.rate_distortion(results, "psnr")
    monkeypatch.setattr(plots, "all_plots", lambda *_: {"rd_psnr": figure})
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingLibraryError, match=r"Jinja2: pip install 'dcncodec\[bench\]'"):
        report.write(results, [], tmp_path)
    assert not list(tmp_path.iterdir())


def test_cards(photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_model, folder)
    card = json.loads((folder / "card.json").read_text())
    card |= {
        "recipe": {},
        "seed": 0,
        "init": "",
        "data": [],
        "curve": [],
        "steps": 0,
        "seconds": 0.0,
    }
    (folder / "card.json").write_text(json.dumps(card))
    chosen = specs([str(folder), "jpeg"])
    outcome = runner.run(chosen, datasets.find(str(photos), crop=170))
    run = Results("kodak", 170, {}, "jpeg", outcome.points)
    codec = chosen[0].open()
    assert isinstance(codec, DcnCodec)
    cards.update(codec, run)
    written = json.loads((folder / "card.json").read_text())["results"]["kodak170"]
    assert written["images"] == 3
    assert {"bpp", "psnr", "ssim", "msssim"} <= set(written)
    alone = replace(run, points=[point for point in run.points if point.codec != "jpeg"])
    with pytest.raises(UsageError, match="add --codec jpeg"):
        cards.update(codec, alone)
