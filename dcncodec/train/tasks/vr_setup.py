"""Sets up the training of a ``vr`` model from a user's choices, runs it, and finishes copies."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from dcncodec.errors import TrainingError, UsageError
from dcncodec.formats.files import make_folder
from dcncodec.formats.geometry import STRIDE
from dcncodec.models.card import ModelFolder
from dcncodec.models.coders import CONTEXT
from dcncodec.models.families.vr import SHAPE
from dcncodec.models.load import load_vr
from dcncodec.models.registry import find_model
from dcncodec.models.vr import VR
from dcncodec.models.vr import Block as VRBlock
from dcncodec.models.vr_layers import FEATURES
from dcncodec.runtime.devices import choose_precision
from dcncodec.train.engine.bpg_curve import FILE as BPG_FILE
from dcncodec.train.engine.checkpoint import (
    FILE,
    Header,
    fork_checkpoint,
    read_header,
)
from dcncodec.train.engine.context_part import CONTEXT_FILE, Block, context_part
from dcncodec.train.engine.data import load_images
from dcncodec.train.engine.export import describe_run, read_run, write_model
from dcncodec.train.engine.log import read_log
from dcncodec.train.engine.presets import VR_RECIPES
from dcncodec.train.engine.recipes import VRRecipe
from dcncodec.train.engine.run import LOG_FILE, Budget, Report
from dcncodec.train.engine.session import Notify, RunSettings, run_session
from dcncodec.train.tasks.vr import VRTrainer, as_read, klt_patches, sent_latents

LAMBDAS = LOW, HIGH = "lambda_low", "lambda_high"
BACKWARDS = "--lambda-low: choose less than --lambda-high"
DECAY_FOLDER = "decay"
"""Sub-folder of a run with the copy of it whose learning rate falls to zero."""
DECAY_AVERAGE = 0.99
"""Decay of that copy's weight average: its last steps are small, and the best."""
GROWING = ("blocks", "analysis_blocks", "analysis_fine_blocks")
"""What may be more than a model has whose weights a training starts from."""


@dataclass(frozen=True)
class VRSettings(RunSettings):
    """What the user chose; the preset is a key of ``VR_RECIPES``.

    Attributes:
        init: model, by name or weight folder, whose weights to start from.
        decay_minutes: instead of going on, finish a copy of the run in so many minutes.
    """

    init: str | None = None
    decay_minutes: float | None = None


def train_vr(settings: VRSettings, notify: Notify, report: Report) -> int:
    """Train a ``vr`` model, or finish a copy of a run; see ``run_session``.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: no usable images, an unusable checkpoint, or a loss that is not finite.
        ModelError: ``init`` is not such a model.
        OutputError: the folder cannot be written.
    """
    if settings.decay_minutes is not None:
        settings = finishing(settings)
    export = partial(export_vr, sources=settings.sources)
    return run_session(settings, prepare, export, notify, report)


def finishing(settings: VRSettings) -> VRSettings:
    """Settings that finish a copy of the run: its learning rate falls to zero, the run stays.

    A copy that was begun goes on; one that is finished makes room for a new one.

    Raises:
        UsageError: the budget is given twice.
        TrainingError: there is no run, or it is damaged.
        OutputError: the copy cannot be written.
    """
    minutes = settings.decay_minutes
    if settings.max_minutes is not None or settings.max_steps is not None:
        raise UsageError("--decay-minutes is a budget of its own; drop --max-minutes, --max-steps")
    copy = settings.folder / DECAY_FOLDER
    settings = replace(settings, folder=copy, max_minutes=minutes)
    if (copy / FILE).exists():
        header = read_header(copy / FILE, VRRecipe)
        progress, budget = header.progress, settings.budget(header.recipe)
        budget = replace(budget, since=_since(header.recipe))
        if budget.used(progress.step, progress.seconds) < 1:
            return settings
    run = copy.parent / FILE
    header = read_header(run, VRRecipe)
    assert isinstance(header.recipe, VRRecipe)
    make_folder(copy)
    recipe = replace(
        header.recipe,
        schedule="linear",
        average_decay=DECAY_AVERAGE,
        decay_from=(header.progress.step, header.progress.seconds),
    )
    for name in (LOG_FILE, BPG_FILE):
        if (copy.parent / name).exists():
            (copy / name).write_bytes((copy.parent / name).read_bytes())
    fork_checkpoint(run, copy / FILE, recipe)
    return settings


def _since(recipe: object) -> tuple[int, float]:
    """Where the budget of a run begins to count."""
    assert isinstance(recipe, VRRecipe)
    return recipe.decay_from or (0, 0.0)


