"""Camera RAW: frames as the sensor gave them, and what neural pipelines see of them.

    frame = read_raw("photo.nef")
    stack = frame.stack()          # (H/2, W/2, 4), R G G B
    matrix = frame.to_srgb         # camera RGB to linear sRGB

`read_raw` takes every file that LibRaw can unpack and whose sensor has a 2x2 Bayer filter.
LibRaw undoes the camera's own linearisation table. `frame_from_bytes` takes frames without a
header, whose properties the caller knows.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import FormatError, ImageError, LimitError, MissingLibraryError, UsageError
from dcncodec.formats.files import read_bytes
from dcncodec.formats.geometry import MAX_PIXELS
from dcncodec.formats.suffixes import RAW

if TYPE_CHECKING:
    import rawpy

Floats = NDArray[np.float32]

PATTERNS = ("RGGB", "GRBG", "GBRG", "BGGR")
"""Colours of the filter's first 2x2 pixels, row by row."""

SRGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.1191920, 0.9503041]]
)  # fmt: skip
"""Linear sRGB to XYZ with white D65 (IEC 61966-2-1)."""

SMALLEST = 6
"""Samples that a frame has in either direction, at least: pipelines look that far."""
GAINS = (0.01, 100.0)
"""What a factor of the white balance can be."""

LARGEST_WEIGHT = 20.0
"""Of a camera's colour in one of sRGB; those of real cameras stay below 4."""

_UPRIGHT = {
    0: (0, False), 3: (2, False), 5: (1, False), 6: (3, False),
    1: (0, True), 2: (2, True), 4: (3, True), 7: (1, True),
}  # fmt: skip
"""LibRaw's orientation to quarter turns and mirroring."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The active area of a sensor with a Bayer filter.

    Attributes:
        mosaic: uint16 (H, W), linear in light.
        pattern: one of ``PATTERNS``.
        black: sample of no light, at each of the pattern's four places.
        white: sample of saturation.
        gains: white balance, factors for R, G and B, positive.
        to_srgb: (3, 3), white-balanced camera RGB to linear sRGB; rows sum to 1, so that white
            stays white.
        turns: counter-clockwise quarter turns that put the picture upright,
        mirrored: and whether left and right then change places.
    """

    mosaic: NDArray[np.uint16]
    pattern: str
    black: tuple[float, float, float, float]
    white: float
    gains: tuple[float, float, float]
    to_srgb: NDArray[np.float64]
    turns: int = 0
    mirrored: bool = False

    def upright(self, picture: Floats) -> Floats:
        """A view of a developed picture (H, W, 3) the right way up."""
        turned = np.rot90(picture, self.turns)
        return turned[:, ::-1] if self.mirrored else turned

    def stack(self) -> Floats:
        """What pipelines start from: float32 (h, w, 4) in [0, 1], channels R, G, G, B.

        Black is subtracted, saturation becomes 1, the white balance is applied (the smallest
        factor as 1, so that saturated pixels are white) and clipped. h and w are about half of
        H and W: rows and columns before the first red pixel, and an odd last one, are left out.
        """
        black = np.array(self.black).reshape(2, 2)
        gains = np.array(self.gains) / min(self.gains)
        top, left = divmod(self.pattern.index("R"), 2)
        height, width = ((side - first) // 2 for side, first in
                         zip(self.mosaic.shape, (top, left), strict=True))  # fmt: skip
        planes = []
        for row, column, gain in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
            y, x = top + row, left + column
            dark = black[y % 2, x % 2]
            plane = self.mosaic[y::2, x::2][:height, :width].astype(np.float32)
            planes.append((plane - dark) * (gains[gain] / (self.white - dark)))
        return np.stack(planes, axis=-1).clip(0, 1).astype(np.float32)


def camera_to_srgb(xyz_to_camera: NDArray[np.float64]) -> NDArray[np.float64]:
    """A camera's (3, 3) matrix XYZ (D65) to camera RGB, the way cameras are usually described,
    as ``Frame.to_srgb``."""
    srgb_to_camera = xyz_to_camera @ SRGB_TO_XYZ
    matrix: NDArray[np.float64] = np.linalg.inv(
        srgb_to_camera / srgb_to_camera.sum(1, keepdims=True)
    )
    return matrix


