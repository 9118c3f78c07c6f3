"""Training of ManTra-Net in stages (CVPR 2019, section 5.2).

First the features, as a classifier of 385 manipulations on some level of their hierarchy; then the
map, on photos that are manipulated in parts; then both together. Half of those photos have a
history as a whole: JPEG, or one of dcn's codecs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dcncodec.errors import TrainingError
from dcncodec.forensics.channel import as_bytes
from dcncodec.forensics.operations.operation import Pixels
from dcncodec.forensics.patches import FLAT_VARIANCE
from dcncodec.forensics.trace.samples import around, forged, manipulated
from dcncodec.forensics.trace.scores import auc
from dcncodec.formats.geometry import Geometry
from dcncodec.models.families.trace import ANOMALY
from dcncodec.models.network import Network
from dcncodec.models.trace import Trace
from dcncodec.train.engine.ahead import Ahead, Batch
from dcncodec.train.engine.checkpoint import Header
from dcncodec.train.engine.data import Dataset, ImageSet
from dcncodec.train.engine.processes import rank_and_world
from dcncodec.train.engine.recipes import TraceRecipe
from dcncodec.train.engine.run import Budget, Report, Run
from dcncodec.train.tasks.trace_loss import FeaturesLoss, MapLoss, prepared

VALIDATION_SEED = 2**31 - 1
VALIDATION_PATCHES, VALIDATION_BATCH = 512, 32
"""Of manipulated patches; forgeries are ``FORGERIES``."""
FORGERIES, FORGERY_BATCH = 96, 8
RATES = 256
ATTEMPTS = 16
"""Random squares drawn for every one that is asked for, at most."""

Channel = tuple[Network, Geometry]


@dataclass(frozen=True, eq=False)
class Source:
    """Where a process finds its batches.

    Attributes:
        images: to cut patches from, on the CPU.
        count: patches of a batch.
        patch: their side in pixels.
        seed, rank: of the training and of the process.
    """

    images: ImageSet
    count: int
    patch: int
    seed: int
    rank: int

    def generator(self, step: int) -> np.random.Generator:
        """The random numbers of a step."""
        return np.random.default_rng((self.seed, self.rank, step))

    def squares(
        self, count: int, side: int, varied: bool, generator: np.random.Generator
    ) -> Pixels:
        """Random parts of random images, turned over at random: uint8 (count, side, side, 3).

        Cut one by one, which on a processor is much faster than ``ImageSet.crops``.

        Args:
            count: how many.
            side: in pixels.
            varied: whether those that show too little are drawn anew.
            generator: of the choice; every pixel of the images counts alike.

        Raises:
            TrainingError: hardly any part of the images varies enough.
        """
        areas = (self.images.heights * self.images.widths).double().numpy()
        found = np.empty((count, side, side, 3), np.uint8)
        filled = 0
        for index in generator.choice(len(areas), ATTEMPTS * count, p=areas / areas.sum()):
            image = self.images.image(index).numpy()
            height, width = image.shape[:2]
            top, left = generator.integers((height - side + 1, width - side + 1))
            square = image[top : top + side, left : left + side]
            down, across = 1 - 2 * generator.integers(2, size=2)
            if varied and np.var(square, dtype=np.float32) < FLAT_VARIANCE * 255**2:
                continue
            found[filled] = square[::down, ::across]
            filled += 1
            if filled == count:
                return found
        raise TrainingError(
            f"hardly any part of {side} pixels of the images varies enough to show traces; give "
            "photographs with more texture"
        )


@dataclass(frozen=True, eq=False)
class Patches(Source):
    """Manipulated patches, uint8 (B, P, P, 3), and the indices of their manipulations (B,)."""

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        generator = self.generator(step)
        squares = self.squares(self.count, around(self.patch), True, generator)
        patches, leaves = manipulated(squares, self.patch, generator)
        return torch.from_numpy(patches), torch.from_numpy(leaves)


@dataclass(frozen=True, eq=False)
class Forgeries(Source):
    """Forged patches, their masks, and the codec that each goes through; see ``forged``.

    Attributes:
        codecs: how many there are.
    """

    codecs: int

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        generator = self.generator(step)
        photos = self.squares(2 * self.count, self.patch, False, generator)
        made = forged(photos[: self.count], photos[self.count :], generator, self.codecs)
        return tuple(torch.from_numpy(array) for array in made)


class TraceTrainer(Run):
    """What the stages have in common; see ``Run``.

    Args:
        trace: the networks, on their device.
        objective: of the stage.
        recipe: how to train.
        data: photos on the CPU.
        folder: of the run.
        seed: of patches and what becomes of them.
        init: name of the model that the weights come from.
        source: of the training's batches.
        loaders: processes that make them.
    """

    recipe: TraceRecipe

    SOME_REST: ClassVar = True

    def __init__(
        self,
        trace: Trace,
        objective: nn.Module,
        recipe: TraceRecipe,
        data: Dataset,
        folder: Path,
        seed: int,
        init: str,
        source: Patches | Forgeries,
        loaders: int,
    ) -> None:
        self.trace = trace
        self.batches = Ahead(source, loaders)
        objective = objective.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        header = Header(0, recipe, seed, data.sources, init)
        shares = {"features": recipe.features_share} if recipe.stage != "features" else {}
        super().__init__(trace, objective, header, folder, len(data.training), shares)

    def run(self, budget: Budget, report: Report) -> bool:
        """See ``Run``; the processes that make batches end with it."""
        # The first ones come before the clock of the training runs.
        with self.batches.making(self.progress.step):
            return super().run(budget, report)

    def take(self) -> Batch:
        """The batch of the step at hand, on the device."""
        batch = self.batches.take(self.progress.step)
        return tuple(tensor.to(self.device, non_blocking=True) for tensor in batch)

    def finish_step(self) -> None:
        """Keeps the constrained filters residuals."""
        self.trace.constrain()
        super().finish_step()


class FeaturesTrainer(TraceTrainer):
    """The first stage: features as a classifier of manipulations."""

    FIGURES: ClassVar = ("loss", "accuracy", "families")
    COLUMNS: ClassVar = (
        *("step", "seconds", "learning_rate", *FIGURES),
        *("validation_accuracy", "validation_families"),
    )

    def __init__(
        self,
        trace: Trace,
        recipe: TraceRecipe,
        data: Dataset,
        folder: Path,
        seed: int = 0,
        precision: torch.dtype = torch.bfloat16,
        init: str = "",
        loaders: int = 0,
    ) -> None:
        rank, world = rank_and_world()
        source = Patches(data.training, recipe.batch // world, recipe.patch, seed, rank)
        held_out = Patches(data.validation, VALIDATION_BATCH, recipe.patch, VALIDATION_SEED, 0)
        self.held_out = [held_out(i) for i in range(VALIDATION_PATCHES // VALIDATION_BATCH)]
        objective = FeaturesLoss(trace, recipe.classes, precision).to(
            next(trace.parameters()).device
        )
        super().__init__(trace, objective, recipe, data, folder, seed, init, source, loaders)

    def losses(self, objective: nn.Module, generator: torch.Generator) -> Tensor:
        """See ``FIGURES``."""
        return torch.stack(objective(*self.take()))

    def validate(self) -> dict[str, float]:
        """Accuracies on patches that are the same every time."""
        rows = [
            torch.stack(self.objective(*(tensor.to(self.device) for tensor in batch)))
            for batch in self.held_out
        ]
        _, accuracy, families = torch.stack(rows).mean(0).tolist()
        return {"validation_accuracy": accuracy, "validation_families": families}


class MapTrainer(TraceTrainer):
    """The second stage and the third: the map, with features that stay or learn with it.

    Args:
        codecs: networks, on the device, that forgeries go through, and what their latents are.
    """

    FIGURES: ClassVar = ("loss",)
    COLUMNS: ClassVar = (
        *("step", "seconds", "learning_rate", *FIGURES),
        *("validation_loss", "validation_auc"),
    )

    def __init__(
        self,
        trace: Trace,
        recipe: TraceRecipe,
        data: Dataset,
        folder: Path,
        seed: int = 0,
        precision: torch.dtype = torch.bfloat16,
        init: str = "",
        loaders: int = 0,
        codecs: Sequence[Channel] = (),
    ) -> None:
        self.codecs = codecs
        rank, world = rank_and_world()
        count = recipe.batch // world
        source = Forgeries(data.training, count, recipe.patch, seed, rank, len(codecs))
        held_out = Forgeries(
            data.validation, FORGERY_BATCH, recipe.patch, VALIDATION_SEED, 0, len(codecs)
        )
        self.held_out = [held_out(i) for i in range(FORGERIES // FORGERY_BATCH)]
        objective = MapLoss(trace, precision, recipe.stage != ANOMALY)
        super().__init__(trace, objective, recipe, data, folder, seed, init, source, loaders)

    def losses(self, objective: nn.Module, generator: torch.Generator) -> Tensor:
        """See ``FIGURES``."""
        pixels, masks, codecs = self.take()
        loss, _ = objective(self.sent(pixels, codecs, generator), masks)
        return torch.stack([loss])

    @torch.no_grad()
    def sent(self, pixels: Tensor, codecs: Tensor, generator: torch.Generator) -> Tensor:
        """Patches behind their codecs, each at a random rate.

        Args:
            pixels: uint8 (B, P, P, 3).
            codecs: indices of codecs or -1 (B,).
            generator: of the rates.

        Returns:
            float32 (B, 3, P, P), whole grey levels in [0, 1].
        """
        photos = prepared(pixels)
        rates = torch.randint(RATES, (len(photos),), generator=generator).float()
        rates = rates.to(photos.device)
        for index, (network, geometry) in enumerate(self.codecs):
            chosen = (codecs == index).nonzero().squeeze(1)
            if len(chosen):
                latent = network.analysis(photos[chosen], rates[chosen]).round()
                words = latent.clamp(geometry.first, geometry.last)
                photos[chosen] = as_bytes(network.synthesis(words, rates[chosen]).float())
        return photos

    def validate(self) -> dict[str, float]:
        """Loss and pixel AUC on forgeries that are the same every time."""
        generator = torch.Generator().manual_seed(1)
        losses, areas = [], []
        for batch in self.held_out:
            pixels, masks, codecs = (tensor.to(self.device) for tensor in batch)
            loss, logits = self.objective(self.sent(pixels, codecs, generator), masks)
            losses.append(float(loss))
            maps = logits.sigmoid().cpu().numpy()
            areas += [auc(m, mask.numpy()) for m, mask in zip(maps, batch[1], strict=True)]
        return {
            "validation_loss": float(np.mean(losses)),
            "validation_auc": float(np.nanmean(areas)),
        }
