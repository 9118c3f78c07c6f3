"""The squared error of a picture and its gradient in the latents, window by window.

Memory depends on the window, as with ``windows``, and results do not depend on where windows lie
but for rounding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcncodec.formats.geometry import Area
from dcncodec.formats.means import Means
from dcncodec.runtime.windows import WINDOW, Latents, Pixels, Transforms

ORIGIN = Area(0, 0, 0, 0)
"""Of a picture's pixels."""

Gradient = NDArray[np.float32]


def squared_errors(
    transforms: Transforms,
    latents: Latents,
    held: Area,
    pixels: Pixels,
    area: Area,
    rate: int,
    means: Means | None = None,
    *,
    grey: bool = False,
    ignored: NDArray[np.bool_] | None = None,
    gradient: Gradient | None = None,
    passes: int = 1,
) -> NDArray[np.float64]:
    """How far decoded pixels are from those of a picture.

    Args:
        transforms: the codec's networks.
        latents: int16 (N, rows, columns), code words of ``held``.
        held: which part of the latent plane that is: ``area`` with its halo, as far as there is
            one.
        pixels: of the whole picture, (H, W, 3) uint8.
        area: the latents whose pixels count, as far as they lie in the picture.
        rate: of the latents.
        means: of the latent plane.
        grey: whether the decoder shows the luminance.
        ignored: bool (H, W), pixels of the picture whose errors do not count; None for none.
        gradient: float32 of the latents' shape, to which the error's gradient is added.
        passes: what that counts for in ``Transforms.progress``.

    Returns:
        float64 (rows, columns) of ``area``: sums of squares over the pixels of every latent and
        the three colours, in levels of 255.

    Raises:
        LimitError: not even the smallest window fits the memory.
    """
    engine, stride = transforms.engine, transforms.geometry.stride
    errors = np.empty((area.rows, area.columns))

    def run(window: Area) -> None:
        outer = window.grown(transforms.geometry.halo, held)
        rows, columns = window.within(ORIGIN, stride)
        part = pixels[rows, columns]
        wanted = np.zeros((outer.rows * stride, outer.columns * stride, 3), np.uint8)
        counted = np.zeros(wanted.shape[:2], bool)
        rows, columns = window.within(outer, stride)
        rows = slice(rows.start, rows.start + part.shape[0])
        columns = slice(columns.start, columns.start + part.shape[1])
        wanted[rows, columns] = part
        counted[rows, columns] = ignored is None or ~ignored[window.within(ORIGIN, stride)]
        place = outer.latents_in(held)
        beside = None if means is None else means.within(outer)
        found, slope = engine.errors(
            latents[place], rate, wanted, counted, beside, grey=grey, steep=gradient is not None
        )
        errors[window.latents_in(area)[1:]] = found[window.latents_in(outer)[1:]]
        if gradient is not None and slope is not None:
            gradient[place] += slope

    side = engine.steep_window or WINDOW
    transforms.each_window(area, run, side, 1 if gradient is None else passes)
    return errors
