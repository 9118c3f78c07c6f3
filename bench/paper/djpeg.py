"""dJPEG beside libjpeg: Fig. 6 b-d of the NIP paper (CVPR 2019) as a plot.

    python -m dcncodec.bench.paper.djpeg --out DIR --data ../shared/data/kodak --limit 4

A panel for every rounding: PSNR after dJPEG over PSNR after libjpeg, both against the original, for
images at many qualities. The exact rounding lies on the diagonal; the sinusoidal one keeps more
than JPEG does.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dcncodec.errors import DcnError, UsageError
from dcncodec.forensics.djpeg import DJPEG, Rounding
from dcncodec.formats.files import make_folder
from dcncodec.formats.guard import images_in
from dcncodec.formats.image import read_image
from dcncodec.metrics import to_unit
from dcncodec.plotting import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pixels = NDArray[np.uint8]
Point = tuple[int, float, float, float]

ROUNDINGS: tuple[Rounding, ...] = ("hard", "harmonic", "sinusoidal")
QUALITIES = tuple(range(5, 100, 5))


def libjpeg(pixels: Pixels, quality: int) -> Pixels:
    """What a decoder shows after libjpeg, 4:4:4."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
    return np.asarray(Image.open(file))


def compare(pictures: Sequence[Pixels]) -> dict[str, list[Point]]:
    """By rounding: quality, libjpeg's PSNR, dJPEG's, and their mean difference in grey levels."""
    found: dict[str, list[Point]] = {rounding: [] for rounding in ROUNDINGS}
    for pixels in pictures:
        for quality in QUALITIES:
            known = libjpeg(pixels, quality).astype(np.float64)
            for rounding in ROUNDINGS:
                own = _djpeg(pixels, quality, rounding)
                difference = float(np.abs(own - known).mean())
                psnrs = (_psnr(pixels, known), _psnr(pixels, own))
                found[rounding].append((quality, *psnrs, difference))
    return found


def draw(found: Mapping[str, Sequence[Point]]) -> Figure:
    """A panel for every rounding."""
    figure = new_figure(3.6 * len(found) + 0.8, 3.6)
    panels = figure.subplots(1, len(found), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (rounding, points) in zip(panels, found.items(), strict=True):
        quality, known, own, _ = np.array(points).T
        dots = axes.scatter(known, own, c=quality, s=9, cmap="viridis")
        ends = [known.min(), known.max()]
        axes.plot(ends, ends, "k-", linewidth=0.7)
        axes.set_title(rounding, fontsize=9)
        axes.set_xlabel("PSNR after libjpeg, dB")
    panels[0].set_ylabel("PSNR after dJPEG, dB")
    figure.colorbar(dots, ax=list(panels), label="quality")
    return figure


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of images.")
@click.option("--limit", type=click.IntRange(1), help="Only the first images.")
def main(out: Path, data: Path, limit: int | None) -> None:
    """Draw fig-6 as SVG and PNG, and print the differences from libjpeg."""
    try:
        make_folder(out)
        files = images_in(data)[:limit] if data.is_dir() else []
        if not files:
            raise UsageError(f"--data {data}: no images there")
        found = compare([read_image(file).pixels for file in files])
        save_figure(draw(found), out, "fig-6")
    except DcnError as error:
        raise click.ClickException(str(error)) from None
    click.echo("rounding     mean difference from libjpeg, grey levels: all, and the worst quality")
    for rounding, points in found.items():
        differences = {q: [p[3] for p in points if p[0] == q] for q in QUALITIES}
        worst = max(float(np.mean(values)) for values in differences.values())
        click.echo(f"{rounding:<11}  {np.mean([p[3] for p in points]):8.3f} {worst:8.3f}")


def _djpeg(pixels: Pixels, quality: int, rounding: Rounding) -> NDArray[np.float64]:
    with torch.no_grad():
        tensor = to_unit(torch.from_numpy(pixels.copy())).unsqueeze(0)
        own = DJPEG(quality, "444", rounding)(tensor)[0].movedim(0, -1)
    levels: NDArray[np.float64] = own.double().numpy() * 255
    return levels


def _psnr(original: Pixels, other: NDArray[np.float64]) -> float:
    return float(10 * np.log10(255**2 / max(np.square(original - other).mean(), 1e-9)))


if __name__ == "__main__":
    main()
