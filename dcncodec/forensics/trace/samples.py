"""What the networks of ``models.trace`` learn from: patches, and what became of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcncodec.forensics.history import CAMERA, History
from dcncodec.forensics.operations.hierarchy import LEAVES
from dcncodec.forensics.operations.operation import Pixels
from dcncodec.forensics.trace.shapes import Generator
from dcncodec.forensics.trace.synthesis import COPY_MOVE, ENHANCE, REMOVAL, SPLICE, forge

SAVED = History(70, 100)
"""As programs save photos after they were manipulated."""
CAMERA_SHARE = 0.25
"""Of the samples for maps: photos that cameras saved, before anything is done to them."""
CLEAN_SHARE = 0.15
"""Of the samples for maps: photos without a manipulated part."""
KIND_SHARES = {COPY_MOVE: 0.2, ENHANCE: 0.5, REMOVAL: 0.1, SPLICE: 0.2}
"""Of the forgeries: enhancement is 25 kinds by itself, removal is learned at once."""


def around(patch: int) -> int:
    """Side of the square that is manipulated before a patch is cut out of it, at a random place:
    half of the patch larger, so that lattices begin anywhere."""
    return patch + patch // 2


def manipulated(
    squares: Pixels, patch: int, generator: Generator
) -> tuple[Pixels, NDArray[np.int64]]:
    """Patches that were manipulated, and how.

    Args:
        squares: uint8 (B, S, S, 3), S = ``around(patch)``.
        patch: side of the patches in pixels.
        generator: of manipulations, each of the 385 with the same chance, and places.

    Returns:
        uint8 (B, patch, patch, 3), and the indices (B,) of the manipulations in ``LEAVES``.
    """
    leaves = generator.integers(len(LEAVES), size=len(squares))
    patches = np.empty((len(squares), patch, patch, 3), np.uint8)
    for i, (square, leaf) in enumerate(zip(squares, leaves, strict=True)):
        changed = LEAVES[leaf].apply(square, generator)
        top, left = generator.integers(square.shape[0] - patch + 1, size=2)
        patches[i] = changed[top : top + patch, left : left + patch]
    return patches, leaves.astype(np.int64)


def forged(
    photos: Pixels, donors: Pixels, generator: Generator, channels: int
) -> tuple[Pixels, NDArray[np.bool_], NDArray[np.int64]]:
    """Patches with a manipulated part or none; half of them are saved with losses as a whole.

    Args:
        photos: uint8 (B, P, P, 3).
        donors: of that shape, other photos.
        generator: of all choices.
        channels: codecs that a history may lead through, beside JPEG.

    Returns:
        uint8 (B, P, P, 3), masks (B, P, P), and for each the codec to send it through or -1 (B,).
    """
    pixels = np.empty_like(photos)
    masks = np.zeros(photos.shape[:3], bool)
    codecs = np.full(len(photos), -1)
    for i, pair in enumerate(zip(photos, donors, strict=True)):
        photo, donor = pair
        if generator.uniform() < CAMERA_SHARE:
            photo, donor = (CAMERA.apply(side, generator) for side in pair)
        changed = photo
        if generator.uniform() >= CLEAN_SHARE:
            kind = str(generator.choice(list(KIND_SHARES), p=list(KIND_SHARES.values())))
            forgery = forge(kind, photo, donor, generator)
            changed, masks[i] = forgery.pixels, forgery.mask
        history = generator.uniform()
        if history < 0.25 or (history < 0.5 and not channels):
            changed = SAVED.apply(changed, generator)
        elif history < 0.5:
            codecs[i] = generator.integers(channels)
        pixels[i] = changed
    return pixels, masks, codecs
