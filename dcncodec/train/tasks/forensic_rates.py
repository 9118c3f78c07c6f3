"""A codec for all rates (family ``vr``) in the place of the channel's: the FAN learns behind all of
its rates at once, the codec begins where traces survive and goes down while both learn.

With a codec that keeps nothing the FAN learns nothing, and gives the codec no direction. So the
lowest rate that is drawn falls from the highest to its own over the first part of a training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dcncodec.formats.geometry import MAX_RATE, STRIDE
from dcncodec.models.vr import VR
from dcncodec.train.engine.recipes import VR_RECIPES, ForensicRecipe
from dcncodec.train.tasks.codec import distortion
from dcncodec.train.tasks.vr import GREY_LEVELS, VRLoss


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


class RatedCodec(nn.Module):
    """Compression at any rate, and what it costs.

    Args:
        codec: its networks.
        recipe: with the lambdas that the codec was trained with.
        precision: bfloat16 for mixed precision, float32 otherwise.
    """

    def __init__(self, codec: VR, recipe: ForensicRecipe, precision: torch.dtype) -> None:
        super().__init__()
        self.coding = VRLoss(codec, VR_RECIPES["fast"], precision)
        self.recipe = recipe

    def compress(
        self, pixels: Tensor, rates: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Code and decode.

        Args:
            pixels: float (B, 3, P, P) in [0, 1].
            rates: (B,).
            generator: of the noise by which the rate is estimated.

        Returns:
            The pictures, not rounded, and bits per pixel (B,).
        """
        side = pixels.shape[-1] // STRIDE
        shape = (len(pixels), self.coding.network.latent_channels, side, side)
        noise = torch.rand(shape, generator=generator).to(pixels.device) - 0.5
        return self.coding.transmit(pixels, rates.to(pixels.device), noise)[:2]

    def cost(self, pixels: Tensor, received: Tensor, rates: Tensor, bpp: Tensor) -> Tensor:
        """Distortion in the units of the DCN paper, and the rate in its proportion to it.

        The family's own loss is bpp + lambda 255^2 mse, of which this is a multiple by picture.

        Args:
            pixels, received: (B, 3, P, P).
            rates, bpp: (B,).
        """
        ratio = self.recipe.lambda_high / self.recipe.lambda_low
        lambdas = self.recipe.lambda_low * ratio ** (rates.to(bpp.device) / MAX_RATE)
        mse = (received - pixels).square().mean((1, 2, 3))
        return distortion(mse + bpp / (lambdas * GREY_LEVELS)).mean()
