"""Compressed parts of a .dcn file: metadata and the alpha plane (SPEC.md, sections 6 and 7).

Both are zstandard frames whose content has a size known beforehand. Frames are expanded piece by
piece and given up as soon as they exceed that size, so that none can be a bomb.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator

from dcncodec.errors import FormatError, LimitError, MissingLibraryError
from dcncodec.formats.sections import EXIF, ICC, XMP, Buffer, pack_varint, read_varint
from dcncodec.records import record
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.uint8]

MAX_METADATA = 16 * 2**20
"""Bytes of one metadata block before compression; ICC profiles rarely exceed 4 MiB."""
MAX_WINDOW = 2**23
"""Bytes that a zstandard frame may make its reader remember (RFC 8878 recommends 8 MiB)."""

ZSTD_MAGIC = bytes.fromhex("28b52ffd")
"""First bytes of each zstandard frame."""

_LEVEL = 9
_PIECE = 512
"""Compressed bytes per step. 4 of them can become 128 KiB, a step thus 16 MiB at most."""
_ROWS_BYTES = 2**20
"""Alpha samples predicted at once by the encoder."""


METADATA = {ICC: "icc", EXIF: "exif", XMP: "xmp"}
"""Section types and the attributes of `Metadata`."""


@record
class Metadata:
    """Blocks of metadata as image files carry them: ICC profile, EXIF (from its TIFF header), XMP.

    The EXIF orientation is always 1, because dcn stores pixels upright.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

    def sized(self, width: int, height: int) -> Metadata:
        """The same of a picture of so many pixels, where a block states their number."""
        if self.exif is None and self.xmp is None:
            return self
        from dcncodec.formats import exif, xmp

        return Metadata(
            self.icc,
            exif.with_size(self.exif, width, height) if self.exif else self.exif,
            xmp.with_size(self.xmp, width, height) if self.xmp else self.xmp,
        )


def pack_metadata(block: bytes, what: str) -> bytes:
    """The payload of a metadata section: the block's length and its zstandard frame.

    Raises:
        LimitError: the block is empty or longer than MAX_METADATA.
    """
    if not 1 <= len(block) <= MAX_METADATA:
        raise LimitError(
            f"{what} metadata of {len(block)} bytes, a file holds 1 to {MAX_METADATA}; "
            "encode without metadata"
        )
    frame: bytes = load_zstd().compress(block, level=_LEVEL)
    return pack_varint(len(block)) + frame


def metadata_length(payload: Buffer, what: str) -> tuple[int, int]:
    """The length that a metadata section declares, and the offset of its frame.

    Raises:
        FormatError: the length is malformed or out of range.
    """
    length, offset = read_varint(payload, 0, f"length of the {what} metadata")
    if not 1 <= length <= MAX_METADATA:
        raise FormatError(f"{what} metadata of {length} bytes is not in 1..{MAX_METADATA}")
    return length, offset


def unpack_metadata(payload: memoryview, what: str) -> bytes:
    """The block in a metadata section.

    Raises:
        FormatError: the payload is malformed.
    """
    length, offset = metadata_length(payload, what)
    return b"".join(expand(payload[offset:], length, f"{what} metadata"))


