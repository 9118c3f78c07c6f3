"""Plots: what they show, and that the same run gives the same bytes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from dcncodec.bench import plots
from dcncodec.bench.results import Results
from dcncodec.errors import MissingLibraryError
from dcncodec.plotting import DPI, render, save_figure


def test_names_and_order(results: Results) -> None:
    found = plots.all_plots(results, ["psnr", "ssim"])
    kinds = ("rd", "speed", "images")
    assert list(found) == [f"{kind}_{metric}" for kind in kinds for metric in ("psnr", "ssim")]
    untimed = plots.all_plots(replace(results, speed=[]), ["psnr"])
    assert list(untimed) == ["rd_psnr", "images_psnr"]


def test_files_are_reproducible(results: Results, tmp_path: Path) -> None:
    save_figure(plots.rate_distortion(results, "ssim"), tmp_path / "new", "plot")
    svg = (tmp_path / "new/plot.svg").read_bytes()
    assert svg == render(plots.rate_distortion(results, "ssim"), "svg")
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    with Image.open(tmp_path / "new/plot.png") as image:
        assert image.size == (7 * DPI, 4.6 * DPI)


def test_means_of_every_setting(results: Results) -> None:
    (axes,) = plots.rate_distortion(results, "psnr").axes
    lines = {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.get_lines()}
    assert list(lines) == ["dcn", "JPEG 4:4:4", "BPG 4:4:4"]
    expected = [(0.2 * 2**i, 26.75 + 3 * i) for i in range(5)]
    assert lines["BPG 4:4:4"] == pytest.approx(np.array(expected))
    assert lines["dcn"] == pytest.approx(np.array([(0.8, 31.0)]))
    # JPEG's points beyond the axis of rates do not stretch that of qualities.
    beyond = [point.psnr for point in results.points if point.bpp > plots.RATE_LIMIT]
    assert beyond
    assert axes.get_xlim() == (0, plots.RATE_LIMIT)
    assert axes.get_ylim()[1] < max(filter(None, beyond))
    assert axes.get_ylabel() == "PSNR, dB"


def test_ssim_is_not_in_decibel_and_msssim_is(results: Results) -> None:
    points = [point for point in results.points if point.codec == "dcn"]
    assert plots.mean_line(points, "ssim")[1] == pytest.approx([1 - 10 ** (-31 / 30)])
    assert plots.mean_line(points, "msssim")[1] == pytest.approx([31 / 3])
    assert plots.mean_line(points, "ssimulacra2") == ([], [])


def test_codecs_without_all_images_say_so(results: Results) -> None:
    kept = [p for p in results.points if (p.codec, p.image) != ("jpeg", "b")]
    (axes,) = plots.rate_distortion(replace(results, points=kept), "psnr").axes
    assert [str(line.get_label()) for line in axes.get_lines()] == [
        *("dcn", "JPEG 4:4:4 (1/2)", "BPG 4:4:4"),
    ]


def test_one_small_plot_an_image(results: Results) -> None:
    kept = [p for p in results.points if (p.codec, p.image) != ("jpeg", "b")]
    figure = plots.per_image(replace(results, points=kept), "psnr")
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]
    assert [len(axes.get_lines()) for axes in figure.axes] == [3, 2]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(results.titles.values())


def test_an_image_without_the_metric(results: Results) -> None:
    points = [replace(p, msssim=None) if p.image == "b" else p for p in results.points]
    figure = plots.per_image(replace(results, points=points), "msssim")
    assert [len(axes.get_lines()) for axes in figure.axes] == [3, 0]
    render(figure, "svg")


def test_speed_over_rate(results: Results) -> None:
    figure = plots.speed_over_rate(results, "psnr")
    assert figure is not None
    encode, decode = figure.axes
    assert encode.get_xlabel() == "encoding, megapixels per second"
    assert decode.get_xlabel() == "decoding, megapixels per second"
    dcn, jpeg = (np.asarray(line.get_xydata())[0] for line in encode.get_lines())
    # The fixture's JPEG takes twice the bits of BPG.
    assert jpeg == pytest.approx((2.6, 100))
    # The model at 31 dB: BPG takes 0.4 x 2^(2/3) bits on the first image, 2^(1/6) x 0.4 on the
    # second, but for the interpolation.
    expected = (0.8 / (0.4 * 2 ** (2 / 3)) + 0.8 / (0.4 * 2 ** (1 / 6))) / 2 - 1
    assert dcn == pytest.approx((2.6, expected * 100), rel=0.02)
    names = [text.get_text() for text in encode.texts]
    assert names == ["dcn-32c", "JPEG 4:4:4"]
    untimed = replace(results, speed=[])
    assert plots.speed_over_rate(untimed, "psnr") is None
    # Timed codecs without a curve have no place.
    assert plots.speed_over_rate(replace(results, points=[]), "psnr") is None


def test_the_anchor_is_in_the_plot_of_speed(results: Results) -> None:
    figure = plots.speed_over_rate(replace(results, anchor="jpeg"), "psnr")
    assert figure is not None
    places = [np.asarray(line.get_xydata())[0, 1] for line in figure.axes[0].get_lines()]
    assert places[1] == 0


def test_many_codecs_look_different() -> None:
    look = plots.styles([f"codec {i}" for i in range(40)])
    assert len({(style["color"], style["marker"]) for style in look.values()}) == 40


def test_without_matplotlib(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingLibraryError, match=r"dcncodec\[bench\]"):
        plots.rate_distortion(results, "psnr")
