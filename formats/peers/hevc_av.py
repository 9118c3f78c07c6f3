"""Single pictures through the x265 encoder and FFmpeg's HEVC decoder, both from PyAV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import FormatError, ImageError, MissingLibraryError

Plane = NDArray[np.uint8] | NDArray[np.uint16]

SMALLEST_SIDE = 16
"""x265 codes no smaller pictures."""
_CHROMA_NAMES = ("gray", "yuv420p", "yuv422p", "yuv444p")
_PRESET, _TUNE = "veryslow", "ssim"
"""What bpgenc 0.9.8 asks of x265 at its default effort, level 8."""
_MISSING = "BPG needs PyAV with {}"


def encode_444(planes: NDArray[np.uint8], qp: int, log2_min_cb: int, threads: int) -> bytes:
    """Code one 4:4:4 picture as an IDR picture with its parameter sets (annex B byte stream).

    Wavefronts are always on, as in bpgenc: the stream does not depend on the number of threads.

    Args:
        planes: uint8 (3, H, W); H and W multiples of 2**`log2_min_cb`, at least SMALLEST_SIDE.
        qp: 0..51; intra pictures get 3 less, as x265's default ipratio has it.
        log2_min_cb: log2 of the smallest coding block, 3 or 4.
        threads: of x265; 0 for one per core.

    Raises:
        ImageError: x265 refuses the picture.
        MissingLibraryError: no PyAV, or one without x265.
    """
    _, height, width = planes.shape
    av = _library()
    with _failures(av, ImageError, f"x265 cannot code {width} x {height} pixels"):
        context = _context(av, "libx265", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv444p"
        context.time_base = Fraction(1, 25)
        parameters = {
            "qp": qp,
            "keyint": 1,
            "info": 0,
            "repeat-headers": 1,
            "rect": 1,
            "amp": 1,
            "min-cu-size": 1 << log2_min_cb,
            "wpp": 1,
            "frame-threads": 1,
            "pools": threads or os.cpu_count() or 1,
            # Long pictures of few rows miss x265's levels; BPG has the one level 8.5.
            "allow-non-conformance": 1,
            "log-level": "none",
        }
        context.options = {
            "preset": _PRESET,
            "tune": _TUNE,
            "x265-params": ":".join(f"{name}={value}" for name, value in parameters.items()),
        }
        frame = av.VideoFrame(width, height, "yuv444p")
        for target, plane in zip(frame.planes, planes, strict=True):
            padded = np.zeros((height, target.line_size), np.uint8)
            padded[:, :width] = plane
            target.update(padded.tobytes())
        frame.pts = 0
        return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode()])


def decode_picture(
    stream: bytes, width: int, height: int, chroma_format: int, bit_depth: int, threads: int
) -> list[Plane]:
    """Decode the first picture of an annex B byte stream.

    Args:
        width, height: luma samples that the picture must have at least; more are cut off.
        chroma_format: chroma_format_idc, 0..3, that it must have.
        bit_depth: 8, 9, 10 or 12 bits that it must have.
        threads: of the decoder; 0 for one per core.

    Returns:
        One plane, or three, uint8 or (above 8 bits) uint16; chroma sides rounded up.

    Raises:
        FormatError: damaged, or another kind of picture.
        MissingLibraryError: no PyAV, or one without an HEVC decoder.
    """
    name = _CHROMA_NAMES[chroma_format] + (f"{bit_depth}le" if bit_depth > 8 else "")
    av = _library()
    with _failures(av, FormatError, "the HEVC data are damaged"):
        context = _context(av, "hevc", "r")
        context.thread_type, context.thread_count = "SLICE", threads
        context.options = {"err_detect": "crccheck+explode"}
        frames = [*context.decode(av.Packet(stream)), *context.decode()]
    if not frames or frames[0].is_corrupt:
        raise FormatError("the HEVC data hold no complete picture")
    frame = frames[0]
    if frame.format.name != name or frame.width < width or frame.height < height:
        raise FormatError("the HEVC data hold another kind of picture than the header says")
    half_width, half_height = chroma_format in (1, 2), chroma_format == 1
    planes: list[Plane] = []
    for index, plane in enumerate(frame.planes):
        columns = (width + 1) // 2 if index and half_width else width
        rows = (height + 1) // 2 if index and half_height else height
        samples: Plane = np.frombuffer(plane, "<u2" if bit_depth > 8 else "u1")
        whole = samples.reshape(-1, plane.line_size // samples.itemsize)
        planes.append(whole[:rows, :columns].copy())
    return planes


def _library() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise MissingLibraryError(_MISSING.format("x265"), extras=("bench",)) from error
    module: ModuleType = av
    return module


def _context(av: ModuleType, codec: str, mode: str) -> Any:
    try:
        return av.CodecContext.create(codec, mode)
    except ValueError as error:
        raise MissingLibraryError(_MISSING.format(codec), extras=("bench",)) from error


@contextmanager
def _failures(av: ModuleType, kind: type[Exception], message: str) -> Iterator[None]:
    try:
        yield
    except av.FFmpegError as error:
        raise kind(message) from error
