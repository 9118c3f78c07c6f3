"""Figures 5 and 6 of the paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcncodec.bench import datasets
from dcncodec.bench.codecs import BaselineCodec, DcnCodec, specs
from dcncodec.bench.fits import fits, mean_curve
from dcncodec.bench.paper import figures
from dcncodec.bench.results import Results
from dcncodec.plotting import save_figure


def test_figure_5(results: Results) -> None:
    figure = figures.figure5(results)
    whole, *single = figure.axes
    assert [axes.get_title() for axes in single] == ["a", "b"]
    lines = {str(line.get_label()): np.asarray(line.get_xydata()) for line in whole.get_lines()}
    assert set(lines) == set(results.titles.values())
    curves = [curve for (codec, _), curve in fits(results.points).items() if codec == "bpg"]
    rates, values = lines["BPG 4:4:4"].T
    np.testing.assert_array_equal(values, mean_curve(curves, rates))
    # One model has no curve; its mean point is drawn.
    assert lines["dcn"] == pytest.approx(np.array([(0.8, 1 - 10 ** (-31 / 30))]))
    # Points and curve of both codecs, and the point of the model.
    assert [len(axes.get_lines()) for axes in single] == [5, 5]


def test_figure_5_spreads_its_single_images(results: Results) -> None:
    points = [replace(p, image=f"{i:02d}") for i in range(11) for p in results.points[:2]]
    _, *single = figures.figure5(replace(results, points=points)).axes
    assert [axes.get_title() for axes in single] == ["00", "02", "04", "06"]


def test_versions_of_figure_6(photos: Path, tiny_model: Path) -> None:
    model, jpeg = (spec.open() for spec in specs([str(tiny_model), "jpeg"]))
    assert isinstance(model, DcnCodec)
    assert isinstance(jpeg, BaselineCodec)
    pixels = datasets.find(str(photos))[0].load()
    same_ssim, own, same_bpp = figures.versions(pixels, model, "tiny", jpeg)
    assert own.label == "tiny"
    assert same_bpp.label.endswith(", same bpp")
    assert same_bpp.bpp == pytest.approx(own.bpp, rel=0.1)
    # Random weights are worse than the worst JPEG.
    assert same_ssim.label == "JPEG (1), same SSIM"


class Good:
    """A model that is as good as JPEG of quality 60."""

    def __init__(self, jpeg: BaselineCodec) -> None:
        self.decode, self.payload = jpeg.decode, jpeg.payload
        self._jpeg = jpeg

    def encode(self, pixels: datasets.Pixels, setting: str) -> bytes:
        """A JPEG."""
        return self._jpeg.encode(pixels, "60")


def test_jpeg_meets_ssim_and_rate(photos: Path) -> None:
    jpeg = specs(["jpeg"])[0].open()
    assert isinstance(jpeg, BaselineCodec)
    pixels = datasets.find(str(photos))[1].load()
    model: DcnCodec = Good(jpeg)  # type: ignore[assignment]
    same_ssim, own, same_bpp = figures.versions(pixels, model, "good", jpeg)
    assert same_ssim.label == "JPEG (60), same SSIM"
    assert same_bpp.label == "JPEG (60), same bpp"
    assert same_ssim.ssim == own.ssim == same_bpp.ssim


def test_figure_6_is_not_resampled(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    shapes = ((61, 83), (128, 97))
    rows = []
    for number, (height, width) in enumerate(shapes):
        original, *coded = random.integers(0, 256, (4, height, width, 3), np.uint8)
        versions = [figures.Version(f"v{i}", pixels, 0.5, 0.9) for i, pixels in enumerate(coded)]
        rows.append((f"image {number}", original, versions))
    figure = figures.figure6(rows)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["image 0\noriginal", "v0\n0.500 bpp, SSIM 0.9000"]
    save_figure(figure, tmp_path, "figure6")
    with Image.open(tmp_path / "figure6.png") as image:
        canvas = np.asarray(image.convert("RGB"))
    top = 0
    for _, original, versions in rows:
        top += figures.TITLE
        height, width = original.shape[:2]
        for column, pixels in enumerate((original, *(item.pixels for item in versions))):
            left = figures.GAP + column * (97 + figures.GAP)
            shown = canvas[top : top + height, left : left + width]
            np.testing.assert_array_equal(shown, pixels)
        top += height + figures.GAP