def pack_alpha(alpha: Plane) -> bytes:
    """The payload of the ALPH section for a plane (H, W) uint8.

    Each row is predicted by what makes the sum of absolute residuals smallest.
    """
    height, width = alpha.shape
    compressor = load_zstd().ZstdCompressor(level=_LEVEL)
    if hasattr(compressor, "set_pledged_input_size"):  # Python 3.14's own does not have it
        compressor.set_pledged_input_size(height * (width + 1))
    rows = max(1, _ROWS_BYTES // width)
    pieces = [
        compressor.compress(_predicted(alpha, top, min(top + rows, height)))
        for top in range(0, height, rows)
    ]
    return b"".join(pieces) + bytes(compressor.flush())


def _predicted(alpha: Plane, top: int, bottom: int) -> bytes:
    """Rows top..bottom as predictor and residuals."""
    import numpy as np

    band = alpha[top:bottom]
    above = np.zeros_like(band)
    above[1:] = band[:-1]
    if top:
        above[0] = alpha[top - 1]
    difference = band - above
    candidates = np.stack((band, _less_left(band), difference, _less_left(difference)))
    # A residual of 255 is a step of -1: sizes are those of signed bytes.
    cost = np.minimum(candidates, 0 - candidates).sum(axis=2, dtype=np.int64)
    best = cost.argmin(axis=0)
    coded = np.empty((band.shape[0], band.shape[1] + 1), np.uint8)
    coded[:, 0] = best
    coded[:, 1:] = candidates[best, np.arange(band.shape[0])]
    return coded.tobytes()


def _less_left(rows: Plane) -> Plane:
    residual = rows.copy()
    residual[:, 1:] -= rows[:, :-1]
    return residual


def unpack_alpha(payload: memoryview, width: int, top: int, bottom: int, height: int) -> Plane:
    """Rows top..bottom of the alpha plane, (bottom - top, width) uint8.

    Rows above are decoded too, but not kept; rows below are only decoded, as a check, when the
    last row is asked for.

    Raises:
        FormatError: the payload is malformed.
    """
    import numpy as np

    plane = np.empty((bottom - top, width), np.uint8)
    row = np.zeros(width, np.uint8)
    number = 0
    pending = bytearray()
    for piece in expand(payload, height * (width + 1), "alpha plane"):
        pending += piece
        used = 0
        while len(pending) - used > width and number < bottom:
            coded = np.frombuffer(bytes(pending[used : used + width + 1]), np.uint8)
            row = _restored(coded, row)
            if number >= top:
                plane[number - top] = row
            number += 1
            used += width + 1
        del pending[:used]
        if number == bottom < height:
            break
    return plane


def _restored(coded: Plane, above: Plane) -> Plane:
    """One row from its predictor and residuals; all sums are modulo 256."""
    import numpy as np

    predictor, residual = int(coded[0]), coded[1:]
    if predictor > 3:
        raise FormatError(f"alpha plane names predictor {predictor}, there are 0 to 3")
    if predictor & 1:
        residual = np.add.accumulate(residual, dtype=np.uint8)
    return residual + above if predictor & 2 else residual


def expand(frame: memoryview, size: int, what: str, start: bytes = b"") -> Iterator[bytes]:
    """Pieces of a zstandard frame's content, `size` bytes together.

    Args:
        frame: all of it but for `start`.
        size: of the content.
        what: names it in errors.
        start: of the frame.

    Raises:
        FormatError: it is not exactly one frame of exactly that size.
    """
    zstd = load_zstd()
    limit = {zstd.DecompressionParameter.window_log_max: MAX_WINDOW.bit_length() - 1}
    decompressor = zstd.ZstdDecompressor(options=limit)
    if start:
        decompressor.decompress(start)
    produced = 0
    for place in range(0, len(frame), _PIECE):
        if decompressor.eof:
            raise FormatError(f"bytes follow the frame of the {what}")
        try:
            piece = decompressor.decompress(frame[place : place + _PIECE])
        except zstd.ZstdError as error:
            raise FormatError(f"{what} is not a zstandard frame that can be read") from error
        produced += len(piece)
        if produced > size:
            raise FormatError(f"{what} is longer than the {size} bytes announced")
        if piece:
            yield piece
    if not decompressor.eof:
        raise FormatError(f"frame of the {what} is cut short")
    if decompressor.unused_data:
        raise FormatError(f"bytes follow the frame of the {what}")
    if produced != size:
        raise FormatError(f"{what} has {produced} bytes, {size} are announced")


def load_zstd() -> ModuleType:
    """The library of zstandard, which is loaded when a frame is met.

    Raises:
        MissingLibraryError: it is not installed.
    """
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"metadata, alpha and palettes need the library {name}; pip install {name}"
        ) from error
