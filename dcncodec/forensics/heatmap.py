"""Heat maps: a photo in grey, what was found tinted, and a legend."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

OPACITY = 0.6
"""Of what is certain."""
LEGEND_LINE = 18


def paint(
    pixels: NDArray[np.uint8], tint: NDArray[np.uint8], legend: Mapping[str, Colour]
) -> bytes:
    """A PNG of a photo in grey, tinted, with a legend below it.

    Args:
        pixels: uint8 (H, W, 3).
        tint: uint8 (H, W, 4), RGB and certainty; where the last is 0, the photo stays grey.
        legend: colours by what they mean.
    """
    grey = Image.fromarray(pixels).convert("L").convert("RGB")
    opacity = Image.fromarray(tint[..., 3]).point([round(OPACITY * i) for i in range(256)])
    grey.paste(Image.fromarray(np.ascontiguousarray(tint[..., :3])), mask=opacity)
    page = Image.new("RGB", (grey.width, grey.height + LEGEND_LINE * len(legend)), "white")
    page.paste(grey)
    pen = ImageDraw.Draw(page)
    for i, (name, colour) in enumerate(legend.items()):
        top = grey.height + i * LEGEND_LINE + 3
        pen.rectangle((3, top, 15, top + 12), colour)
        pen.text((22, top), name, "black")
    file = io.BytesIO()
    page.save(file, "PNG")
    return file.getvalue()
