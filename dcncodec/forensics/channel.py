"""The channel between a photo and its analysis: down-sampling and lossy compression."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.errors import UsageError
from dcncodec.forensics.djpeg import DJPEG
from dcncodec.models.dcn import DCN
from dcncodec.models.vr import VR
from dcncodec.quantise import Histogram, Quantiser, quantise_in_training

JPEG = re.compile(r"jpeg:(\d{1,3})")
NONE, DCN_FILE = "none", "dcn"


def parse_channel(text: str) -> int | None:
    """Check a channel's name.

    Args:
        text: ``dcn``, ``none`` or ``jpeg:QF`` with a quality of 1..100.

    Returns:
        The quality of a JPEG channel, None for the others.

    Raises:
        UsageError: it is none of them.
    """
    found = JPEG.fullmatch(text)
    if found and 1 <= int(found[1]) <= 100:
        return int(found[1])
    if text not in {NONE, DCN_FILE}:
        raise UsageError(f"channel {text}: choose dcn, none, or jpeg:QF with a quality of 1 to 100")
    return None


def as_bytes(pixels: Tensor) -> Tensor:
    """Values that 8-bit samples can hold, in [0, 1]; the gradient passes unchanged."""
    exact = (pixels.detach().clamp(0, 1) * 255).round() / 255
    return pixels + (exact - pixels).detach()


class Channel(nn.Module):
    """Optional down-sampling by 2, then compression and decompression.

    Args:
        kind: see ``parse_channel``.
        codec: of a ``dcn`` channel; its weights may be trained or not. One for all rates is kept
            here, but compresses elsewhere: it needs to know at which.
        downsample: whether 2x2 means halve the picture first.
        histogram, straight_through: of the codec's quantiser (``quantise_in_training``).

    Raises:
        UsageError: there is no such channel.
    """

    def __init__(
        self,
        kind: str,
        codec: DCN | VR | None = None,
        downsample: bool = False,
        histogram: Histogram = "channel",
        straight_through: bool = True,
    ) -> None:
        super().__init__()
        quality = parse_channel(kind)
        if (kind == DCN_FILE) != (codec is not None):
            raise ValueError("a dcn channel has a codec, others have none")
        self.kind, self.downsample = kind, downsample
        self.histogram, self.straight_through = histogram, straight_through
        self.codec = codec
        self.jpeg = DJPEG(quality) if quality is not None else None
        self.quantiser = Quantiser()

    def prepare(self, pixels: Tensor) -> Tensor:
        """What the compression gets: 8-bit samples, down-sampled where asked for.

        Args:
            pixels: float (B, 3, H, W) in [0, 1]; with down-sampling H and W are even.
        """
        return as_bytes(functional.avg_pool2d(pixels, 2) if self.downsample else pixels)

    def compress(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compression and decompression alone.

        Args:
            pixels: float (B, 3, H, W) in [0, 1]; multiples of 8 for a ``dcn`` channel.

        Returns:
            What the analysis sees, the same shape, 8-bit samples; the entropy estimate in bits
            per feature for a ``dcn`` channel.
        """
        if isinstance(self.codec, VR):
            raise ValueError("a codec for all rates needs a rate")
        if self.codec is not None:
            latent = self.codec.analysis(pixels)
            quantised, entropy = quantise_in_training(
                self.quantiser, latent, self.histogram, self.straight_through
            )
            return as_bytes(self.codec.synthesis(quantised)), entropy
        if self.jpeg is not None:
            with torch.autocast(pixels.device.type, enabled=False):
                return self.jpeg(pixels), None
        return pixels, None

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """``prepare`` and ``compress``."""
        return self.compress(self.prepare(pixels))
