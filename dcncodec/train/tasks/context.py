"""Fits a context model to the latents of a codec whose networks stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dcncodec.formats.geometry import MAX_RATE, STRIDE, Area
from dcncodec.models.context import ContextModel, bits
from dcncodec.runtime.windows import Transforms
from dcncodec.train.engine.checkpoint import Header
from dcncodec.train.engine.context_part import Block
from dcncodec.train.engine.data import ImageSet, Source
from dcncodec.train.engine.recipes import ContextRecipe
from dcncodec.train.engine.run import Run

VALIDATION_BATCH = 16
LEAST_DEVIATION = 0.02
"""Of a channel, for the scales at the start: one that never varies would have none."""


@dataclass(frozen=True)
class LatentSet:
    """Latents of equally large crops.

    Attributes:
        words: int16 (n, N, h, w), code words.
        rates: (n,) float32, 0..255.
    """

    words: Tensor
    rates: Tensor

    def __len__(self) -> int:
        return len(self.words)

    def to(self, device: torch.device) -> LatentSet:
        """The same latents on another device."""
        return LatentSet(self.words.to(device), self.rates.to(device))

    def batch(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``count`` of them at random, as float32, and their rates."""
        index = torch.randint(len(self), (count,), generator=generator).to(self.words.device)
        return self._floats(index), self.rates[index]

    def split(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All of them in turn, ``count`` at a time."""
        for index in torch.split(torch.arange(len(self), device=self.words.device), count):
            yield self._floats(index), self.rates[index]

    def blocks(self) -> Iterator[Block]:
        """All of them as the coder takes them."""
        for words, rate in zip(self.words.cpu().numpy(), self.rates.tolist(), strict=True):
            yield words, round(rate)

    def _floats(self, index: Tensor) -> Tensor:
        return self.words[index].float().contiguous(memory_format=torch.channels_last)


def analyse(
    transforms: Transforms,
    images: ImageSet,
    count: int,
    side: int,
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
) -> LatentSet:
    """Latents of random crops.

    Args:
        transforms: of the codec.
        images: to crop.
        count: crops.
        side: of a crop in pixels, a multiple of 8, at most the smallest image's.
        seed: of crops and, for codecs that have rates, of those.
        progress: told after every crop how many are done.
    """
    generator = torch.Generator().manual_seed(seed)
    geometry, cells = transforms.geometry, side // STRIDE
    words = np.empty((count, geometry.channels, cells, cells), np.int16)
    rates = torch.zeros(count)
    if geometry.rates:
        rates = torch.randint(MAX_RATE + 1, (count,), generator=generator).float()
    for i in range(count):
        crop = images.crops(1, side, generator)[0].cpu().numpy()
        words[i] = transforms.analyse(crop, Area(0, 0, cells, cells), int(rates[i]))
        progress(i + 1)
    return LatentSet(torch.from_numpy(words), rates)


class ContextLoss(nn.Module):
    """The context model with its loss, the bits that it spends per pixel."""

    def __init__(self, model: ContextModel, precision: torch.dtype) -> None:
        super().__init__()
        self.model, self.precision = model, precision

    def forward(self, latent: Tensor, rate: Tensor) -> Tensor:
        """Latents (B, N, h, w) and rates (B,) to bits per pixel (scalar)."""
        mixed = self.precision != torch.float32
        with torch.autocast(latent.device.type, self.precision, enabled=mixed):
            mean, log_scale = self.model(latent, rate)
        places = len(latent) * latent.shape[2] * latent.shape[3]
        return bits(latent, mean, log_scale).sum() / (places * STRIDE**2)


class ContextTrainer(Run):
    """Training of a context model; see ``Run``.

    Args:
        model: on its device.
        recipe: how to train it.
        training, validation: latents, on that device.
        sources: what they come from.
        codec: name, SHA-256 and folder of the codec.
        folder: of the run.
        seed: of the batches.
        precision: bfloat16 for mixed precision, float32 otherwise.
    """

    FIGURES: ClassVar = ("loss",)
    COLUMNS: ClassVar = ("step", "seconds", "learning_rate", "loss", "validation_bpp")

    def __init__(
        self,
        model: ContextModel,
        recipe: ContextRecipe,
        training: LatentSet,
        validation: LatentSet,
        sources: list[Source],
        codec: dict[str, Any],
        folder: Path,
        seed: int = 0,
        precision: torch.dtype = torch.bfloat16,
    ) -> None:
        self.training, self.validation = training, validation
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        channels = training.words.shape[1]
        header = Header(channels, recipe, seed, sources, origins={"codec": codec})
        objective = ContextLoss(model, precision)
        super().__init__(model, objective, header, folder, len(training))

    def losses(self, objective: nn.Module, generator: torch.Generator) -> Tensor:
        """Bits per pixel of a batch."""
        latent, rate = self.training.batch(self.recipe.batch // self.world, generator)
        return torch.stack([objective(latent, rate)])

    def validate(self) -> dict[str, float]:
        """Bits per pixel of held-out latents."""
        total = sum(
            float(self.objective(latent, rate)) * len(latent)
            for latent, rate in self.validation.split(VALIDATION_BATCH)
        )
        return {"validation_bpp": total / len(self.validation)}


def start(model: ContextModel, latents: LatentSet) -> None:
    """Begin with the channels' own scales, as if their latents were independent."""
    deviations = latents.words.float().std((0, 2, 3)).clamp_min(LEAST_DEVIATION).cpu()
    model.start_from(deviations, torch.zeros_like(model.rate_scale))
