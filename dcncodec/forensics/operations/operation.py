"""An operation on a photo, and the optional libraries behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import MissingLibraryError

Pixels = NDArray[np.uint8]
Parameters = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Operation:
    """A function of a library with its parameters.

    Attributes:
        family: what it belongs to: ``blurring``, ..., or a class of the DCN paper.
        kind: the function within that: ``box``, ..., or who wrote it.
        library: the function's name, as ``cv2.blur``.
        function: (pixels, generator, **parameters) to pixels; a module's, so that it can be sent
            to other processes.
        parameters: by name; numbers and words.
    """

    family: str
    kind: str
    library: str
    function: Callable[..., Pixels]
    parameters: Parameters

    @property
    def name(self) -> str:
        """Kind and parameters, as ``box side=3``."""
        return " ".join([self.kind, *(f"{key}={v}" for key, v in self.parameters.items())])

    def apply(self, pixels: Pixels, generator: np.random.Generator) -> Pixels:
        """The changed photo.

        Args:
            pixels: uint8 (H, W, 3), H and W at least 16.
            generator: of noise and of random lattices.

        Returns:
            uint8 (H, W, 3), a new array.

        Raises:
            MissingLibraryError: the library is not installed.
        """
        changed = self.function(pixels, generator, **self.parameters)
        return np.ascontiguousarray(changed)


def to_pixels(values: NDArray[Any]) -> Pixels:
    """Grey levels of any type, rounded and cut off at 0 and 255."""
    pixels: Pixels = np.rint(values).clip(0, 255).astype(np.uint8)
    return pixels


def opencv() -> Any:
    """The module cv2; MissingLibraryError where it is not installed."""
    try:
        import cv2
    except ImportError:
        raise _missing("OpenCV", "opencv-python-headless") from None
    return cv2


def ndimage() -> Any:
    """The module scipy.ndimage; MissingLibraryError where it is not installed."""
    try:
        import scipy.ndimage
    except ImportError:
        raise _missing("scipy", "scipy") from None
    return scipy.ndimage


def skimage() -> Any:
    """The module skimage; MissingLibraryError where it is not installed."""
    try:
        import skimage
    except ImportError:
        raise _missing("scikit-image", "scikit-image") from None
    return skimage


def denoise_wavelet() -> Any:
    """scikit-image's function; MissingLibraryError where that or PyWavelets is not installed."""
    try:
        import pywt  # noqa: F401, scikit-image asks for it only when the function works
    except ImportError:
        raise _missing("PyWavelets", "PyWavelets") from None
    return skimage().restoration.denoise_wavelet


def _missing(title: str, package: str) -> MissingLibraryError:
    return MissingLibraryError(
        f"manipulations of photos need {title} ({package})", extras=("forensics",)
    )
