"""Which FANs a forensic training has: the one that learns, and its critics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dcncodec.errors import TrainingError, UsageError
from dcncodec.forensics.channel import NONE
from dcncodec.forensics.folder import ForensicFolder, open_forensic
from dcncodec.models.combined_fan import CombinedFAN
from dcncodec.models.families.fan import (
    COMBINED,
    CONVOLUTIONAL,
    NETWORKS,
    SPECTRAL,
    new_fan,
)
from dcncodec.models.fan import FAN
from dcncodec.train.engine.checkpoint import FILE
from dcncodec.train.engine.recipes import ForensicRecipe
from dcncodec.train.engine.session import DEFAULT_PRESET, RunSettings


@dataclass(frozen=True)
class ForensicSettings(RunSettings):
    """What the user chose; the preset is a key of ``FORENSIC_RECIPES``.

    Attributes:
        model: the codec of a dcn channel, by name or weight folder.
        fan: forensic folders, by name or path, whose FANs to start from: parts that a later one has
            replace those of the ones before. None for random weights.
        nip: camera pipeline, ``standard`` or a neural one by name or weight folder, that develops
            the photos; None for finished photos.
        critic: forensic folders, by name or path, whose FANs judge decoded pictures, too.
        loaders: processes that draw photos, see ``engine.ahead.default_loaders``.
    """

    model: str | None = None
    fan: tuple[str, ...] = ()
    nip: str | None = None
    critic: tuple[str, ...] = ()
    loaders: int | None = None


def choose_network(recipe: ForensicRecipe, settings: ForensicSettings) -> str:
    """Which network a new run has, of ``NETWORKS``, where no FAN is given that it begins with."""
    best = CONVOLUTIONAL
    if (settings.preset or DEFAULT_PRESET) == DEFAULT_PRESET:
        # Behind a channel either kind tells what the other misses (bench/RESULTS.md).
        best = SPECTRAL if recipe.channel == NONE else COMBINED
    return str(settings.overrides.get("network", best))


def check_network(recipe: ForensicRecipe, run: Path) -> None:
    """Raise TrainingError where the FAN of the run in a folder is none of ``NETWORKS``."""
    if recipe.network not in NETWORKS:
        raise TrainingError(
            f"has a network {recipe.network} that is not known; take a later version", run / FILE
        )


def open_fan(
    settings: ForensicSettings, recipe: ForensicRecipe, begins: bool
) -> tuple[FAN | None, ForensicRecipe]:
    """The FAN that learns, and the recipe with what it began with; None without classes.

    Args:
        settings: the user's choices.
        recipe: of the run.
        begins: whether the run does; a resumed one has weights of its own.

    Raises:
        UsageError: a FAN to begin with tells other classes apart, gives nothing, or is another
            network and has and is no part of it.
        TrainingError: the run to resume began with another FAN, or has a network that is not known
            here.
        ModelError: it is missing or damaged.
    """
    if not recipe.classes:
        return None, recipe
    if not begins and settings.fan:
        chosen = _names([open_forensic(name) for name in settings.fan])
        if chosen != recipe.fan:
            raise TrainingError(
                f"began with {recipe.fan or 'random weights'}, not with {chosen}; choose another "
                "--out, or leave --fan out",
                settings.folder / FILE,
            )
    if not begins or not settings.fan:
        check_network(recipe, settings.folder)
        return new_fan(recipe.network, len(recipe.classes)), recipe
    folders = [open_forensic(name) for name in settings.fan]
    parts: dict[str, tuple[str, FAN]] = {}
    for folder in folders:
        given = _begin_with(folder, recipe, "fan")
        own = given.parts if isinstance(given, CombinedFAN) else (given,)
        parts |= {part.NETWORK: (folder.name, part) for part in own}
    for folder in folders:
        if folder.name not in {name for name, _ in parts.values()}:
            raise UsageError(
                f"--fan {folder.name}: those behind it replace all that it has; leave it out"
            )
    only = COMBINED if len(parts) > 1 else next(iter(parts))
    network = settings.overrides.get("network", only)
    if network == COMBINED:
        combined = CombinedFAN(len(recipe.classes))
        combined.start_from(*(part for _, part in parts.values()))
        fan: FAN = combined
    elif network in parts:
        folder_name, fan = parts[network]
        if network != only and len(folders) > 1:
            raise UsageError(f"--network {network}: {folder_name} alone has that; drop the others")
    else:
        raise UsageError(f"--network: the FAN of {_names(folders)} is {only}; leave it out")
    return fan, replace(recipe, fan=_names(folders), network=fan.NETWORK)


def _names(folders: Sequence[ForensicFolder]) -> str:
    """Of the folders that a run began with, as its recipe has them."""
    return ", ".join(folder.name for folder in folders)


def open_critics(
    settings: ForensicSettings, recipe: ForensicRecipe
) -> tuple[list[FAN], ForensicRecipe]:
    """The critics that the user names, or those of the run to resume, and the recipe with them.

    Raises:
        UsageError: one has a channel, tells other classes apart, or nothing learns from it; or
            there is none to weigh.
        ModelError: one is missing or damaged.
    """
    names = settings.critic or recipe.critic
    if not names and recipe.distil_weight:
        raise UsageError("--distil-weight: of whose features? add --critic NAME")
    if not names and "critic_weight" in settings.overrides:
        raise UsageError("--critic-weight: of which critic? add --critic NAME")
    folders = [open_forensic(name) for name in dict.fromkeys(names)]
    for folder in folders:
        if folder.channel != NONE:
            raise UsageError(f"--critic {folder.name}: has a channel; name a FAN without one")
        if not recipe.trainable:
            raise UsageError(f"--critic {folder.name}: nothing learns from it; see --trainable")
    fans = [_begin_with(folder, recipe, "critic") for folder in folders]
    return fans, replace(recipe, critic=tuple(folder.name for folder in folders))


def _begin_with(folder: ForensicFolder, recipe: ForensicRecipe, option: str) -> FAN:
    """The FAN of a forensic folder, to be trained further; ``option`` names it in messages.

    Raises:
        ModelError: it is damaged.
        UsageError: it tells other classes apart.
    """
    if folder.classes != recipe.classes:
        raise UsageError(
            f"--{option} {folder.name}: tells {','.join(folder.classes)} apart, not "
            f"{','.join(recipe.classes)}"
        )
    return folder.load_fan().requires_grad_(True).train()