def check_size(width: int, height: int, name: str) -> None:
    """Tell whether a frame is large enough to develop.

    Raises:
        ImageError: it is smaller than ``SMALLEST`` in a direction.
    """
    if min(width, height) < SMALLEST:
        raise ImageError(
            f"{width} x {height} are too few for a sensor; at least "
            f"{SMALLEST} x {SMALLEST} are needed",
            name,
        )


def raw_files(folder: Path) -> list[Path]:
    """The RAW files in a folder and those below it, by suffix; none of what is no folder.

    Hidden files such as macOS's ``._photo.nef`` are left out.
    """
    if not folder.is_dir():
        return []
    found = (p for p in folder.rglob("*") if p.suffix.lower() in RAW and p.is_file())
    return sorted(p for p in found if not p.name.startswith("."))


def read_raw(path: str | os.PathLike[str], *, max_pixels: int | None = MAX_PIXELS) -> Frame:
    """Read a camera's RAW file.

    Args:
        path: of the file.
        max_pixels: the most that are read; None for no limit.

    Raises:
        UsageError: the file is missing or may not be read.
        ImageError: it is damaged or smaller than ``SMALLEST``, or LibRaw does not support the
            camera, or its sensor has no 2x2 Bayer filter, or its colours are unknown.
        LimitError: it has more than ``max_pixels``.
        MissingLibraryError: rawpy is not installed.
    """
    label = os.fspath(path)
    with _opened(read_bytes(path), label) as raw:
        sizes = raw.sizes
        if max_pixels is not None and sizes.width * sizes.height > max_pixels:
            raise LimitError(
                f"{sizes.width} x {sizes.height} pixels are more than the limit of {max_pixels}",
                label,
            )
        check_size(sizes.width, sizes.height, label)
        _check_levels(raw, label)
        if raw.raw_type.name != "Flat":
            raise ImageError("holds no mosaic of a sensor; try --pipeline libraw", label)
        colours = raw.raw_pattern
        if colours is None or colours.shape != (2, 2) or raw.num_colors != 3:
            raise ImageError("its sensor has no 2x2 Bayer filter; try --pipeline libraw", label)
        place = colours.flatten()
        pattern = "".join(chr(raw.color_desc[colour]) for colour in place)
        to_srgb = _to_srgb(raw)
        if pattern not in PATTERNS or to_srgb is None:
            raise ImageError("the colours of its camera are unknown; try --pipeline libraw", label)
        _check_matrix(to_srgb, label)
        black = [float(raw.black_level_per_channel[colour]) for colour in place]
        turns, mirrored = _UPRIGHT.get(sizes.flip, (0, False))
        return Frame(
            mosaic=raw.raw_image_visible.copy(),
            pattern=pattern,
            black=(black[0], black[1], black[2], black[3]),
            white=float(raw.white_level),
            gains=_gains(raw.camera_whitebalance, raw.daylight_whitebalance),
            to_srgb=to_srgb,
            turns=turns,
            mirrored=mirrored,
        )


def develop_with_libraw(
    source: str | os.PathLike[str] | bytes, *, upright: bool = True
) -> NDArray[np.uint8]:
    """LibRaw's own pipeline: AHD demosaicing, the camera's white balance, sRGB.

    Args:
        source: a file's path, or its bytes.
        upright: whether the orientation is applied; otherwise as the sensor was.

    Returns:
        uint8 (H, W, 3).

    Raises:
        UsageError, ImageError, MissingLibraryError: as ``read_raw``.
    """
    label = "RAW data" if isinstance(source, bytes) else os.fspath(source)
    content = source if isinstance(source, bytes) else read_bytes(source)
    with _opened(content, label) as raw:
        _check_levels(raw, label)
        if (to_srgb := _to_srgb(raw)) is not None:
            _check_matrix(to_srgb, label)
        flip = None if upright else 0
        pixels: NDArray[np.uint8] = raw.postprocess(
            use_camera_wb=True, no_auto_bright=True, user_flip=flip
        )
    return pixels


