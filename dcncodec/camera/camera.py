"""The standard camera pipeline, which neural pipelines learn to replace (NIP paper, section 3.1).

White-balanced RGGB stack, Menon's demosaicing with refinement (2007), colour matrix, sRGB's
transfer curve: nothing that sharpens, removes noise or changes tones.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import MissingLibraryError
from dcncodec.formats.raw import Frame

Floats = NDArray[np.float32]


def develop(stack: Floats, to_srgb: NDArray[np.float64]) -> Floats:
    """A picture of what ``Frame.stack`` gives.

    Args:
        stack: (h, w, 4) in [0, 1], white-balanced R, G, G, B.
        to_srgb: (3, 3), camera RGB to linear sRGB.

    Returns:
        float32 (2h, 2w, 3), sRGB in [0, 1].

    Raises:
        MissingLibraryError: colour-demosaicing is not installed.
    """
    rgb = demosaic(to_mosaic(stack))
    return from_linear((rgb @ to_srgb.T).clip(0, 1))


def develop_frame(frame: Frame) -> Floats:
    """A frame's picture, upright; otherwise as ``develop``."""
    return frame.upright(develop(frame.stack(), frame.to_srgb))


def recolour(pixels: Floats, assumed: NDArray[np.float64], actual: NDArray[np.float64]) -> Floats:
    """Correct a picture that was developed with the colour matrix of another camera.

    Exact but for colours that the assumed matrix clipped.

    Args:
        pixels: (H, W, 3), sRGB in [0, 1].
        assumed: (3, 3), the matrix that made it.
        actual: (3, 3), the camera's own.

    Returns:
        float32 (H, W, 3), sRGB in [0, 1].
    """
    matrix = actual @ np.linalg.inv(assumed)
    return from_linear((to_linear(pixels) @ matrix.T).clip(0, 1))


def to_mosaic(stack: Floats) -> Floats:
    """(h, w, 4) R, G, G, B to the (2h, 2w) samples of the sensor."""
    height, width, _ = stack.shape
    places = stack.reshape(height, width, 2, 2)
    return places.transpose(0, 2, 1, 3).reshape(2 * height, 2 * width)


def from_linear(linear: NDArray[Any]) -> Floats:
    """Linear light in [0, 1] to sRGB's (IEC 61966-2-1), float32."""
    bright = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, bright).astype(np.float32)


def to_linear(encoded: NDArray[Any]) -> NDArray[Any]:
    """The inverse of ``from_linear``."""
    bright = ((encoded + 0.055) / 1.055) ** 2.4
    return np.where(encoded <= 0.04045, encoded / 12.92, bright).astype(np.float32)


def demosaic(mosaic: Floats) -> NDArray[np.float64]:
    """Samples (H, W) of an RGGB sensor to (H, W, 3), by Menon's method.

    Raises:
        MissingLibraryError: colour-demosaicing is not installed.
    """
    try:
        with warnings.catch_warnings():
            # Of its dependencies, about libraries that plotting would need and old names.
            warnings.simplefilter("ignore")
            from colour_demosaicing import demosaicing_CFA_Bayer_Menon2007
    except ImportError:
        raise MissingLibraryError(
            "Bayer filters need colour-demosaicing", extras=("raw", "forensics")
        ) from None
    rgb = demosaicing_CFA_Bayer_Menon2007(mosaic, "RGGB")
    return np.asarray(rgb, np.float64)
