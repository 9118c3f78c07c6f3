"""ManTra-Net's Table 4 and Fig. 4 (Wu et al., CVPR 2019) at a small scale.

    python -m dcncodec.bench.paper.mantranet classes SOURCES... --steps 300 [--level N ...]
    python -m dcncodec.bench.paper.mantranet strengths NAME --data photos/ --out out/mantranet

``classes`` trains features on every level of the hierarchy of manipulations, by as many steps, and
prints how well each tells the seven families apart: more classes, better features. ``strengths``
measures pixel AUC by manipulation and strength (Fig. 4a), and how it decays when photos are scaled
and compressed as a whole afterwards (Fig. 4b).
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import click
import numpy as np
import torch

from dcncodec.errors import DcnError
from dcncodec.forensics.judge import Judge, Pixels
from dcncodec.forensics.operations.compression import jpeg_anywhere
from dcncodec.forensics.operations.hierarchy import KINDS, LEVELS
from dcncodec.forensics.operations.operation import Operation, opencv
from dcncodec.forensics.photos import Photos
from dcncodec.forensics.trace.localise import open_judge
from dcncodec.forensics.trace.samples import around
from dcncodec.forensics.trace.scores import Mask, auc
from dcncodec.forensics.trace.shapes import random_mask
from dcncodec.forensics.trace.synthesis import blend
from dcncodec.formats.files import atomic_write, make_folder
from dcncodec.models.trace import SIZES, Trace
from dcncodec.plotting import new_figure, save_figure
from dcncodec.runtime.devices import choose_device, choose_precision
from dcncodec.train.engine.data import Dataset, load_images
from dcncodec.train.engine.presets import TRACE_RECIPES
from dcncodec.train.engine.run import Budget
from dcncodec.train.tasks.trace import FeaturesTrainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 256
"""Of the photos' middles that are manipulated, in pixels."""
STRENGTHS = 4
"""Of each kind of manipulation, from one end of its leaves to the other."""
SCALES = (1.0, 0.9, 0.75, 0.5)
QUALITIES = (100, 90, 80, 70, 60, 50)
PLAIN = ("gaussian noise", "median", "jpeg", "bicubic")
"""Kinds whose decay is shown."""


@dataclass(frozen=True)
class Strength:
    """Mean pixel AUC of a manipulation of parts of photos."""

    kind: str
    leaf: str
    place: int
    auc: float


@dataclass(frozen=True)
class Decay:
    """Mean pixel AUC of a kind after something was done to the photos as a whole."""

    kind: str
    how: str
    value: float
    auc: float


def families_by_level(
    data: Dataset, levels: Sequence[int], budget: Budget, device: torch.device, loaders: int
) -> Iterator[tuple[int, dict[str, float]]]:
    """Train features for every level; its classes, and the validation's figures.

    Raises:
        UsageError: there is no such level.
        TrainingError: the photos show too little, or a loss is no longer finite.
    """
    precision = choose_precision("auto", device)
    for classes in levels:
        torch.manual_seed(0)
        recipe = replace(TRACE_RECIPES["fast"], classes=classes)
        network = Trace(SIZES[recipe.size], classes).to(device)
        with tempfile.TemporaryDirectory() as folder:
            trainer = FeaturesTrainer(
                network, recipe, data, Path(folder), precision=precision, loaders=loaders
            )
            trainer.run(budget, lambda _: None)
            with trainer.averaged(), torch.no_grad():
                yield classes, trainer.validate()


def chosen(kind: Sequence[Operation]) -> list[Operation]:
    """A few strengths of a kind, in the order of its leaves."""
    count = min(STRENGTHS, len(kind))
    places = np.linspace(0, len(kind) - 1, count).round().astype(int)
    return [kind[place] for place in places]


def strengths(
    judge: Judge, photos: Sequence[Pixels], progress: Callable[[], object]
) -> Iterator[Strength]:
    """Pixel AUC of every kind and strength; the same part of a photo is manipulated each time."""
    for kind in KINDS:
        for place, leaf in enumerate(chosen(kind)):
            values = [_auc(judge, *_enhanced(photo, leaf, i)) for i, photo in enumerate(photos)]
            progress()
            yield Strength(leaf.kind, leaf.name, place, fmean(values))


def decays(
    judge: Judge, photos: Sequence[Pixels], progress: Callable[[], object]
) -> Iterator[Decay]:
    """Pixel AUC of some kinds, of middle strength, behind scaling and JPEG."""
    kinds = [kind for kind in KINDS if kind[0].kind in PLAIN]
    for kind in kinds:
        leaf = kind[len(kind) // 2]
        made = [_enhanced(photo, leaf, i) for i, photo in enumerate(photos)]
        for scale in SCALES:
            values = [_auc(judge, *_scaled(pixels, mask, scale)) for pixels, mask in made]
            progress()
            yield Decay(leaf.kind, "scale", scale, fmean(values))
        for quality in QUALITIES:
            values = [
                _auc(judge, jpeg_anywhere(pixels, np.random.default_rng(i), quality), mask)
                for i, (pixels, mask) in enumerate(made)
            ]
            progress()
            yield Decay(leaf.kind, "quality", quality, fmean(values))


def _enhanced(photo: Pixels, leaf: Operation, number: int) -> tuple[Pixels, Mask]:
    generator = np.random.default_rng(number)
    mask = random_mask(photo.shape[0], photo.shape[1], generator)
    return blend(photo, leaf.apply(photo, generator), mask, generator), mask


def _scaled(pixels: Pixels, mask: Mask, scale: float) -> tuple[Pixels, Mask]:
    cv2 = opencv()
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    small = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), small > 0


