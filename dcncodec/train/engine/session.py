"""Runs a training from beginning to end: processes, signals, learning curve, export."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from dcncodec.errors import MissingLibraryError, UsageError
from dcncodec.models.card import check_export
from dcncodec.train.engine.checkpoint import FILE, Header, read_header
from dcncodec.train.engine.log import plot_log
from dcncodec.train.engine.memory import keep_freed_memory
from dcncodec.train.engine.processes import (
    ENDING,
    own_device,
    process_group,
    rank_and_world,
    workers,
)
from dcncodec.train.engine.recipes import Recipe
from dcncodec.train.engine.run import LOG_FILE, Budget, Report, Run

if TYPE_CHECKING:
    from dcncodec.runtime.engine import Precision

Notify = Callable[[str], None]

DEFAULT_PRESET = "fast"


R = TypeVar("R", bound=Recipe)


@dataclass(frozen=True)
class RunSettings:
    """What users choose in every training. None stands for what a resumed run did before, or the
    default.

    Attributes:
        sources: folders of images and tar shards.
        folder: the run's folder.
        preset: name of a recipe.
        overrides: fields of the recipe with other values than the preset's.
        max_steps, max_minutes: the budget; with minutes alone there is no limit of steps.
        seed: 0 or more.
        device, precision: as in ``dcncodec.runtime.devices``.
        export: folder to write the finished networks to when the budget is spent.
        workers: processes of this machine that train together, each with its part of a batch.
    """

    sources: tuple[Path, ...]
    folder: Path
    preset: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    max_steps: int | None = None
    max_minutes: float | None = None
    seed: int | None = None
    device: str = "auto"
    precision: Precision = "auto"
    export: Path | None = None
    workers: int = 1

    def resumed(self, recipe: type[Recipe]) -> Header | None:
        """The run to resume, which had a recipe of the given kind; None where there is none yet.

        Raises:
            UsageError: the name of the export's folder cannot be a model's.
            TrainingError: the checkpoint is damaged, or of another training.
        """
        if self.export is not None:
            check_export(self.export)
        checkpoint = self.folder / FILE
        return read_header(checkpoint, recipe) if checkpoint.exists() else None

    def begun(self, recipes: Mapping[str, R], header: Header | None) -> R:
        """The recipe of the run to resume, else that of the preset.

        Raises:
            UsageError: there is no such preset.
        """
        preset = self.preset or DEFAULT_PRESET
        if header is not None:
            kind = type(next(iter(recipes.values())))
            assert isinstance(header.recipe, kind)
            return header.recipe
        if preset not in recipes:
            raise UsageError(f"--preset {preset}: choose {', '.join(recipes)}")
        return recipes[preset]

    def seed_of(self, header: Header | None) -> int:
        """The user's seed, that of the run to resume, or 0."""
        if self.seed is not None:
            return self.seed
        return header.seed if header is not None else 0

    def applied(self, recipe: R) -> R:
        """A recipe with what the user chose in the place of its own."""
        steps = {} if self.max_steps is None else {"max_steps": self.max_steps}
        return replace(recipe, **(self.overrides | steps))

    def budget(self, recipe: Recipe) -> Budget:
        """The user's, or the recipe's own number of steps."""
        if self.max_minutes is not None and self.max_steps is None:
            return Budget(None, self.max_minutes)
        return Budget(self.max_steps or recipe.max_steps, self.max_minutes)


S = TypeVar("S", bound=RunSettings)


def run_session(
    settings: S,
    prepare: Callable[[S, torch.device, Notify], tuple[Run, Budget]],
    export: Callable[[Path, Path], str],
    notify: Notify,
    report: Report,
) -> int:
    """Train, and leave checkpoint, log and learning curve in the run's folder.

    Args:
        settings: the user's choices.
        prepare: makes the run, resumed where its folder holds a checkpoint, and its budget.
        export: writes the finished networks of a run's folder to another; gives their SHA-256.
        notify: called with lines worth showing; only in the first process.
        report: called with a run's figures (``Run.run``); only in the first process.

    Returns:
        0 when the budget is spent; the number of the signal that ended the run before.

    Raises:
        DcnError: as ``prepare``, ``Run.run`` and ``export``.
    """
    with workers(settings.workers, _work, settings, prepare, export):
        return _run(settings, prepare, export, notify, report)


