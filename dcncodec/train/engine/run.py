"""What every training has in common: steps within a budget, checkpoints, averages, the log."""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dcncodec.errors import TrainingError
from dcncodec.train.engine.captured import CapturedStep
from dcncodec.train.engine.checkpoint import FILE, Header, load_checkpoint, save_checkpoint
from dcncodec.train.engine.data import seeded
from dcncodec.train.engine.log import Log
from dcncodec.train.engine.optimiser import Optimiser
from dcncodec.train.engine.processes import largest, rank_and_world

REPORT_SECONDS = 2.0
CHECKPOINT_SECONDS = 120.0
"""Between two checkpoints, mostly with a validation and a line of the log."""
VALIDATION_PAUSE = 9.0
"""At least so many times as long as the last validation took the run trains before the next."""

LOG_FILE = "log.csv"

Report = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class Budget:
    """When to stop: steps, and minutes of training over all resumed parts (None: no limit).

    Attributes:
        since: the step and the seconds from which on both are counted.
    """

    max_steps: int | None
    max_minutes: float | None = None
    since: tuple[int, float] = (0, 0.0)

    def used(self, step: int, seconds: float) -> float:
        """Share of the budget that is used, 1 or more when it is spent."""
        share = 0.0
        if self.max_steps is not None:
            share = (step - self.since[0]) / self.max_steps
        if self.max_minutes is not None:
            share = max(share, (seconds - self.since[1]) / (self.max_minutes * 60))
        return share


class Mean:
    """Mean figures since the last reading, summed on the device."""

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.names = names
        self.sums = torch.zeros(len(names), device=device)
        self.steps = 0

    def add(self, figures: Tensor) -> None:
        """Count one step's figures, one for each name."""
        self.sums += figures
        self.steps += 1

    def read(self) -> dict[str, float]:
        """The means, ``psnr`` for ``mse``; counting starts anew."""
        values = dict(zip(self.names, (self.sums / self.steps).tolist(), strict=True))
        self.sums.zero_()
        self.steps = 0
        if "mse" in values:
            mse = values.pop("mse")
            values["psnr"] = -10 * math.log10(mse) if mse > 0 else math.inf
        return values


