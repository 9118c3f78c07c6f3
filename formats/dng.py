"""Writing DNG files: a sensor's frame as a TIFF file that RAW converters open (DNG 1.4)."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import MissingLibraryError
from dcncodec.formats.files import atomic_write
from dcncodec.formats.raw import SRGB_TO_XYZ, Frame

CAMERA = "dcn sensor"
D65 = 21
"""EXIF's number of the illuminant for which the colour matrix holds."""
DENOMINATOR = 10_000
_ORIENTATION = {
    (0, False): 1, (1, False): 8, (2, False): 3, (3, False): 6,
    (0, True): 2, (1, True): 7, (2, True): 4, (3, True): 5,
}  # fmt: skip
"""Quarter turns and mirroring to TIFF's orientation."""


def write_dng(frame: Frame, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a frame as an uncompressed DNG file.

    Args:
        frame: of any Bayer pattern; its colour matrix and white balance are kept to four
            decimals, its black levels as whole numbers.
        path: of the file.
        overwrite: whether a file there is replaced.

    Raises:
        UsageError: the file exists.
        OutputError: it cannot be written.
        MissingLibraryError: tifffile is not installed.
    """
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(dng_bytes(frame))


def dng_bytes(frame: Frame) -> bytes:
    """The content of that file."""
    try:
        import tifffile
    except ImportError:
        raise MissingLibraryError("DNG files need tifffile", extras=("raw",)) from None
    neutral = 1 / np.array(frame.gains)
    # Scaled so that the white of D65 is the neutral: readers derive the illuminant from both.
    from_xyz = neutral[:, None] * np.linalg.inv(SRGB_TO_XYZ @ frame.to_srgb)
    byte, text, short, rational, signed = 1, 2, 3, 5, 10
    tags: list[tuple[int, int, int, Any, bool]] = [
        (271, text, 0, CAMERA, True),
        (272, text, 0, CAMERA, True),
        (274, short, 1, _ORIENTATION[frame.turns, frame.mirrored], True),
        (33421, short, 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, byte, 4, bytes("RGB".index(c) for c in frame.pattern), True),  # CFAPattern
        (50706, byte, 4, bytes((1, 4, 0, 0)), True),  # DNGVersion
        (50707, byte, 4, bytes((1, 1, 0, 0)), True),  # DNGBackwardVersion
        (50708, text, 0, CAMERA, True),  # UniqueCameraModel
        (50713, short, 2, (2, 2), True),  # BlackLevelRepeatDim
        (50714, short, 4, tuple(round(v) for v in frame.black), True),  # BlackLevel
        (50717, short, 1, round(frame.white), True),  # WhiteLevel
        (50721, signed, 9, _ratios(from_xyz), True),  # ColorMatrix1
        (50728, rational, 3, _ratios(neutral), True),
        (50778, short, 1, D65, True),  # CalibrationIlluminant1
    ]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder="<") as tiff:
        tiff.write(frame.mosaic, photometric="cfa", metadata=None, software=False, extratags=tags)
    return buffer.getvalue()


def _ratios(values: NDArray[np.float64]) -> list[int]:
    """Numerators and denominators."""
    return [part for v in values.flat for part in (round(v * DENOMINATOR), DENOMINATOR)]
