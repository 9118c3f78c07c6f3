"""What a user chooses of a forensic training: its recipe and budget, or why there is none."""

from __future__ import annotations

from dataclasses import replace

from dcncodec.errors import TrainingError, UsageError
from dcncodec.forensics.channel import DCN_FILE, NONE, parse_channel
from dcncodec.forensics.history import parse_history
from dcncodec.forensics.manipulations import CLASSES, DEFAULTS
from dcncodec.forensics.prnu import learning
from dcncodec.formats.geometry import STRIDE
from dcncodec.models.card import ModelFolder
from dcncodec.models.families.fan import LEARNS_CODEC, LEARNS_NIP
from dcncodec.models.families.nip import STANDARD
from dcncodec.train.engine.checkpoint import FILE, Header
from dcncodec.train.engine.presets import FORENSIC_RECIPES
from dcncodec.train.engine.recipes import ForensicRecipe
from dcncodec.train.engine.run import Budget
from dcncodec.train.engine.session import DEFAULT_PRESET
from dcncodec.train.tasks.forensic_fans import ForensicSettings, choose_network
from dcncodec.train.tasks.forensic_field import DRAWN, PLAIN, is_field
from dcncodec.train.tasks.forensic_sensor import PRNU
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
    "retake",
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
    recipe = _possible(recipe, settings, header is None)
    if settings.max_steps is not None:
        recipe = replace(recipe, max_steps=settings.max_steps)
    recipe = replace(recipe, history=_history(recipe.history))
    recipe = _keeping(recipe, settings)
    _check(recipe, settings)
    if header is not None:
        for name in FIXED:
            if getattr(recipe, name) != getattr(header.recipe, name):
                raise TrainingError(
                    f"was trained with another {name}; choose another --out or the same options",
                    settings.folder / FILE,
                )
    return recipe, settings.budget(recipe)


def _check(recipe: ForensicRecipe, settings: ForensicSettings) -> None:
    """Raise UsageError where a choice makes no sense."""
    if not set(recipe.trainable) <= {LEARNS_CODEC, LEARNS_NIP}:
        raise UsageError(f"--trainable {','.join(recipe.trainable)}: choose of dcn, nip, or none")
    parse_channel(recipe.channel)
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
    for learner, weights in WEIGHTS.items():
        if learner not in recipe.trainable and (given := settings.overrides.keys() & weights):
            option = min(given).replace("_", "-")
            what = "codec" if learner == LEARNS_CODEC else "camera pipeline"
            raise UsageError(f"--{option}: no {what} learns; leave it out, or see --trainable")
    if recipe.retake and not recipe.classes:
        raise UsageError("--retake: without classes no photos are manipulated; leave it out")
    if recipe.stored and recipe.trainable:
        raise UsageError(
            f"--stored {recipe.stored}: where codec or pipeline learn, their pictures change with "
            "every step; see --trainable"
        )
    if recipe.stored and not is_field(recipe):
        raise UsageError(f"--stored {recipe.stored}: no photos are drawn one by one; leave it out")


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


def _possible(recipe: ForensicRecipe, settings: ForensicSettings, new: bool) -> ForensicRecipe:
    """Without what a channel or a pipeline makes pointless, unless the user asks for it.

    Args:
        recipe: as chosen so far.
        settings: the user's choices.
        new: whether no run is resumed, which would take photos again where it did so before.

    Raises:
        UsageError: the user does.
    """
    if recipe.nip not in {"", STANDARD}:
        # Its gradient does not pass through other programs' files.
        for name in DRAWN:
            if settings.overrides.get(name, PLAIN[name]) != PLAIN[name]:
                value = settings.overrides[name]
                option = f"--{name}" if value is True else f"--{name} {value}"
                raise UsageError(f"{option}: not behind a neural camera pipeline; leave it out")
        recipe = replace(recipe, **PLAIN)
    pointless = not recipe.classes or recipe.nip or recipe.history == NONE
    if new and pointless and not settings.overrides.get("retake"):
        # Developed frames are what cameras give, and what has no history was never taken.
        recipe = replace(recipe, retake=False)
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
