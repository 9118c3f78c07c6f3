"""Compression and decompression by today's lossy formats."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from dcncodec.forensics.operations.operation import Pixels, opencv

Generator = np.random.Generator

SUBSAMPLINGS = {"4:4:4": 0, "4:2:0": 2}
LATTICE = 16
"""Pixels after which JPEG's blocks repeat with their halved colours."""


def jpeg(pixels: Pixels, _: Generator, quality: int, subsampling: str = "4:2:0") -> Pixels:
    """JPEG (Pillow), its blocks beginning at the first pixel."""
    return _saved(pixels, "JPEG", quality=quality, subsampling=SUBSAMPLINGS[subsampling])


def jpeg_anywhere(
    pixels: Pixels, generator: Generator, quality: int, subsampling: str = "4:2:0"
) -> Pixels:
    """JPEG (Pillow), its blocks beginning anywhere: as of a photo that was cropped afterwards."""
    padded, inside = _shifted(pixels, generator)
    return jpeg(padded, generator, quality, subsampling)[inside]


def jpeg_opencv(pixels: Pixels, generator: Generator, quality: int) -> Pixels:
    """JPEG 4:2:0 as OpenCV writes and reads it, its blocks beginning anywhere."""
    cv2 = opencv()
    padded, inside = _shifted(pixels, generator)
    _, content = cv2.imencode(".jpg", padded[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded: Pixels = cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1]
    return decoded[inside]


def double_jpeg(pixels: Pixels, generator: Generator, first: int, second: int) -> Pixels:
    """JPEG 4:2:0 of one quality and then of another on the same blocks (Pillow)."""
    return jpeg(jpeg(pixels, generator, first), generator, second)


def webp(pixels: Pixels, _: Generator, quality: int) -> Pixels:
    """Lossy WebP (Pillow)."""
    return _saved(pixels, "WEBP", quality=quality)


def _saved(pixels: Pixels, kind: str, **options: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    with Image.open(file) as image:
        return np.array(image.convert("RGB"))


def _shifted(pixels: Pixels, generator: Generator) -> tuple[Pixels, tuple[slice, slice]]:
    """A photo with a random margin above and to the left, and where it lies in that."""
    top, left = (int(offset) for offset in generator.integers(LATTICE, size=2))
    padded = np.pad(pixels, ((top, 0), (left, 0), (0, 0)), mode="edge")
    return padded, (slice(top, None), slice(left, None))
