"""What judges photos: networks of different kinds, asked and shown in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcncodec.forensics.heatmap import Colour, paint
from dcncodec.formats.image import read_image
from dcncodec.formats.sections import SIGNATURE
from dcncodec.notices import Notify, warn

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Progress = Callable[[int], object]


def unheard(_: int) -> None:
    """Progress that nobody wants to know of."""


class Finding(Protocol):
    """What is said of a photo."""

    @property
    def legend(self) -> Mapping[str, Colour]:
        """The colours of ``tint`` by what they mean."""
        ...

    def manipulated(self, height: int, width: int) -> Floats:
        """How probably each pixel was manipulated.

        Args:
            height, width: of the photo.

        Returns:
            float32 (height, width) in [0, 1].
        """
        ...

    def tint(self, height: int, width: int) -> Pixels:
        """What was found, uint8 (height, width, 4): colour and certainty of every pixel."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        ...


class Judge(Protocol):
    """A network that judges photos.

    Attributes:
        name: of its model.
    """

    @property
    def name(self) -> str: ...

    @property
    def threshold(self) -> float | None:
        """Mean of ``Finding.manipulated`` above which a photo counts as manipulated, if known."""
        ...

    def judge(self, pixels: Pixels, progress: Progress = unheard) -> Finding:
        """Judge a photo.

        Args:
            pixels: uint8 (H, W, 3).
            progress: called with the number of pixels of every part that is finished.

        Raises:
            ImageError: the photo is too small.
            LimitError: memory does not suffice.
        """
        ...


def heat_map(pixels: Pixels, finding: Finding) -> bytes:
    """A PNG of a photo, uint8 (H, W, 3), in grey, tinted by what was found; a legend below it."""
    height, width = pixels.shape[:2]
    return paint(pixels, finding.tint(height, width), finding.legend)


def read_photo(data: bytes, name: str, notify: Notify = warn) -> Pixels:
    """A photo's pixels, uint8 (H, W, 3): of a picture or a .dcn file.

    Args:
        data: of the file.
        name: how messages call it.
        notify: told of a picture whose pixels are not all of it.

    Raises:
        DcnError: it cannot be read.
    """
    if data.startswith(SIGNATURE):
        from dcncodec.oneline import codec_for

        return codec_for(data).decode(data).pixels
    return read_image(data, name=name).pixels_alone(notify)
