"""A channel as users have it: whole photos through real files, not through their estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcncodec.codec import BARE_SIDE, Codec
from dcncodec.forensics.channel import parse_channel
from dcncodec.forensics.folder import ForensicFolder
from dcncodec.formats.peers.baselines import BASELINES

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Received:
    """What comes out of a channel.

    Attributes:
        sent: what the compression got, uint8 (H, W, 3).
        pixels: what the receiver sees, the same shape.
        bytes_payload: effective payload of the file (DCN paper, section 3.5; all of a .dcn file
            of more than one block, or without a bit-stream); None without one.
    """

    sent: Pixels
    pixels: Pixels
    bytes_payload: int | None


class Transmission:
    """Down-sampling by 2 where asked for, then a file of the channel's kind, and back.

    Args:
        channel: see ``channel.parse_channel``.
        codec: of a ``dcn`` channel.
        downsample: whether 2x2 means halve photos first.
        rate: 0 to 255, of a codec with rates; None for its default.

    Raises:
        UsageError: there is no such channel.
    """

    def __init__(
        self,
        channel: str,
        codec: Codec | None = None,
        downsample: bool = False,
        rate: int | None = None,
    ) -> None:
        self.rate = rate
        self.quality = parse_channel(channel)
        self.codec, self.downsample = codec, downsample

    def send(self, pixels: Pixels, rate: int | None = None) -> Received:
        """Transmit a photo.

        Args:
            pixels: uint8 (H, W, 3); with down-sampling an odd last line is lost.
            rate: as in ``Transmission``, in the place of that one.

        Raises:
            ImageError: the photo cannot be encoded.
        """
        sent = _halved(pixels) if self.downsample else pixels
        if self.codec is not None:
            height, width = sent.shape[:2]
            if max(height, width) > BARE_SIDE or not self.codec.geometry.has_codebook:
                rate = self.rate if rate is None else rate
                data = self.codec.encode(sent, rate=rate)
                return Received(sent, self.codec.decode(data).pixels, len(data))
            data = self.codec.encode_bare(sent)
            decoded = self.codec.decode_bare(data).pixels[:height, :width]
            return Received(sent, decoded, len(data))
        if self.quality is not None:
            jpeg = BASELINES["jpeg"]
            data = jpeg.compress(sent, float(self.quality), 1)
            return Received(sent, jpeg.decompress(data, 1), jpeg.payload(data))
        return Received(sent, sent, None)


def transmission_of(folder: ForensicFolder, rate: int | None = None) -> Transmission:
    """The channel that a FAN stands behind, at a rate where its codec has several.

    Raises:
        ModelError: the codec is missing or damaged.
    """
    return Transmission(folder.channel, folder.codec(), folder.downsample, rate)


def _halved(pixels: Pixels) -> Pixels:
    """2x2 means, half to even; in training, of float32, some halves go up instead."""
    height, width = (side // 2 for side in pixels.shape[:2])
    blocks = pixels[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
    halved: Pixels = np.rint(blocks.mean((1, 3))).astype(np.uint8)
    return halved
