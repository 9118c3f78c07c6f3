"""Single latent channels of a .dcn file, without its model (SPEC.md, section 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcncodec.formats import container
from dcncodec.formats.files import content_of
from dcncodec.formats.geometry import CODEBOOK_MIN, MAX_PIXELS
from dcncodec.formats.guard import Source


def decode_channels(
    source: Source,
    channels: list[int],
    *,
    max_pixels: int | None = MAX_PIXELS,
) -> NDArray[np.int8]:
    """Latent channels of a file, without a model and without decoding the other channels.

    Only the entropy modes ``channel`` and ``global`` keep channels apart.

    Args:
        source: path, bytes or stream of the file.
        channels: numbers of the wanted channels, 0..N-1.

    Returns:
        int8 (len(channels), ceil(H / 8), ceil(W / 8)): code words, -15..16.

    Raises:
        FormatError: the file is damaged.
        UsageError: there is no such channel, or the file is in the mode ``context``.
    """
    data = content_of(source)
    file = container.read(data, max_pixels=max_pixels)
    header = file.header
    plane = np.empty((len(channels), header.latent_height, header.latent_width), np.int8)
    for number, (top, left, rows, columns) in enumerate(header.block_areas()):
        block = file.decode_channels(number, channels).astype(np.int8)
        plane[:, top : top + rows, left : left + columns] = block + CODEBOOK_MIN
    return plane