class Run(ABC):
    """One training run: networks, optimiser, weight average, and the folder that it lives in.

    A run is a function of its seed, its number of processes and its budget: on one device it is
    deterministic, and one that is killed and resumed ends with the weights of one that is not.
    (A budget in minutes makes the learning rate depend on the clock, and so ends that.)

    Subclasses say what a step and a validation are.

    Args:
        trained: the networks that the optimiser changes and checkpoints hold, on their device.
        objective: what computes the loss, ``trained`` within it; called by ``losses``. One
            module, so that DistributedDataParallel sees a single forward pass.
        header: recipe, seed and sources.
        folder: where the checkpoint and ``log.csv`` are kept; an existing checkpoint is resumed.
        images: number of training images, for the length of an epoch.
        shares, adam: see ``Optimiser``.

    Raises:
        TrainingError: the checkpoint in ``folder`` is damaged or of another network or optimiser,
            the processes see different ones, or they cannot share the batch equally.
        OutputError: the folder cannot be written.
    """

    FIGURES: ClassVar[tuple[str, ...]]
    """Names of what ``losses`` returns, ``loss`` first; ``mse`` is reported as ``psnr``."""
    COLUMNS: ClassVar[tuple[str, ...]]
    """Columns of the log."""
    SOME_REST: ClassVar[bool] = False
    """Whether there may be steps in which some parameters have no gradient."""
    inputs: Callable[[torch.Generator], Sequence[Tensor]] | None = None
    """Where the objective makes the figures from tensors alone, of the same shapes in every step
    and all drawn before it begins: what draws them. Such steps are captured on a GPU."""
    SAME_DRAWS: ClassVar[bool] = False
    """Whether all processes get the same random numbers, to take their own part of one batch."""

    def __init__(
        self,
        trained: nn.Module,
        objective: nn.Module,
        header: Header,
        folder: Path,
        images: int,
        shares: Mapping[str, float] | None = None,
        adam: Collection[str] = (),
    ) -> None:
        self.rank, self.world = rank_and_world()
        self.header, self.recipe = header, header.recipe
        if self.recipe.batch % self.world:
            raise TrainingError(
                f"--batch {self.recipe.batch} cannot be divided among {self.world} processes"
            )
        self.trained, self.objective = trained, objective
        self.device = next(trained.parameters()).device
        self.optimiser = Optimiser(trained, self.recipe.muon, shares, adam)
        weights = trained.state_dict()
        self.weights = list(weights.values())
        self.average = {k: v.detach().clone() for k, v in weights.items()}
        self.progress = header.progress
        self.stopping = False
        self.captured: CapturedStep | None = None
        self.checkpoint = folder / FILE
        if self.checkpoint.exists():
            self._resume()
        step = self.progress.step
        lowest, highest = largest([-step, step], self.device)
        if lowest != -highest:
            raise TrainingError(
                "the processes see different checkpoints; --out must be a folder that "
                "all machines share",
                folder,
            )
        self.log = Log(folder / LOG_FILE, step, self.COLUMNS) if self.rank == 0 else None
        self.epoch_steps = max(1.0, images / self.recipe.batch)

    @abstractmethod
    def losses(self, objective: nn.Module, generator: torch.Generator) -> Tensor:
        """Figures of one batch, a tensor in the order of ``FIGURES``; the first has a gradient.

        Args:
            objective: the objective, or its distributed version.
            generator: all random numbers of the step.
        """

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Figures of the averaged weights, each called ``validation_...``."""

    def _resume(self) -> None:
        found = load_checkpoint(
            self.checkpoint, self.trained, self.average, self.optimiser, type(self.recipe)
        )
        self.progress.step, self.progress.seconds = found.progress.step, found.progress.seconds

    def stop(self) -> None:
        """Ask the run to end after the step at hand (may be called by a signal handler)."""
        self.stopping = True

    def run(self, budget: Budget, report: Report) -> bool:
        """Train until the budget is spent or ``stop`` is called.

        Args:
            budget: when to stop.
            report: called by the first process with the figures since its last call, for the
                first time after one step: step, seconds, share (of the budget), left (seconds
                until it is spent), max_steps (where it has that), learning_rate and those of
                ``FIGURES``; at a checkpoint also what ``validate`` gives.

        Returns:
            Whether the budget was spent. The checkpoint is up to date either way.

        Raises:
            TrainingError: the loss is no longer finite.
            OutputError: the checkpoint or the log cannot be written.
        """
        objective = self.objective
        if self.world > 1:
            unused = self.SOME_REST
            objective = DistributedDataParallel(self.objective, find_unused_parameters=unused)
            # A 1x1 kernel has the same layout in both orders; only its strides are named otherwise.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        self.captured = self._captured(objective)
        recent, logged = Mean(self.FIGURES, self.device), Mean(self.FIGURES, self.device)
        saved = validated = time.monotonic()
        # The first step is reported at once: it tells how long the rest will take.
        reported = -math.inf
        pause = 0.0
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
            due = now - saved >= CHECKPOINT_SECONDS
            if due or now - reported >= REPORT_SECONDS:
                report(self._figures(recent, budget))
                reported = now
            if due:
                # First, because a process that is told to stop may be killed soon after.
                self._save()
                saved = time.monotonic()
                if saved - validated >= pause:
                    self._validate(self._figures(logged, budget), report)
                    validated = time.monotonic()
                    pause = VALIDATION_PAUSE * (validated - saved)
        if self.rank == 0:
            last = self._figures(logged, budget) if logged.steps else None
            if self.progress.step:
                self._save()
            if last is not None:
                self._validate(last, report)
        return share >= 1

    def _captured(self, objective: nn.Module) -> CapturedStep | None:
        if self.inputs is None or self.device.type != "cuda" or self.world > 1:
            return None
        return CapturedStep(lambda inputs: self._update(self.captured_figures(objective, inputs)))

    def captured_figures(self, objective: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
        """As of ``losses``, of what ``inputs`` has drawn."""
        return torch.stack(objective(*inputs))

    def _step(self, objective: nn.Module, share: float) -> Tensor:
        """One optimisation step; returns its figures."""
        rate = self.recipe.rate_at(self.progress.step, share, self.epoch_steps)
        self.optimiser.set_rate(rate)
        generator = self._generator()
        if self.captured is not None and self.inputs is not None:
            figures = self.captured(self.inputs(generator))
        else:
            figures = self._update(self.losses(objective, generator))
        self.progress.step += 1
        self.finish_step()
        return figures

    def _update(self, figures: Tensor) -> Tensor:
        """Change the weights by the gradient of the first figure; all of them without it."""
        self.optimiser.zero_grad()
        figures[0].backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.trained.parameters(), self.recipe.clip_norm)
        self.optimiser.update()
        return figures.detach()

    def _generator(self) -> torch.Generator:
        """The random numbers of this step in this process: no state to keep for a resume."""
        rank = 0 if self.SAME_DRAWS else self.rank
        return seeded(self.header.seed, rank, self.progress.step)

    def finish_step(self) -> None:
        """Called when the optimiser has changed the weights: updates their average."""
        # Young averages follow the weights closely, or the random start would linger in them.
        step = self.progress.step
        decay = min(self.recipe.average_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), self.weights, 1 - decay)

    def _figures(self, mean: Mean, budget: Budget) -> dict[str, float]:
        figures = mean.read()
        if not math.isfinite(figures["loss"]):
            raise TrainingError(
                f"the loss is no longer finite at step {self.progress.step}; resume the last good "
                f"checkpoint, {self.checkpoint}, with a smaller --learning-rate"
            )
        step, seconds = self.progress.step, self.progress.seconds
        share = min(1.0, budget.used(step, seconds))
        if budget.max_steps is not None:
            figures["max_steps"] = budget.max_steps + budget.since[0]
        spent = seconds - budget.since[1]
        return figures | {
            "step": step,
            "seconds": seconds,
            "share": share,
            "left": spent / share - spent,
            "learning_rate": self.recipe.rate_at(step, share, self.epoch_steps),
        }

    def _save(self) -> None:
        save_checkpoint(self.checkpoint, self.trained, self.average, self.optimiser, self.header)

    def _validate(self, figures: dict[str, float], report: Report) -> None:
        with self.averaged(), torch.no_grad():
            figures |= self.validate()
        assert self.log is not None
        self.log.write(figures)
        report(figures)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averaged weights into the networks for a while."""
        current = {k: v.detach().clone() for k, v in self.trained.state_dict().items()}
        self.trained.load_state_dict(self.average)
        try:
            yield
        finally:
            self.trained.load_state_dict(current)
