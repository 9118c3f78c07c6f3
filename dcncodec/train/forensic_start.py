"""Sets up a forensic training from a user's choices, and runs it in its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from dcncodec.devices import Precision, choose_precision
from dcncodec.errors import TrainingError, UsageError
from dcncodec.forensics.channel import CODEC, Channel, parse_channel
from dcncodec.forensics.folder import open_forensic
from dcncodec.forensics.manipulations import CLASSES, DEFAULTS
from dcncodec.formats.files import make_folder
from dcncodec.models.dcn import STRIDE
from dcncodec.models.fan import FAN
from dcncodec.models.load import load_dcn
from dcncodec.models.registry import find_model
from dcncodec.train.checkpoint import FILE, Header, read_header
from dcncodec.train.data import load_images
from dcncodec.train.export import check_export
from dcncodec.train.forensic import ForensicTrainer
from dcncodec.train.forensic_export import export_forensic
from dcncodec.train.processes import own_device, process_group, rank_and_world
from dcncodec.train.recipes import FORENSIC_RECIPES, PAPER_PATCH, ForensicRecipe
from dcncodec.train.run import Budget
from dcncodec.train.start import draw_curve, make_deterministic, stopped_by_signals

DEFAULT_PRESET = "fast"
FIXED = ("channel", "downsample", "classes", "trainable", "muon")
"""Fields of the recipe that a resumed run cannot change."""


@dataclass(frozen=True)
class ForensicSettings:
    """What the user chose. None stands for what a resumed run did before, or the default.

    Attributes:
        sources: folders of images and tar shards.
        folder: the run's folder.
        preset: a key of ``FORENSIC_RECIPES``.
        model: the codec of a dcn channel, by name or weight folder.
        fan: forensic folder, by name or path, whose FAN to start from; None for random weights.
        overrides: fields of ``ForensicRecipe`` with other values than the preset's.
        max_steps, max_minutes: the budget; with minutes alone there is no limit of steps.
        seed: 0 or more.
        device, precision: as in ``dcncodec.devices``.
        export: forensic folder to write when the budget is spent.
    """

    sources: tuple[Path, ...]
    folder: Path
    preset: str | None = None
    model: str | None = None
    fan: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    max_steps: int | None = None
    max_minutes: float | None = None
    seed: int | None = None
    device: str = "auto"
    precision: Precision = "auto"
    export: Path | None = None


def train_forensic(
    settings: ForensicSettings,
    notify: Callable[[str], None],
    report: Callable[[dict[str, float]], None],
) -> int:
    """Train FAN and codec, and leave checkpoint, log and learning curve in the run's folder.

    Args:
        settings: the user's choices.
        notify: called with lines worth showing.
        report: called with a run's figures (``Run.run``).

    Returns:
        0 when the budget is spent; the number of the signal that ended the run before.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: no usable images, an unusable checkpoint, or a loss that is not finite.
        ModelError: ``model`` is not a codec.
        OutputError: the folder cannot be written.
    """
    device = own_device(settings.device)
    make_deterministic(device)
    with process_group(device):
        first = rank_and_world()[0] == 0
        trainer, budget = prepare(settings, device, notify if first else _silent)
        with stopped_by_signals(trainer) as caught:
            finished = trainer.run(budget, report)
        if first:
            _finish(settings, finished, trainer.progress.step, notify)
    return 0 if finished else caught[0]


def _silent(_: str) -> None:
    pass


def prepare(
    settings: ForensicSettings, device: torch.device, notify: Callable[[str], None]
) -> tuple[ForensicTrainer, Budget]:
    """A trainer ready to run, resumed where its folder holds a checkpoint."""
    if settings.export is not None:
        check_export(settings.export)
    checkpoint = settings.folder / FILE
    header = read_header(checkpoint, ForensicRecipe) if checkpoint.exists() else None
    recipe, budget = choose(settings, header)
    seed = next(s for s in (settings.seed, header.seed if header else None, 0) if s is not None)
    make_folder(settings.folder)
    torch.manual_seed(seed)
    codec, init = None, ""
    if recipe.channel == CODEC:
        model = settings.model or (header.init if header else None)
        if model is None:
            raise UsageError("the channel dcn needs a codec: --model NAME")
        folder = find_model(model)
        codec, init = load_dcn(folder).requires_grad_(True), folder.name
    if header is not None:
        if init != header.init:
            raise TrainingError(
                f"{checkpoint}: began with {header.init or 'no codec'}, not {init}; choose "
                "another --out or the same --model"
            )
        notify(f"resuming {checkpoint} at step {header.progress.step:,}")
    data = load_images(settings.sources, max(recipe.patch, PAPER_PATCH))
    held_out = len(data.validation)
    notify(f"{len(data.training):,} images for training, {held_out:,} for validation")
    channel = Channel(
        recipe.channel, codec, recipe.downsample, recipe.histogram, recipe.straight_through
    )
    fan = FAN(len(recipe.classes))
    if header is None and settings.fan is not None:
        fan = begin_with(settings.fan, recipe)
        recipe = replace(recipe, fan=open_forensic(settings.fan).name)
    trainer = ForensicTrainer(
        channel.to(device),
        fan.to(device),
        recipe,
        data.to(device),
        settings.folder,
        seed,
        choose_precision(settings.precision, device),
        init,
    )
    return trainer, budget


def begin_with(name_or_path: str, recipe: ForensicRecipe) -> FAN:
    """The FAN of a forensic folder, to be trained further.

    Raises:
        ModelError: there is no such folder, or it is damaged.
        UsageError: it tells other classes apart.
    """
    folder = open_forensic(name_or_path)
    if folder.classes != recipe.classes:
        raise UsageError(
            f"--fan {name_or_path}: tells {','.join(folder.classes)} apart, not "
            f"{','.join(recipe.classes)}"
        )
    return folder.load_fan().requires_grad_(True).train()


def choose(settings: ForensicSettings, header: Header | None) -> tuple[ForensicRecipe, Budget]:
    """Recipe and budget from the user's choices and the run to resume.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: a choice contradicts the run to resume.
    """
    recipe = replace(FORENSIC_RECIPES[DEFAULT_PRESET], classes=CLASSES)
    if header is not None:
        assert isinstance(header.recipe, ForensicRecipe)
        recipe = header.recipe
    if settings.preset is not None:
        recipe = replace(FORENSIC_RECIPES[settings.preset], classes=CLASSES)
    recipe = replace(recipe, **settings.overrides)
    if header is None and "trainable" not in settings.overrides and recipe.channel == CODEC:
        recipe = replace(recipe, trainable=(CODEC,))
    if not set(recipe.trainable) <= {CODEC}:
        raise UsageError(f"--trainable {','.join(recipe.trainable)}: choose dcn or none")
    if settings.max_steps is not None:
        recipe = replace(recipe, max_steps=settings.max_steps)
    parse_channel(recipe.channel)
    unit = STRIDE * (2 if recipe.downsample else 1)
    if recipe.patch % unit:
        raise UsageError(f"--patch {recipe.patch}: choose a multiple of {unit}")
    if unknown := [name for name in recipe.classes if name not in DEFAULTS]:
        raise UsageError(f"--classes {','.join(unknown)}: choose from {', '.join(DEFAULTS)}")
    if len(recipe.classes) < 2 or len(set(recipe.classes)) < len(recipe.classes):
        raise UsageError("--classes: name at least two different ones")
    if "dcn" in recipe.trainable and recipe.channel != CODEC:
        raise UsageError(f"--trainable dcn needs the channel dcn, not {recipe.channel}")
    if header is not None:
        for name in FIXED:
            if getattr(recipe, name) != getattr(header.recipe, name):
                raise TrainingError(
                    f"{settings.folder / FILE}: was trained with another {name}; choose another "
                    "--out or the same options"
                )
    steps: int | None = recipe.max_steps
    if settings.max_minutes is not None and settings.max_steps is None:
        steps = None
    return recipe, Budget(steps, settings.max_minutes)


def _finish(
    settings: ForensicSettings, finished: bool, step: int, notify: Callable[[str], None]
) -> None:
    """Learning curve, export, and a last line."""
    folder = settings.folder
    if step:
        draw_curve(folder, ForensicTrainer.COLUMNS, notify)
    if not finished:
        notify(f"stopped at step {step:,}; the same command goes on from there")
    elif settings.export is not None:
        sha256 = export_forensic(folder, settings.export)
        notify(f"{settings.export}: exported, SHA-256 of its FAN {sha256[:16]}")
    else:
        notify(f"finished at step {step:,}; the same command with --export DIR exports it")
