"""Sets up the training of a camera pipeline from a user's choices, and runs it in its folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dcncodec.errors import TrainingError, UsageError
from dcncodec.formats.files import make_folder
from dcncodec.models.load import load_nip
from dcncodec.models.nip import NETWORKS, make_nip
from dcncodec.models.registry import find_model
from dcncodec.models.roles import Role
from dcncodec.runtime.devices import choose_precision
from dcncodec.train.engine.checkpoint import FILE, Header
from dcncodec.train.engine.export import describe_run, read_run, write_model
from dcncodec.train.engine.log import read_log
from dcncodec.train.engine.presets import NIP_RECIPES
from dcncodec.train.engine.raw_data import load_frames
from dcncodec.train.engine.recipes import NipRecipe
from dcncodec.train.engine.run import LOG_FILE, Budget, Report
from dcncodec.train.engine.session import DEFAULT_PRESET, Notify, RunSettings, run_session
from dcncodec.train.tasks.nip import NipTrainer

MULTIPLE = 32
"""Of pixels, what a patch's side must be: UNet halves the stack four times."""


@dataclass(frozen=True)
class NipSettings(RunSettings):
    """What the user chose; the preset is a key of ``NIP_RECIPES``.

    Attributes:
        init: pipeline, by name or weight folder, whose weights to start from.
    """

    init: str | None = None


def train_nip(settings: NipSettings, notify: Notify, report: Report) -> int:
    """Train a camera pipeline; see ``run_session``.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: no usable frames, an unusable checkpoint, or a loss that is not finite.
        ModelError: ``init`` is not a pipeline.
        OutputError: the folder cannot be written.
    """
    return run_session(settings, prepare, export_nip, notify, report)


def prepare(
    settings: NipSettings, device: torch.device, notify: Notify
) -> tuple[NipTrainer, Budget]:
    """A trainer ready to run, resumed where its folder holds a checkpoint."""
    header = settings.resumed(NipRecipe)
    recipe, budget = choose(settings, header)
    seed = settings.seed_of(header)
    start = None
    if header is None and settings.init is not None:
        start = find_model(settings.init, Role.PIPELINE)
        network = start.card["architecture"]["network"]
        if network != recipe.network:
            raise UsageError(f"--init {settings.init}: is another network; add --network {network}")
    make_folder(settings.folder)
    notify("developing frames")
    data = load_frames(settings.sources, recipe.patch, seed, lambda told: notify(str(told)))
    held_out = len(data.validation)
    notify(f"{len(data.training):,} frames for training, {held_out:,} for validation")
    torch.manual_seed(seed)
    init = ""
    if start is not None:
        pipeline, init = load_nip(start).requires_grad_(True), start.name
    else:
        pipeline = make_nip(recipe.network, torch.tensor(data.to_srgb).float())
    if header is not None:
        init = header.init
    trainer = NipTrainer(
        pipeline.to(device),
        replace(recipe, to_srgb=tuple(map(tuple, data.to_srgb.round(6).tolist()))),
        data.to(device),
        settings.folder,
        seed,
        choose_precision(settings.precision, device),
        init,
    )
    return trainer, budget


def choose(settings: NipSettings, header: Header | None) -> tuple[NipRecipe, Budget]:
    """Recipe and budget from the user's choices and the run to resume.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: the run to resume trains another network.
    """
    recipe = NIP_RECIPES[DEFAULT_PRESET]
    if header is not None:
        assert isinstance(header.recipe, NipRecipe)
        recipe = header.recipe
    if settings.preset is not None:
        recipe = replace(NIP_RECIPES[settings.preset], network=recipe.network)
    recipe = settings.applied(recipe)
    if recipe.network not in NETWORKS:
        raise UsageError(f"--network {recipe.network}: choose {', '.join(NETWORKS)}")
    if recipe.patch % MULTIPLE:
        raise UsageError(f"--patch {recipe.patch}: choose a multiple of {MULTIPLE}")
    if header is not None:
        assert isinstance(header.recipe, NipRecipe)
        if recipe.network != header.recipe.network:
            raise TrainingError(
                f"trains {header.recipe.network}, not "
                f"{recipe.network}; choose another --out or the same --network",
                settings.folder / FILE,
            )
    return recipe, settings.budget(recipe)


def export_nip(run: Path, folder: Path) -> str:
    """Write the averaged weights of a run as a pipeline's weight folder.

    Returns:
        The SHA-256 of the weight file in hexadecimal.

    Raises:
        UsageError: the folder's name cannot be a model's.
        TrainingError: there is no checkpoint, it is damaged, or does not fit into float16.
        OutputError: the folder cannot be written.
    """
    average, header, recipe = read_run(run, folder, NipRecipe)
    rows = read_log(run / LOG_FILE, NipTrainer.COLUMNS)
    description = {"to_srgb": [list(row) for row in recipe.to_srgb]}
    description |= describe_run(header, rows, ("psnr", "ssim"))
    architecture = {"family": "nip", "network": recipe.network}
    return write_model(folder, average, architecture, description)