def prepare(settings: VRSettings, device: torch.device, notify: Notify) -> tuple[VRTrainer, Budget]:
    """A trainer ready to run, resumed where its folder holds a checkpoint; see ``train_vr``."""
    header = settings.resumed(VRRecipe)
    recipe, budget = choose(settings, header)
    seed = settings.seed_of(header)
    start = None
    if header is None and settings.init is not None:
        start = find_model(settings.init)
        torch.manual_seed(seed)
        network, recipe = grown(start, settings, recipe)
        init = start.name
    else:
        torch.manual_seed(seed)
        network = VR(**shape_of(recipe))
        init = header.init if header is not None else ""
    make_folder(settings.folder)
    data = load_images(settings.sources, recipe.patch)
    held_out = len(data.validation)
    notify(f"{len(data.training):,} images for training, {held_out:,} for validation")
    if header is None and start is None:
        patches = klt_patches(data.training, seed)
        network.start_from_klt(patches, (recipe.lambda_low, recipe.lambda_high))
    trainer = VRTrainer(
        network.to(device),
        recipe,
        data.to(device),
        settings.folder,
        seed,
        choose_precision(settings.precision, device),
        init,
    )
    if trainer.rank == 0 and trainer.anchor is None:
        notify("no BD-rates: BPG needs PyAV (pip install 'dcncodec[bench]')")
    return trainer, budget


def shape_of(recipe: VRRecipe) -> dict[str, int]:
    """Arguments of ``VR``."""
    return {name: getattr(recipe, name) for name in SHAPE}


def grown(start: ModelFolder, settings: VRSettings, recipe: VRRecipe) -> tuple[VR, VRRecipe]:
    """A model's networks, with more parts where the user asks for them, and the recipe to match.

    New blocks begin as the identity, so that the larger network computes what the smaller did. Its
    lambdas are the model's own; where the user asks for others its rates move (``move_rates``).

    Raises:
        UsageError: the user asks for fewer blocks than the model has, or other channels.
        ModelError: ``start`` is not such a model.
    """
    weights = load_vr(start).state_dict()
    shape = {name: start.card["architecture"][name] for name in SHAPE}
    for name in SHAPE:
        wanted = settings.overrides.get(name, shape[name])
        if wanted < shape[name] or (wanted > shape[name] and name not in GROWING):
            raise UsageError(
                f"--{name.removeprefix('latent_').replace('_', '-')} {wanted}: {start.name} has "
                f"{shape[name]}"
            )
        shape[name] = wanted
    network = VR(**shape)
    silence_new_blocks(network, set(weights))
    network.load_state_dict(network.state_dict() | weights)
    own = {name: start.card["recipe"].get(name, getattr(recipe, name)) for name in LAMBDAS}
    asked = own | {name: settings.overrides[name] for name in LAMBDAS if name in settings.overrides}
    before, after = ((float(pair[LOW]), float(pair[HIGH])) for pair in (own, asked))
    if after[0] >= after[1]:
        raise UsageError(BACKWARDS)
    if after != before:
        network.move_rates(before, after)
    return network, replace(recipe, **shape, **asked)


@torch.no_grad()
def silence_new_blocks(network: VR, known: Collection[str]) -> None:
    """Let blocks without weights in ``known`` add nothing: their last layer is zero."""
    for name, module in network.named_modules():
        if isinstance(module, VRBlock) and f"{name}.p2.weight" not in known:
            module.p2.weight.zero_()


def choose(settings: VRSettings, header: Header | None) -> tuple[VRRecipe, Budget]:
    """Recipe and budget from the user's choices and the run to resume.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: the run to resume trains a network of another shape.
    """
    before = settings.begun(VR_RECIPES, header)
    recipe = settings.applied(before)
    if recipe.patch % STRIDE:
        raise UsageError(f"--patch {recipe.patch}: choose a multiple of {STRIDE}")
    if recipe.latent_channels > FEATURES:
        raise UsageError(f"--channels {recipe.latent_channels}: choose at most {FEATURES}")
    if recipe.lambda_low >= recipe.lambda_high:
        raise UsageError(BACKWARDS)
    if header is not None:
        for name in SHAPE:
            was, wanted = getattr(before, name), getattr(recipe, name)
            if was != wanted:
                raise TrainingError(
                    f"its network has {name} {was}, not {wanted}; "
                    "choose another --out or leave it as it was",
                    settings.folder / FILE,
                )
    return recipe, replace(settings.budget(recipe), since=_since(recipe))


def export_vr(run: Path, folder: Path, sources: Sequence[Path] = ()) -> str:
    """Write the averaged weights of a run as a weight folder, with its coder's integers.

    Args:
        run: a run's folder, with its checkpoint.
        folder: the weight folder; its name becomes the model's.
        sources: images, as in training, by which the coder's tables are refined.

    Returns:
        The SHA-256 of the weight file in hexadecimal.

    Raises:
        UsageError: the folder's name cannot be a model's.
        TrainingError: there is no checkpoint, it is damaged, or does not fit into float16.
        OutputError: the folder cannot be written.
    """
    average, header, recipe = read_run(run, folder, VRRecipe)
    rows = read_log(run / LOG_FILE, VRTrainer.COLUMNS)
    architecture = {"family": "vr"} | shape_of(recipe)
    network = as_read(average, architecture)
    blocks: Iterable[Block] = ()
    if sources:
        images = load_images(sources, recipe.patch).training
        blocks = sent_latents(network, images, header.seed)
    part = context_part(network.context_model, blocks)
    return write_model(
        folder,
        average,
        architecture,
        describe_run(header, rows, FIGURES),
        parts={CONTEXT: (CONTEXT_FILE, part)},
    )


FIGURES = ("bpp", "psnr", "bd", "bd_low", "bd_middle", "bd_high")
"""What a validation gives, over all rates."""
