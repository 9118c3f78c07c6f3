"""Sets up a forensic training from a user's choices, and runs it in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dcncodec.errors import TrainingError, UsageError
from dcncodec.forensics.channel import DCN_FILE, NONE, Channel, parse_channel
from dcncodec.forensics.history import parse_history
from dcncodec.forensics.manipulations import CLASSES, DEFAULTS
from dcncodec.forensics.prnu import learning
from dcncodec.formats.files import make_folder
from dcncodec.formats.geometry import STRIDE
from dcncodec.formats.raw import raw_files
from dcncodec.models.card import ModelFolder
from dcncodec.models.dcn import DCN
from dcncodec.models.families.fan import LEARNS_CODEC, LEARNS_NIP
from dcncodec.models.families.nip import STANDARD
from dcncodec.models.load import load_dcn, load_nip, load_vr
from dcncodec.models.registry import find_model
from dcncodec.models.roles import Role
from dcncodec.models.vr import VR
from dcncodec.runtime.devices import choose_precision
from dcncodec.train.engine.ahead import default_loaders
from dcncodec.train.engine.checkpoint import FILE, Header
from dcncodec.train.engine.data import Dataset, load_images
from dcncodec.train.engine.presets import FORENSIC_RECIPES, PAPER_PATCH
from dcncodec.train.engine.raw_data import SAME_CAMERA, RawDataset, load_frames
from dcncodec.train.engine.recipes import ForensicRecipe
from dcncodec.train.engine.run import Budget, Report
from dcncodec.train.engine.session import DEFAULT_PRESET, Notify, run_session
from dcncodec.train.tasks.forensic import ForensicTrainer
from dcncodec.train.tasks.forensic_export import export_forensic
from dcncodec.train.tasks.forensic_fans import (
    ForensicSettings,
    choose_network,
    open_critics,
    open_fan,
)
from dcncodec.train.tasks.forensic_field import DRAWN, MARGIN, PLAIN, is_field
from dcncodec.train.tasks.forensic_sensor import PRNU, trainer_of
from dcncodec.train.tasks.nip_setup import MULTIPLE

CHOSEN = (
    "channel",
    "downsample",
    "classes",
    "trainable",
    "nip",
    "fan",
    "critic",
    "keep",
    "network",
    *("lambda_low", "lambda_high", "ssim_share"),
)
"""Fields of the recipe that say what is trained, and by what the codec was; no preset decides about
them."""
FIXED = (
    *("channel", "downsample", "classes", "trainable", "nip", "muon"),
    *("vary_strengths", "keep", "network", "stored", *DRAWN),
)
"""Fields of the recipe that a resumed run cannot change."""
WEIGHTS = {
    LEARNS_CODEC: ("lambda_c", "lambda_h", "lambda_ssim", "ssim_share"),
    LEARNS_NIP: ("lambda_n",),
}
"""Fields of the recipe that weigh what is lost, by what has to learn for that."""
RATES = {"rate_low", "rate_high", "rate_fall"}
"""Fields of the recipe that only codecs with rates have."""
ORIGIN = ("name", "sha256", "architecture", "to_srgb")
"""Entries of a weight folder's card that its run keeps."""


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
    header = settings.resumed(ForensicRecipe)
    camera = None
    if settings.nip not in {None, STANDARD}:
        camera = find_model(str(settings.nip), Role.PIPELINE)
    recipe, budget = choose(settings, header, camera)
    seed = settings.seed_of(header)
    folders = weight_folders(settings, recipe, header, camera)
    codec, nip = None, None
    if LEARNS_CODEC in folders:
        codec_name = folders[LEARNS_CODEC].name
        codec = load_tuned(folders[LEARNS_CODEC]).requires_grad_(True)
        if header is None:
            recipe = with_objective(recipe, folders[LEARNS_CODEC], settings.overrides)
        if not isinstance(codec, VR):
            if settings.overrides.keys() & RATES:
                raise UsageError(f"--rate: the codec {codec_name} has one rate only; leave it out")
            if "ssim_share" in settings.overrides:
                raise UsageError(f"--ssim-share: the codec {codec_name} has --lambda-ssim instead")
    if LEARNS_NIP in folders:
        nip = load_nip(folders[LEARNS_NIP]).requires_grad_(True)
    torch.manual_seed(seed)
    fan, recipe = open_fan(settings, recipe, header is None)
    critics, recipe = open_critics(settings, recipe)
    loaders = _loaders(settings, recipe, device)
    make_folder(settings.folder)
    data = _load_data(settings, recipe, seed, folders.get(LEARNS_NIP), notify)
    held_out = len(data.validation)
    notify(f"{len(data.training):,} images for training, {held_out:,} for validation")
    channel = Channel(
        recipe.channel, codec, recipe.downsample, recipe.histogram, recipe.straight_through
    )
    kind = trainer_of(recipe)
    channel = channel.to(device)
    if not is_field(recipe):
        data = data.to(device)
    trainer = kind(
        channel,
        None if fan is None else fan.to(device),
        recipe,
        data,
        settings.folder,
        seed,
        choose_precision(settings.precision, device),
        {family: _origin(folder) for family, folder in folders.items()},
        None if nip is None else nip.to(device),
        [critic.to(device) for critic in critics],
        loaders,
        notify,
    )
    return trainer, budget


