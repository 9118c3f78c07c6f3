"""Figures 5 and 6 of the DCN paper, from images and models at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dcncodec.bench import metrics
from dcncodec.bench.codecs import BaselineCodec, DcnCodec
from dcncodec.bench.datasets import Pixels
from dcncodec.bench.fits import fits, mean_curve
from dcncodec.bench.plots import RATE_LIMIT, finish, mean_line, styles
from dcncodec.bench.results import Results
from dcncodec.plotting import DPI, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXAMPLES = 4
"""Single images in figure 5."""
GAP, TITLE = 8, 44
"""Pixels between the images of figure 6, and above each for its two lines of text."""


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
            axes.plot(*mean_line(points, "ssim"), look[codec]["marker"] + "--", **style)
    axes.set_title(f"{results.dataset}, mean of {len(results.images)} images")
    axes.legend(fontsize=8)
    _finish(axes)
    step = max(1, len(results.images) // EXAMPLES)
    for number, image in enumerate(results.images[::step][:EXAMPLES]):
        axes = figure.add_subplot(grid[number // 2, 2 + number % 2])
        for codec in results.titles:
            points = [p for p in results.points if (p.codec, p.image) == (codec, image)]
            style = {"color": look[codec]["color"], "linewidth": 0.9}
            curve = found.get((codec, image))
            form = look[codec]["marker"] + ("--" if curve is None else "")
            axes.plot(*mean_line(points, "ssim"), form, markersize=3, **style)
            if curve is not None:
                inside = rates[(rates >= curve.low) & (rates <= curve.high)]
                axes.plot(inside, curve(inside), **style)
        axes.set_title(image, fontsize=8)
        _finish(axes)
    return figure


def _finish(axes: Axes) -> None:
    finish(axes)
    axes.set_xlabel("effective bits per pixel", fontsize=8)
    axes.set_ylabel("SSIM", fontsize=8)


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
    """Originals and what ``versions`` made of them, one row an image.

    An image pixel is a pixel of the PNG that ``save_figure`` writes.

    Args:
        rows: name, original and versions of each image.
    """
    columns = 1 + max(len(versions) for _, _, versions in rows)
    column = GAP + max(original.shape[1] for _, original, _ in rows)
    width = GAP + columns * column
    height = GAP + sum(TITLE + GAP + original.shape[0] for _, original, _ in rows)
    figure = new_figure(width / DPI, height / DPI)
    # Every image has its place, to the pixel.
    figure.set_layout_engine("none")
    bottom = height
    for name, original, coded in rows:
        rise, run = original.shape[:2]
        bottom -= TITLE + rise
        cells = [(f"{name}\noriginal", original)]
        cells += [
            (f"{item.label}\n{item.bpp:.3f} bpp, SSIM {item.ssim:.4f}", item.pixels)
            for item in coded
        ]
        for number, (title, pixels) in enumerate(cells):
            place = GAP + number * column, bottom, run, rise
            axes = figure.add_axes(
                (place[0] / width, place[1] / height, place[2] / width, place[3] / height)
            )
            axes.imshow(pixels, interpolation="none", aspect="auto")
            axes.set_title(title, fontsize=7, pad=3)
            axes.axis("off")
        bottom -= GAP
    return figure
