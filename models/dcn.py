"""The DCN analysis and synthesis transforms (Korus & Memon, ICLR 2020, Fig. 2).

Pixels are RGB in [0, 1]; the networks see them in [-1, 1]. The latent of an H x W image (both
multiples of 8) has the shape H/8 x W/8 x N, in units of the quantiser's step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dcncodec.formats.geometry import MAX_SIDE
from dcncodec.models.network import Network

LEAK = 0.2
RESIDUAL_INIT = 0.1
OUTPUT_INIT = 0.1
LATENT_SCALE_INIT = 4.0
"""Spreads the latents of a fresh network over several code words; at 1 most would be zero."""


class ResidualBlock(nn.Module):
    """x + conv3x3(leaky(conv3x3(x))), 128 channels, without normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation = nn.LeakyReLU(LEAK)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        residual: Tensor = self.conv2(self.activation(self.conv1(x)))
        return x + residual


class DCN(Network):
    """Analysis and synthesis transforms around a latent of ``latent_channels`` features.

    What goes into the residual blocks has passed a leaky ReLU, unlike in the authors' code.

    Args:
        latent_channels: N, 16 / 32 / 64 for the low, medium and high quality models (1..255,
            the bit-stream's limit).
    """

    analysis_net: nn.Sequential
    synthesis_net: nn.Sequential

    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        if not 1 <= latent_channels <= MAX_SIDE:
            raise ValueError(f"latent_channels must be in 1..{MAX_SIDE}, not {latent_channels}")
        self.latent_channels = latent_channels
        self.latent_scale = nn.Parameter(torch.tensor(LATENT_SCALE_INIT))
        self.analysis_net = nn.Sequential(
            nn.Conv2d(3, 64, 5, stride=2, padding=2),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(64, 128, 5, stride=2, padding=2),
            nn.LeakyReLU(LEAK),
            ResidualBlock(128),
            ResidualBlock(128),
            ResidualBlock(128),
            nn.Conv2d(128, latent_channels, 5, stride=2, padding=2),
        )
        self.synthesis_net = nn.Sequential(
            nn.Conv2d(latent_channels, 512, 3, padding=1),
            nn.LeakyReLU(LEAK),
            nn.PixelShuffle(2),
            ResidualBlock(128),
            ResidualBlock(128),
            ResidualBlock(128),
            nn.Conv2d(128, 256, 3, padding=1),
            nn.LeakyReLU(LEAK),
            nn.PixelShuffle(2),
            nn.Conv2d(64, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=LEAK)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        # Without normalisation layers the variance would double with every block: start them
        # close to the identity instead.
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                with torch.no_grad():
                    module.conv2.weight.mul_(RESIDUAL_INIT)
        output = self.synthesis_net[-2]
        assert isinstance(output, nn.Conv2d)
        with torch.no_grad():
            output.weight.mul_(OUTPUT_INIT)  # the first pictures are a plain grey, not noise

    def analysis(self, pixels: Tensor, rate: Tensor | None = None) -> Tensor:
        """RGB to the latent.

        Args:
            pixels: float32 (B, 3, H, W) in [0, 1], H and W multiples of 8.
            rate: ignored, there is one.

        Returns:
            float32 (B, N, H/8, W/8), whatever the precision of the network's weights.
        """
        first = self.analysis_net[0].weight
        assert isinstance(first, Tensor)
        latent: Tensor = self.analysis_net((pixels * 2 - 1).to(first.dtype))
        return latent.float() * self.latent_scale

    def synthesis(self, latent: Tensor, rate: Tensor | None = None) -> Tensor:
        """Dequantised latent to RGB.

        Args:
            latent: float32 (B, N, h, w), code words.
            rate: ignored.

        Returns:
            float32 (B, 3, 8h, 8w) around [0, 1], not clipped.
        """
        first = self.synthesis_net[0].weight
        assert isinstance(first, Tensor)
        pixels: Tensor = self.synthesis_net((latent / self.latent_scale).to(first.dtype))
        # In bfloat16 the values around 0.5..1 would lie a whole grey level apart.
        return pixels.float() * 0.5 + 0.5
