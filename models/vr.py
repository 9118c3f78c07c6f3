"""The family ``vr``: one network for all rates, which starts as a linear transform.

Pixels are RGB in [0, 1]; the networks see them in [-1, 1], as patches of 8 x 8 pixels with 192
features each. Both transforms are the sum of a linear map, which starts as the Karhunen-Loeve
transform (KLT) of such patches, and of a network that starts at zero and corrects it. The latent is
scaled by a gain for each channel and rate before it is rounded, and back after.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.models.context import ContextModel, at_rate
from dcncodec.models.network import Network
from dcncodec.models.program import KNOTS, LEAK
from dcncodec.models.vr_layers import (
    EXPANSION,
    FEATURES,
    FINE_BLOCKS,
    FINE_FEATURES,
    FINE_WIDTH,
    WIDTH,
)

RESIDUAL_INIT = 0.1
DEPTHWISE_NOISE = 0.1
GAIN = 26.9
"""The gain at the start over the square root of lambda, on [-1, 1] and an orthonormal transform."""


class Block(nn.Module):
    """x + P2 lrelu(P1 dw3x3(lrelu(P0 x))): all of space in the depthwise part.

    Args:
        channels: c; the last two layers have 2c in between.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.p0 = nn.Conv2d(channels, channels, 1)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.p1 = nn.Conv2d(channels, EXPANSION * channels, 1)
        self.p2 = nn.Conv2d(EXPANSION * channels, channels, 1)
        with torch.no_grad():
            self.p2.weight.mul_(RESIDUAL_INIT)
            self.depthwise.weight.normal_(0, DEPTHWISE_NOISE)
            self.depthwise.weight[:, 0, 1, 1] += 1

    def forward(self, x: Tensor) -> Tensor:
        """(B, c, h, w) to the same shape."""
        h = self.depthwise(functional.leaky_relu(self.p0(x), LEAK))
        corrected: Tensor = x + self.p2(functional.leaky_relu(self.p1(h), LEAK))
        return corrected


class Correction(nn.Module):
    """What a transform adds to its linear map: 1x1, blocks, and a last part that starts at zero.

    Args:
        features: channels of the input.
        width: of the blocks.
        blocks: number of them.
        tail: from ``width`` channels to the output.
        stem: what else sees the input, added to the 1x1's output; it starts at zero, too.
    """

    def __init__(
        self,
        features: int,
        width: int,
        blocks: int,
        tail: nn.Sequential,
        stem: nn.Sequential | None = None,
    ) -> None:
        super().__init__()
        self.head = nn.Conv2d(features, width, 1)
        self.stem = stem
        self.rate_bias = nn.Parameter(torch.zeros(KNOTS, width))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.tail = tail
        for part in (tail, stem):
            if part is not None:
                last = part[-1]
                assert isinstance(last, nn.Conv2d)
                nn.init.zeros_(last.weight)

    def forward(self, x: Tensor, rate: Tensor) -> Tensor:
        """(B, features, h, w) and rates (B,) to the tail's output."""
        h = self.head(x)
        if self.stem is not None:
            h = h + self.stem(x)
        h = h + at_rate(self.rate_bias, rate)[..., None, None].to(h.dtype)
        corrected: Tensor = self.tail(self.blocks(h))
        return corrected


