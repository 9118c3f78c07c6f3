"""Photos with a manipulated part, made from clean ones: four kinds, each with its mask.

As the four synthetic sets of ManTra-Net (section 5.1): a part of another photo (splice), of the
same one (copy-move), filled from around it (removal), or processed otherwise (enhance).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dcncodec.forensics.operations import hierarchy
from dcncodec.forensics.operations.compression import jpeg_anywhere
from dcncodec.forensics.operations.noise import gaussian_noise
from dcncodec.forensics.operations.operation import Operation, Pixels, opencv, to_pixels
from dcncodec.forensics.operations.resampling import OPENCV
from dcncodec.forensics.trace.shapes import Generator, Mask, random_mask

SPLICE, COPY_MOVE, REMOVAL, ENHANCE = "splice", "copy-move", "removal", "enhance"
KINDS = (SPLICE, COPY_MOVE, REMOVAL, ENHANCE)

FEATHER = 2.0
"""Pixels, the widest seam."""
DONOR_QUALITIES = (60, 96)
"""Of JPEG, from the first to below the second."""
DONOR_SCALES = (0.6, 1.4)
DONOR_NOISE = (1.0, 5.0)
TURN = 20.0
"""Degrees, how far a copied part is turned at most."""
GROWTH = (0.8, 1.25)
MOVES = (0.15, 0.5)
"""Shares of the photo's sides by which a copied part moves, along one of them at least."""
INPAINT_RADII = (3, 8)


@dataclass(frozen=True, eq=False)
class Forgery:
    """A photo with a manipulated part.

    Attributes:
        pixels: uint8 (H, W, 3).
        mask: bool (H, W), the manipulated part.
        kind: of ``KINDS``.
        detail: what was done.
    """

    pixels: Pixels
    mask: Mask
    kind: str
    detail: str


def forge(kind: str, photo: Pixels, donor: Pixels, generator: Generator) -> Forgery:
    """Manipulate a part of a photo.

    Args:
        kind: of ``KINDS``.
        photo: uint8 (H, W, 3), H and W at least 64.
        donor: another photo of that size, for splices.
        generator: of all choices.

    Raises:
        MissingLibraryError: a library of the extra ``forensics`` is not installed.
    """
    mask = random_mask(photo.shape[0], photo.shape[1], generator)
    make: Callable[[Pixels, Pixels, Mask, Generator], tuple[Pixels, str]] = {
        SPLICE: _splice,
        COPY_MOVE: _copy_move,
        REMOVAL: _removal,
        ENHANCE: _enhance,
    }[kind]
    changed, detail = make(photo, donor, mask, generator)
    pixels = changed if kind == REMOVAL else blend(photo, changed, mask, generator)
    return Forgery(pixels, mask, kind, detail)


def blend(photo: Pixels, changed: Pixels, mask: Mask, generator: Generator) -> Pixels:
    """A photo with what is inside a mask from another one, over a seam of random width."""
    width = float(generator.uniform(0, FEATHER))
    weight = mask.astype(np.float32)
    if width > 0.5:
        weight = opencv().GaussianBlur(weight, (0, 0), width / 2)
    weight = weight[..., None]
    return to_pixels(photo + weight * (changed.astype(np.float32) - photo))


def _splice(photo: Pixels, donor: Pixels, _: Mask, generator: Generator) -> tuple[Pixels, str]:
    """Another photo with another history: compressed, scaled, noisy, or none."""
    choice = generator.integers(4)
    if choice == 0:
        quality = int(generator.integers(*DONOR_QUALITIES))
        return jpeg_anywhere(donor, generator, quality), f"of a JPEG {quality}"
    if choice == 1:
        scale = float(generator.uniform(*DONOR_SCALES))
        return _scaled(donor, scale, generator), f"scaled by {scale:.2f}"
    if choice == 2:
        strength = float(generator.uniform(*DONOR_NOISE))
        return gaussian_noise(donor, generator, strength), f"noise {strength:.1f}"
    return donor, "unchanged"


def _scaled(photo: Pixels, scale: float, generator: Generator) -> Pixels:
    """A photo larger or smaller than it was, continued by reflection where it is too small."""
    cv2 = opencv()
    kernel = ("bicubic", "lanczos", "bilinear", "area")[generator.integers(4)]
    height, width = photo.shape[:2]
    size = (round(width * scale), round(height * scale))
    scaled: Pixels = cv2.resize(photo, size, interpolation=getattr(cv2, OPENCV[kernel]))
    below, beside = max(0, height - scaled.shape[0]), max(0, width - scaled.shape[1])
    scaled = np.pad(scaled, ((0, below), (0, beside), (0, 0)), mode="reflect")
    return scaled[:height, :width]


def _copy_move(photo: Pixels, _: Pixels, mask: Mask, generator: Generator) -> tuple[Pixels, str]:
    """The photo moved, turned and scaled around the part, in one bicubic step."""
    cv2 = opencv()
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    centre = (float(columns.mean()), float(rows.mean()))
    angle, scale = float(generator.uniform(-TURN, TURN)), float(generator.uniform(*GROWTH))
    matrix = cv2.getRotationMatrix2D(centre, angle, scale)
    # Towards the middle, or what moves would come from beyond the border.
    signs = np.where(np.array(centre) > np.array([width, height]) / 2, 1, -1)
    move = signs * generator.uniform(0, MOVES[1], 2) * (width, height)
    axis = int(generator.integers(2))
    move[axis] = signs[axis] * generator.uniform(*MOVES) * (width, height)[axis]
    matrix[:, 2] += move
    moved: Pixels = cv2.warpAffine(
        photo, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return moved, f"moved by {move[0]:.0f}, {move[1]:.0f}, turned {angle:.0f}, scaled {scale:.2f}"


def _removal(photo: Pixels, _: Pixels, mask: Mask, generator: Generator) -> tuple[Pixels, str]:
    """What is inside the mask filled from around it."""
    cv2 = opencv()
    radius = int(generator.integers(*INPAINT_RADII))
    name = ("TELEA", "NS")[generator.integers(2)]
    filled: Pixels = cv2.inpaint(
        photo, mask.astype(np.uint8), radius, getattr(cv2, f"INPAINT_{name}")
    )
    return filled, f"inpainted ({name}, radius {radius})"


def _enhance(photo: Pixels, _: Pixels, __: Mask, generator: Generator) -> tuple[Pixels, str]:
    """The photo processed by one of the 385 manipulations, kinds with equal chance."""
    leaf = balanced_leaf(generator)
    return leaf.apply(photo, generator), leaf.name


def balanced_leaf(generator: Generator) -> Operation:
    """A random leaf, kinds (level 25) with equal chance, then leaves of the kind."""
    kind = hierarchy.KINDS[generator.integers(len(hierarchy.KINDS))]
    return kind[generator.integers(len(kind))]
