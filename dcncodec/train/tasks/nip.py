"""Training of a camera pipeline (NIP paper, section 3.1): to give what the standard one gives."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from dcncodec.metrics import psnr, ssim, to_bytes, to_unit
from dcncodec.models.nip import Pipeline
from dcncodec.train.engine.checkpoint import Header
from dcncodec.train.engine.raw_data import RawDataset, RawSet
from dcncodec.train.engine.recipes import NipRecipe
from dcncodec.train.engine.run import Run

VALIDATION_PARTS = 32
VALIDATION_BATCH = 8
VALIDATION_SIZE = 256


class NipLoss(nn.Module):
    """A pipeline with its training loss, the mean squared error of the picture.

    Args:
        pipeline: the network.
        precision: bfloat16 for mixed precision, float32 otherwise.
    """

    def __init__(self, pipeline: Pipeline, precision: torch.dtype) -> None:
        super().__init__()
        self.pipeline, self.precision = pipeline, precision

    def forward(self, stacks: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Stacks (B, 4, h, w) and pictures (B, 3, 2h, 2w) to the error and what was developed."""
        mixed = self.precision != torch.float32
        with torch.autocast(stacks.device.type, self.precision, enabled=mixed):
            developed = self.pipeline(stacks.contiguous(memory_format=torch.channels_last))
        return (developed.float() - pictures).square().mean(), developed


@torch.no_grad()
def validate(objective: NipLoss, frames: RawSet) -> dict[str, float]:
    """Mean PSNR and SSIM of developed parts, rounded to bytes, the same parts in every call."""
    smallest = min(min(picture.shape[:2]) for picture in frames.pictures)
    size = min(VALIDATION_SIZE, smallest) // 2 * 2
    stacks, pictures = frames.crops(VALIDATION_PARTS, size, torch.Generator().manual_seed(1))
    rows = []
    was_training = objective.training
    objective.eval()
    parts = (torch.split(whole, VALIDATION_BATCH) for whole in (stacks, pictures))
    for stack, picture in zip(*parts, strict=True):
        restored = to_unit(to_bytes(objective(stack, picture)[1]))
        rows.append(torch.stack([psnr(picture, restored).mean(), ssim(picture, restored).mean()]))
    objective.train(was_training)
    names = ("validation_psnr", "validation_ssim")
    return dict(zip(names, torch.stack(rows).mean(0).tolist(), strict=True))


class NipTrainer(Run):
    """Training of a camera pipeline; see ``Run``.

    Args:
        pipeline: the network, on its device.
        recipe: how to train it.
        data: frames to train with and held-out ones.
        folder: of the run.
        seed: of the crops.
        precision: as in ``NipLoss``.
        init: name of the pipeline that the weights come from, for the card.
    """

    FIGURES: ClassVar = ("loss", "mse")
    COLUMNS: ClassVar = (
        "step",
        "seconds",
        "learning_rate",
        "loss",
        "psnr",
        "validation_psnr",
        "validation_ssim",
    )

    def __init__(
        self,
        pipeline: Pipeline,
        recipe: NipRecipe,
        data: RawDataset,
        folder: Path,
        seed: int = 0,
        precision: torch.dtype = torch.bfloat16,
        init: str = "",
    ) -> None:
        self.data = data
        objective = NipLoss(pipeline, precision).train()
        header = Header(0, recipe, seed, data.sources, init)
        super().__init__(pipeline, objective, header, folder, len(data.training))

    def losses(self, objective: nn.Module, generator: torch.Generator) -> Tensor:
        """Mean squared error of a batch of random parts that vary enough, twice: it is the loss."""
        count = self.recipe.batch // self.world
        pair = self.data.training.crops(count, self.recipe.patch, generator, varied=True)
        error, _ = objective(*pair)
        return torch.stack([error, error])

    def validate(self) -> dict[str, float]:
        """See ``validate``."""
        assert isinstance(self.objective, NipLoss)
        return validate(self.objective, self.data.validation)
