"""Training checkpoints: one safetensors file, written atomically, no pickle.

It holds the weights, their average, the optimiser's moments and the state of the random
generators, so that a run killed at any moment goes on from its last checkpoint as if nothing had
happened.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dcncodec.errors import TrainingError
from dcncodec.formats.files import atomic_write
from dcncodec.train.optimiser import Optimiser
from dcncodec.train.recipes import Recipe

FORMAT = "dcn-checkpoint-1"


@dataclass
class Progress:
    """How far a run has come: optimisation steps and seconds spent on them."""

    step: int = 0
    seconds: float = 0.0


def save_checkpoint(
    path: Path,
    model: nn.Module,
    average: dict[str, Tensor],
    optimiser: Optimiser,
    generators: dict[str, torch.Generator],
    progress: Progress,
    recipe: Recipe,
    architecture: str,
) -> None:
    """Write everything that a run needs to go on.

    Raises:
        OutputError: the file cannot be written; an earlier checkpoint stays as it was.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    tensors |= {f"optimiser.{k}": v for k, v in optimiser.state().items()}
    tensors |= {f"generator.{k}": g.get_state() for k, g in generators.items()}
    header = {
        "format": FORMAT,
        "architecture": architecture,
        "progress": json.dumps(asdict(progress)),
        "recipe": json.dumps(asdict(recipe)),
    }
    content = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, header)
    with atomic_write(path, overwrite=True) as file:
        file.write(content)


def load_checkpoint(
    path: Path,
    model: nn.Module,
    average: dict[str, Tensor],
    optimiser: Optimiser,
    generators: dict[str, torch.Generator],
    architecture: str,
) -> Progress:
    """Restore a run in place.

    Raises:
        TrainingError: the file is damaged, or belongs to another architecture.
    """
    tensors, header = _read(path)
    if header.get("format") != FORMAT:
        raise TrainingError(f"{path}: not a training checkpoint of this version of dcn")
    if header.get("architecture") != architecture:
        raise TrainingError(
            f"{path}: holds a {header.get('architecture')}, not a {architecture}; "
            "choose another --out or the same --channels"
        )
    try:
        model.load_state_dict(_part(tensors, "model."))
        average.update({k: v.to(average[k]) for k, v in _part(tensors, "average.").items()})
        progress = Progress(**json.loads(header["progress"]))
        optimiser.restore(_part(tensors, "optimiser."), progress.step)
        for name, state in _part(tensors, "generator.").items():
            if name in generators:
                generators[name].set_state(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{path}: damaged checkpoint ({error}); start anew without it"
        ) from None
    return progress


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{path}: damaged checkpoint ({error}); start anew without it"
        ) from None


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
