"""Pre-training of a codec: the optimisation loop behind ``dcn train``."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dcncodec.errors import TrainingError
from dcncodec.metrics import psnr, ssim, to_bytes, to_unit
from dcncodec.models.dcn import DCN, STRIDE
from dcncodec.quantise import Quantiser, clamp_inward
from dcncodec.train.checkpoint import FILE, Header, load_checkpoint, save_checkpoint
from dcncodec.train.data import Dataset, ImageSet, augment_gamma
from dcncodec.train.log import Log
from dcncodec.train.optimiser import Optimiser
from dcncodec.train.processes import largest, rank_and_world
from dcncodec.train.recipes import PAPER_BATCH, PAPER_PATCH, Recipe

REPORT_SECONDS = 2.0
CHECKPOINT_SECONDS = 120.0
"""Between two checkpoints, each with a validation and a line of the log."""
VALIDATION_CROPS = 32
VALIDATION_BATCH = 8
VALIDATION_SIZE = 256
LOSS_PIXELS = PAPER_BATCH * 3 * PAPER_PATCH**2
"""Samples whose L2 losses the paper sums; scaling to it keeps lambda_H's meaning at any batch."""

LOG_FILE = "log.csv"


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
                latent = clamp_inward(latent)
            quantised, entropy = self.quantiser(latent, self.recipe.histogram)
            if self.recipe.straight_through:
                quantised = latent + (quantised - latent).detach()
            restored = codec.synthesis(quantised)
        mse = (restored - pixels).square().mean()
        loss = mse * (LOSS_PIXELS / 2) + self.recipe.lambda_h * entropy
        bpp = entropy.detach() * (codec.latent_channels / STRIDE**2)
        return loss, mse.detach(), bpp, restored


@torch.no_grad()
def validate(objective: CodecLoss, images: ImageSet) -> dict[str, float]:
    """Mean loss, bpp (estimate), PSNR and SSIM over crops that are the same in every call.

    PSNR and SSIM are those of the reconstruction rounded to bytes.
    """
    side = min(VALIDATION_SIZE, int(images.heights.min()), int(images.widths.min()))
    side = side // STRIDE * STRIDE
    crops = images.crops(VALIDATION_CROPS, side, torch.Generator().manual_seed(1))
    rows = []
    for part in torch.split(crops, VALIDATION_BATCH):
        pixels = to_unit(part).contiguous(memory_format=torch.channels_last)
        loss, _, bpp, restored = objective(pixels)
        restored = to_unit(to_bytes(restored))
        quality = [psnr(pixels, restored).mean(), ssim(pixels, restored).mean()]
        rows.append(torch.stack([loss.double(), bpp.double(), *quality]))
    names = ("validation_loss", "validation_bpp", "validation_psnr", "validation_ssim")
    return dict(zip(names, torch.stack(rows).mean(0).tolist(), strict=True))


@dataclass(frozen=True)
class Budget:
    """When to stop: steps, and minutes of training over all resumed parts (None: no limit)."""

    max_steps: int | None
    max_minutes: float | None = None

    def used(self, step: int, seconds: float) -> float:
        """Share of the budget that is used, 1 or more when it is spent."""
        share = 0.0
        if self.max_steps is not None:
            share = step / self.max_steps
        if self.max_minutes is not None:
            share = max(share, seconds / (self.max_minutes * 60))
        return share


class Mean:
    """Mean loss, MSE and bpp since the last reading, summed on the device."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(3, device=device)
        self.steps = 0

    def add(self, figures: Tensor) -> None:
        """Count one step's (3,) figures."""
        self.sums += figures
        self.steps += 1

    def read(self) -> dict[str, float]:
        """The means, PSNR for MSE; counting starts anew."""
        loss, mse, bpp = (self.sums / self.steps).tolist()
        self.sums.zero_()
        self.steps = 0
        return {
            "loss": loss,
            "bpp": bpp,
            "psnr": -10 * math.log10(mse) if mse > 0 else math.inf,
        }


