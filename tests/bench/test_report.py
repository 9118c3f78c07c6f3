"""Results on disk, tables, plots, the report in a browser, comparisons, cards, figures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dcncodec.bench import cards, datasets, figures, plots, report, runner, tables, viewer
from dcncodec.bench import results as run_results
from dcncodec.bench.codecs import BaselineCodec, DcnCodec, specs
from dcncodec.bench.compare import compare
from dcncodec.bench.points import Failure
from dcncodec.bench.results import Results, choose_anchor, read
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
    with pytest.raises(OutputError, match="choose another --output"):
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
    text = tables.ratios(results).markdown()
    assert text.splitlines()[1] == "| --- | --- | --- | --- | --- |"
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


def test_plots_are_written_and_reproducible(results: Results, tmp_path: Path) -> None:
    found = plots.all_plots(results, ["psnr", "ssim"])
    assert set(found) == {
        f"{kind}_{metric}" for kind in ("rd", "images", "speed") for metric in ("psnr", "ssim")
    }
    svg = plots.save(found["rd_ssim"], tmp_path, "plot")
    assert svg == (tmp_path / "plot.svg").read_bytes()
    assert svg == plots.render(plots.rate_distortion(results, "ssim"), "svg")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.size == (1050, 690)
    assert plots.speed_over_rate(replace(results, speed=[]), "psnr") is None


def test_plots_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingLibraryError, match=r"dcncodec\[bench\]"):
        plots.new_figure(1, 1)


def test_a_report_needs_nothing_else(results: Results, tmp_path: Path) -> None:
    results.failures.append(Failure("jxl", "", "<missing>"))
    scene = {"name": "a</script>", "width": 2, "height": 2, "versions": []}
    report.write(results, [scene], tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", html)
    assert "@" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", html)
    assert "jxl: &lt;missing&gt;" in html
    assert html.count("</script>") == 1
    assert "BD-rate against BPG 4:4:4, piecewise cubic" in html
    assert (tmp_path / "plots/rd_msssim.svg").exists()


def test_scenes_meet_the_rate_of_the_model(photos: Path, tiny_model: Path) -> None:
    chosen = specs([str(tiny_model), "jpeg", "webp"])
    scenes = viewer.scenes(chosen, datasets.find(str(photos)))
    assert [scene["name"] for scene in scenes] == ["cat", "rocket", "woman"]
    for scene in scenes:
        assert [v["label"] for v in scene["versions"]] == ["original", "tiny", "JPEG 4:4:4", "WebP"]
        assert (scene["width"], scene["height"]) == (192, 176)
        _, tiny, jpeg, _ = scene["versions"]
        assert jpeg["bpp"] == pytest.approx(tiny["bpp"], rel=0.1)
    assert viewer.reference(specs(["jpeg"])) is None


PROBE = """
<script>
window.addEventListener("load", () => setTimeout(() => {
  const facts = () => document.getElementById("facts").textContent;
  const above = document.getElementById("above"), stage = document.getElementById("stage");
  const found = {};
  const box = above.getBoundingClientRect();
  found.scale = above.naturalWidth / box.width / devicePixelRatio;
  found.size = [above.naturalWidth, above.naturalHeight];
  found.below = document.getElementById("below").naturalWidth;
  found.slide = facts();
  stage.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + box.width / 4}));
  found.clip = above.style.clipPath;
  document.querySelector("input[value=flip]").click();
  found.flip = [facts()];
  document.dispatchEvent(new KeyboardEvent("keydown", {key: " "}));
  found.flip.push(facts());
  stage.click();
  found.flip.push(facts());
  const right = document.getElementById("right");
  right.value = 0;
  right.dispatchEvent(new Event("change"));
  stage.click();
  found.original = facts();
  const scene = document.getElementById("scene");
  scene.value = 1;
  scene.dispatchEvent(new Event("change"));
  found.options = [...document.getElementById("left").options].map((o) => o.textContent);
  const canvas = document.createElement("canvas");
  canvas.width = box.width; canvas.height = box.height;
  const next = new Image();
  next.onload = () => {
    const context = canvas.getContext("2d");
    context.drawImage(next, 0, 0);
    found.pixel = [...context.getImageData(5, 7, 1, 1).data];
    const result = document.createElement("pre");
    result.id = "probe";
    result.textContent = JSON.stringify(found);
    document.body.append(result);
  };
  next.src = scenes[1].versions[0].source;
}, 200));
</script>
"""


def test_the_viewer_in_a_browser(
    results: Results, photos: Path, tiny_model: Path, tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium")
    items = datasets.find(str(photos))
    scenes = viewer.scenes(specs([str(tiny_model), "jpeg"]), items)
    page = tmp_path / "report.html"
    page.write_text(report.page(results, [], scenes).replace("</body>", PROBE + "</body>"))
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu"),
            *(f"--user-data-dir={tmp_path}/p", "--virtual-time-budget=5000"),
            *("--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    probe = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert probe is not None, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(probe[1])
    assert found["scale"] == pytest.approx(1)
    assert found["size"] == [192, 176]
    assert found["below"] == 192
    assert re.fullmatch(r"tiny, .* bpp.*  \|  JPEG 4:4:4, .* bpp, .* dB, SSIM .*", found["slide"])
    # A quarter of 192 pixels is shown, three quarters are clipped.
    assert "144" in found["clip"]
    first, second, third = found["flip"]
    assert first.startswith("tiny")
    assert second.startswith("JPEG")
    assert third == first
    assert found["original"] == "original, 24.000 bpp"
    assert found["options"] == ["original", "tiny", "JPEG 4:4:4"]
    expected = items[1].load()[7, 5]
    assert found["pixel"] == [*map(int, expected), 255]


def test_comparison(results: Results) -> None:
    assert [table.title for table in compare(results, results)] == [
        "BD-rate of the second run against the first",
        "Times over those of the first run",
    ]
    better = replace(
        results,
        points=[
            replace(point, bytes_payload=point.bytes_payload * 9 // 10)
            if point.codec == "bpg"
            else point
            for point in results.points
            if point.codec != "dcn"
        ],
        speed=[{**row, "encode_s": row["encode_s"] * 2} for row in results.speed],
    )
    found = {table.title: table.rows for table in compare(results, better)}
    rates = {row[0]: row[1] for row in found["BD-rate of the second run against the first"]}
    assert rates == {"bpg": "-10.00 %", "jpeg": "+0.00 %"}
    changed = found["Settings that changed"]
    assert {row[0] for row in changed} == {"bpg"}
    assert changed[0][2:] == ("-10.00 %", "=", "=", "=")
    assert found["Times over those of the first run"][0][3:] == ("2.00", "1.00")
    assert found["Measurements in one run only"] == [("first", "dcn", "2")]


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


def test_figure_5(results: Results) -> None:
    figure = figures.figure5(results)
    whole, *single = figure.axes
    assert [axes.get_title() for axes in single] == ["a", "b"]
    assert {line.get_label() for line in whole.get_lines()} == set(results.titles.values())


def test_figure_6(photos: Path, tiny_model: Path) -> None:
    model, jpeg = (spec.open() for spec in specs([str(tiny_model), "jpeg"]))
    assert isinstance(model, DcnCodec)
    assert isinstance(jpeg, BaselineCodec)
    pixels = datasets.find(str(photos))[0].load()
    same_ssim, own, same_bpp = figures.versions(pixels, model, "tiny", jpeg)
    assert own.label == "tiny"
    assert same_bpp.bpp == pytest.approx(own.bpp, rel=0.1)
    # Random weights are worse than the worst JPEG.
    assert same_ssim.label == "JPEG (1), same SSIM"
    figure = figures.figure6([("cat", pixels, [same_ssim, own, same_bpp])])
    assert len(figure.axes) == 4
    assert np.array_equal(np.asarray(figure.axes[2].images[0].get_array()), own.pixels)
