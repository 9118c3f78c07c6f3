"""x265 at its own default effort and FFmpeg's HEVC decoder: the peers of the speed benchmark.

Unlike BPG files (`formats.bpg`), which follow bpgenc's slower settings, these are plain HEVC
streams of one intra picture, preset medium, 4:4:4, full-range BT.601. Colours are converted by
swscale, in C, so that times are those of the codec.
"""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import FormatError, ImageError, MissingLibraryError

Pixels = NDArray[np.uint8]

_FULL_RANGE, _BT601 = 2, 5
"""As swscale numbers them: AVCOL_RANGE_JPEG, SWS_CS_ITU601."""


def encode(pixels: Pixels, qp: float, threads: int) -> bytes:
    """Code RGB pixels, uint8 (H, W, 3), as one intra picture (annex B byte stream).

    Args:
        qp: 0..51; intra pictures get 3 less, as x265's default ipratio has it.
        threads: of x265; 0 for one per core.

    Raises:
        ImageError: x265 refuses the picture.
        MissingLibraryError: no PyAV, or one without x265.
    """
    av = _library()
    height, width = pixels.shape[:2]
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format="yuv444p", dst_colorspace=_BT601, dst_color_range=_FULL_RANGE
    )
    frame.pts = 0
    context = _context(av, "libx265", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv444p"
    context.time_base = Fraction(1, 25)
    pools = threads or os.cpu_count() or 1
    parameters = f"qp={int(qp)}:keyint=1:info=0:frame-threads=1:pools={pools}:log-level=none"
    context.options = {"preset": "medium", "x265-params": parameters}
    try:
        return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode()])
    except av.FFmpegError:
        raise ImageError(f"x265 cannot code {width} x {height} pixels") from None


def decode(data: bytes, threads: int) -> Pixels:
    """The pixels of a stream that ``encode`` made, uint8 (H, W, 3).

    Raises:
        FormatError: the stream is damaged.
        MissingLibraryError: no PyAV, or one without an HEVC decoder.
    """
    av = _library()
    context = _context(av, "hevc", "r")
    context.thread_type, context.thread_count = "SLICE", threads
    try:
        frames = [*context.decode(av.Packet(data)), *context.decode()]
    except av.FFmpegError:
        frames = []
    if not frames:
        raise FormatError("the HEVC data are damaged; encode the image again")
    frame = frames[0].reformat(format="rgb24", src_colorspace=_BT601, src_color_range=_FULL_RANGE)
    return np.asarray(frame.to_ndarray())


def _library() -> Any:
    try:
        import av
    except ImportError:
        raise MissingLibraryError("HEVC needs PyAV", extras=("bench",)) from None
    return av


def _context(av: Any, codec: str, mode: str) -> Any:
    try:
        return av.CodecContext.create(codec, mode)
    except ValueError:
        raise MissingLibraryError(
            f"this PyAV lacks {codec}; install its wheel", extras=("bench",)
        ) from None
