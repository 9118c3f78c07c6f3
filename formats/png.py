"""Writes PNG files (PNG specification, third edition), without Pillow and NumPy: decoding is to
start at once.

    write_png(file, Samples(pixels, width, height, 3))

Rows have Paeth's filter, which the C in ``csrc/png`` computes. Residuals of a photo are noise, in
which strings hardly repeat: that C deflates them by their frequencies alone, which takes a
thirtieth of the time of zlib's usual level, for bytes within 8% of its. Pieces with many zeros, as
of a drawing, are searched for strings by zlib. Pieces are deflated side by side.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from functools import cache

from dcncodec.errors import MissingLibraryError
from dcncodec.records import record
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import IO, Any

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Grey, grey with alpha, RGB, RGB with alpha, by samples of a pixel."""
ZLIB_HEADER = b"\x78\x01"
"""A window of 32 KiB, the fastest algorithm (RFC 1950)."""
PIECE_BYTES = 2**17
"""Of residuals that are deflated by themselves: large enough that their own tables cost nothing."""
PIECES_AT_A_TIME = 16
"""In memory, and shared out among threads: starting one takes a quarter of a piece's time."""
_CENTIMETRES_OF_METRE, _INCHES_OF_METRE = 100, 1 / 0.0254


@record
class Samples:
    """Samples of 8 bits.

    Attributes:
        content: anything with the buffer protocol; rows follow each other, pixel by pixel.
        width, height: in pixels.
        channels: samples of a pixel: 1 grey, 2 with alpha, 3 RGB, 4 with alpha.
        pitch: bytes from row to row; 0 where nothing lies between them.
    """

    content: Any
    width: int
    height: int
    channels: int
    pitch: int = 0

    @property
    def line(self) -> int:
        """Bytes of a row."""
        return self.width * self.channels


def write_png(
    file: IO[bytes],
    samples: Samples,
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    threads: int = 1,
) -> None:
    """Write a PNG file.

    Args:
        file: where to.
        samples: the picture.
        icc, exif, xmp: metadata; ``exif`` begins with its TIFF header.
        threads: that deflate pieces; the bytes do not depend on it.

    Raises:
        MissingLibraryError: the C core is not built.
        OSError: as the file's.
    """
    colour = COLOUR_TYPES[samples.channels]
    file.write(SIGNATURE)
    size = struct.pack(">2I", samples.width, samples.height)
    file.write(_chunk(b"IHDR", size + bytes((8, colour, 0, 0, 0))))
    if icc:
        file.write(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if xmp:
        file.write(_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    if exif:
        file.write(_density(exif) + _chunk(b"eXIf", exif))
    pieces = list(_pieces(samples))
    checksum = 1
    for first in range(0, len(pieces), PIECES_AT_A_TIME):
        some = pieces[first : first + PIECES_AT_A_TIME]
        shares = [some[number::threads] for number in range(min(threads, len(some)))]
        others = [threading.Thread(target=_attempt, args=(share,)) for share in shares[1:]]
        for thread in others:
            thread.start()
        _attempt(shares[0])
        for thread in others:
            thread.join()
        for piece in some:
            if piece.error is not None:
                raise piece.error
            checksum = zlib.adler32(piece.residuals, checksum)
            content = piece.deflated
            if piece is pieces[0]:
                content = ZLIB_HEADER + content
            if piece is pieces[-1]:
                content += checksum.to_bytes(4, "big")
            file.write(_chunk(b"IDAT", content))
            piece.release()
    file.write(_chunk(b"IEND", b""))


def _density(exif: bytes) -> bytes:
    """The pHYs chunk of pixels per metre, if the block states as much."""
    from dcncodec.formats.exif import density

    x, y, unit = density(exif) or (0, 0, 1)
    if unit == 1:
        return b""
    scale = _CENTIMETRES_OF_METRE if unit == 3 else _INCHES_OF_METRE
    return _chunk(b"pHYs", struct.pack(">2IB", round(x * scale), round(y * scale), 1))


class _Piece:
    """Some rows.

    Attributes:
        residuals: behind their filter types.
        deflated: they, up to a whole byte.
        error: what ``attempt`` has met.
    """

    error: Exception | None = None

    def __init__(self, samples: Samples, top: int, bottom: int) -> None:
        self._samples, self._top, self._bottom = samples, top, bottom
        self.release()

    def release(self) -> None:
        """Forget the results."""
        self.residuals, self.deflated = bytearray(), b""

    def attempt(self) -> None:
        """Make them, in any thread: one that ended with an error would end in silence."""
        try:
            self._make()
        except Exception as error:
            self.error = error

    def _make(self) -> None:
        given, rows = self._samples, self._bottom - self._top
        self.residuals = bytearray(rows * (1 + given.line))
        core = _extension()
        pitch = given.pitch or given.line
        pixels = core.ffi.from_buffer("uint8_t[]", given.content)
        zeros = core.lib.dcn_png_filter(
            core.ffi.from_buffer("uint8_t[]", self.residuals),
            pixels + self._top * pitch,
            pixels + (self._top - 1) * pitch if self._top else core.ffi.NULL,
            *(pitch, rows, given.line, given.channels),
        )
        is_last, size = self._bottom == given.height, len(self.residuals)
        if 4 * zeros < 3 * size:
            out = bytearray(core.lib.dcn_png_bound(size))
            taken = core.lib.dcn_png_deflate(
                core.ffi.from_buffer("uint8_t[]", out),
                core.ffi.from_buffer("uint8_t[]", self.residuals),
                *(size, is_last),
            )
            self.deflated = bytes(memoryview(out)[:taken])
            return
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
        end = zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH
        self.deflated = deflate.compress(self.residuals) + deflate.flush(end)


def _attempt(pieces: list[_Piece]) -> None:
    for piece in pieces:
        piece.attempt()


def _pieces(samples: Samples) -> Iterator[_Piece]:
    rows = max(1, PIECE_BYTES // (1 + samples.line))
    for top in range(0, samples.height, rows):
        yield _Piece(samples, top, min(top + rows, samples.height))


def _chunk(name: bytes, content: bytes) -> bytes:
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


@cache
def _extension() -> Any:
    try:
        from dcncodec import _png
    except ImportError as error:
        raise MissingLibraryError(
            f"PNG's C core is not built ({error}); install dcncodec with pip, which needs a C "
            "compiler"
        ) from None
    return _png