def _loaders(settings: ForensicSettings, recipe: ForensicRecipe, device: torch.device) -> int:
    """How many processes draw photos.

    Raises:
        UsageError: the user names some, and there is nothing to draw.
    """
    if not is_field(recipe):
        if settings.loaders:
            raise UsageError("--loaders: no photos are drawn one by one; leave it out")
        return 0
    return default_loaders(device) if settings.loaders is None else settings.loaders


def _origin(folder: ModelFolder) -> dict[str, Any]:
    """What a run keeps of a network that it begins with."""
    return {name: folder.card[name] for name in ORIGIN if name in folder.card}


def load_tuned(folder: ModelFolder) -> DCN | VR:
    """The networks of a codec that a FAN can stand behind, of the families dcn and vr.

    Raises:
        ModelError: it is of another family, or damaged.
    """
    return load_vr(folder) if folder.geometry.rates else load_dcn(folder)


def with_objective(
    recipe: ForensicRecipe, folder: ModelFolder, overrides: Mapping[str, Any]
) -> ForensicRecipe:
    """A recipe with the lambdas that a codec for all rates was trained with, and unless the user
    says otherwise as much weight on likeness as SSIM and MS-SSIM had there together."""
    known = folder.card.get("recipe", {})
    likeness = known.get("ssim_share", recipe.ssim_share) + known.get("ms_ssim_share", 0.0)
    return replace(
        recipe,
        lambda_low=float(known.get("lambda_low", recipe.lambda_low)),
        lambda_high=float(known.get("lambda_high", recipe.lambda_high)),
        ssim_share=float(overrides.get("ssim_share", likeness)),
    )


def weight_folders(
    settings: ForensicSettings,
    recipe: ForensicRecipe,
    header: Header | None,
    camera: ModelFolder | None,
) -> dict[str, ModelFolder]:
    """Where codec and neural camera pipeline of a run come from, by what learns.

    Args:
        settings: the user's choices.
        recipe: of the run.
        header: of the run to resume.
        camera: the neural pipeline that the user names.

    Raises:
        UsageError: the channel needs a codec.
        ModelError: one is not installed.
        TrainingError: the run to resume began with other weights.
    """
    found = {}
    if recipe.channel == DCN_FILE:
        model = settings.model or (header.init if header else None)
        if model is None:
            raise UsageError("the channel dcn needs a codec: --model NAME")
        found[LEARNS_CODEC] = find_model(model)
    if recipe.nip not in {"", STANDARD}:
        found[LEARNS_NIP] = camera or find_model(recipe.nip, Role.PIPELINE)
    if header is None:
        return found
    for family, folder in found.items():
        before = header.origins[family]
        if before["sha256"] != folder.sha256:
            raise TrainingError(
                f"began with {before['name']} "
                f"({before['sha256'][:16]}), not {folder.path} ({folder.sha256[:16]}); choose "
                "another --out or the same weight folder",
                settings.folder / FILE,
            )
    return found


