"""Pre-training of a codec: the optimisation loop behind ``dcn train``."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dcncodec.errors import TrainingError
from dcncodec.metrics import psnr, ssim, to_bytes, to_unit
from dcncodec.models.dcn import DCN, STRIDE
from dcncodec.quantise import InwardClamp, Quantiser
from dcncodec.train.checkpoint import Progress, load_checkpoint, save_checkpoint
from dcncodec.train.data import ImageSet, augment_gamma
from dcncodec.train.log import Log
from dcncodec.train.optimiser import Optimiser
from dcncodec.train.recipes import PAPER_BATCH, PAPER_PATCH, Recipe

CHECKPOINT_SECONDS = 120.0
VALIDATION_CROPS = 32
VALIDATION_SIZE = 256
LOSS_PIXELS = PAPER_BATCH * 3 * PAPER_PATCH**2
"""Samples whose L2 losses the paper sums; scaling to it keeps lambda_H's meaning at any batch."""


class CodecLoss(nn.Module):
    """The codec with its training loss: L2 + lambda_H * entropy (section 3.4).

    One module, so that DistributedDataParallel sees a single forward pass.
    """

    def __init__(self, codec: DCN, recipe: Recipe, precision: torch.dtype) -> None:
        super().__init__()
        self.codec = codec
        self.recipe = recipe
        self.precision = precision
        self.quantiser = Quantiser()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """RGB (B, 3, P, P) in [0, 1] to loss, MSE, bits per pixel (scalars), reconstruction."""
        codec = self.codec
        mixed = self.precision != torch.float32
        with torch.autocast(pixels.device.type, self.precision, enabled=mixed):
            latent = codec.analysis(pixels)
            if self.recipe.straight_through:
                latent = InwardClamp.apply(latent)
            quantised, entropy = self.quantiser(latent, self.recipe.histogram)
            if self.recipe.straight_through:
                quantised = latent + (quantised - latent).detach()
            restored = codec.synthesis(quantised)
        mse = (restored - pixels).square().mean()
        loss = mse * (LOSS_PIXELS / 2) + self.recipe.lambda_h * entropy
        bpp = entropy.detach() * (codec.latent_channels / STRIDE**2)
        return loss, mse.detach(), bpp, restored


@dataclass(frozen=True)
class Budget:
    """When to stop: steps, and minutes of training over all resumed parts (None: no limit)."""

    max_steps: int
    max_minutes: float | None = None

    def used(self, progress: Progress) -> float:
        """Share of the budget that is used, 1 or more when it is spent."""
        share = progress.step / max(1, self.max_steps)
        if self.max_minutes is not None:
            share = max(share, progress.seconds / max(1e-9, self.max_minutes * 60))
        return share


