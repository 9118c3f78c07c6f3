"""Morphology with square elements, colour by colour (OpenCV)."""

from __future__ import annotations

import numpy as np

from dcncodec.forensics.operations.operation import Pixels, opencv

OPERATORS = {
    "close": "MORPH_CLOSE",
    "dilate": "MORPH_DILATE",
    "erode": "MORPH_ERODE",
    "open": "MORPH_OPEN",
}


def morph(pixels: Pixels, _: np.random.Generator, operator: str, side: int) -> Pixels:
    """One of ``OPERATORS`` with an element of ``side`` pixels."""
    cv2 = opencv()
    element = np.ones((side, side), np.uint8)
    changed: Pixels = cv2.morphologyEx(pixels, getattr(cv2, OPERATORS[operator]), element)
    return changed
