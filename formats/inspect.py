"""What a .dcn file holds, as dictionaries that fit JSON, for `dcn info`.

Without `channels` nothing is decoded and numpy is not imported, so that `dcn info` answers at
once. Describing the channels of context-coded blocks takes their coder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcncodec.errors import FormatError
from dcncodec.formats import bitstream
from dcncodec.formats.files import content_of
from dcncodec.formats.geometry import STRIDE
from dcncodec.formats.header import VERSION
from dcncodec.formats.reader import Reader, read
from dcncodec.formats.sections import Buffer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dcncodec.formats.coder import Coder
    from dcncodec.formats.guard import Source


def info(source: Source, *, channels: bool = False, coder: Coder | None = None) -> dict[str, Any]:
    """Facts about a file.

    Damaged blocks do not stop it: their entries have `intact` false and no further facts.

    Args:
        source: the file's path, its bytes or a binary stream.
        channels: also decode the blocks and describe every channel.
        coder: of context-coded blocks, to decode them.

    Returns:
        Image (`width`, `height` in pixels, `grey`, `alpha`), `model`, `model_hash`, `quality`,
        `bytes`, `bpp` (bits per pixel of the whole file), `latent` (height, width, channels),
        `rate` (0..255, None without a coding section),
        `palette` (`bytes` of exact tiles and their `share` of the picture's pixels; None without
        any), `means` (bytes of what regions have beside their latents; None without any),
        `metadata` (bytes before compression), `sections` (type, offset, bytes) and `blocks`
        (position and shape in latents, offset, bytes, mode, with `channels` their table: see
        `channel_table`; those of mode `context` have one if their coder is given).

    Raises:
        FormatError: anything but a block is damaged.
        UsageError: there is no such file.
    """
    # What is in memory, or mapped there, is not copied.
    data = source if isinstance(source, bytes | bytearray | memoryview) else content_of(source)
    reader = read(data, max_pixels=None)
    header = reader.header
    blocks = [_block(reader, number, channels, coder) for number in range(header.block_count)]
    return {
        "format": "dcn",
        "version": VERSION,
        "bytes": len(reader.data),
        "width": header.width,
        "height": header.height,
        "bpp": len(reader.data) * 8 / (header.width * header.height),
        "grey": header.grey,
        "alpha": header.alpha,
        "quality": header.quality or None,
        "model": header.model,
        "model_hash": header.model_hash.hex(),
        "latent": {
            "height": header.latent_height,
            "width": header.latent_width,
            "channels": reader.latent_channels if any(b["intact"] for b in blocks) else None,
        },
        "rate": None if reader.coding is None else reader.coding.rate,
        "palette": _palette(reader),
        "means": None if reader.means is None else {"bytes": reader.means_bytes},
        "metadata": reader.metadata_lengths(),
        "sections": [
            {"type": s.name, "offset": s.start, "bytes": s.end - s.start} for s in reader.sections
        ],
        "blocks": blocks,
    }


def _palette(reader: Reader) -> dict[str, Any] | None:
    if reader.palette is None:
        return None
    header = reader.header
    exact = sum(map(reader.exact_pixels, range(header.block_count)))
    return {
        "bytes": sum(map(len, reader.palette.areas)),
        "share": exact / (header.width * header.height),
    }


def _block(reader: Reader, number: int, channels: bool, coder: Coder | None) -> dict[str, Any]:
    section = reader.block_section(number)
    top, left, rows, columns = reader.header.block_area(number)
    facts: dict[str, Any] = {
        "number": number,
        "top": top,
        "left": left,
        "height": rows,
        "width": columns,
        "offset": section.start,
        "bytes": section.payload_end - section.payload_start,
    }
    try:
        block = reader.block(number)
        if reader.coding is None:
            facts["mode"] = bitstream.block_shape(block)[3]
            if channels:
                facts["channels"] = channel_table(block)
        else:
            facts["mode"] = "context"
            if channels and coder is not None:
                facts["channels"] = context_table(reader, number, coder)
    except FormatError:
        return facts | {"intact": False}
    return facts | {"intact": True}


def channel_table(block: Buffer) -> list[dict[str, Any]]:
    """Every channel of a block.

    Returns:
        One entry per channel: `channel`, `bytes`, `coding` (fse, rle or raw), `entropy` (bits
        per index, of the indices' histogram) and `bpp` (bits per pixel of the block's area). In
        mode `global` channels have no bytes of their own: `bytes` and `bpp` are None, `coding`
        is that of all of them.

    Raises:
        FormatError: the block is malformed.
    """
    layout = bitstream.block_layout(block)
    indices = bitstream.decode_block(block)
    pixels = layout.height * layout.width * STRIDE**2
    shared = layout.mode == "global"
    table = []
    for channel, plane in enumerate(indices):
        coded = layout.coded[0 if shared else channel]
        table.append(
            {
                "channel": channel,
                "bytes": None if shared else coded.size,
                "coding": coded.coding,
                "entropy": _entropy(plane),
                "bpp": None if shared else coded.size * 8 / pixels,
            }
        )
    return table


def context_table(reader: Reader, number: int, coder: Coder) -> list[dict[str, Any]]:
    """Every channel of a context-coded block.

    Returns:
        Entries as in `channel_table`; `bytes` is None, and `bpp` what the coder's tables say.

    Raises:
        FormatError: the block is damaged.
    """
    latents = reader.latents(number, coder)
    costs = coder.bits(latents, reader.rate)
    pixels = latents[0].size * STRIDE**2
    return [
        {
            "channel": channel,
            "bytes": None,
            "coding": "context",
            "entropy": _entropy(plane),
            "bpp": float(bits.sum()) / pixels,
        }
        for channel, (plane, bits) in enumerate(zip(latents, costs, strict=True))
    ]


def _entropy(plane: NDArray[np.uint8] | NDArray[np.int16]) -> float:
    import numpy as np

    _, counts = np.unique(plane, return_counts=True)
    shares = counts / plane.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # a constant plane would give -0.0
