"""Sets up the training of a context model from a user's choices, and adds it to its codec."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dcncodec.errors import ModelError, TrainingError, UsageError
from dcncodec.formats.files import make_folder
from dcncodec.formats.geometry import STRIDE
from dcncodec.models.card import (
    CARD_FILE,
    WEIGHTS,
    WEIGHTS_FILE,
    ModelFolder,
    write_file,
    write_model_card,
)
from dcncodec.models.coders import CONTEXT
from dcncodec.models.context import ContextModel
from dcncodec.models.load import load_codec
from dcncodec.models.program import KNOTS
from dcncodec.models.registry import find_by_hash, find_model, open_folder
from dcncodec.notices import warn
from dcncodec.runtime.devices import choose_precision
from dcncodec.runtime.torch_engine import TorchEngine
from dcncodec.runtime.windows import Transforms
from dcncodec.train.engine.checkpoint import FILE, Header
from dcncodec.train.engine.context_part import CONTEXT_FILE, context_part
from dcncodec.train.engine.data import Source, load_images
from dcncodec.train.engine.export import read_run
from dcncodec.train.engine.log import read_log
from dcncodec.train.engine.presets import CONTEXT_RECIPES
from dcncodec.train.engine.processes import rank_and_world
from dcncodec.train.engine.recipes import ContextRecipe
from dcncodec.train.engine.run import LOG_FILE, Budget, Report
from dcncodec.train.engine.session import Notify, RunSettings, run_session
from dcncodec.train.tasks.context import ContextTrainer, LatentSet, analyse, start

LATENTS_FILE = "latents.safetensors"
"""In a run's folder: latents to train on and to validate with. They take longer to make than to
read, and the coder's tables are refined by them."""


@dataclass(frozen=True)
class ContextSettings(RunSettings):
    """What the user chose; the preset is a key of ``CONTEXT_RECIPES``.

    Attributes:
        model: the codec, by name or weight folder; None for that of a resumed run.
    """

    model: str | None = None


def train_context(settings: ContextSettings, notify: Notify, report: Report) -> int:
    """Fit a context model to a codec; see ``run_session``.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: no usable images, an unusable checkpoint, or a loss that is not finite.
        ModelError: ``model`` is no codec, or not the one of the run.
        OutputError: the folder cannot be written.
    """
    return run_session(settings, prepare, export_context, notify, report)