def _work(
    settings: S,
    prepare: Callable[[S, torch.device, Notify], tuple[Run, Budget]],
    export: Callable[[Path, Path], str],
) -> None:
    """What a process beside the first does: the same, and in silence."""
    _run(settings, prepare, export, _silent, unseen)


def _run(
    settings: S,
    prepare: Callable[[S, torch.device, Notify], tuple[Run, Budget]],
    export: Callable[[Path, Path], str],
    notify: Notify,
    report: Report,
) -> int:
    device = own_device(settings.device)
    _make_deterministic(device)
    keep_freed_memory()
    with process_group(device):
        first = rank_and_world()[0] == 0
        notify = notify if first else _silent
        with _left_as_it_was(settings.folder):
            run, budget = prepare(settings, device, notify)
        if run.progress.step:
            notify(f"resuming {settings.folder / FILE} at step {run.progress.step:,}")
        with stopped_by_signals(run) as caught:
            finished = run.run(budget, report)
        if first:
            _finish(settings, run, finished, export, notify)
    return 0 if finished else caught[0]


@contextmanager
def _left_as_it_was(folder: Path) -> Iterator[None]:
    """Without a run's folder where there was none, if its preparation fails."""
    there = folder.exists()
    try:
        yield
    except BaseException:
        if not there:
            with suppress(OSError):
                folder.rmdir()
        raise


def _make_deterministic(device: torch.device) -> None:
    """Same seed, same weights, on a GPU too; and numbers as exact as on a processor."""
    if device.type == "cuda":
        # cuBLAS needs the variable before its first use.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Residuals of photos, and the largest latents, need float32 where a network asks for it.
        torch.backends.cudnn.allow_tf32 = False
        # It would fill all memory with NaN before use, to show what reads it unset.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _silent(_: str) -> None:
    pass


def unseen(_: dict[str, float]) -> None:
    """A ``Report`` that nobody reads."""


@contextmanager
def stopped_by_signals(run: Run) -> Iterator[list[int]]:
    """SIGINT, SIGTERM and SIGHUP stop the run after its step; a second one acts as before.

    Those that are ignored (nohup) stay so.

    Yields:
        A list that receives the signal's number (0 while there is none: another process of the
        group had it).
    """
    caught = [0]
    previous = {
        number: handler
        for number in ENDING
        if (handler := signal.getsignal(number)) is not signal.SIG_IGN
    }

    def stop(number: int, _: FrameType | None) -> None:
        caught[0] = number
        run.stop()
        _restore()

    def _restore() -> None:
        for which, handler in previous.items():
            signal.signal(which, handler)

    for which in previous:
        signal.signal(which, stop)
    try:
        yield caught
    finally:
        _restore()


def _finish(
    settings: RunSettings,
    run: Run,
    finished: bool,
    export: Callable[[Path, Path], str],
    notify: Notify,
) -> None:
    """Learning curve, export, and a last line."""
    folder, step = settings.folder, run.progress.step
    if step:
        curves = [folder / "curve.svg", folder / "curve.png"]
        try:
            plot_log(folder / LOG_FILE, curves, run.COLUMNS)
        except MissingLibraryError as error:
            notify(f"no learning curve drawn: {error}")
    if not finished:
        notify(f"stopped at step {step:,}; the same command goes on from there")
    elif settings.export is not None:
        sha256 = export(folder, settings.export)
        notify(f"{settings.export}: exported, SHA-256 {sha256[:16]}")
    else:
        command = run.recipe.COMMAND
        notify(f"finished at step {step:,}; '{command} --out {folder} --export DIR' exports it")
