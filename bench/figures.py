"""Figures 5 and 6 of the DCN paper, from images and models at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from dcncodec.bench import metrics
from dcncodec.bench.codecs import BaselineCodec, DcnCodec
from dcncodec.bench.datasets import Pixels
from dcncodec.bench.fits import fits, mean_curve
from dcncodec.bench.plots import RATE_LIMIT, styles
from dcncodec.bench.points import Point
from dcncodec.bench.results import Results
from dcncodec.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXAMPLES = 4
"""Single images in figure 5."""
DPI = 150


def figure5(results: Results) -> Figure:
    """SSIM over effective bits per pixel: means of the fitted curves, and some single images.

    Codecs with too few settings for a fit (dcn's models) appear as points.
    """
    figure = new_figure(13, 5)
    grid = figure.add_gridspec(2, 4)
    found = fits(results.points)
    look = styles(list(results.titles))
    axes = figure.add_subplot(grid[:, :2])
    rates = np.geomspace(0.05, RATE_LIMIT, 200)
    for codec in results.titles:
        curves = [curve for (name, _), curve in found.items() if name == codec]
        points = [point for point in results.points if point.codec == codec]
        style = {"color": look[codec]["color"], "label": results.title(codec)}
        if curves:
            axes.plot(rates, mean_curve(curves, rates), **style)
        elif points:
            axes.plot(*_means(points), look[codec]["marker"], linestyle="--", **style)
    axes.set_title(f"{results.dataset}, mean of {len(results.images)} images")
    axes.legend(fontsize=8)
    _label(axes)
    step = max(1, len(results.images) // EXAMPLES)
    for number, image in enumerate(results.images[::step][:EXAMPLES]):
        axes = figure.add_subplot(grid[number // 2, 2 + number % 2])
        for codec in results.titles:
            points = [p for p in results.points if (p.codec, p.image) == (codec, image)]
            style = {"color": look[codec]["color"]}
            axes.plot(*_means(points), look[codec]["marker"], markersize=3, **style)
            if (curve := found.get((codec, image))) is not None:
                inside = rates[(rates >= curve.low) & (rates <= curve.high)]
                axes.plot(inside, curve(inside), linewidth=0.9, **style)
        axes.set_title(image, fontsize=8)
        _label(axes)
    return figure


def _means(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Mean rate and mean SSIM of every setting, by rising rate."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        if point.ssim is not None:
            groups.setdefault(point.setting, []).append((point.bpp, point.ssim))
    pairs = sorted(
        (fmean(rate for rate, _ in group), fmean(value for _, value in group))
        for group in groups.values()
    )
    return [rate for rate, _ in pairs], [value for _, value in pairs]


def _label(axes: Axes) -> None:
    axes.set_xlim(0, RATE_LIMIT)
    axes.set_xlabel("effective bits per pixel", fontsize=8)
    axes.set_ylabel("SSIM", fontsize=8)
    axes.grid(alpha=0.3)


@dataclass(frozen=True, eq=False)
class Version:
    """One decoded image of figure 6.

    Attributes:
        label: what it is.
        pixels: uint8 (H, W, 3).
        bpp: of the effective payload.
        ssim: against the original.
    """

    label: str
    pixels: Pixels
    bpp: float
    ssim: float


def versions(pixels: Pixels, model: DcnCodec, setting: str, jpeg: BaselineCodec) -> list[Version]:
    """JPEG with the SSIM of a dcn model, that model, and JPEG with its bits per pixel.

    Args:
        pixels: uint8 (H, W, 3), at least 7 x 7.
    """
    area = pixels.shape[0] * pixels.shape[1]

    def version(label: str, codec: BaselineCodec | DcnCodec, data: bytes) -> Version:
        decoded = codec.decode(data)
        ssim = metrics.measure(pixels, decoded).ssim
        assert ssim is not None
        return Version(label, decoded, codec.payload(data) * 8 / area, ssim)

    data = model.encode(pixels, setting)
    own = version(setting, model, data)
    low, high = (int(quality) for quality in jpeg.baseline.span)

    def coded(quality: int) -> Version:
        return version(f"JPEG ({quality}), same SSIM", jpeg, jpeg.encode(pixels, str(quality)))

    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if coded(middle).ssim <= own.ssim else (low, middle)
    same_ssim = min((coded(low), coded(high)), key=lambda item: abs(item.ssim - own.ssim))
    quality, same_bpp = jpeg.encode_near(pixels, model.payload(data))
    return [same_ssim, own, version(f"JPEG ({quality}), same bpp", jpeg, same_bpp)]


def figure6(rows: Sequence[tuple[str, Pixels, Sequence[Version]]]) -> Figure:
    """Originals and what ``versions`` made of them, one row an image, without resampling.

    Args:
        rows: name, original and versions of each image.
    """
    columns = 1 + max(len(row[2]) for row in rows)
    width = max(row[1].shape[1] for row in rows)
    height = max(row[1].shape[0] for row in rows)
    figure = new_figure(columns * (width / DPI + 0.1), len(rows) * (height / DPI + 0.4))
    for number, (name, original, coded) in enumerate(rows):
        cells = [(f"{name}, original", original)]
        cells += [
            (f"{item.label}: {item.bpp:.2f} bpp, SSIM {item.ssim:.3f}", item.pixels)
            for item in coded
        ]
        for column, (title, pixels) in enumerate(cells):
            axes = figure.add_subplot(len(rows), columns, number * columns + column + 1)
            axes.imshow(pixels, interpolation="none")
            axes.set_title(title, fontsize=8)
            axes.axis("off")
    return figure
