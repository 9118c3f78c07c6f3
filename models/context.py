"""Context model of integer latents: the float twin that is trained, of what ``csrc`` computes.

Latents are coded in raster order, at each place channel by channel. The model gives every latent a
mean and a scale (of a logistic distribution around it) from the latents at ``NEIGHBOURS``, all
channels, and from the channels before it at its own place. Hidden units are masked by channel:
unit u of H belongs to channel u N // H and sees channels below it, so that one pass over all
channels at once equals the decoder's one channel after another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.models.context_export import NEIGHBOURS, SCALE_RANGE
from dcncodec.models.program import KNOTS, LEAK

REACH = 2
"""Rows above and columns beside that neighbours come from."""
SMALL_INIT = 0.1


class ContextModel(nn.Module):
    """Means and scales of the latents of one block.

    Args:
        channels: N of the latent.
        hidden: H, hidden units of each layer.
        knots: rates with parameters of their own; 1 for latents without rate.
        neighbours: offsets (rows, columns), all before the place itself in raster order.
    """

    before_mask: Tensor
    hidden_mask: Tensor
    output_mask: Tensor
    linear_mask: Tensor

    def __init__(
        self,
        channels: int,
        hidden: int,
        knots: int = KNOTS,
        neighbours: Sequence[tuple[int, int]] = NEIGHBOURS,
    ) -> None:
        super().__init__()
        self.offsets = tuple(neighbours)
        known = len(self.offsets) * channels
        self.neighbours = nn.Conv2d(known, hidden, 1, bias=False)
        self.before = nn.Conv2d(channels, hidden, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.rate_bias = nn.Parameter(torch.zeros(knots, hidden))
        self.hidden = nn.Conv2d(hidden, hidden, 1)
        self.mean = nn.Conv2d(hidden, channels, 1)
        self.scale = nn.Conv2d(hidden, channels, 1)
        self.rate_scale = nn.Parameter(torch.zeros(knots, channels))
        self.linear_neighbours = nn.Conv2d(known, channels, 1, bias=False)
        self.linear_before = nn.Conv2d(channels, channels, 1, bias=False)
        unit = torch.arange(hidden) * channels // hidden
        channel = torch.arange(channels)
        for name, mask in (
            ("before_mask", channel < unit[:, None]),
            ("hidden_mask", unit <= unit[:, None]),
            ("output_mask", unit <= channel[:, None]),
            ("linear_mask", channel < channel[:, None]),
        ):
            self.register_buffer(name, mask.float()[..., None, None], persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        with torch.no_grad():
            for layer in (self.hidden, self.mean, self.scale):
                assert layer.bias is not None
                layer.bias.zero_()
            self.mean.weight.mul_(SMALL_INIT)
            self.scale.weight.mul_(SMALL_INIT)
            self.linear_neighbours.weight.zero_()
            self.linear_before.weight.zero_()

    def forward(self, latent: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the scale of every latent.

        Args:
            latent: (B, N, h, w), code words, whole blocks: beyond their edges is zero.
            rate: (B,) in 0..255.

        Returns:
            Two tensors of the latent's shape, float32, in code words.
        """
        known = self._gather(latent)
        x = squash(latent)
        h = self.neighbours(squash(known)) + _masked(self.before, self.before_mask, x)
        h = h + (self.bias + at_rate(self.rate_bias, rate))[..., None, None].to(h.dtype)
        h = functional.leaky_relu(h, LEAK)
        h = h + functional.leaky_relu(_masked(self.hidden, self.hidden_mask, h), LEAK)
        mean = _masked(self.mean, self.output_mask, h).float()
        mean = mean + self.linear_neighbours(known).float()
        mean = mean + _masked(self.linear_before, self.linear_mask, latent).float()
        scale = _masked(self.scale, self.output_mask, h).float()
        return mean, scale + at_rate(self.rate_scale, rate)[..., None, None]

    def _gather(self, latent: Tensor) -> Tensor:
        """The latents at all neighbours: (B, N, h, w) to (B, K N, h, w), neighbour by neighbour."""
        height, width = latent.shape[2:]
        padded = functional.pad(latent, (REACH, REACH, REACH, 0))
        parts = [
            padded[:, :, REACH + row : REACH + row + height, REACH + column :][..., :width]
            for row, column in self.offsets
        ]
        return torch.cat(parts, 1).contiguous(memory_format=torch.channels_last)

    def start_from(self, deviations: Tensor, log_gains: Tensor) -> None:
        """Begin with the scales of independent latents.

        Args:
            deviations: (N,) standard deviation of each channel before its gain.
            log_gains: (knots, N), logarithms of the gains at the knots.
        """
        # Of a logistic distribution as wide as the Laplacian that latents roughly follow, plus
        # the width of the quantiser's own noise.
        with torch.no_grad():
            assert self.scale.bias is not None
            self.scale.bias.copy_(torch.log(0.4 * deviations + 0.02))
            self.rate_scale.copy_(log_gains)


def _masked(layer: nn.Conv2d, mask: Tensor, x: Tensor) -> Tensor:
    return functional.conv2d(x, layer.weight * mask, layer.bias)


def squash(latent: Tensor) -> Tensor:
    """sign(z) log(1 + |z|): large latents inform without drowning the others."""
    return torch.sign(latent) * torch.log1p(latent.abs())


def at_rate(knots: Tensor, rate: Tensor) -> Tensor:
    """Parameters (Q, ...) at rates (B,) in 0..255, between Q even knots: float32 (B, ...)."""
    place = (rate.float() * ((len(knots) - 1) / 255))[:, None]
    # Of each knot, one minus its distance: at most two count. A sum, whose gradient is one, too;
    # that of an index would have to be sorted.
    share = (1 - (place - torch.arange(len(knots), device=rate.device)).abs()).clamp_min(0)
    return (share.view(*share.shape, *([1] * (knots.ndim - 1))) * knots.float()).sum(1)


def bits(latent: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Bits of each latent: minus log2 of the logistic's mass within half a code word of it.

    Args:
        latent: any values, whole ones in use and with noise added in training.
        mean, log_scale: as ``ContextModel`` gives them; any shape, the same for all three.
    """
    inverse = torch.exp(-log_scale.clamp(*SCALE_RANGE))
    distance = (latent - mean).abs()
    mass = torch.sigmoid((0.5 - distance) * inverse) - torch.sigmoid((-0.5 - distance) * inverse)
    # Far out the difference of the two is lost in rounding; there the distribution is an
    # exponential one.
    tail = functional.logsigmoid((0.5 - distance) * inverse) + torch.log1p(-torch.exp(-inverse))
    nats = torch.where(mass > 1e-4, torch.log(mass.clamp_min(1e-9)), tail)
    return -nats / math.log(2)
