"""Coders of latents: integer code words to bytes and back, the same on every machine.

A coder knows the latents of its model (``geometry.Geometry``), nothing of pixels and networks.
``ChannelCoder`` is the paper's bit-stream; coders with a model of their own come with their model
(``models.families``).
"""

from __future__ import annotations

from dcncodec.errors import FormatError
from dcncodec.formats import bitstream
from dcncodec.formats.geometry import CODEBOOK_MIN, CODEBOOK_SIZE, Area
from dcncodec.formats.sections import Buffer
from dcncodec.typed import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import Literal

    import numpy as np
    from numpy.typing import NDArray

    Latents = NDArray[np.int16]
    """(N, rows, columns) code words."""

__all__ = ["ChannelCoder", "Coder", "ModelCoder", "from_indices", "to_indices"]


class Coder(Protocol):
    """What codes the latents of one block. Integers only: nothing here may differ by rounding."""

    def encode(self, latents: Latents, rate: int) -> bytes:
        """The bytes of a block.

        Args:
            latents: int16 (N, rows, columns), rows and columns 1..255.
            rate: 0..255, ignored where the model has one rate.

        Raises:
            ValueError: latents of another type or shape, or outside the code words.
        """
        ...

    def decode(self, block: Buffer, area: Area, rate: int) -> Latents:
        """The latents of a block.

        Args:
            block: its bytes and no others.
            area: the part of the latent plane that it covers.
            rate: as it was encoded.

        Raises:
            FormatError: the block is damaged, or covers another area.
        """
        ...

    def bits(self, latents: Latents, rate: int) -> NDArray[np.float32]:
        """An estimate of what every latent costs, in bits, for searches: the latents' shape."""
        ...


class ModelCoder(Coder, Protocol):
    """A coder with a model of its own, which a file names in its CODR section.

    Attributes:
        sha256: of that model.
        threads: that may share the work; the bytes do not depend on it.
    """

    sha256: bytes
    threads: int

    def quantise(
        self, targets: NDArray[np.float32], curvature: float, rate: int, *, centred: bool
    ) -> Latents:
        """Code words between the nearest and the predicted ones, with less bits for their distance
        than rounding.

        Args:
            targets: float32 (N, rows, columns), rows and columns 1..255.
            curvature: bits that a squared distance of one code word is worth.
            rate: 0..255, ignored where the model has one rate.
            centred: distances are from the centre of mass of what rounds to a code word.
        """
        ...


class ChannelCoder:
    """The paper's coder, for the codebook -15..16: ``formats.bitstream``.

    Args:
        mode: ``channel``, ``global`` or ``auto``, see ``bitstream.encode_block``.
        threads: that may share the work; the bytes do not depend on it.
    """

    def __init__(
        self, mode: Literal["channel", "global", "auto"] = "auto", threads: int = 1
    ) -> None:
        self.mode, self.threads = mode, threads

    def encode(self, latents: Latents, rate: int = 0) -> bytes:
        """See ``Coder``."""
        return bitstream.encode_block(to_indices(latents), self.mode, self.threads)

    def decode(self, block: Buffer, area: Area, rate: int = 0) -> Latents:
        """See ``Coder``."""
        height, width, _, _ = bitstream.block_shape(block)
        if (height, width) != (area.rows, area.columns):
            raise FormatError(
                f"has {width} x {height} latents, {area.columns} x {area.rows} belong there"
            )
        return from_indices(bitstream.decode_block(block, self.threads))

    def bits(self, latents: Latents, rate: int = 0) -> NDArray[np.float32]:
        """See ``Coder``; from the histogram of each channel."""
        import numpy as np

        costs = np.empty(latents.shape, np.float32)
        for channel, indices in enumerate(to_indices(latents)):
            counts = np.bincount(indices.ravel(), minlength=CODEBOOK_SIZE)
            table = np.log2(indices.size / np.maximum(counts, 1)).astype(np.float32)
            costs[channel] = table[indices]
        return costs


def to_indices(latents: Latents) -> NDArray[np.uint8]:
    """Code words of the codebook as its indices, 0..31.

    Raises:
        ValueError: one is outside the codebook.
    """
    import numpy as np

    indices = latents - np.int16(CODEBOOK_MIN)
    if indices.size and not 0 <= indices.min() <= indices.max() < CODEBOOK_SIZE:
        raise ValueError(f"code words {latents.min()}..{latents.max()} are not in the codebook")
    return indices.astype(np.uint8)


def from_indices(indices: NDArray[np.uint8]) -> Latents:
    """Indices, 0..31, as the code words that they stand for."""
    import numpy as np

    return indices.astype(np.int16) + np.int16(CODEBOOK_MIN)
