"""Pre-training of a codec: the optimisation loop behind ``dcn train``."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from dcncodec.formats.geometry import STRIDE
from dcncodec.metrics import psnr, ssim, to_bytes, to_unit
from dcncodec.models.dcn import DCN
from dcncodec.quantise import Quantiser, quantise_in_training
from dcncodec.train.engine.checkpoint import Header
from dcncodec.train.engine.data import Dataset, ImageSet, augment_gamma
from dcncodec.train.engine.log import COLUMNS
from dcncodec.train.engine.presets import PAPER_BATCH, PAPER_PATCH
from dcncodec.train.engine.recipes import Recipe
from dcncodec.train.engine.run import Run

VALIDATION_CROPS = 32
VALIDATION_BATCH = 8
VALIDATION_SIZE = 256
LOSS_PIXELS = PAPER_BATCH * 3 * PAPER_PATCH**2
"""Samples whose L2 losses the paper sums; scaling to it keeps lambda_H's meaning at any batch."""


def distortion(mse: Tensor) -> Tensor:
    """The paper's L2 loss of a mean squared error: half of the squared errors of its batch, summed.

    That of the authors' forensic training sums over its own batch of 20 x 7 patches instead of 50:
    there equal lambda_c weighs fidelity 2.8 times more. The paper's text does not decide.
    """
    return mse * (LOSS_PIXELS / 2)


def codec_loss(
    recipe: Recipe, pixels: Tensor, restored: Tensor, mse: Tensor, entropy: Tensor
) -> Tensor:
    """L2 + lambda_H * entropy (section 3.4), and where the recipe says so lambda_SSIM * (1 - SSIM).

    L2 alone pays for a low error with the faint structure of textures, which viewers miss.

    Args:
        recipe: with the weights.
        pixels, restored: RGB (B, 3, P, P), around [0, 1].
        mse: mean squared error of the two.
        entropy: bits per feature.
    """
    loss = distortion(mse) + recipe.lambda_h * entropy
    if recipe.lambda_ssim:
        loss = loss + recipe.lambda_ssim * (1 - ssim(pixels, restored).mean())
    return loss


class CodecLoss(nn.Module):
    """The codec with its training loss, see ``codec_loss``.

    One module, so that DistributedDataParallel sees a single forward pass.
    """

    def __init__(self, codec: DCN, recipe: Recipe, precision: torch.dtype) -> None:
        super().__init__()
        self.codec = codec
        self.recipe = recipe
        self.precision = precision
        self.quantiser = Quantiser(bits=recipe.bits)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """RGB (B, 3, P, P) in [0, 1] to loss, MSE, bits per pixel (scalars), reconstruction."""
        codec = self.codec
        mixed = self.precision != torch.float32
        with torch.autocast(pixels.device.type, self.precision, enabled=mixed):
            latent = codec.analysis(pixels)
            quantised, entropy = quantise_in_training(
                self.quantiser, latent, self.recipe.histogram, self.recipe.straight_through
            )
            restored = codec.synthesis(quantised)
        mse = (restored - pixels).square().mean()
        loss = codec_loss(self.recipe, pixels, restored, mse, entropy)
        bpp = entropy.detach() * (codec.latent_channels / STRIDE**2)
        return loss, mse.detach(), bpp, restored


@torch.no_grad()
def validate(objective: CodecLoss, images: ImageSet) -> dict[str, float]:
    """Mean loss, bpp (estimate), PSNR and SSIM over crops that are the same in every call.

    PSNR and SSIM are those of the reconstruction rounded to bytes.
    """
    side = min(VALIDATION_SIZE, int(images.heights.min()), int(images.widths.min()))
    side = side // STRIDE * STRIDE
    crops = images.crops(VALIDATION_CROPS, side, torch.Generator().manual_seed(1))
    rows = []
    for part in torch.split(crops, VALIDATION_BATCH):
        pixels = to_unit(part).contiguous(memory_format=torch.channels_last)
        loss, _, bpp, restored = objective(pixels)
        restored = to_unit(to_bytes(restored))
        quality = [psnr(pixels, restored).mean(), ssim(pixels, restored).mean()]
        rows.append(torch.stack([loss.double(), bpp.double(), *quality]))
    names = ("validation_loss", "validation_bpp", "validation_psnr", "validation_ssim")
    return dict(zip(names, torch.stack(rows).mean(0).tolist(), strict=True))


class Trainer(Run):
    """Pre-training of a codec; see ``Run``.

    Args:
        codec: the network, on its device.
        recipe: how to train it.
        data: training and validation images; crops come from where they lie.
        folder: of the run.
        seed: of crops and augmentation, 0 or more.
        precision: bfloat16 for mixed precision, float32 otherwise.
        init: name of the model that the weights come from, for the card.
    """

    FIGURES: ClassVar = ("loss", "mse", "bpp")
    COLUMNS: ClassVar = COLUMNS

    def __init__(
        self,
        codec: DCN,
        recipe: Recipe,
        data: Dataset,
        folder: Path,
        seed: int = 0,
        precision: torch.dtype = torch.bfloat16,
        init: str = "",
    ) -> None:
        codec = codec.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.codec, self.data = codec, data
        header = Header(codec.latent_channels, recipe, seed, data.sources, init)
        objective = CodecLoss(codec, recipe, precision)
        super().__init__(codec, objective, header, folder, len(data.training))

    def losses(self, objective: nn.Module, generator: torch.Generator) -> Tensor:
        """Loss, MSE and bits per pixel of a batch of random crops."""
        count = self.recipe.batch // self.world
        crops = self.data.training.crops(count, self.recipe.patch, generator)
        pixels = augment_gamma(to_unit(crops), generator)
        loss, mse, bpp, _ = objective(pixels.contiguous(memory_format=torch.channels_last))
        return torch.stack([loss, mse, bpp])

    def validate(self) -> dict[str, float]:
        """See ``validate``."""
        assert isinstance(self.objective, CodecLoss)
        return validate(self.objective, self.data.validation)
