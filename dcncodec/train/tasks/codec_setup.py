"""Sets up the pre-training of a codec from a user's choices, and runs it in its folder."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dcncodec.errors import ModelError, TrainingError, UsageError
from dcncodec.formats.files import make_folder
from dcncodec.formats.geometry import STRIDE
from dcncodec.models.dcn import DCN
from dcncodec.models.load import read_weights
from dcncodec.models.registry import find_model
from dcncodec.runtime.devices import choose_precision
from dcncodec.train.engine.checkpoint import FILE, Header
from dcncodec.train.engine.data import load_images
from dcncodec.train.engine.export import export_model
from dcncodec.train.engine.presets import RECIPES
from dcncodec.train.engine.recipes import Recipe
from dcncodec.train.engine.run import Budget, Report
from dcncodec.train.engine.session import DEFAULT_PRESET, Notify, RunSettings, run_session
from dcncodec.train.tasks.codec import Trainer

DEFAULT_CHANNELS = 32
ANALYSIS_END = ("analysis_net.7.weight", "analysis_net.7.bias")
SYNTHESIS_START = "synthesis_net.0.weight"
"""The parameters with a dimension for the latent channels: first for analysis, else second."""


@dataclass(frozen=True)
class Settings(RunSettings):
    """What the user chose; the preset is a key of ``RECIPES``.

    Attributes:
        latent_channels: N; None for those of a resumed run, or the default.
        init: model, by name or weight folder, whose weights to start from.
    """

    latent_channels: int | None = None
    init: str | None = None


def train(settings: Settings, notify: Notify, report: Report) -> int:
    """Pre-train a codec; see ``run_session``.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: no usable images, an unusable checkpoint, or a loss that is not finite.
        ModelError: ``init`` is not a model.
        OutputError: the folder cannot be written.
    """
    return run_session(settings, prepare, export_model, notify, report)


def prepare(settings: Settings, device: torch.device, notify: Notify) -> tuple[Trainer, Budget]:
    """A trainer ready to run, resumed where its folder holds a checkpoint; see ``train``."""
    header = settings.resumed(Recipe)
    recipe, channels, budget = choose(settings, header)
    seed = settings.seed_of(header)
    make_folder(settings.folder)
    torch.manual_seed(seed)
    codec = DCN(channels)
    init = ""
    if header is not None:
        init = header.init
    elif settings.init is not None:
        init = find_model(settings.init).name
        notify(start_from(codec, settings.init))
    data = load_images(settings.sources, recipe.patch, notify=lambda told: notify(str(told)))
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
    recipe = settings.applied(recipe)
    if recipe.patch % STRIDE:
        raise UsageError(f"--patch {recipe.patch}: choose a multiple of {STRIDE}")
    channels = settings.latent_channels or DEFAULT_CHANNELS
    if header is not None:
        checkpoint = settings.folder / FILE
        channels = settings.latent_channels or header.latent_channels
        if channels != header.latent_channels:
            raise TrainingError(
                f"has {header.latent_channels} latent channels, not {channels}; "
                "choose another --out or the same --channels",
                checkpoint,
            )
        if recipe.muon != header.recipe.muon:
            raise TrainingError(
                "was trained with the optimiser of another preset; choose another "
                "--out or the same --preset",
                checkpoint,
            )
    return recipe, channels, settings.budget(recipe)


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
    weights = read_weights(folder)
    own = codec.state_dict()
    channels, own_channels = folder.geometry.channels, codec.latent_channels
    taken = {}
    for name, tensor in weights.items():
        if name in own and own[name].shape == tensor.shape:
            taken[name] = tensor.float()
        elif name in ANALYSIS_END and channels < own_channels:
            taken[name] = torch.cat([tensor.float(), own[name][channels:]])
        elif name == SYNTHESIS_START and channels < own_channels:
            taken[name] = torch.cat([tensor.float(), 0 * own[name][:, channels:]], dim=1)
    if not taken:
        raise ModelError("no tensor fits this network; start without --init", folder.path)
    codec.load_state_dict(own | taken)
    left = len(own) - len(taken)
    first = f" (its {channels} latent channels come first)" if channels < own_channels else ""
    return f"{len(taken)} of {len(own)} tensors start from {folder.name}{first}, {left} at random"
