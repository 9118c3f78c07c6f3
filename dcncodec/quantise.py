"""Scalar quantisation with a fixed codebook, and the entropy estimate (DCN paper, 3.2 and A.1).

Training sees hard assignments in the forward pass and the gradient of soft assignments in the
backward pass. A soft assignment weighs every code word c_m by a kernel of its distance to the
latent value z; the weights of one value sum to one::

    t-Student   w_m  ~  (1 + gamma (z - c_m)^2 / nu) ^ (-(nu + 1) / 2)
    Gaussian    w_m  ~  exp(-gamma (z - c_m)^2)

Their average over all values is a differentiable histogram, and its Shannon entropy the rate
estimate. Both kernels fall so quickly that, for a value inside the codebook, only the code words
beside it carry weight: the fast path looks at ``WINDOW`` of them. Values beyond the codebook are
rare, but there the t-Student's heavy tail spreads over many code words, so they take all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from dcncodec.formats.geometry import CODEBOOK_SIZE

CODEBOOK_BITS = CODEBOOK_SIZE.bit_length() - 1
"""Of the codebook of files: code words -15 to 16."""

WINDOW = 5
"""Code words looked at for a value inside the codebook.

The nearest one left out is at least 2.5 away from the value, the nearest word at most 0.5: with
nu = 50 and gamma = 25 their weights differ by a factor of (1.125 / 4.125)^25.5 < 1e-14, far less
than float32 resolves.
"""

WINDOW_RATIO = 1e8
"""How much less than the nearest word one outside the window must weigh for ``WINDOW`` to do."""

FARTHEST = 1e18
"""Distances from the codebook are cut here, so that their squares stay finite in float32."""

EPSILON = 1e-9
"""Floor of a histogram bin: keeps the logarithm of an empty one finite."""

Kernel = Literal["student", "gaussian"]
Histogram = Literal["global", "channel"]


@dataclass(frozen=True)
class Quantiser:
    """Settings of the soft assignment: kernel, gamma (> 0) and degrees of freedom nu (> 0).

    ``bits`` is the size of the codebook, 1 to ``CODEBOOK_BITS``: the code words around zero that a
    training may use of those that files know (Fig. A.3).
    """

    kernel: Kernel = "student"
    gamma: float = 25.0
    nu: float = 50.0
    bits: int = CODEBOOK_BITS

    @property
    def lowest(self) -> int:
        """The first code word."""
        return 1 - (1 << (self.bits - 1))

    @property
    def highest(self) -> int:
        """The last code word."""
        return 1 << (self.bits - 1)

    def hard(self, latent: Tensor) -> Tensor:
        """The nearest code word of every value; values beyond the codebook take its ends."""
        return latent.round().clamp(self.lowest, self.highest)

    def log_weights(self, offset: Tensor, steps: Tensor) -> Tensor:
        """Logarithm of a code word's weight over that of the nearest word.

        Written with (offset - steps)^2 - offset^2 = steps (steps - 2 offset), which stays exact
        where the two squares would cancel.

        Args:
            offset: value minus the nearest code word.
            steps: code word minus the nearest code word; broadcasts with ``offset``.
        """
        excess = steps * (steps - 2 * offset)
        if self.kernel == "gaussian":
            return -self.gamma * excess
        return torch.log1p(excess / (self.nu / self.gamma + offset * offset)) * (-(self.nu + 1) / 2)

    @property
    def narrow(self) -> bool:
        """Whether ``WINDOW`` code words are all that matter to a value inside the codebook."""
        offset, step = torch.tensor([0.5, WINDOW // 2 + 1], dtype=torch.float64)
        return -float(self.log_weights(offset, step)) > math.log(WINDOW_RATIO)

    def soft_assign(self, latent: Tensor) -> Tensor:
        """Weights of every code word for every value (section 3.2).

        Args:
            latent: any shape, any finite values; float32 or float64.

        Returns:
            The shape of ``latent`` plus a last axis of 2 ** ``bits`` weights that sum to one.
        """
        words = torch.arange(
            self.lowest, self.highest + 1, dtype=latent.dtype, device=latent.device
        )
        nearest = self.hard(latent.detach()).unsqueeze(-1)
        offset = (latent.unsqueeze(-1) - nearest).clamp(-FARTHEST, FARTHEST)
        return torch.softmax(self.log_weights(offset, words - nearest), dim=-1)

    def __call__(self, latent: Tensor, histogram: Histogram = "global") -> tuple[Tensor, Tensor]:
        """Quantise for training.

        Args:
            latent: (B, N, h, w), any finite values; computed in float32 (or float64, if it is).
            histogram: ``global``, one histogram over all features (the paper's), or ``channel``,
                one for each of the N channels (the distribution that the coder then sees).

        Returns:
            The hard-quantised latent (same shape, gradient of the soft one) and the entropy
            estimate in bits per feature (scalar; mean over the channels for ``channel``).
        """
        soft, bins = self.assign(latent)
        if histogram == "global":
            bins = bins.sum(0, keepdim=True)
        hard = self.hard(latent.detach()).to(soft.dtype)
        return soft + (hard - soft).detach(), entropy(bins).mean()

    def assign(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Soft-quantised values (B, N, h, w) and one histogram (N, 2 ** ``bits``) per channel.

        A histogram is the sum of the weights, so its bins sum to the channel's B * h * w.
        """
        values = latent if latent.dtype == torch.float64 else latent.float()
        channels = values.shape[1]
        channel = torch.arange(channels, device=values.device).view(1, -1, 1, 1).expand_as(values)
        values, channel = values.flatten(), channel.flatten()
        offset = (values - self.hard(values)).detach()
        near = offset.abs() <= 0.5 if self.narrow else torch.zeros_like(offset, dtype=torch.bool)
        if bool(near.all()):  # the usual case; without it, the two parts would be copies
            soft, bins = self._assign_near(values, channel, channels)
        else:
            soft = torch.zeros_like(values)
            bins = values.new_zeros(channels, 2**self.bits)
            for part, assign in ((near, self._assign_near), (~near, self._assign_all)):
                index = part.nonzero().squeeze(1)
                part_soft, part_bins = assign(values[index], channel[index], channels)
                soft = soft.index_copy(0, index, part_soft)
                bins = bins + part_bins
        return soft.view(latent.shape), bins

    def _assign_all(self, values: Tensor, channel: Tensor, channels: int) -> tuple[Tensor, Tensor]:
        """Soft values (n,) and histograms from values (n,) and their channels (n,): all words."""
        weights = self.soft_assign(values)
        words = torch.arange(self.lowest, self.highest + 1, device=values.device)
        bins = values.new_zeros(channels, 2**self.bits).index_add(0, channel, weights)
        return (weights * words.to(values.dtype)).sum(-1), bins

    def _assign_near(self, values: Tensor, channel: Tensor, channels: int) -> tuple[Tensor, Tensor]:
        """The same from the ``WINDOW`` words around the nearest."""
        nearest = self.hard(values.detach())
        half = WINDOW // 2
        steps = torch.arange(-half, half + 1, dtype=values.dtype, device=values.device)
        steps = steps.unsqueeze(1)
        logs = self.log_weights(values - nearest, steps)
        words = nearest + steps
        logs = logs.masked_fill((words < self.lowest) | (words > self.highest), -torch.inf)
        weights = torch.softmax(logs, dim=0)
        soft = nearest + (weights * steps).sum(0)
        size = 2**self.bits
        slots = words.clamp(self.lowest, self.highest).long() - self.lowest
        slots = slots + channel * size
        bins = values.new_zeros(channels * size)
        bins = bins.scatter_add(0, slots.flatten(), weights.flatten())
        return soft, bins.view(channels, size)


def entropy(bins: Tensor) -> Tensor:
    """Shannon entropy in bits of histograms (..., M) of non-negative weights: shape (...)."""
    probabilities = bins / bins.sum(-1, keepdim=True)
    probabilities = probabilities.clamp_min(EPSILON)
    return -(probabilities * probabilities.log2()).sum(-1)


def quantise_hard(latent: Tensor) -> Tensor:
    """The nearest code word of files of every value; see ``Quantiser.hard``."""
    return Quantiser().hard(latent)


class _InwardClamp(torch.autograd.Function):
    """Clamp to the codebook's cells, with a gradient that only ever pulls values back inside.

    A plain straight-through gradient goes on pushing values that the codebook already cuts off;
    they drift away, and with them the histogram's heavy tails.
    """

    @staticmethod
    def forward(ctx: Any, latent: Tensor, lowest: int, highest: int) -> Tensor:
        """(any shape) to the same shape, within half a step of the codebook."""
        ctx.save_for_backward(latent)
        ctx.ends = lowest - 0.5, highest + 0.5
        return latent.clamp(*ctx.ends)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Zero where a descent step would move a value further outside."""
        (latent,) = ctx.saved_tensors
        (gradient,) = gradients
        low, high = ctx.ends
        outward = ((latent < low) & (gradient > 0)) | ((latent > high) & (gradient < 0))
        return gradient.masked_fill(outward, 0), None, None


def clamp_inward(latent: Tensor, quantiser: Quantiser) -> Tensor:
    """Clamp for straight-through training; see ``_InwardClamp``. Any shape, to the same."""
    ends = quantiser.lowest, quantiser.highest
    clamped: Tensor = _InwardClamp.apply(latent, *ends)  # type: ignore[no-untyped-call]
    return clamped


def quantise_in_training(
    quantiser: Quantiser, latent: Tensor, histogram: Histogram, straight_through: bool
) -> tuple[Tensor, Tensor]:
    """Quantise with the gradient of the soft assignment (the paper's) or with an unchanged one.

    Args:
        quantiser: settings of the soft assignment, which the entropy always follows.
        latent: (B, N, h, w).
        histogram: as in ``Quantiser``.
        straight_through: pass the gradient of the distortion through unchanged.

    Returns:
        The quantised latent (same shape) and the entropy estimate in bits per feature.
    """
    if not straight_through:
        return quantiser(latent, histogram)
    latent = clamp_inward(latent, quantiser)
    quantised, entropy = quantiser(latent, histogram)
    return latent + (quantised - latent).detach(), entropy
