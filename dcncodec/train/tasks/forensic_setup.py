"""Sets up a forensic training, and runs it in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dcncodec.errors import TrainingError, UsageError
from dcncodec.forensics.channel import DCN_FILE, Channel
from dcncodec.formats.files import make_folder
from dcncodec.formats.raw import raw_files
from dcncodec.models.card import ModelFolder
from dcncodec.models.dcn import DCN
from dcncodec.models.families.fan import LEARNS_CODEC, LEARNS_NIP, UNTUNED
from dcncodec.models.families.nip import STANDARD
from dcncodec.models.load import load_dcn, load_nip, load_vr
from dcncodec.models.registry import find_model
from dcncodec.models.roles import Role
from dcncodec.models.vr import VR
from dcncodec.runtime.devices import choose_precision
from dcncodec.train.engine.ahead import default_loaders
from dcncodec.train.engine.checkpoint import FILE, Header
from dcncodec.train.engine.data import Dataset, load_images
from dcncodec.train.engine.presets import PAPER_PATCH
from dcncodec.train.engine.raw_data import SAME_CAMERA, RawDataset, load_frames
from dcncodec.train.engine.recipes import ForensicRecipe
from dcncodec.train.engine.run import Budget, Report
from dcncodec.train.engine.session import Notify, run_session
from dcncodec.train.tasks.forensic import ForensicTrainer
from dcncodec.train.tasks.forensic_choices import RATES, choose
from dcncodec.train.tasks.forensic_export import export_forensic
from dcncodec.train.tasks.forensic_fans import ForensicSettings, open_critics, open_fan
from dcncodec.train.tasks.forensic_field import MARGIN, is_field
from dcncodec.train.tasks.forensic_sensor import trainer_of

ORIGIN = ("name", "sha256", "architecture", "to_srgb", UNTUNED)
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
        _check_kind(settings, folders[LEARNS_CODEC])
        codec = load_tuned(folders[LEARNS_CODEC]).requires_grad_(True)
        if header is None:
            recipe = with_objective(recipe, folders[LEARNS_CODEC], settings.overrides)
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


def _check_kind(settings: ForensicSettings, codec: ModelFolder) -> None:
    """Raise UsageError where the user chooses what only the other kind of codec has: one with
    rates, or with a single one."""
    given = settings.overrides.keys()
    if codec.geometry.rates:
        if "lambda_ssim" in given:
            raise UsageError(f"--lambda-ssim: the codec {codec.name} has --ssim-share instead")
        if "lambda_h" in given:
            raise UsageError(
                f"--lambda-h: the codec {codec.name} weighs bits by its rates; leave it out, or "
                "see --rate"
            )
        return
    if given & RATES:
        raise UsageError(f"--rate: the codec {codec.name} has one rate only; leave it out")
    if "ssim_share" in given:
        raise UsageError(f"--ssim-share: the codec {codec.name} has --lambda-ssim instead")


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
    kept = {name: folder.card[name] for name in ORIGIN if name in folder.card}
    if LEARNS_CODEC in folder.card.get("recipe", {}).get("trainable", ()) and UNTUNED not in kept:
        # A tuned codec from before cards said more; of one tuned twice under a name they do not.
        kept[UNTUNED] = folder.card["init"]
    return kept


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