def _load_data(
    settings: ForensicSettings,
    recipe: ForensicRecipe,
    seed: int,
    camera: ModelFolder | None,
    notify: Notify,
) -> Dataset | RawDataset:
    """Frames for a neural pipeline, finished pictures otherwise."""
    size = max(recipe.patch, PAPER_PATCH)
    if is_field(recipe):
        size += 2 * MARGIN
    if not recipe.nip:
        if any(raw_files(source) for source in settings.sources):
            notify(f"RAW files are left out; --nip {STANDARD} develops them")
        return load_images(settings.sources, size, notify=lambda told: notify(str(told)))
    notify("developing frames")
    frames = load_frames(settings.sources, size, seed, lambda told: notify(str(told)))
    if camera is None:
        return frames.finished()
    if np.abs(frames.to_srgb - np.array(camera.to_srgb)).max() > SAME_CAMERA:
        raise TrainingError(
            f"{camera.name}: has learned another camera's colours than those of these RAW files; "
            "train a pipeline on them with dcn train nip"
        )
    return frames


def choose(
    settings: ForensicSettings, header: Header | None, camera: ModelFolder | None
) -> tuple[ForensicRecipe, Budget]:
    """Recipe and budget from the user's choices and the run to resume.

    Args:
        settings: the user's choices.
        header: of the run to resume.
        camera: the neural pipeline that the user names.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: a choice contradicts the run to resume.
    """
    recipe = replace(FORENSIC_RECIPES[settings.preset or DEFAULT_PRESET], classes=CLASSES)
    if header is not None:
        assert isinstance(header.recipe, ForensicRecipe)
        kept = {name: getattr(header.recipe, name) for name in CHOSEN}
        recipe = header.recipe if settings.preset is None else replace(recipe, **kept)
    recipe = replace(recipe, **settings.overrides)
    if header is None:
        recipe = replace(recipe, network=choose_network(recipe, settings))
    if header is None and "trainable" not in settings.overrides and recipe.channel == DCN_FILE:
        recipe = replace(recipe, trainable=(LEARNS_CODEC,))
    if settings.nip == STANDARD:
        recipe = replace(recipe, nip=STANDARD)
    elif camera is not None:
        recipe = replace(recipe, nip=camera.name)
    recipe = _possible(recipe, settings)
    if not set(recipe.trainable) <= {LEARNS_CODEC, LEARNS_NIP}:
        raise UsageError(f"--trainable {','.join(recipe.trainable)}: choose of dcn, nip, or none")
    if settings.max_steps is not None:
        recipe = replace(recipe, max_steps=settings.max_steps)
    parse_channel(recipe.channel)
    recipe = replace(recipe, history=_history(recipe.history))
    unit = STRIDE * (2 if recipe.downsample else 1)
    if recipe.patch % unit:
        raise UsageError(f"--patch {recipe.patch}: choose a multiple of {unit}")
    if recipe.rate_low > recipe.rate_high:
        raise UsageError(f"--rate {recipe.rate_low}-{recipe.rate_high}: choose LO-HI, LO below HI")
    if unknown := [name for name in recipe.classes if name not in DEFAULTS]:
        raise UsageError(f"--classes {','.join(unknown)}: choose from {', '.join(DEFAULTS)}")
    few = len(recipe.classes) < 2 or len(set(recipe.classes)) < len(recipe.classes)
    if few and not (recipe.keep and not recipe.classes):
        raise UsageError("--classes: name at least two different ones")
    if LEARNS_CODEC in recipe.trainable and recipe.channel != DCN_FILE:
        raise UsageError(f"--trainable dcn needs the channel dcn, not {recipe.channel}")
    if LEARNS_NIP in recipe.trainable and recipe.nip in {"", STANDARD}:
        raise UsageError("--trainable nip needs a neural camera pipeline: --nip NAME")
    if settings.model is not None and recipe.channel != DCN_FILE:
        raise UsageError(
            f"--model {settings.model}: the channel {recipe.channel} has no codec; leave it out"
        )
    if settings.overrides.keys() & RATES and recipe.channel != DCN_FILE:
        raise UsageError(f"--rate: the channel {recipe.channel} has no codec; leave it out")
    if recipe.nip and recipe.patch % MULTIPLE:
        raise UsageError(f"--patch {recipe.patch}: choose a multiple of {MULTIPLE}")
    recipe = _keeping(recipe, settings)
    for learner, weights in WEIGHTS.items():
        if learner not in recipe.trainable and (given := settings.overrides.keys() & weights):
            option = min(given).replace("_", "-")
            what = "codec" if learner == LEARNS_CODEC else "camera pipeline"
            raise UsageError(f"--{option}: no {what} learns; leave it out, or see --trainable")
    if recipe.stored and recipe.trainable:
        raise UsageError(
            f"--stored {recipe.stored}: where codec or pipeline learn, their pictures change with "
            "every step; see --trainable"
        )
    if recipe.stored and not is_field(recipe):
        raise UsageError(f"--stored {recipe.stored}: no photos are drawn one by one; leave it out")
    if header is not None:
        for name in FIXED:
            if getattr(recipe, name) != getattr(header.recipe, name):
                raise TrainingError(
                    f"was trained with another {name}; choose another --out or the same options",
                    settings.folder / FILE,
                )
    return recipe, settings.budget(recipe)