class Trainer:
    """One run: model, optimiser, weight average, data and the folder that it lives in.

    Args:
        codec: the network, on its device.
        recipe: how to train it.
        images: training and validation images; crops come from where they lie.
        folder: where ``checkpoint.safetensors`` and ``log.csv`` are kept; an existing checkpoint
            is resumed.
        seed: of crops and augmentation; a run is deterministic given it, on one device.
        precision: bfloat16 for mixed precision, float32 otherwise.

    Raises:
        TrainingError: the checkpoint in ``folder`` is damaged or of another architecture, or the
            batch cannot be divided among the processes.
    """

    def __init__(
        self,
        codec: DCN,
        recipe: Recipe,
        images: tuple[ImageSet, ImageSet],
        folder: Path,
        seed: int = 0,
        precision: torch.dtype = torch.bfloat16,
    ) -> None:
        self.rank, self.world = rank_and_world()
        if recipe.batch % self.world:
            raise TrainingError(
                f"--batch {recipe.batch} cannot be divided among {self.world} processes"
            )
        self.codec, self.recipe, self.folder = codec, recipe, folder
        self.training, self.validation = images
        self.device = next(codec.parameters()).device
        self.objective = CodecLoss(codec, recipe, precision)
        self.optimiser = Optimiser(codec, recipe.muon)
        self.average = {k: v.detach().clone() for k, v in codec.state_dict().items()}
        self.generators = {
            f"crops{self.rank}": torch.Generator().manual_seed(seed * 1000 + self.rank)
        }
        self.progress = Progress()
        self.checkpoint = folder / "checkpoint.safetensors"
        self.architecture = f"dcn-{codec.latent_channels}"
        if self.checkpoint.exists():
            self.progress = load_checkpoint(
                self.checkpoint,
                codec,
                self.average,
                self.optimiser,
                self.generators,
                self.architecture,
            )
        self.log = Log(folder / "log.csv", self.progress.step) if self.rank == 0 else None
        self.epoch_steps = max(1.0, len(self.training) / recipe.batch)

    def run(self, budget: Budget, report: Callable[[dict[str, float]], None]) -> bool:
        """Train until the budget is spent or the user interrupts.

        Args:
            budget: when to stop.
            report: called with the last interval's figures (step, seconds, learning_rate, loss,
                bpp, psnr; after a validation also validation_bpp, _psnr, _ssim).

        Returns:
            Whether the budget was spent (False after an interrupt). The checkpoint is up to date
            either way.
        """
        objective: nn.Module = self.objective
        if self.world > 1:
            objective = DistributedDataParallel(self.objective)
        saved = reported = time.monotonic()
        sums = torch.zeros(3, device=self.device)
        steps = 0
        finished = False
        try:
            while True:
                share = self._agree(budget.used(self.progress))
                if share >= 1:
                    finished = True
                    break
                begin = time.monotonic()
                sums += self._step(objective, share)
                steps += 1
                now = time.monotonic()
                self.progress.seconds += now - begin
                if now - reported >= Log.INTERVAL_SECONDS and self.rank == 0:
                    report(self._figures(sums, steps, share))
                    sums.zero_()
                    steps, reported = 0, now
                if now - saved >= CHECKPOINT_SECONDS and self.rank == 0:
                    report(self._validated(self._figures(sums, steps, share)))
                    self.save()
                    sums.zero_()
                    steps, reported, saved = 0, time.monotonic(), time.monotonic()
        except KeyboardInterrupt:
            pass
        if self.rank == 0:
            if steps:
                report(self._validated(self._figures(sums, steps, 1.0)))
            self.save()
        return finished

    def _step(self, objective: nn.Module, share: float) -> Tensor:
        """One optimisation step; returns loss, MSE and bpp as one tensor."""
        recipe = self.recipe
        rate = recipe.rate_at(self.progress.step, share, self.epoch_steps)
        (generator,) = self.generators.values()
        crops = self.training.crops(recipe.batch // self.world, recipe.patch, generator)
        pixels = augment_gamma(to_unit(crops), generator)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        loss, mse, bpp, _ = objective(pixels)
        self.optimiser.zero_grad()
        loss.backward()
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.codec.parameters(), self.recipe.clip_norm)
        self.optimiser.step(rate)
        self.progress.step += 1
        self._update_average()
        return torch.stack([loss.detach(), mse, bpp])

    def _update_average(self) -> None:
        # Young averages follow the weights closely, or the random start would linger in them.
        step = self.progress.step
        decay = min(self.recipe.average_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            averages = list(self.average.values())
            torch._foreach_lerp_(averages, list(self.codec.state_dict().values()), 1 - decay)

    def _agree(self, share: float) -> float:
        """The first process's share of the budget, so that all stop at the same step."""
        if self.world == 1:
            return share
        value = torch.tensor(share, dtype=torch.float64)
        if dist.get_backend() == "nccl":
            value = value.to(self.device)
        dist.broadcast(value, 0)
        return float(value)

    def _figures(self, sums: Tensor, steps: int, share: float) -> dict[str, float]:
        loss, mse, bpp = (sums / max(1, steps)).tolist()
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is no longer finite at step {self.progress.step}; the last good "
                f"checkpoint is {self.checkpoint}; resume it with a smaller --learning-rate"
            )
        figures = {
            "step": self.progress.step,
            "seconds": self.progress.seconds,
            "learning_rate": self.recipe.rate_at(self.progress.step, share, self.epoch_steps),
            "loss": loss,
            "bpp": bpp,
            "psnr": -10 * math.log10(mse) if mse > 0 else math.inf,
        }
        return figures

    def _validated(self, figures: dict[str, float]) -> dict[str, float]:
        figures |= self.validate()
        assert self.log is not None
        self.log.write(figures)
        return figures

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averaged weights into the codec for a while."""
        current = {k: v.detach().clone() for k, v in self.codec.state_dict().items()}
        self.codec.load_state_dict(self.average)
        try:
            yield
        finally:
            self.codec.load_state_dict(current)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean bpp (estimate), PSNR and SSIM of the averaged weights on held-out crops."""
        side = min(VALIDATION_SIZE, int(self.validation.heights.min()))
        side = min(side, int(self.validation.widths.min())) // STRIDE * STRIDE
        crops = self.validation.crops(VALIDATION_CROPS, side, torch.Generator().manual_seed(1))
        rows = []
        with self.averaged():
            for part in crops.split(8):
                pixels = to_unit(part).contiguous(memory_format=torch.channels_last)
                _, _, bpp, restored = self.objective(pixels)
                restored = to_unit(to_bytes(restored))
                rows.append(
                    torch.stack(
                        [bpp.double(), psnr(pixels, restored).mean(), ssim(pixels, restored).mean()]
                    )
                )
        names = ("validation_bpp", "validation_psnr", "validation_ssim")
        return dict(zip(names, torch.stack(rows).mean(0).tolist(), strict=True))

    def save(self) -> None:
        """Write the checkpoint (atomically; only the first process does)."""
        if self.progress.step == 0:
            return
        save_checkpoint(
            self.checkpoint,
            self.codec,
            self.average,
            self.optimiser,
            self.generators,
            self.progress,
            self.recipe,
            self.architecture,
        )


def rank_and_world() -> tuple[int, int]:
    """This process's number and how many train together (torchrun's variables; else 0 of 1)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
