"""How much work an encoder does for a smaller file. Decoders are the same whatever it does.

Level 0 rounds. The others change code words by the coder's bits and the gradient of the picture's
error, in more and more steps (``refining``). Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcncodec.errors import UsageError
from dcncodec.formats.geometry import MAX_RATE
from dcncodec.models.families import find_codec

if TYPE_CHECKING:
    from dcncodec.formats.coder import ModelCoder
    from dcncodec.models.card import ModelFolder
    from dcncodec.models.context_gradient import BitsGradient

STEPS = (0, 1, 2, 3, 4, 6, 8, 12, 20, 48)
"""Steps with gradients by level."""
MAX_EFFORT = len(STEPS) - 1
GRADIENT_PASSES = 2
"""What a gradient takes, in analyses."""
FLATTER = 0.85
"""The slope of rate over squared error that files have, over the training's lambda, which weighs
similarities, too."""
TILT = 0.82, 1.20
"""What the slope of Kodak's files is over that at rates 0 and 255; in between its logarithm is
about linear."""


@dataclass(frozen=True)
class Effort:
    """A level above 0 for a model.

    Attributes:
        level: 1 to ``MAX_EFFORT``.
        folder: of the model.
        coder: of its latents.
        bits_gradient: of the bits that the coder takes.
    """

    level: int
    folder: ModelFolder
    coder: ModelCoder
    bits_gradient: BitsGradient

    @property
    def steps(self) -> int:
        """With gradients."""
        return STEPS[self.level]

    @property
    def passes(self) -> int:
        """See ``passes_of``."""
        return passes_of(self.level)

    def slope(self, rate: int) -> float:
        """That of the function of that name."""
        weight = slope(self.folder, rate)
        assert weight is not None
        return weight


def check_effort(level: int, folder: ModelFolder) -> None:
    """Tell whether a model can be encoded with a level of effort.

    Raises:
        UsageError: there is no such level, or it takes what the model does not have.
    """
    if not 0 <= level <= MAX_EFFORT:
        raise UsageError(f"effort {level}: choose 0 to {MAX_EFFORT}")
    if level and slope(folder, 0) is None:
        raise UsageError(
            f"effort {level}: the card of model {folder.name} does not say what bits are worth; "
            "leave it out, or take a model with rates such as dcn-vr"
        )


def passes_of(level: int) -> int:
    """What the steps of a level take, in analyses, as progress counts them."""
    # One gradient a step; the words of the last one and what is kept of them have none.
    return STEPS[level] * GRADIENT_PASSES + 2 if level else 0


def slope(folder: ModelFolder, rate: int) -> float | None:
    """Lambda, as steep as files are at the rate: bits for a squared error of one level of 255 in
    one colour of one pixel; None where the model's card does not say."""
    weight = find_codec(folder.family).slope(folder.card, rate)
    if weight is None:
        return None
    low, high = TILT
    tilt: float = low * (high / low) ** (rate / MAX_RATE)
    return FLATTER * tilt * weight / 3
