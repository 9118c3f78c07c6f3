"""ManTra-Net's Table 6 at a small scale: what the parts of its anomaly network are good for.

    python -m dcncodec.bench.paper.zpool SOURCES... --init trace-features --steps 300

On the same features, which stay as they are, four networks learn to localise by as many steps each:
from differences to the photo's mean (D), the same in deviations (Z), with windows beside that, side
by side, and with windows one after the other, from near to far (the whole network).
Exact traces, which the paper does not know, are left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click
import torch
from torch import Tensor

from dcncodec.errors import DcnError
from dcncodec.models.families.trace import ANOMALY
from dcncodec.models.load import load_trace
from dcncodec.models.registry import find_model
from dcncodec.models.roles import Role
from dcncodec.models.trace import SIZES, Anomaly, Size, Statistics, Trace, decision_layer
from dcncodec.runtime.devices import choose_device, choose_precision
from dcncodec.train.engine.data import Dataset, load_images
from dcncodec.train.engine.presets import PAPER_PATCH, TRACE_RECIPES
from dcncodec.train.engine.run import Budget
from dcncodec.train.tasks.trace import MapTrainer
from dcncodec.train.tasks.trace_setup import FAST_MAP_BATCH


class SideBySide(Anomaly):
    """Differences for all windows go through one convolution; there is no sequence.

    Args:
        size: of the networks.
        windows: whether there are any beside the whole photo.
        deviations: whether differences are divided by the photo's deviations.
    """

    def __init__(self, size: Size, windows: bool, deviations: bool) -> None:
        super().__init__(size if windows else replace(size, windows=()))
        self.deviations = deviations
        maps = size.maps * (len(self.windows) + 1)
        self.decide = decision_layer(maps, size.kernel)
        del self.enter, self.recur

    def forward(self, adapted: Tensor, statistics: Statistics) -> Tensor:
        """See ``Anomaly``."""
        if not self.deviations:
            statistics = statistics._replace(deviation=torch.ones_like(statistics.deviation))
        maps = torch.cat(list(self.differences(self.centred(adapted, statistics))), 1)
        return self.map_of(maps)


VARIANTS = {
    "D": lambda size: SideBySide(size, windows=False, deviations=False),
    "Z": lambda size: SideBySide(size, windows=False, deviations=True),
    "Z, windows side by side": lambda size: SideBySide(size, windows=True, deviations=True),
    "Z, windows in a sequence": Anomaly,
}


def compare(
    init: str,
    data: Dataset,
    budget: Budget,
    device: torch.device,
    loaders: int,
    names: Sequence[str],
) -> Iterator[tuple[str, dict[str, float]]]:
    """Train every variant; its name, and the validation's figures.

    Raises:
        DcnError: ``init`` is no localising network, or a loss is no longer finite.
    """
    folder = find_model(init, Role.LOCALISER)
    shape = folder.card["architecture"]
    recipe = replace(
        TRACE_RECIPES["fast"],
        stage=ANOMALY,
        size=shape["size"],
        classes=shape["classes"],
        patch=PAPER_PATCH,
        batch=FAST_MAP_BATCH,
    )
    for name in names:
        network: Trace = load_trace(folder).requires_grad_(True)
        torch.manual_seed(0)
        network.anomaly = VARIANTS[name](replace(SIZES[shape["size"]], exact=False))
        with tempfile.TemporaryDirectory() as run:
            trainer = MapTrainer(
                network.to(device),
                recipe,
                data,
                Path(run),
                precision=choose_precision("auto", device),
                loaders=loaders,
            )
            trainer.run(budget, lambda _: None)
            with trainer.averaged(), torch.no_grad():
                yield name, trainer.validate()


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--init", required=True, metavar="NAME|PATH", help="Features that were trained.")
@click.option("--steps", type=click.IntRange(1), default=300, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(VARIANTS)), help="These alone.")
@click.option("--device", default="auto", show_default=True)
@click.option("--loaders", type=click.IntRange(0), default=0, help="Processes that make patches.")
def main(
    sources: tuple[Path, ...],
    init: str,
    steps: int,
    only: tuple[str, ...],
    device: str,
    loaders: int,
) -> None:
    """Train every variant on SOURCES and print the table."""
    try:
        data = load_images(sources, PAPER_PATCH)
        place, budget, names = choose_device(device), Budget(steps), only or tuple(VARIANTS)
        click.echo("network                      loss  pixel AUC")
        for name, figures in compare(init, data, budget, place, loaders, names):
            loss, area = (figures[f"validation_{n}"] for n in ("loss", "auc"))
            click.echo(f"{name:<25} {loss:7.4f} {area:10.3f}")
    except DcnError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