class Trainer:
    """One run: model, optimiser, weight average, data and the folder that it lives in.

    A run is a function of its seed, its number of processes and its budget: on one device it is
    deterministic, and one that is killed and resumed ends with the weights of one that is not.
    (A budget in minutes makes the learning rate depend on the clock, and so ends that.)

    Args:
        codec: the network, on its device.
        recipe: how to train it.
        data: training and validation images; crops come from where they lie.
        folder: where the checkpoint and ``log.csv`` are kept; an existing checkpoint is resumed.
        seed: of crops and augmentation, 0 or more.
        precision: bfloat16 for mixed precision, float32 otherwise.
        init: name of the model that the weights come from, for the card.

    Raises:
        TrainingError: the checkpoint in ``folder`` is damaged or of another network or optimiser,
            the processes see different ones, or they cannot share the batch equally.
        OutputError: the folder cannot be written.
    """

    def __init__(
        self,
        codec: DCN,
        recipe: Recipe,
        data: Dataset,
        folder: Path,
        seed: int = 0,
        precision: torch.dtype = torch.bfloat16,
        init: str = "",
    ) -> None:
        self.rank, self.world = rank_and_world()
        if recipe.batch % self.world:
            raise TrainingError(
                f"--batch {recipe.batch} cannot be divided among {self.world} processes"
            )
        self.codec = codec.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe, self.data, self.seed = recipe, data, seed
        self.device = next(codec.parameters()).device
        self.objective = CodecLoss(codec, recipe, precision)
        self.optimiser = Optimiser(codec, recipe.muon)
        self.average = {k: v.detach().clone() for k, v in codec.state_dict().items()}
        self.header = Header(codec.latent_channels, recipe, seed, data.sources, init)
        self.progress = self.header.progress
        self.stopping = False
        self.checkpoint = folder / FILE
        if self.checkpoint.exists():
            self._resume()
        step = self.progress.step
        lowest, highest = largest([-step, step], self.device)
        if lowest != -highest:
            raise TrainingError(
                f"{folder}: the processes see different checkpoints; --out must be a folder that "
                "all machines share"
            )
        self.log = Log(folder / LOG_FILE, step) if self.rank == 0 else None
        self.epoch_steps = max(1.0, len(data.training) / recipe.batch)

    def _resume(self) -> None:
        found = load_checkpoint(self.checkpoint, self.codec, self.average, self.optimiser)
        self.progress.step, self.progress.seconds = found.progress.step, found.progress.seconds

    def stop(self) -> None:
        """Ask the run to end after the step at hand (may be called by a signal handler)."""
        self.stopping = True

    def run(self, budget: Budget, report: Callable[[dict[str, float]], None]) -> bool:
        """Train until the budget is spent or ``stop`` is called.

        Args:
            budget: when to stop.
            report: called by the first process with the figures since its last call: step,
                seconds, share (of the budget), learning_rate, loss, bpp, psnr; at a checkpoint
                also validation_loss, _bpp, _psnr, _ssim.

        Returns:
            Whether the budget was spent. The checkpoint is up to date either way.

        Raises:
            TrainingError: the loss is no longer finite.
            OutputError: the checkpoint or the log cannot be written.
        """
        objective: nn.Module = self.objective
        if self.world > 1:
            objective = DistributedDataParallel(self.objective)
        recent, logged = Mean(self.device), Mean(self.device)
        saved = reported = time.monotonic()
        while True:
            used = budget.used(self.progress.step, self.progress.seconds)
            share, stopping = largest([used, float(self.stopping)], self.device)
            if share >= 1 or stopping:
                break
            begin = time.monotonic()
            figures = self._step(objective, share)
            recent.add(figures)
            logged.add(figures)
            now = time.monotonic()
            self.progress.seconds += now - begin
            if self.rank:
                continue
            if now - saved >= CHECKPOINT_SECONDS:
                self._save_and_validate(logged, share, report)
                saved = reported = time.monotonic()
            elif now - reported >= REPORT_SECONDS:
                report(self._figures(recent, share))
                reported = now
        if self.rank == 0:
            self._save_and_validate(logged, share, report)
        return share >= 1

    def _step(self, objective: nn.Module, share: float) -> Tensor:
        """One optimisation step; returns loss, MSE and bpp as one tensor."""
        recipe = self.recipe
        rate = recipe.rate_at(self.progress.step, share, self.epoch_steps)
        generator = self._generator()
        crops = self.data.training.crops(recipe.batch // self.world, recipe.patch, generator)
        pixels = augment_gamma(to_unit(crops), generator)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        loss, mse, bpp, _ = objective(pixels)
        self.optimiser.zero_grad()
        loss.backward()
        if recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.codec.parameters(), recipe.clip_norm)
        self.optimiser.step(rate)
        self.progress.step += 1
        self._update_average()
        return torch.stack([loss.detach(), mse, bpp])

    def _generator(self) -> torch.Generator:
        """The random numbers of this step in this process: no state to keep for a resume."""
        entropy = np.random.SeedSequence((self.seed, self.rank, self.progress.step))
        return torch.Generator().manual_seed(int(entropy.generate_state(1)[0]))

    def _update_average(self) -> None:
        # Young averages follow the weights closely, or the random start would linger in them.
        step = self.progress.step
        decay = min(self.recipe.average_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            averages = list(self.average.values())
            torch._foreach_lerp_(averages, list(self.codec.state_dict().values()), 1 - decay)

    def _figures(self, mean: Mean, share: float) -> dict[str, float]:
        figures = mean.read()
        if not math.isfinite(figures["loss"]):
            raise TrainingError(
                f"the loss is no longer finite at step {self.progress.step}; resume the last good "
                f"checkpoint, {self.checkpoint}, with a smaller --learning-rate"
            )
        return figures | {
            "step": self.progress.step,
            "seconds": self.progress.seconds,
            "share": min(1.0, share),
            "learning_rate": self.recipe.rate_at(self.progress.step, share, self.epoch_steps),
        }

    def _save_and_validate(
        self, mean: Mean, share: float, report: Callable[[dict[str, float]], None]
    ) -> None:
        figures = self._figures(mean, share) if mean.steps else None
        if self.progress.step:
            # First of all, because a process that is told to stop may be killed soon after.
            save_checkpoint(self.checkpoint, self.codec, self.average, self.optimiser, self.header)
        if figures is None:
            return
        with self.averaged():
            figures |= validate(self.objective, self.data.validation)
        assert self.log is not None
        self.log.write(figures)
        report(figures)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averaged weights into the codec for a while."""
        current = {k: v.detach().clone() for k, v in self.codec.state_dict().items()}
        self.codec.load_state_dict(self.average)
        try:
            yield
        finally:
            self.codec.load_state_dict(current)
