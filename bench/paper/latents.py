"""The latents of codecs: Figs. A.3 and A.4 of the DCN paper as plots.

    python -m dcncodec.bench.paper.latents --data DIR --model NAME|PATH ... --out DIR

fig-a3   code words of every model, actual beside the soft estimate that trainings see
fig-a4   the latents of the first picture of DIR, channel by channel, of every model

The paper compares codebooks of 1 to 6 bits and weights of the entropy; models for it come from

    dcn train photos/ --channels 16 --bits BITS --lambda-h WEIGHT --out RUN --export NAME

(files know 5 bits at most).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcncodec.errors import DcnError
from dcncodec.formats.files import make_folder
from dcncodec.formats.geometry import CODEBOOK_MAX, CODEBOOK_MIN, STRIDE
from dcncodec.metrics import to_unit
from dcncodec.models.dcn import DCN
from dcncodec.models.load import load_dcn
from dcncodec.models.registry import find_model
from dcncodec.plotting import new_figure, save_figure
from dcncodec.quantise import CODEBOOK_BITS, Quantiser
from dcncodec.quantise import entropy as histogram_entropy
from dcncodec.train.engine.data import ImageSet, load_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PATCH, CROPS = 128, 48
SHOWN = 256
"""Side in pixels of the part of a picture whose latents are shown."""


@dataclass(frozen=True, eq=False)
class Latents:
    """What a model makes of pictures.

    Attributes:
        name: of the model.
        bits: of its codebook.
        lambda_h: weight of the entropy in its training.
        actual, soft: histograms of the code words, (2 ** bits,), shares.
        maps: quantised latents of one picture, (N, h, w), by falling variance of the channels.
    """

    name: str
    bits: int
    lambda_h: float
    actual: Tensor
    soft: Tensor
    maps: NDArray[np.float32]

    @property
    def title(self) -> str:
        """Of its panel."""
        actual, soft = (float(histogram_entropy(bins)) for bins in (self.actual, self.soft))
        return (
            f"{self.name}, {self.bits} bits, $\\lambda_H$ {self.lambda_h:g}: "
            f"{actual:.2f} bits, estimate {soft:.2f}"
        )


@torch.no_grad()
def measure(model: str, images: ImageSet) -> Latents:
    """Latents of random crops, and of the middle of the first picture.

    Raises:
        DcnError: there is no such model, or it is none of the family dcn.
    """
    folder = find_model(model)
    codec = load_dcn(folder)
    recipe = folder.card.get("recipe", {})
    quantiser = Quantiser(bits=int(recipe.get("bits", CODEBOOK_BITS)))
    crops = images.crops(CROPS, PATCH, torch.Generator().manual_seed(0))
    latents = torch.cat([codec.analysis(to_unit(crop[None])) for crop in crops]).double()
    soft = quantiser.assign(latents.reshape(1, 1, 1, -1))[1][0]
    words = (quantiser.hard(latents) - quantiser.lowest).long().flatten()
    actual = torch.bincount(words, minlength=len(soft)).double()
    return Latents(
        folder.name,
        quantiser.bits,
        float(recipe.get("lambda_h", 0.0)),
        actual / actual.sum(),
        soft / soft.sum(),
        _maps(codec, quantiser, images.image(0)),
    )


def _maps(codec: DCN, quantiser: Quantiser, picture: Tensor) -> NDArray[np.float32]:
    """Latents of the middle of a picture, uint8 (H, W, 3)."""
    height, width = picture.shape[:2]
    side = min(SHOWN, height // STRIDE * STRIDE, width // STRIDE * STRIDE)
    top, left = (height - side) // 2, (width - side) // 2
    part = picture[top : top + side, left : left + side]
    latent = quantiser.hard(codec.analysis(to_unit(part[None])))[0]
    order = latent.flatten(1).var(1).argsort(descending=True)
    maps: NDArray[np.float32] = latent[order].float().numpy()
    return maps


def figure_a3(found: list[Latents]) -> Figure:
    """Histograms, one panel a model."""
    figure = new_figure(6, 2.2 * len(found))
    panels = figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0]
    for axis, latents in zip(panels, found, strict=True):
        quantiser = Quantiser(bits=latents.bits)
        words = range(quantiser.lowest, quantiser.highest + 1)
        axis.bar(words, latents.actual.numpy(), color="0.7", label="actual")
        axis.plot(words, latents.soft.numpy(), "k.-", linewidth=0.8, label="soft estimate")
        axis.set_yscale("log")
        axis.set_ylim(1e-6, 1)
        axis.set_xlim(CODEBOOK_MIN - 1, CODEBOOK_MAX + 1)
        axis.set_title(latents.title, fontsize=9)
        axis.set_ylabel("share")
    panels[0].legend(fontsize=8)
    panels[-1].set_xlabel("code word")
    return figure


def figure_a4(found: list[Latents]) -> Figure:
    """Channels of one picture's latents as tiles, one panel a model."""
    figure = new_figure(4 * len(found), 4.4)
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axis, latents in zip(panels, found, strict=True):
        count, height, width = latents.maps.shape
        across = int(np.ceil(np.sqrt(count)))
        tiles = np.full((-(-count // across) * (height + 1), across * (width + 1)), np.nan)
        for number, plane in enumerate(latents.maps):
            top, left = number // across * (height + 1), number % across * (width + 1)
            tiles[top : top + height, left : left + width] = plane
        axis.imshow(tiles, cmap="gray", vmin=CODEBOOK_MIN, vmax=CODEBOOK_MAX)
        axis.set_title(latents.name, fontsize=9)
        axis.set_axis_off()
    return figure


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of images.")
@click.option("--model", "models", multiple=True, required=True, help="Repeat for several.")
def main(out: Path, data: Path, models: tuple[str, ...]) -> None:
    """Draw both figures as SVG and PNG, and print the entropies."""
    try:
        images = load_images([data], PATCH).training
        found = [measure(model, images) for model in models]
        make_folder(out)
        save_figure(figure_a3(found), out, "fig-a3")
        save_figure(figure_a4(found), out, "fig-a4")
    except DcnError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{'model':<20} codebook  lambda_H  zeros  entropy  soft estimate  (bits a latent)")
    for one in found:
        zeros = float(one.actual[-Quantiser(bits=one.bits).lowest])
        actual, soft = (float(histogram_entropy(bins)) for bins in (one.actual, one.soft))
        click.echo(
            f"{one.name:<20} {one.bits:>8}  {one.lambda_h:>8g}  {zeros:>5.1%}  {actual:>7.3f}  "
            f"{soft:>13.3f}"
        )


if __name__ == "__main__":
    main()