def _keeping(recipe: ForensicRecipe, settings: ForensicSettings) -> ForensicRecipe:
    """Of a run that keeps fingerprints, with what that needs.

    Raises:
        UsageError: they cannot be kept so, or a choice is pointless.
    """
    if not recipe.keep:
        if "keep_weight" in settings.overrides:
            raise UsageError("--keep-weight: nothing is kept; add --keep prnu, or leave it out")
        return recipe
    if recipe.keep != (PRNU,):
        raise UsageError(f"--keep {','.join(recipe.keep)}: choose {PRNU} or none")
    if LEARNS_CODEC not in recipe.trainable:
        raise UsageError(f"--keep {PRNU}: no codec learns to; see --channel and --trainable")
    if recipe.nip not in {"", STANDARD}:
        raise UsageError(f"--keep {PRNU}: not behind a neural camera pipeline; leave --nip out")
    if recipe.downsample:
        raise UsageError(f"--keep {PRNU}: halved photos cannot be matched; leave --downsample out")
    if recipe.patch < learning.SMALLEST or recipe.patch % learning.MULTIPLE:
        raise UsageError(
            f"--patch {recipe.patch}: for --keep {PRNU} choose a multiple of {learning.MULTIPLE}, "
            f"{learning.SMALLEST} or more"
        )
    if recipe.classes:
        return recipe
    for name in ("fan", "critic", "network"):
        if chosen := settings.overrides.get(name) or getattr(settings, name, None):
            chosen = chosen if isinstance(chosen, str) else ",".join(chosen)
            raise UsageError(f"--{name} {chosen}: without classes there is no FAN; leave it out")
    # Nothing learns beside the codec.
    return replace(recipe, tuning_rate=1.0)


def _possible(recipe: ForensicRecipe, settings: ForensicSettings) -> ForensicRecipe:
    """Without what a channel or a pipeline makes pointless, unless the user asks for it.

    Raises:
        UsageError: the user does.
    """
    if recipe.nip not in {"", STANDARD}:
        # Its gradient does not pass through other programs' files.
        for name in DRAWN:
            if settings.overrides.get(name, PLAIN[name]) != PLAIN[name]:
                raise UsageError(
                    f"--{name} {settings.overrides[name]}: not behind a neural camera pipeline; "
                    "leave it out"
                )
        recipe = replace(recipe, **PLAIN)
    if recipe.channel == NONE and recipe.resave:
        # Native photos that are saved again are those of the class jpeg.
        if settings.overrides.get("resave"):
            raise UsageError("--resave: what follows the channel none is a manipulation; drop it")
        recipe = replace(recipe, resave=False)
    return recipe


def _history(text: str) -> str:
    """The history in one spelling; UsageError where it is none."""
    history = parse_history(text)
    return NONE if history is None else str(history)
