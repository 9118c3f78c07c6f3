"""Sets up the training of ManTra-Net from a user's choices, and runs it in its folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dcncodec.errors import ModelError, TrainingError, UsageError
from dcncodec.forensics.operations.hierarchy import LEVELS
from dcncodec.forensics.operations.operation import denoise_wavelet, opencv
from dcncodec.forensics.trace.samples import around
from dcncodec.formats.files import make_folder
from dcncodec.formats.geometry import STRIDE
from dcncodec.models.card import ModelFolder
from dcncodec.models.families.trace import FEATURES, STAGES
from dcncodec.models.load import load_codec, load_trace
from dcncodec.models.registry import find_model
from dcncodec.models.roles import Role
from dcncodec.models.trace import SIZES, Trace
from dcncodec.runtime.devices import choose_precision
from dcncodec.train.engine.ahead import default_loaders
from dcncodec.train.engine.checkpoint import FILE, Header
from dcncodec.train.engine.data import load_images
from dcncodec.train.engine.export import describe_run, read_run, write_model
from dcncodec.train.engine.log import read_log
from dcncodec.train.engine.presets import PAPER_PATCH, TRACE_RECIPES
from dcncodec.train.engine.recipes import TraceRecipe
from dcncodec.train.engine.run import LOG_FILE, Budget, Report
from dcncodec.train.engine.session import DEFAULT_PRESET, Notify, RunSettings, run_session
from dcncodec.train.tasks.trace import FeaturesTrainer, MapTrainer, TraceTrainer

CODECS = ("dcn-16c", "dcn-32c", "dcn-vr", "dcn-vr-forensic")
"""That forgeries go through in training, where the user names no others."""
FAST_MAP_BATCH = 8
"""Of the later stages' patches, which are larger, by the preset ``fast``."""
SMALLEST_PATCH = 64
NETWORK = ("size", "classes")
"""Fields of the recipe that make the network's shape."""


@dataclass(frozen=True)
class TraceSettings(RunSettings):
    """What the user chose; the preset is a key of ``TRACE_RECIPES``.

    Attributes:
        init: model, by name or weight folder, whose weights to start from.
        loaders: processes that make patches, see ``engine.ahead.default_loaders``.
    """

    init: str | None = None
    loaders: int | None = None


def train_trace(settings: TraceSettings, notify: Notify, report: Report) -> int:
    """Train a stage of a localising network; see ``run_session``.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: no usable images, an unusable checkpoint, or a loss that is not finite.
        ModelError: ``init`` is not such a model, or a codec is missing.
        MissingLibraryError: a library of the extra ``forensics`` is not installed.
        OutputError: the folder cannot be written.
    """
    return run_session(settings, prepare, export_trace, notify, report)


def prepare(
    settings: TraceSettings, device: torch.device, notify: Notify
) -> tuple[TraceTrainer, Budget]:
    """A trainer ready to run, resumed where its folder holds a checkpoint; see ``train_trace``."""
    opencv().setNumThreads(1)  # The patches are small, and other processes make some, too.
    denoise_wavelet()
    header = settings.resumed(TraceRecipe)
    start = None
    if header is None and settings.init is not None:
        start = find_model(settings.init, Role.LOCALISER)
    recipe, budget = choose(settings, header, start)
    codecs = [find_model(name) for name in recipe.codecs] if recipe.stage != FEATURES else []
    make_folder(settings.folder)
    side = around(recipe.patch) if recipe.stage == FEATURES else recipe.patch
    data = load_images(settings.sources, side)
    notify(f"{len(data.training):,} images for training, {len(data.validation):,} for validation")
    seed = settings.seed_of(header)
    torch.manual_seed(seed)
    trace = Trace(SIZES[recipe.size], recipe.classes)
    init = header.init if header is not None else ""
    if start is not None:
        init = start.name
        trained = load_trace(start)
        trace.features.load_state_dict(trained.features.state_dict())
        trace.decision.load_state_dict(trained.decision.state_dict())
        if start.card["stage"] != FEATURES:
            trace.anomaly.load_state_dict(trained.anomaly.state_dict())
    loaders = default_loaders(device) if settings.loaders is None else settings.loaders
    precision = choose_precision(settings.precision, device)
    trace = trace.to(device)
    if recipe.stage == FEATURES:
        folder = settings.folder
        return FeaturesTrainer(trace, recipe, data, folder, seed, precision, init, loaders), budget
    channels = [
        (load_codec(codec).to(device).requires_grad_(False), codec.geometry) for codec in codecs
    ]
    trainer = MapTrainer(
        trace, recipe, data, settings.folder, seed, precision, init, loaders, channels
    )
    return trainer, budget


