"""What a codec's networks do: pixels to the latent, and code words to pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from dcncodec.models.context import ContextModel


class Network(nn.Module, ABC):
    """The two transforms of a codec. They know nothing of windows, devices and memory: those are
    ``runtime``'s; nor of code words beyond their scale: those are in the card (``Geometry``).

    Attributes:
        analysis_net, synthesis_net: what may be computed in bfloat16; the rest, what scales latents
            above all, stays in float32, because encoder and decoder may differ in precision.
    """

    analysis_net: nn.Module
    synthesis_net: nn.Module

    @abstractmethod
    def analysis(self, pixels: Tensor, rate: Tensor) -> Tensor:
        """RGB to the latent, in units of the quantiser's step: its rounding is for the caller.

        Args:
            pixels: float32 (B, 3, H, W) in [0, 1], H and W multiples of the stride.
            rate: float32 (B,) in 0..255, ignored by networks of one rate.

        Returns:
            float32 (B, N, H / stride, W / stride), whatever the precision of the layers.
        """

    @abstractmethod
    def synthesis(self, latent: Tensor, rate: Tensor) -> Tensor:
        """Code words to RGB.

        Args:
            latent: float32 (B, N, h, w), code words.
            rate: as they were encoded.

        Returns:
            float32 (B, 3, stride * h, stride * w) around [0, 1], not clipped.
        """

    def twin(self) -> ContextModel | None:
        """The coder's model in floating point, which has gradients; None without."""
        return None
