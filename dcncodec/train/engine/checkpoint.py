"""Training checkpoints: one safetensors file, written atomically, no pickle.

It holds the weights, their average and the optimiser's moments; what else a run needs is a function
of its seed and step (``ImageSet.crops``). So a run killed at any moment goes on from its last
checkpoint as if nothing had happened.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dcncodec.errors import TrainingError
from dcncodec.formats.files import atomic_write
from dcncodec.formats.geometry import MAX_SIDE
from dcncodec.train.engine.data import Source
from dcncodec.train.engine.optimiser import Optimiser
from dcncodec.train.engine.recipes import Recipe

FILE = "checkpoint.safetensors"


@dataclass
class Progress:
    """How far a run has come: optimisation steps and seconds spent on them."""

    step: int = 0
    seconds: float = 0.0


@dataclass
class Header:
    """What a checkpoint says about its run.

    Attributes:
        latent_channels: N of the network.
        recipe: how it is trained.
        seed: of the initial weights, the crops and their augmentation.
        sources: the data it was last trained on.
        init: name of the model that it began with, empty for random weights.
        progress: how far it has come.
        origins: entries of the cards of the weight folders that took part, by family.
    """

    latent_channels: int
    recipe: Recipe
    seed: int = 0
    sources: list[Source] = field(default_factory=list)
    init: str = ""
    progress: Progress = field(default_factory=Progress)
    origins: dict[str, dict[str, Any]] = field(default_factory=dict)


def save_checkpoint(
    path: Path, model: nn.Module, average: dict[str, Tensor], optimiser: Optimiser, header: Header
) -> None:
    """Write everything that a run needs to go on.

    Raises:
        TrainingError: the weights are not finite any more.
        OutputError: the file cannot be written.
        In either case an earlier checkpoint stays as it was.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    tensors |= {f"optimiser.{k}": v for k, v in optimiser.state().items()}
    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise TrainingError(
            f"the weights are no longer finite at step {header.progress.step}; resume the last "
            f"good checkpoint, {path}, with a smaller --learning-rate"
        )
    _write(path, tensors, header)


def _write(path: Path, tensors: dict[str, Tensor], header: Header) -> None:
    metadata = {
        "format": header.recipe.CHECKPOINT,
        "architecture": f"dcn-{header.latent_channels}",
        "progress": json.dumps(asdict(header.progress)),
        "recipe": json.dumps(asdict(header.recipe)),
        "seed": str(header.seed),
        "init": header.init,
        "origins": json.dumps(header.origins),
        "sources": json.dumps([asdict(source) for source in header.sources]),
    }
    with atomic_write(path, overwrite=True) as file:
        file.write(save(tensors, metadata))


def fork_checkpoint(path: Path, copy: Path, recipe: Recipe) -> None:
    """Write a run's checkpoint once more, to go on by another recipe of the same kind.

    Raises:
        TrainingError: the file is missing, damaged or no checkpoint.
        OutputError: the copy cannot be written.
    """
    tensors, header = _read(path, type(recipe))
    _write(copy, tensors, replace(header, recipe=recipe))


def load_checkpoint(
    path: Path,
    model: nn.Module,
    average: dict[str, Tensor],
    optimiser: Optimiser,
    recipe: type[Recipe] = Recipe,
) -> Header:
    """Restore a run in place.

    Raises:
        TrainingError: the file is damaged, or belongs to another network or optimiser.
    """
    tensors, header = _read(path, recipe)
    try:
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                # Copied, not assigned: the memory format decides about the last bit of a sum.
                tensor.copy_(tensors[f"model.{name}"])
                average[name].copy_(tensors[f"average.{name}"])
        optimiser.restore(_part(tensors, "optimiser."), header.progress.step)
    except (KeyError, RuntimeError) as error:
        raise _damaged(path, error) from None
    return header


def read_header(path: Path, recipe: type[Recipe] = Recipe) -> Header:
    """What a checkpoint says about its run, which had a recipe of the given kind.

    Raises:
        TrainingError: the file is missing, damaged or no checkpoint.
    """
    return _read(path, recipe, tensors=False)[1]


def read_average(path: Path, recipe: type[Recipe] = Recipe) -> tuple[dict[str, Tensor], Header]:
    """The averaged weights by name, and the run they come from.

    Raises:
        TrainingError: the file is missing, damaged or no checkpoint.
    """
    tensors, header = _read(path, recipe)
    return _part(tensors, "average."), header


def _other_format(found: str | None, recipe: type[Recipe]) -> str:
    kinds: list[type[Recipe]] = [Recipe, *Recipe.__subclasses__()]
    for other in kinds:
        if found == other.CHECKPOINT:
            return f"a checkpoint of '{other.COMMAND}', not of '{recipe.COMMAND}'; use that command"
    return "not a training checkpoint of this version of dcn"


def _read(
    path: Path, recipe: type[Recipe], *, tensors: bool = True
) -> tuple[dict[str, Tensor], Header]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys() if tensors else ()
            content = {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise TrainingError("there is no checkpoint; train first", path) from None
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from None
    if metadata.get("format") != recipe.CHECKPOINT:
        raise TrainingError(_other_format(metadata.get("format"), recipe), path)
    try:
        if not all(bool(torch.isfinite(tensor).all()) for tensor in content.values()):
            raise ValueError("weights that are not finite")
        header = Header(
            latent_channels=int(metadata["architecture"].removeprefix("dcn-")),
            recipe=_recipe(json.loads(metadata["recipe"]), recipe, path),
            seed=int(metadata.get("seed", "0")),
            sources=[Source(**entry) for entry in json.loads(metadata.get("sources", "[]"))],
            init=metadata.get("init", ""),
            progress=Progress(**json.loads(metadata["progress"])),
            origins=dict(json.loads(metadata.get("origins", "{}"))),
        )
        _check(header)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from None
    return content, header


def _recipe(entries: dict[str, Any], kind: type[Recipe], path: Path) -> Recipe:
    """The recipe of a checkpoint, without the fields that recipes no longer have.

    Raises:
        TrainingError: the run needs what such a field stood for.
        TypeError, AttributeError: these are no fields of such a recipe.
    """
    for name, idle in kind.RETIRED.items():
        if entries.pop(name, idle) != idle:
            raise TrainingError(
                f"was trained with {name}, which this version of dcn no longer has; choose another "
                "--out",
                path,
            )
    return kind(**entries)


def _check(header: Header) -> None:
    """Raise ValueError for what no run can have written."""
    recipe, progress = asdict(header.recipe), header.progress
    numbers = [
        *(value for value in recipe.values() if isinstance(value, int | float)),
        *(progress.step, progress.seconds, header.seed, header.latent_channels),
        *(number for source in header.sources for number in (source.images, source.megapixels)),
    ]
    if not all(0 <= number < math.inf for number in numbers):
        raise ValueError("numbers out of range")
    counts = (recipe["batch"], recipe["patch"], recipe["max_steps"])
    if not all(type(count) is int and count > 0 for count in counts):
        raise ValueError("a recipe without steps")
    if type(progress.step) is not int or header.latent_channels > MAX_SIDE:
        raise ValueError("numbers out of range")


def _damaged(path: Path, error: Exception) -> TrainingError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return TrainingError(f"damaged checkpoint ({reason}); remove it to start anew", path)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