def frame_from_bytes(
    content: bytes,
    width: int,
    height: int,
    black: float,
    white: float,
    gains: Sequence[float] = (1.0, 1.0, 1.0),
    pattern: str = "RGGB",
    *,
    name: str = "RAW frame",
) -> Frame:
    """A frame without a header: little-endian uint16 samples, row by row.

    Its colours are taken as those of linear sRGB.

    Args:
        content: exactly 2 * width * height bytes.
        width, height: in pixels.
        black, white: samples of no light and of saturation.
        gains: white balance of R, G and B, each in the range ``GAINS``.
        pattern: one of ``PATTERNS``.
        name: how messages call it.

    Raises:
        FormatError: there are more or fewer bytes.
        ImageError: it is smaller than ``SMALLEST``.
        UsageError: the numbers make no sense.
    """
    if len(content) != 2 * width * height:
        raise FormatError(
            f"{len(content)} bytes, but {width} x {height} pixels take "
            f"{2 * width * height}; give the right --size",
            name,
        )
    if not 0 <= black < white <= 65_535:
        raise UsageError(f"black {black:g}, white {white:g}: give 0 <= black < white", name)
    if len(gains) != 3 or not all(GAINS[0] <= gain <= GAINS[1] for gain in gains):
        raise UsageError(
            f"--gains: give three factors, for R, G and B, from {GAINS[0]:g} to {GAINS[1]:g}", name
        )
    check_size(width, height, name)
    mosaic = np.frombuffer(content, "<u2").reshape(height, width).astype(np.uint16)
    return Frame(
        mosaic,
        pattern,
        (black,) * 4,
        white,
        (gains[0], gains[1], gains[2]),
        np.eye(3),
    )


@contextmanager
def _opened(content: bytes, label: str) -> Iterator[rawpy.RawPy]:
    """A RAW file, its errors as one line."""
    try:
        import rawpy
    except ImportError:
        raise MissingLibraryError("RAW files need rawpy", extras=("raw",)) from None
    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            yield raw
    except rawpy.LibRawFileUnsupportedError:
        version = ".".join(map(str, rawpy.libraw_version))
        raise ImageError(
            f"not a RAW file of a camera that LibRaw {version} supports; convert it to DNG", label
        ) from None
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else type(error).__name__
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ImageError(f"no RAW file, or damaged: {reason}", label) from None
    except (NotImplementedError, ValueError) as error:
        # What rawpy raises for sensors that it cannot hand out.
        raise ImageError(f"a kind of RAW file that is not supported ({error})", label) from None


def _check_levels(raw: rawpy.RawPy, label: str) -> None:
    """Raise ImageError unless there is light between black and white."""
    darkest = max(raw.black_level_per_channel, default=0)
    if not 0 <= darkest < raw.white_level:
        raise ImageError(
            f"black at {darkest} and white at {raw.white_level}: damaged, or of a kind "
            "that is not supported",
            label,
        )


def _check_matrix(to_srgb: NDArray[np.float64], label: str) -> None:
    """Raise ImageError for colours that no camera has: those that do not keep white, for one."""
    good = np.isfinite(to_srgb).all() and np.abs(to_srgb).max() < LARGEST_WEIGHT
    if not (
        good and np.abs(to_srgb.sum(1) - 1).max() < 0.01 and abs(np.linalg.det(to_srgb)) > 1e-3
    ):
        raise ImageError("its colour matrix makes no sense: damaged", label)


def _to_srgb(raw: rawpy.RawPy) -> NDArray[np.float64] | None:
    """By LibRaw's table of cameras, else by the file's own matrix (DNG), else unknown."""
    from_xyz = np.array(raw.rgb_xyz_matrix[:3], dtype=np.float64)
    if from_xyz.any(1).all():
        return camera_to_srgb(from_xyz)
    own = np.array(raw.color_matrix[:3, :3], dtype=np.float64)
    return own if own.any(1).all() else None


def _gains(*choices: Sequence[float]) -> tuple[float, float, float]:
    """The first usable white balance: the camera's, daylight, or none at all."""
    for gains in choices:
        if min(gains[:3]) > 0 and all(np.isfinite(gains[:3])):
            red, green, blue = (float(gain / gains[1]) for gain in gains[:3])
            if GAINS[0] <= min(red, blue) and max(red, blue) <= GAINS[1]:
                return red, green, blue
    return 1.0, 1.0, 1.0