def choose(
    settings: TraceSettings, header: Header | None, start: ModelFolder | None
) -> tuple[TraceRecipe, Budget]:
    """Recipe and budget from the user's choices, the run to resume, or the model to start from.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: the run to resume is another stage's or trains another network.
        ModelError: the model to start from is of another size or level.
    """
    recipe = TRACE_RECIPES[settings.preset or DEFAULT_PRESET]
    stage = settings.overrides.get("stage", recipe.stage)
    if settings.preset in {None, "fast"} and stage != FEATURES:
        recipe = replace(recipe, patch=PAPER_PATCH, batch=FAST_MAP_BATCH)
    if stage != FEATURES:
        recipe = replace(recipe, codecs=CODECS)
    if start is not None:
        recipe = replace(recipe, **{name: start.card["architecture"][name] for name in NETWORK})
    if header is not None:
        assert isinstance(header.recipe, TraceRecipe)
        kept = {name: getattr(header.recipe, name) for name in NETWORK}
        recipe = header.recipe if settings.preset is None else replace(recipe, **kept)
    recipe = settings.applied(recipe)
    _check(recipe)
    if header is not None:
        assert isinstance(header.recipe, TraceRecipe)
        for name in ("stage", *NETWORK):
            was, is_now = getattr(header.recipe, name), getattr(recipe, name)
            if was != is_now:
                raise TrainingError(
                    f"trains {name} {was}, not {is_now}; choose another --out or the same --{name}",
                    settings.folder / FILE,
                )
    if start is not None:
        for name in NETWORK:
            has = start.card["architecture"][name]
            if has != getattr(recipe, name):
                raise ModelError(f"has {name} {has}; add --{name} {has}", start.path)
    if header is None and start is None and recipe.stage != FEATURES:
        raise UsageError(
            f"--stage {recipe.stage} goes on with what an earlier stage has exported: give --init"
        )
    return recipe, settings.budget(recipe)


def _check(recipe: TraceRecipe) -> None:
    if recipe.stage not in STAGES:
        raise UsageError(f"--stage {recipe.stage}: choose {', '.join(STAGES)}")
    if recipe.size not in SIZES:
        raise UsageError(f"--size {recipe.size}: choose {', '.join(SIZES)}")
    if recipe.classes not in LEVELS:
        raise UsageError(f"--classes {recipe.classes}: choose {', '.join(map(str, LEVELS))}")
    if recipe.patch % STRIDE or recipe.patch < SMALLEST_PATCH:
        raise UsageError(
            f"--patch {recipe.patch}: choose a multiple of {STRIDE} of at least {SMALLEST_PATCH}"
        )


def export_trace(run: Path, folder: Path) -> str:
    """Write the averaged weights of a run as a localising network's weight folder.

    Returns:
        The SHA-256 of the weight file in hexadecimal.

    Raises:
        UsageError: the folder's name cannot be a model's.
        TrainingError: there is no checkpoint, it is damaged, or does not fit into float16.
        OutputError: the folder cannot be written.
    """
    average, header, recipe = read_run(run, folder, TraceRecipe)
    features = recipe.stage == FEATURES
    columns = FeaturesTrainer.COLUMNS if features else MapTrainer.COLUMNS
    figures = ("accuracy", "families") if features else ("loss", "auc")
    rows = read_log(run / LOG_FILE, columns)
    description = {"stage": recipe.stage, "threshold": None, "false_alarm": None}
    description |= describe_run(header, rows, figures)
    architecture = {"family": "trace", "size": recipe.size, "classes": recipe.classes}
    return write_model(folder, average, architecture, description)
