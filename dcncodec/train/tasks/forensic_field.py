"""Batches of the field protocol (``forensics.field``): every photo with a history, implementations
and strengths of its own, cut where no lattice begins; or half of them as in the paper. Half of the
photos are first made what cameras and scanners give (``forensics.retake``)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcncodec.forensics.channel import NONE
from dcncodec.forensics.field import by_paper, draw
from dcncodec.forensics.history import LATTICE, parse_history
from dcncodec.forensics.manipulations import DEFAULTS, NATIVE
from dcncodec.forensics.retake import retake
from dcncodec.train.engine.data import ImageSet, seeded
from dcncodec.train.engine.presets import FORENSIC_RECIPES
from dcncodec.train.engine.recipes import ForensicRecipe
from dcncodec.train.engine.varied import varied_crops

Pixels = NDArray[np.uint8]

MARGIN = 16
"""Pixels around a patch that are manipulated with it, so that no filter sees a border."""
FIELD, BOTH, RANDOM = "field", "both", "random"
"""Values of ``implementations``, and of ``grid``."""
DRAWN = ("implementations", "grid", "history", "retake")
"""Fields of the recipe for which photos are drawn one by one."""
PLAIN = {name: getattr(FORENSIC_RECIPES["paper"], name) for name in DRAWN}
"""What they are where all are manipulated as one batch."""


def is_field(recipe: ForensicRecipe) -> bool:
    """Whether photos are drawn one by one, instead of manipulated as a batch."""
    drawn = recipe.implementations in {FIELD, BOTH}
    before = recipe.history != NONE or recipe.retake
    return bool(recipe.classes) and (drawn or recipe.grid == RANDOM or before)


@dataclass(frozen=True, eq=False)
class FieldPhotos:
    """The batches of a training, a function of the step (``engine.ahead``): see ``field_versions``.

    Attributes:
        images: to cut photos from, on the CPU.
        recipe: what is drawn.
        count: B, photos in a batch.
        seed, rank: of the run, and the number of its process.
    """

    images: ImageSet
    recipe: ForensicRecipe
    count: int
    seed: int
    rank: int

    def __call__(self, step: int) -> tuple[Tensor, ...]:
        """The batch of a step."""
        # One more number than the training's own generator has: it draws rates.
        generator = seeded(self.seed, self.rank, step, 1)
        return field_batch(self.images, self.count, self.recipe.patch, self.recipe, generator)


def field_batch(
    images: ImageSet, count: int, side: int, recipe: ForensicRecipe, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """``field_versions`` of ``count`` random varied photos, of patches of ``side`` pixels."""
    crops = varied_crops(images, count, side + 2 * MARGIN, generator)
    return field_versions(crops, recipe, generator)


def field_versions(
    crops: Tensor, recipe: ForensicRecipe, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Every class of a batch.

    Args:
        crops: uint8 (B, P + 2 ``MARGIN``, P + 2 ``MARGIN``, 3).
        recipe: what is drawn, and the K classes.
        generator: of that.

    Returns:
        Uint8 (K * B, P, P, 3) on the CPU, class by class, and labels (K * B,), int64.
    """
    side = crops.shape[1] - 2 * MARGIN
    found: list[list[Pixels]] = [[] for _ in recipe.classes]
    for crop in crops.cpu().numpy():
        draws = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        own = recipe
        if recipe.implementations == BOTH:
            own = replace(recipe, implementations=FIELD)
            if draws.integers(2):
                own = replace(recipe, vary_strengths=False, **PLAIN)
        before, history = crop, parse_history(own.history)
        if own.retake and draws.integers(2):
            before = retake(crop, draws)
        if history is not None and draws.integers(2):
            before = history.apply(before, draws)
        for versions, name in zip(found, recipe.classes, strict=True):
            changed = _manipulated(before, name, own, draws)
            top, left = MARGIN + (
                draws.integers(LATTICE, size=2) if own.grid == RANDOM else np.zeros(2, int)
            )
            versions.append(changed[top : top + side, left : left + side])
    pixels = torch.from_numpy(np.stack([v for versions in found for v in versions]))
    return pixels, torch.arange(len(recipe.classes)).repeat_interleave(len(crops))


def _manipulated(
    pixels: Pixels, name: str, recipe: ForensicRecipe, draws: np.random.Generator
) -> Pixels:
    aligned = recipe.grid != RANDOM
    if name == NATIVE:
        return pixels
    if recipe.implementations == FIELD:
        return draw(pixels, name, draws, aligned)[0]
    strength = None if recipe.vary_strengths else DEFAULTS[name]
    return by_paper(pixels, name, draws, aligned, strength)
