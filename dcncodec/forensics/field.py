"""Photos as they come: other programs and strengths, other histories, lattices anywhere.

The field protocol draws for each photo and class

- one of several implementations (``operations.variants``, and the paper's operator) and a strength;
- for half of the photos, native ones too, the history of a camera's JPEG before it;
- where lattices begin: that of a JPEG anywhere, and that of the codec elsewhere than at the photo's
  first pixel, because something is cut off above and to the left. In a quarter of the photos both
  begin there.

A JPEG of the class jpeg is of quality 50 to 85, below that of a camera: saved again, lower.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dcncodec.errors import UsageError
from dcncodec.forensics.history import CAMERA, LATTICE, History
from dcncodec.forensics.manipulations import (
    NATIVE,
    draw_strength,
    manipulate,
)
from dcncodec.forensics.operations.compression import jpeg
from dcncodec.forensics.operations.operation import Operation
from dcncodec.forensics.operations.variants import VARIANTS
from dcncodec.metrics import to_bytes, to_unit

Pixels = NDArray[np.uint8]

PAPER = "paper"
"""The implementation of ``forensics.manipulations``."""
PILLOW = "pillow"
"""The implementation of JPEG that can begin at the first pixel."""
JPEG_AT_MOST = 85
"""Quality of the class jpeg: above it is what cameras save."""
ALIGNED = 0.25
"""Share of the photos in which the codec's lattice, and that of the class jpeg, begin together."""


@dataclass(frozen=True, eq=False)
class Version:
    """One of the versions of a photo.

    Attributes:
        name: of its class.
        implementation: of the manipulation; ``none`` of native photos.
        history: whether the photo was a JPEG before.
        aligned: whether nothing was cut off afterwards.
        pixels: uint8 (H, W, 3).
    """

    name: str
    implementation: str
    history: bool
    aligned: bool
    pixels: Pixels


@cache
def implementations(name: str) -> dict[str, tuple[Operation, ...]]:
    """Operations of a class in the field, by who wrote them, without the paper's."""
    found: dict[str, list[Operation]] = {}
    for operation in VARIANTS[name]:
        if name != "jpeg" or float(operation.parameters["quality"]) <= JPEG_AT_MOST:
            found.setdefault(operation.kind, []).append(operation)
    return {kind: tuple(operations) for kind, operations in found.items()}


def draw(
    pixels: Pixels, name: str, generator: np.random.Generator, aligned: bool = False
) -> tuple[Pixels, str]:
    """A manipulation in one of its implementations and strengths.

    Args:
        pixels: uint8 (H, W, 3).
        name: of the class.
        generator: of everything that is drawn.
        aligned: whether a JPEG begins at the first pixel instead of anywhere.

    Returns:
        The photo in the same size, and the implementation.
    """
    if name == NATIVE:
        return pixels, "none"
    known = implementations(name)
    if name == "jpeg" and aligned:
        known = {PILLOW: known[PILLOW]}
    kind = [PAPER, *known][int(generator.integers(len(known) + 1))]
    if kind == PAPER:
        return by_paper(pixels, name, generator, aligned), kind
    operation = known[kind][int(generator.integers(len(known[kind])))]
    if name == "jpeg" and aligned:
        return jpeg(pixels, generator, **operation.parameters), kind
    return operation.apply(pixels, generator), kind


def by_paper(
    pixels: Pixels,
    name: str,
    generator: np.random.Generator,
    aligned: bool = False,
    strength: float | None = None,
) -> Pixels:
    """The paper's operator; its strength is drawn where none is given. See ``draw``."""
    noise = torch.Generator().manual_seed(int(generator.integers(2**31)))
    if strength is None:
        strength = draw_strength(name, noise)
    inside: tuple[slice, ...] = (slice(None), slice(None))
    if name == "jpeg":
        strength = min(strength, JPEG_AT_MOST)
        shift = (0, 0) if aligned else generator.integers(LATTICE, size=2).tolist()
        sizes = pixels.shape[:2]
        # The operator takes whole blocks.
        margins = [(s, -(size + s) % LATTICE) for s, size in zip(shift, sizes, strict=True)]
        inside = tuple(slice(s, s + size) for s, size in zip(shift, sizes, strict=True))
        pixels = np.pad(pixels, (*margins, (0, 0)), mode="edge")
    photo = to_unit(torch.from_numpy(np.array(pixels))).unsqueeze(0)
    changed: Pixels = to_bytes(manipulate(photo, name, strength, noise))[0].numpy()
    return changed[inside]


def version(
    pixels: Pixels, name: str, generator: np.random.Generator, history: History = CAMERA
) -> Version:
    """A version of a photo under the field protocol.

    Args:
        pixels: uint8 (H, W, 3).
        name: of the class.
        generator: of everything that is drawn.
        history: of half of the photos.
    """
    saved, aligned = bool(generator.integers(2)), float(generator.random()) < ALIGNED
    before = history.apply(pixels, generator) if saved else pixels
    changed, implementation = draw(before, name, generator, aligned)
    top, left = (0, 0) if aligned else divmod(int(generator.integers(1, LATTICE**2)), LATTICE)
    cut = np.ascontiguousarray(changed[top:, left:])
    return Version(name, implementation, saved, aligned, cut)


def resave(pixels: Pixels, how: str) -> Pixels:
    """What becomes of a decoded picture that is passed on.

    Args:
        pixels: uint8 (H, W, 3).
        how: ``jpeg:QF`` (4:2:0), ``resize:SCALE`` (Lanczos), ``crop:ROWS,COLUMNS``, which are cut
            off above and to the left, ``turn:DEGREES`` clockwise, or ``mirror``, which exchanges
            left and right.

    Raises:
        UsageError: it is none of them.
    """
    kind, values = check_resave(how)
    if kind == "jpeg":
        return jpeg(pixels, np.random.default_rng(0), round(values[0]))
    if kind == "crop":
        top, left = map(round, values)
        return np.ascontiguousarray(pixels[top:, left:])
    if kind == "turn":
        return np.ascontiguousarray(np.rot90(pixels, -round(values[0] / 90)))
    if kind == "mirror":
        return np.ascontiguousarray(pixels[:, ::-1])
    height, width = (max(1, round(side * values[0])) for side in pixels.shape[:2])
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def check_resave(how: str) -> tuple[str, list[float]]:
    """Kind and values of what ``resave`` does; UsageError where there is no such thing."""
    if how == "mirror":
        return how, []
    kind, _, text = how.partition(":")
    with suppress(ValueError):
        values = [float(value) for value in text.split(",")]
        whole = all(value.is_integer() for value in values)
        match kind, values:
            case "jpeg", [quality] if whole and 1 <= quality <= 100:
                return kind, values
            case "resize", [scale] if 0.1 <= scale <= 4:
                return kind, values
            case "crop", [top, left] if whole and min(top, left) >= 0:
                return kind, values
            case "turn", [degrees] if degrees in (90, 180, 270):
                return kind, values
    raise UsageError(
        f"--resave {how}: choose jpeg:QF of 1 to 100, resize:SCALE of 0.1 to 4, "
        "crop:ROWS,COLUMNS, turn:DEGREES of 90, 180 or 270, or mirror"
    )
