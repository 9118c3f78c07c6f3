"""Sets up a training run from a user's choices, runs it, and leaves everything in its folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from dcncodec.devices import Precision, choose_precision
from dcncodec.errors import (
    MissingLibraryError,
    ModelError,
    TrainingError,
    UsageError,
)
from dcncodec.formats.files import make_folder
from dcncodec.models.dcn import DCN, STRIDE
from dcncodec.models.registry import find_model
from dcncodec.train.checkpoint import FILE, Header, read_header
from dcncodec.train.data import load_images
from dcncodec.train.export import check_export, export_model
from dcncodec.train.log import COLUMNS, plot_log
from dcncodec.train.loop import Trainer
from dcncodec.train.processes import own_device, process_group, rank_and_world
from dcncodec.train.recipes import RECIPES, Recipe
from dcncodec.train.run import LOG_FILE, Budget, Run

DEFAULT_PRESET = "fast"
DEFAULT_CHANNELS = 32
ANALYSIS_END = ("analysis_net.7.weight", "analysis_net.7.bias")
SYNTHESIS_START = "synthesis_net.0.weight"
"""The parameters with a dimension for the latent channels: first for analysis, else second."""


@dataclass(frozen=True)
class Settings:
    """What the user chose. None stands for what a resumed run did before, or the default.

    Attributes:
        sources: folders of images and tar shards.
        folder: the run's folder.
        preset: a key of ``RECIPES``.
        latent_channels: N.
        init: model, by name or weight folder, whose weights to start from.
        overrides: fields of ``Recipe`` with other values than the preset's.
        max_steps, max_minutes: the budget; with minutes alone there is no limit of steps.
        seed: 0 or more.
        device, precision: as in ``dcncodec.devices``.
        export: weight folder to write when the budget is spent.
    """

    sources: tuple[Path, ...]
    folder: Path
    preset: str | None = None
    latent_channels: int | None = None
    init: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    max_steps: int | None = None
    max_minutes: float | None = None
    seed: int | None = None
    device: str = "auto"
    precision: Precision = "auto"
    export: Path | None = None


def train(
    settings: Settings,
    notify: Callable[[str], None],
    report: Callable[[dict[str, float]], None],
) -> int:
    """Train, and leave checkpoint, log and learning curve in the run's folder.

    Args:
        settings: the user's choices.
        notify: called with lines worth showing; only in the first process.
        report: called with a run's figures (``Trainer.run``); only in the first process.

    Returns:
        0 when the budget is spent; the number of the signal that ended the run before.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: no usable images, an unusable checkpoint, or a loss that is not finite.
        ModelError: ``init`` is not a model.
        OutputError: the folder cannot be written.
    """
    device = own_device(settings.device)
    make_deterministic(device)
    with process_group(device):
        first = rank_and_world()[0] == 0
        if not first:
            notify = _silent
        trainer, budget = prepare(settings, device, notify)
        with stopped_by_signals(trainer) as caught:
            finished = trainer.run(budget, report)
        if first:
            _finish(settings, finished, trainer.progress.step, notify)
    return 0 if finished else caught[0]


def make_deterministic(device: torch.device) -> None:
    """Same seed, same weights, on a GPU too."""
    if device.type == "cuda":
        # cuBLAS needs the variable before its first use.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def _silent(_: str) -> None:
    pass


def prepare(
    settings: Settings, device: torch.device, notify: Callable[[str], None]
) -> tuple[Trainer, Budget]:
    """A trainer ready to run, resumed where its folder holds a checkpoint; see ``train``."""
    if settings.export is not None:
        check_export(settings.export)
    checkpoint = settings.folder / FILE
    header = read_header(checkpoint) if checkpoint.exists() else None
    recipe, channels, budget = choose(settings, header)
    seed = next(s for s in (settings.seed, header.seed if header else None, 0) if s is not None)
    make_folder(settings.folder)
    torch.manual_seed(seed)
    codec = DCN(channels)
    init = ""
    if header is not None:
        init = header.init
        notify(f"resuming {checkpoint} at step {header.progress.step:,}")
    elif settings.init is not None:
        init = find_model(settings.init).name
        notify(start_from(codec, settings.init))
    data = load_images(settings.sources, recipe.patch)
    held_out = len(data.validation)
    notify(f"{len(data.training):,} images for training, {held_out:,} for validation")
    trainer = Trainer(
        codec.to(device),
        recipe,
        data.to(device),
        settings.folder,
        seed,
        choose_precision(settings.precision, device),
        init,
    )
    return trainer, budget


def choose(settings: Settings, header: Header | None) -> tuple[Recipe, int, Budget]:
    """Recipe, latent channels and budget from the user's choices and the run to resume.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: a choice contradicts the run to resume.
    """
    recipe = header.recipe if header is not None else RECIPES[DEFAULT_PRESET]
    if settings.preset is not None:
        recipe = RECIPES[settings.preset]
    recipe = replace(recipe, **settings.overrides)
    if settings.max_steps is not None:
        recipe = replace(recipe, max_steps=settings.max_steps)
    if recipe.patch % STRIDE:
        raise UsageError(f"--patch {recipe.patch}: choose a multiple of {STRIDE}")
    channels = settings.latent_channels or DEFAULT_CHANNELS
    if header is not None:
        checkpoint = settings.folder / FILE
        channels = settings.latent_channels or header.latent_channels
        if channels != header.latent_channels:
            raise TrainingError(
                f"{checkpoint}: has {header.latent_channels} latent channels, not {channels}; "
                "choose another --out or the same --channels"
            )
        if recipe.muon != header.recipe.muon:
            raise TrainingError(
                f"{checkpoint}: was trained with the optimiser of another preset; choose another "
                "--out or the same --preset"
            )
    steps: int | None = recipe.max_steps
    if settings.max_minutes is not None and settings.max_steps is None:
        steps = None
    return recipe, channels, Budget(steps, settings.max_minutes)


def start_from(codec: DCN, name_or_path: str) -> str:
    """Take over the tensors of another model that have the same name and shape.

    A model with fewer latent channels gives its own to the first ones. The synthesis then ignores
    the others at first: training begins with the smaller model's pictures.

    Returns:
        One line that says what was taken.

    Raises:
        ModelError: there is no such model, it is damaged, or nothing fits.
    """
    folder = find_model(name_or_path)
    try:
        weights = load(folder.content)
    except SafetensorError:
        raise ModelError(f"{folder.weights}: damaged weights; install the model again") from None
    own = codec.state_dict()
    channels, own_channels = folder.latent_channels, codec.latent_channels
    taken = {}
    for name, tensor in weights.items():
        if name in own and own[name].shape == tensor.shape:
            taken[name] = tensor.float()
        elif name in ANALYSIS_END and channels < own_channels:
            taken[name] = torch.cat([tensor.float(), own[name][channels:]])
        elif name == SYNTHESIS_START and channels < own_channels:
            taken[name] = torch.cat([tensor.float(), 0 * own[name][:, channels:]], dim=1)
    if not taken:
        raise ModelError(f"{folder.path}: no tensor fits this network; start without --init")
    codec.load_state_dict(own | taken)
    left = len(own) - len(taken)
    first = f" (its {channels} latent channels come first)" if channels < own_channels else ""
    return f"{len(taken)} of {len(own)} tensors start from {folder.name}{first}, {left} at random"


@contextmanager
def stopped_by_signals(trainer: Run) -> Iterator[list[int]]:
    """SIGINT and SIGTERM stop the run after its step; a second one kills as usual.

    Yields:
        A list that receives the signal's number (0 while there is none: another process of the
        group had it).
    """
    caught = [0]
    previous = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _: FrameType | None) -> None:
        caught[0] = number
        trainer.stop()
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


def draw_curve(folder: Path, columns: Sequence[str], notify: Callable[[str], None]) -> None:
    """``curve.svg`` and ``curve.png`` of a run's log, or a line that says why not."""
    try:
        plot_log(folder / LOG_FILE, [folder / "curve.svg", folder / "curve.png"], columns)
    except MissingLibraryError as error:
        notify(f"no learning curve drawn: {error}")


def _finish(settings: Settings, finished: bool, step: int, notify: Callable[[str], None]) -> None:
    """Learning curve, export, and a last line."""
    folder = settings.folder
    if step:
        draw_curve(folder, COLUMNS, notify)
    if not finished:
        notify(f"stopped at step {step:,}; the same command goes on from there")
    elif settings.export is not None:
        sha256 = export_model(folder, settings.export)
        notify(f"{settings.export}: exported, SHA-256 {sha256[:16]}")
    else:
        notify(f"finished at step {step:,}; 'dcn train --out {folder} --export DIR' exports it")
