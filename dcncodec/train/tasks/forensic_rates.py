"""A codec for all rates (family ``vr``) in the place of the channel's: the FAN learns behind all of
its rates at once, the codec begins where traces survive and goes down while both learn.

With a codec that keeps nothing the FAN learns nothing, and gives the codec no direction. So the
lowest rate that is drawn falls from the highest to its own over the first part of a training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from dcncodec.formats.geometry import MAX_RATE
from dcncodec.models.vr import VR
from dcncodec.train.engine.presets import VR_RECIPES
from dcncodec.train.engine.recipes import ForensicRecipe
from dcncodec.train.tasks.codec import distortion
from dcncodec.train.tasks.vr import GREY_LEVELS, LINEAR, NETWORKS, VRLoss

SHARES = {
    **dict.fromkeys(LINEAR, VR_RECIPES["fast"].linear_share),
    **dict.fromkeys(NETWORKS, 0.3),
    **dict.fromkeys(("gain", "degain"), 5.0),
}
"""Learning rates of a codec's parts over that of its context model. The logarithm of a gain, which
decides whether a channel is sent at a rate, has a long way to go."""


def lowest_rate(recipe: ForensicRecipe, share: float) -> float:
    """The lowest rate that is drawn when a share of the budget is used."""
    fallen = min(1.0, share / recipe.rate_fall) if recipe.rate_fall else 1.0
    return recipe.rate_high - (recipe.rate_high - recipe.rate_low) * fallen


def draw_rates(
    recipe: ForensicRecipe, share: float, count: int, generator: torch.Generator
) -> Tensor:
    """Rates of photos, float32 (count,) in 0..255."""
    low = lowest_rate(recipe, share)
    return low + (recipe.rate_high - low) * torch.rand(count, generator=generator)


@dataclass(frozen=True)
class Compressed:
    """What a codec made of pictures.

    Attributes:
        pictures: float (B, 3, P, P), not rounded.
        bpp: bits per pixel of what is sent (B,).
        rounding: mean squared error that rounding the latents makes (B,), for its gradient.
    """

    pictures: Tensor
    bpp: Tensor
    rounding: Tensor


class RatedCodec(nn.Module):
    """Compression at any rate, and what it costs: the objective of the family's own training.

    Args:
        codec: its networks.
        recipe: with the lambdas and the share of SSIM that the codec was trained with.
        precision: bfloat16 for mixed precision, float32 otherwise.
    """

    def __init__(self, codec: VR, recipe: ForensicRecipe, precision: torch.dtype) -> None:
        super().__init__()
        own = replace(VR_RECIPES["fast"], ssim_share=recipe.ssim_share)
        self.coding = VRLoss(codec, own, precision)
        self.recipe = recipe

    def compress(self, pixels: Tensor, rates: Tensor) -> Compressed:
        """Code and decode.

        Args:
            pixels: float (B, 3, P, P) in [0, 1].
            rates: (B,).
        """
        rates = rates.to(pixels.device)
        pictures, bpp, latent = self.coding.transmit(pixels, rates, None)
        rounding = self.coding.rounding_error(latent, rates) / pixels[0].numel()
        return Compressed(pictures, bpp, rounding)

    def cost(
        self, pixels: Tensor, received: Tensor, rates: Tensor, compressed: Compressed
    ) -> Tensor:
        """Distortion in the units of the DCN paper, and the rate in its proportion to it.

        The family's own loss is bpp + lambda D, where D is 255^2 mse or in part 1 - SSIM on that
        scale; this is a multiple of it by picture.

        Args:
            pixels: (B, 3, P, P).
            received: the same as 8-bit samples.
            rates: (B,).
            compressed: what was made of the pixels.
        """
        # Of the rounding its slope alone, see ``VRLoss.rounding_error``.
        rounding = compressed.rounding - compressed.rounding.detach()
        mse = (received - pixels).square().mean((1, 2, 3)) + rounding
        lost = self.coding.distortion(pixels, received, mse) / GREY_LEVELS
        return (distortion(lost) + self.price(rates.to(mse.device)) * compressed.bpp).mean()

    def price(self, rates: Tensor) -> Tensor:
        """Of a bit per pixel at rates (B,), in ``cost``."""
        ratio = self.recipe.lambda_high / self.recipe.lambda_low
        lambdas = self.recipe.lambda_low * ratio ** (rates / MAX_RATE)
        return distortion(1 / (lambdas * GREY_LEVELS))
