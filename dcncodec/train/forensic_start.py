"""Sets up a forensic training from a user's choices, and runs it in its folder."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from dcncodec.devices import choose_precision
from dcncodec.errors import TrainingError, UsageError
from dcncodec.forensics.channel import CODEC, Channel, parse_channel
from dcncodec.forensics.folder import open_forensic
from dcncodec.forensics.manipulations import CLASSES, DEFAULTS
from dcncodec.formats.files import make_folder
from dcncodec.models.dcn import STRIDE
from dcncodec.models.fan import FAN
from dcncodec.models.load import load_dcn, load_nip
from dcncodec.models.registry import PIPELINE, find_model
from dcncodec.train.checkpoint import FILE, Header, read_header
from dcncodec.train.data import Dataset, load_images
from dcncodec.train.export import check_export
from dcncodec.train.forensic import CameraTrainer, ForensicTrainer
from dcncodec.train.forensic_export import export_forensic
from dcncodec.train.nip_start import MULTIPLE
from dcncodec.train.raw_data import SAME_CAMERA, RawDataset, load_frames
from dcncodec.train.recipes import FORENSIC_RECIPES, PAPER_PATCH, ForensicRecipe
from dcncodec.train.run import Budget, Report
from dcncodec.train.session import DEFAULT_PRESET, Notify, RunSettings, run_session

FIXED = ("channel", "downsample", "classes", "trainable", "nip", "muon", "gauges")
"""Fields of the recipe that a resumed run cannot change."""


@dataclass(frozen=True)
class ForensicSettings(RunSettings):
    """What the user chose; the preset is a key of ``FORENSIC_RECIPES``.

    Attributes:
        model: the codec of a dcn channel, by name or weight folder.
        fan: forensic folder, by name or path, whose FAN to start from; None for random weights.
        nip: camera pipeline, by name or weight folder, that develops the photos; None for finished
            photos.
    """

    model: str | None = None
    fan: str | None = None
    nip: str | None = None


def train_forensic(settings: ForensicSettings, notify: Notify, report: Report) -> int:
    """Train a FAN, and what is trainable with it; see ``run_session``.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: no usable images, an unusable checkpoint, or a loss that is not finite.
        ModelError: ``model`` is not a codec, or ``fan`` no forensic folder.
        OutputError: the folder cannot be written.
    """
    return run_session(settings, prepare, export_forensic, notify, report)


def prepare(
    settings: ForensicSettings, device: torch.device, notify: Notify
) -> tuple[ForensicTrainer, Budget]:
    """A trainer ready to run, resumed where its folder holds a checkpoint."""
    if settings.export is not None:
        check_export(settings.export)
    checkpoint = settings.folder / FILE
    header = read_header(checkpoint, ForensicRecipe) if checkpoint.exists() else None
    recipe, budget = choose(settings, header)
    seed = settings.seed_of(header)
    nip, colours = None, None
    if recipe.nip:
        camera = find_model(settings.nip or recipe.nip, PIPELINE)
        nip, colours = load_nip(camera).requires_grad_(True), camera.to_srgb
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
    size = max(recipe.patch, PAPER_PATCH)
    data: Dataset | RawDataset
    if colours is None:
        data = load_images(settings.sources, size)
    else:
        data = load_frames(settings.sources, size, seed)
        if np.abs(data.to_srgb - np.array(colours)).max() > SAME_CAMERA:
            raise TrainingError(
                f"{settings.nip or recipe.nip}: has learned another camera's colours than those of "
                "these RAW files; train a pipeline on them with dcn train nip"
            )
    held_out = len(data.validation)
    notify(f"{len(data.training):,} images for training, {held_out:,} for validation")
    channel = Channel(
        recipe.channel, codec, recipe.downsample, recipe.histogram, recipe.straight_through
    )
    fan = FAN(len(recipe.classes))
    if header is None and settings.fan is not None:
        fan = begin_with(settings.fan, recipe)
        recipe = replace(recipe, fan=open_forensic(settings.fan).name)
    trainer = (ForensicTrainer if nip is None else CameraTrainer)(
        channel.to(device),
        fan.to(device),
        recipe,
        data.to(device),
        settings.folder,
        seed,
        choose_precision(settings.precision, device),
        init,
        None if nip is None else nip.to(device),
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
    if settings.nip is not None:
        recipe = replace(recipe, nip=find_model(settings.nip, PIPELINE).name)
    if not set(recipe.trainable) <= {CODEC, PIPELINE}:
        raise UsageError(f"--trainable {','.join(recipe.trainable)}: choose of dcn, nip, or none")
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
    if PIPELINE in recipe.trainable and not recipe.nip:
        raise UsageError("--trainable nip needs a camera pipeline: --nip NAME")
    if recipe.nip and recipe.patch % MULTIPLE:
        raise UsageError(f"--patch {recipe.patch}: choose a multiple of {MULTIPLE}")
    if header is not None:
        for name in FIXED:
            if getattr(recipe, name) != getattr(header.recipe, name):
                raise TrainingError(
                    f"{settings.folder / FILE}: was trained with another {name}; choose another "
                    "--out or the same options"
                )
    return recipe, settings.budget(recipe)
