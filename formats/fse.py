"""The entropy coder in C (``csrc/fse``) for Python: FSE blocks and planes of them.

An FSE block follows the public format (RFC 8878, sections 4.1 and 4.2.1.2); it does not say how
many symbols it holds. Neither torch nor, at import, NumPy is needed.
"""

from __future__ import annotations

from functools import cache

from dcncodec.errors import FormatError, MissingLibraryError
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

MAX_BLOCK = 1 << 24
"""Most symbols of one block (``DCN_FSE_MAX_BLOCK``)."""

_NOT_COMPRESSIBLE = 1
_REPEATED_SYMBOL = 2


@cache
def _extension() -> Any:
    try:
        from dcncodec import _fse
    except ImportError as error:
        raise MissingLibraryError(
            f"the entropy coder is not built ({error}); install dcncodec with pip, which needs a "
            "C compiler"
        ) from None
    return _fse


def compress(symbols: bytes | bytearray | memoryview) -> bytes | None:
    """One FSE block.

    Args:
        symbols: 1..``MAX_BLOCK`` bytes.

    Returns:
        The block, at least 2 bytes smaller than ``symbols``; None when there is no such block:
        the symbols do not compress, or are all the same (which FSE cannot express).

    Raises:
        FormatError: there are no symbols, or too many.
    """
    extension = _extension()
    ffi, lib = extension.ffi, extension.lib
    source = ffi.from_buffer("uint8_t[]", symbols)
    block = bytearray(len(source) or 1)
    result = lib.dcn_fse_compress(
        ffi.from_buffer("uint8_t[]", block),
        len(block),
        source,
        len(source),
        ffi.new("dcn_fse_encoder *"),
    )
    if lib.dcn_fse_is_error(result):
        if lib.dcn_fse_error_code(result) in {_NOT_COMPRESSIBLE, _REPEATED_SYMBOL}:
            return None
        raise FormatError(_message(result))
    return bytes(block[:result])


def decompress(block: bytes | memoryview, count: int, max_symbol: int = 255) -> bytes:
    """The symbols of one FSE block.

    Args:
        block: all of its bytes and no more.
        count: how many symbols it holds, 2..``MAX_BLOCK``.
        max_symbol: the largest symbol that may occur, 0..255.

    Raises:
        FormatError: the block is damaged, or does not hold exactly ``count`` such symbols.
    """
    if not 2 <= count <= MAX_BLOCK:
        raise FormatError(
            f"an FSE block of {count} symbols: between 2 and {MAX_BLOCK} are possible"
        )
    extension = _extension()
    ffi, lib = extension.ffi, extension.lib
    symbols = bytearray(count)
    source = ffi.from_buffer("uint8_t[]", block)
    result = lib.dcn_fse_decompress(
        ffi.from_buffer("uint8_t[]", symbols),
        count,
        source,
        len(source),
        max_symbol,
        ffi.new("dcn_fse_decoder *"),
    )
    if lib.dcn_fse_is_error(result):
        raise FormatError(_message(result))
    return bytes(symbols)


def encode_planes(planes: NDArray[np.uint8], threads: int = 1) -> tuple[bytes, NDArray[np.uint32]]:
    """All channels of a latent block, each in its shortest form (DCN paper, Table A.1).

    Args:
        planes: uint8 (N, count), count at most ``MAX_BLOCK``.
        threads: how many threads may share the work.

    Returns:
        The channels' bytes, one after the other, and their N sizes: ``count`` for raw symbols, 3
        for a repeated symbol, any other for an FSE block.

    Raises:
        FormatError: the planes are empty or too large.
    """
    import numpy as np

    extension = _extension()
    ffi, lib = extension.ffi, extension.lib
    channels, count = planes.shape
    source = np.ascontiguousarray(planes)
    payload = np.empty(max(1, source.size), np.uint8)
    sizes = np.zeros(max(1, channels), np.uint32)
    result = lib.dcn_fse_encode_planes(
        ffi.from_buffer("uint8_t[]", payload),
        ffi.from_buffer("uint32_t[]", sizes),
        ffi.from_buffer("uint8_t[]", source) if source.size else ffi.NULL,
        channels,
        count,
        max(1, threads),
    )
    if lib.dcn_fse_is_error(result):
        raise FormatError(_message(result))
    return payload[:result].tobytes(), sizes


def decode_planes(
    payload: bytes | memoryview,
    sizes: NDArray[np.uint32],
    count: int,
    alphabet: int = 32,
    threads: int = 1,
) -> NDArray[np.uint8]:
    """Undo ``encode_planes``.

    Args:
        payload: exactly the channels' bytes.
        sizes: uint32 (N,), the bytes of each channel.
        count: symbols of a channel.
        alphabet: symbols are 0..alphabet - 1; 1..256.
        threads: how many threads may share the work.

    Returns:
        uint8 (N, count).

    Raises:
        FormatError: a size fits no form, a channel is damaged, or a symbol lies outside the
            alphabet.
        ValueError: there is no such alphabet.
    """
    import numpy as np

    if not 1 <= alphabet <= 256:
        raise ValueError(f"an alphabet of {alphabet} symbols; bytes have 1 to 256")

    extension = _extension()
    ffi, lib = extension.ffi, extension.lib
    channels = len(sizes)
    if channels < 1 or not 1 <= count <= MAX_BLOCK:
        raise FormatError(f"{channels} channels of {count} symbols cannot be decoded")
    given = np.ascontiguousarray(sizes, np.uint32)
    planes = np.empty((channels, count), np.uint8)
    result = lib.dcn_fse_decode_planes(
        ffi.from_buffer("uint8_t[]", planes),
        ffi.from_buffer("uint32_t[]", given),
        ffi.from_buffer("uint8_t[]", payload),
        len(payload),
        channels,
        count,
        alphabet - 1,
        max(1, threads),
        ffi.new("size_t[]", channels),
    )
    if lib.dcn_fse_is_error(result):
        raise FormatError(_message(result))
    return planes


def _message(result: int) -> str:
    extension = _extension()
    code = extension.lib.dcn_fse_error_code(result)
    name: bytes = extension.ffi.string(extension.lib.dcn_fse_error_name(code))
    return f"entropy-coded data: {name.decode()}"