def prepare(
    settings: ContextSettings, device: torch.device, notify: Notify
) -> tuple[ContextTrainer, Budget]:
    """A trainer ready to run, resumed where its folder holds a checkpoint."""
    header = settings.resumed(ContextRecipe)
    folder = codec_of(settings, header)
    recipe, budget = choose(settings, header)
    seed = settings.seed_of(header)
    make_folder(settings.folder)
    precision = choose_precision(settings.precision, device)
    key = json.dumps(
        [
            folder.sha256,
            recipe.crops,
            recipe.patch,
            seed,
            [str(s.resolve()) for s in settings.sources],
        ]
    )
    latents = read_latents(settings.folder, key)
    if latents is None:
        data = load_images(settings.sources, recipe.patch)
        notify(f"analysing {recipe.crops:,} crops by {folder.name}")
        engine = TorchEngine(load_codec(folder), device, precision)
        transforms = Transforms(engine, folder.geometry, warn)
        held_out = max(1, recipe.crops // 10)

        def tell(done: int) -> None:
            if done * 10 // recipe.crops > (done - 1) * 10 // recipe.crops:
                notify(f"analysed {done:,} of {recipe.crops:,} crops")

        latents = Latents(
            analyse(transforms, data.training, recipe.crops, recipe.patch, seed, tell),
            analyse(transforms, data.validation, held_out, recipe.patch, seed + 1),
            data.sources,
        )
        if rank_and_world()[0] == 0:
            write_latents(settings.folder, key, latents)
    torch.manual_seed(seed)
    knots = KNOTS if folder.geometry.rates else 1
    model = ContextModel(folder.geometry.channels, recipe.hidden, knots)
    if header is None:
        start(model, latents.training)
    trainer = ContextTrainer(
        model.to(device),
        recipe,
        latents.training.to(device),
        latents.validation.to(device),
        latents.sources,
        {"name": folder.name, "sha256": folder.sha256, "path": str(folder.path.resolve())},
        settings.folder,
        seed,
        precision,
    )
    return trainer, budget


@dataclass(frozen=True)
class Latents:
    """What a run trains on, what it validates with, and where both come from."""

    training: LatentSet
    validation: LatentSet
    sources: list[Source]


def write_latents(folder: Path, key: str, latents: Latents) -> None:
    """Keep latents in a run's folder.

    Args:
        key: of all that they depend on.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {
        "training.words": latents.training.words,
        "training.rates": latents.training.rates,
        "validation.words": latents.validation.words,
        "validation.rates": latents.validation.rates,
    }
    origin = {"key": key, "sources": [asdict(source) for source in latents.sources]}
    write_file(folder / LATENTS_FILE, save(tensors, {"origin": json.dumps(origin)}))


def read_latents(folder: Path, key: str | None = None) -> Latents | None:
    """The latents in a run's folder; None without any, or where they depend on something else.

    Args:
        key: as they were written; None for any.
    """
    try:
        with safe_open(folder / LATENTS_FILE, framework="pt") as file:
            origin = json.loads(file.metadata()["origin"])
            if key not in {None, origin["key"]}:
                return None
            training, validation = (
                LatentSet(file.get_tensor(f"{part}.words"), file.get_tensor(f"{part}.rates"))
                for part in ("training", "validation")
            )
        sources = [Source(**entry) for entry in origin["sources"]]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None  # none yet, or cut short: they are made anew
    return Latents(training, validation, sources)


def codec_of(settings: ContextSettings, header: Header | None) -> ModelFolder:
    """The codec whose latents are coded.

    Raises:
        UsageError: none was named.
        ModelError: it is not installed, or is no codec.
        TrainingError: the run to resume has another.
    """
    if header is None:
        if settings.model is None:
            raise UsageError("--model: name the codec whose latents are to be coded")
        return find_model(settings.model)
    before = header.origins["codec"]
    if settings.model is None:
        with suppress(ModelError, FileNotFoundError):
            folder = open_folder(Path(before["path"]))
            if folder.sha256 == before["sha256"]:
                return folder
        return find_by_hash(str(before["name"]), str(before["sha256"]))
    folder = find_model(settings.model)
    if folder.sha256 != before["sha256"]:
        raise TrainingError(
            f"codes the latents of {before['name']}, not of this "
            f"{folder.name}; choose another --out or the same --model",
            settings.folder / FILE,
        )
    return folder


def choose(settings: ContextSettings, header: Header | None) -> tuple[ContextRecipe, Budget]:
    """Recipe and budget from the user's choices and the run to resume.

    Raises:
        UsageError: a choice makes no sense.
        TrainingError: the run to resume trains a model of another size.
    """
    begun = settings.begun(CONTEXT_RECIPES, header)
    before = begun.hidden
    recipe = settings.applied(begun)
    if recipe.patch % STRIDE:
        raise UsageError(f"--patch {recipe.patch}: choose a multiple of {STRIDE}")
    if header is not None and recipe.hidden != before:
        raise TrainingError(
            f"has {before} hidden units, not {recipe.hidden}; choose "
            "another --out or leave it as it was",
            settings.folder / FILE,
        )
    return recipe, settings.budget(recipe)


def export_context(run: Path, folder: Path) -> str:
    """Write a codec with the context model of a run as a weight folder.

    The folder may be the codec's own; other files in it stay.

    Returns:
        The SHA-256 of the context model's file in hexadecimal.

    Raises:
        UsageError: the folder's name cannot be a model's.
        TrainingError: there is no checkpoint, or it is damaged.
        ModelError: the codec is not installed any more.
        OutputError: the folder cannot be written.
    """
    average, header, recipe = read_run(run, folder, ContextRecipe)
    codec = codec_of(ContextSettings((), run), header)
    knots = len(average["rate_bias"])
    twin = ContextModel(codec.geometry.channels, recipe.hidden, knots)
    twin.load_state_dict(average)
    latents = read_latents(run)
    content = context_part(twin, latents.training.blocks() if latents is not None else ())
    sha256 = hashlib.sha256(content).hexdigest()
    rows = read_log(run / LOG_FILE, ContextTrainer.COLUMNS)
    results = {"steps": header.progress.step, "minutes": round(header.progress.seconds / 60, 1)}
    if rows:
        results["bpp"] = round(rows[-1]["validation_bpp"], 4)
    card = dict(codec.card)
    card["parts"] = card.get("parts", {}) | {CONTEXT: {"name": CONTEXT_FILE, "sha256": sha256}}
    card["results"] = card.get("results", {}) | {"context model, validation": results}
    weights = codec.part(WEIGHTS)
    make_folder(folder)
    if folder.resolve() != codec.path.resolve():
        write_file(folder / WEIGHTS_FILE, weights)
        card["name"] = folder.resolve().name
    write_file(folder / CONTEXT_FILE, content)
    write_model_card(folder / CARD_FILE, card)
    return sha256