def _auc(judge: Judge, pixels: Pixels, mask: Mask) -> float:
    return auc(judge.judge(pixels).manipulated(*pixels.shape[:2]), mask)


def strengths_plot(found: Sequence[Strength]) -> Figure:
    """Kinds below each other, strengths beside each other, AUC as colour and number."""
    kinds = list(dict.fromkeys(row.kind for row in found))
    table = np.full((len(kinds), STRENGTHS), np.nan)
    for row in found:
        table[kinds.index(row.kind), row.place] = row.auc
    figure = new_figure(5, 0.28 * len(kinds) + 0.8)
    axis = figure.subplots()
    axis.imshow(table, vmin=0.5, vmax=1, aspect="auto", cmap="viridis")
    for (row, column), value in np.ndenumerate(table):
        if np.isfinite(value):
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", color="white")
    axis.set_yticks(range(len(kinds)), kinds)
    axis.set_xticks([])
    axis.set_xlabel("strengths, from the first leaf of a kind to the last")
    return figure


def decays_plot(found: Sequence[Decay]) -> Figure:
    """AUC over the scale and over the quality of JPEG."""
    figure = new_figure(8, 3)
    for axis, how in zip(figure.subplots(1, 2, sharey=True), ("scale", "quality"), strict=True):
        for kind in dict.fromkeys(row.kind for row in found):
            rows = [row for row in found if (row.kind, row.how) == (kind, how)]
            axis.plot([row.value for row in rows], [row.auc for row in rows], "o-", label=kind)
        axis.set_xlabel("scale of the photo" if how == "scale" else "quality of JPEG")
        axis.grid(alpha=0.3)
        axis.legend()
    return figure


@click.group()
def main() -> None:
    """Redraw Table 4 and Fig. 4."""


@main.command("classes")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--steps", type=click.IntRange(1), default=300, show_default=True)
@click.option("--level", "levels", type=int, multiple=True, help="Of these classes alone.")
@click.option("--device", default="auto", show_default=True)
@click.option("--loaders", type=click.IntRange(0), default=0, help="Processes that make patches.")
def classes_command(
    sources: tuple[Path, ...], steps: int, levels: tuple[int, ...], device: str, loaders: int
) -> None:
    """Train on every level of the hierarchy alike."""
    try:
        data = load_images(sources, around(TRACE_RECIPES["fast"].patch))
        place = choose_device(device)
        click.echo("classes  accuracy  of the families")
        for classes, figures in families_by_level(
            data, levels or LEVELS, Budget(steps), place, loaders
        ):
            accuracy, families = (figures[f"validation_{n}"] for n in ("accuracy", "families"))
            click.echo(f"{classes:7d} {accuracy:9.3f} {families:16.3f}")
    except DcnError as error:
        raise click.ClickException(str(error)) from None


@main.command("strengths")
@click.argument("name")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Clean photos.")
@click.option("--limit", type=click.IntRange(1), default=8, show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False))
def strengths_command(name: str, data: Path, limit: int, out: Path) -> None:
    """Measure a network by manipulation and strength, and behind scaling and JPEG."""
    try:
        judge = open_judge(name, choose_device("auto"))
        photos = [_middle(photo.finished()) for photo in Photos(data, limit)]
        make_folder(out)
        steps = sum(len(chosen(kind)) for kind in KINDS)
        steps += len(PLAIN) * (len(SCALES) + len(QUALITIES))
        with click.progressbar(length=steps, label=name, file=sys.stderr) as bar:
            by_strength = list(strengths(judge, photos, partial(bar.update, 1)))
            behind = list(decays(judge, photos, partial(bar.update, 1)))
    except DcnError as error:
        raise click.ClickException(str(error)) from None
    save_figure(strengths_plot(by_strength), out, "strengths")
    save_figure(decays_plot(behind), out, "decays")
    rows = {
        "strengths": [vars(row) for row in by_strength],
        "decays": [vars(row) for row in behind],
    }
    with atomic_write(out / "results.json", overwrite=True) as file:
        file.write((json.dumps(rows, indent=2) + "\n").encode())
    for row in by_strength:
        click.echo(f"{row.leaf:<36} {row.auc:.3f}")
    for line in behind:
        click.echo(f"{line.kind:<16} {line.how} {line.value:<6g} {line.auc:.3f}")


def _middle(pixels: Pixels) -> Pixels:
    top, left = (max(0, (side - SIDE) // 2) for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])


if __name__ == "__main__":
    main()