class VR(Network):
    """Both transforms, their gains, and the context model of the latents between them.

    Args:
        latent_channels: N, at most 192.
        blocks: of the synthesis at stride 8.
        hidden: units of the context model.
        analysis_blocks: of the analysis at stride 8. Only encoders pay for them.
        analysis_fine_blocks: of the analysis at stride 4; 0 for no part at that stride.
    """

    analysis_net: Correction
    synthesis_net: Correction

    def __init__(
        self,
        latent_channels: int,
        blocks: int,
        hidden: int,
        analysis_blocks: int,
        analysis_fine_blocks: int,
    ) -> None:
        super().__init__()
        self.latent_channels = channels = latent_channels
        self.linear_analysis = nn.Conv2d(FEATURES, channels, 1)
        self.analysis_net = Correction(
            FEATURES,
            WIDTH,
            analysis_blocks,
            nn.Sequential(nn.Conv2d(WIDTH, channels, 1)),
            _fine_stem(analysis_fine_blocks) if analysis_fine_blocks else None,
        )
        self.linear_synthesis = nn.Conv2d(channels, FEATURES, 1)
        self.synthesis_net = Correction(
            channels,
            WIDTH,
            blocks,
            nn.Sequential(
                nn.Conv2d(WIDTH, 4 * FINE_WIDTH, 1),
                nn.PixelShuffle(2),
                *(Block(FINE_WIDTH) for _ in range(FINE_BLOCKS)),
                nn.Conv2d(FINE_WIDTH, FINE_FEATURES, 3, padding=1),
            ),
        )
        self.gain = nn.Parameter(torch.zeros(KNOTS, channels))
        self.degain = nn.Parameter(torch.zeros(KNOTS, channels))
        self.context_model = ContextModel(channels, hidden)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def analysis(self, pixels: Tensor, rate: Tensor) -> Tensor:
        """See ``Network``."""
        patches = to_patches(pixels * 2 - 1)
        # The linear map in float32: bfloat16 would lose more of the largest components than the
        # finest quantiser does.
        with torch.autocast(pixels.device.type, enabled=False):
            linear = self.linear_analysis(patches)
        corrected = self.analysis_net(_as(patches, self.analysis_net), rate).float()
        latent: Tensor = (linear + corrected) * at_rate(self.gain, rate).exp()[..., None, None]
        return latent

    def synthesis(self, latent: Tensor, rate: Tensor) -> Tensor:
        """See ``Network``."""
        scaled = latent * at_rate(self.degain, rate).exp()[..., None, None]
        with torch.autocast(latent.device.type, enabled=False):
            linear = self.linear_synthesis(scaled)
        corrected = self.synthesis_net(_as(scaled, self.synthesis_net), rate).float()
        fine = functional.pixel_shuffle(linear, 2) + corrected
        return functional.pixel_shuffle(fine, 4) * 0.5 + 0.5

    def twin(self) -> ContextModel:
        """See ``Network``."""
        return self.context_model

    def start_from_klt(self, patches: Tensor, lambdas: tuple[float, float]) -> None:
        """Begin as the KLT of 8x8 RGB patches, with the gains that suit its orthonormal basis.

        Args:
            patches: (n, 192) as ``to_patches`` gives them, n well above 192.
            lambdas: weights of the distortion (255^2 mean squared error) at rates 0 and 255.
        """
        values = patches.double()
        mean = values.mean(0)
        centred = values - mean
        variances, vectors = torch.linalg.eigh(centred.T @ centred / len(values))
        # Ascending; and of either sign, so the largest entry decides, alike on every machine.
        count = self.latent_channels
        basis = vectors.flip(1).T[:count]
        largest = basis.gather(1, basis.abs().argmax(1, keepdim=True))
        basis = basis * largest.sign()
        low, high = (math.log(GAIN * math.sqrt(value)) for value in lambdas)
        log_gains = torch.linspace(low, high, KNOTS)[:, None].expand(-1, count)
        with torch.no_grad():
            self.linear_analysis.weight.copy_(basis[:, :, None, None])
            self.linear_synthesis.weight.copy_(basis.T[:, :, None, None])
            for layer, bias in (
                (self.linear_analysis, -(basis @ mean)),
                (self.linear_synthesis, mean),
            ):
                assert layer.bias is not None
                layer.bias.copy_(bias)
            self.gain.copy_(log_gains)
            self.degain.copy_(-log_gains)
        deviations = variances.flip(0)[:count].clamp_min(0).sqrt().float()
        self.context_model.start_from(deviations, log_gains)

    @torch.no_grad()
    def move_rates(self, before: tuple[float, float], after: tuple[float, float]) -> None:
        """Let the rates stand for other lambdas.

        What depends on the rate is read where the new rates were, and goes on straight beyond the
        last knots; there it has yet to be trained.

        Args:
            before, after: lambdas at rates 0 and 255, the first below the second.
        """
        low, span = math.log(before[0]), math.log(before[1] / before[0])
        first, last = ((KNOTS - 1) * (math.log(value) - low) / span for value in after)
        place = torch.linspace(first, last, KNOTS)
        index = place.floor().long().clamp(0, KNOTS - 2)
        for knots in (
            *(self.gain, self.degain),
            *(self.analysis_net.rate_bias, self.synthesis_net.rate_bias),
            *(self.context_model.rate_bias, self.context_model.rate_scale),
        ):
            share = (place - index).to(knots)[:, None]
            knots.copy_(knots[index] + share * (knots[index + 1] - knots[index]))


def _fine_stem(blocks: int) -> nn.Sequential:
    """The analysis at stride 4: the mirror of the synthesis' tail."""
    return nn.Sequential(
        nn.PixelShuffle(2),
        nn.Conv2d(FINE_FEATURES, FINE_WIDTH, 3, padding=1),
        *(Block(FINE_WIDTH) for _ in range(blocks)),
        nn.PixelUnshuffle(2),
        nn.Conv2d(4 * FINE_WIDTH, WIDTH, 1),
    )


def to_patches(pixels: Tensor) -> Tensor:
    """(B, 3, H, W) to its 8x8 patches (B, 192, H/8, W/8), 4x4 patches within them."""
    return functional.pixel_unshuffle(functional.pixel_unshuffle(pixels, 4), 2)


def _as(x: Tensor, network: Correction) -> Tensor:
    """In the precision of a network's weights, laid out for convolutions."""
    return x.to(network.head.weight.dtype, memory_format=torch.channels_last)
