"""Training of the family ``vr``: rate and distortion at all rates, drawn crop by crop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dcncodec.formats.geometry import MAX_RATE, STRIDE
from dcncodec.metrics import to_bytes, to_unit
from dcncodec.models.context import at_rate, bits
from dcncodec.models.families.vr import LARGEST, SHAPE
from dcncodec.models.vr import VR, to_patches
from dcncodec.train.engine.bpg_curve import METRICS, RANGES, bpg_curves, likenesses
from dcncodec.train.engine.checkpoint import Header
from dcncodec.train.engine.context_part import Block
from dcncodec.train.engine.data import Dataset, ImageSet, on_device, sent
from dcncodec.train.engine.recipes import VRRecipe
from dcncodec.train.engine.run import Run
from dcncodec.train.engine.similarity import similarities
from dcncodec.train.engine.synthetic import replace_some, synthetic_pictures

LINEAR = ("linear_analysis", "linear_synthesis")
NETWORKS = ("analysis_net", "synthesis_net")
GREY_LEVELS = 255.0**2
SSIM_SCALE, MS_SSIM_SCALE = 400.0, 1300.0
"""255^2 times the mean squared error is about so many times 1 - SSIM and 1 - MS-SSIM at 0.3 bpp;
twice that at 0.07, half at 1.5."""
KLT_PATCHES, KLT_CROPS = 20_000, 2_000
VALIDATION_CROPS, VALIDATION_SIZE, VALIDATION_BATCH = 32, 256, 8
TABLE_CROPS, TABLE_CROP = 96, 256
"""Crops, and their side in pixels, that the coder's tables are refined by."""
VALIDATION_RATES = (0, 51, 102, 153, 204, 255)


class VRLoss(nn.Module):
    """The networks with their training loss. One module, so that DistributedDataParallel sees a
    single forward pass.

    Args:
        network: transforms and context model.
        recipe: with the weights.
        precision: bfloat16 for mixed precision, float32 otherwise.
    """

    def __init__(self, network: VR, recipe: VRRecipe, precision: torch.dtype) -> None:
        super().__init__()
        self.network, self.recipe, self.precision = network, recipe, precision

    def transmit(
        self, pixels: Tensor, rate: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Code and decode.

        Args:
            pixels: RGB (B, 3, P, P) in [0, 1].
            rate: (B,) in 0..255.
            noise: of the latent's shape, uniform in +-1/2: count the bits of the latent with this
                noise. None for the bits of what is sent, see ``rounded_bits``.

        Returns:
            The picture, bits per pixel (B,), and the latent before it is rounded.
        """
        mixed = self.precision != torch.float32
        with torch.autocast(pixels.device.type, self.precision, enabled=mixed):
            latent = self.network.analysis(pixels, rate)
            sent = latent + (latent.round() - latent).detach()
            mean, log_scale = self.network.context_model(sent, rate)
            restored = self.network.synthesis(sent, rate)
        if noise is None:
            spent = rounded_bits(latent, mean, log_scale)
        else:
            spent = bits(latent + noise, mean, log_scale)
        return restored, spent.sum((1, 2, 3)) / (pixels.shape[2] * pixels.shape[3]), latent

    def forward(
        self, pixels: Tensor, rate: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As of ``transmit``, to loss, mean squared error and bits per pixel (scalars)."""
        recipe = self.recipe
        restored, bpp, latent = self.transmit(pixels, rate, noise)
        mse = (restored - pixels).square().mean((1, 2, 3))
        rounding = self.rounding_error(latent, rate) / pixels[0].numel()
        ratio = (recipe.lambda_high / recipe.lambda_low) ** (rate / MAX_RATE)
        distortion = self.distortion(pixels, restored, mse + (rounding - rounding.detach()))
        loss = bpp + recipe.lambda_low * ratio * distortion
        return (loss / ratio**recipe.balance).mean(), mse.mean().detach(), bpp.mean().detach()

    def rounding_error(self, latent: Tensor, rate: Tensor) -> Tensor:
        """Sum of squared errors in pixels, (B,), that rounding makes of an orthonormal transform.

        Its gradient alone counts. That of the distortion is taken at the rounded latent, where it
        pulls zeros up harder than a one is worth: latents would gather at the edge between two
        code words. With this they feel it where they are.
        """
        weight = self.network.linear_synthesis.weight.detach()
        step = (
            at_rate(self.network.degain, rate).detach().exp()
            * weight.square().sum((0, 2, 3)).sqrt()
            / 2
        )
        errors = latent - latent.detach().round()
        return (step[..., None, None] * errors).square().sum((1, 2, 3))

    def distortion(self, pixels: Tensor, restored: Tensor, mse: Tensor) -> Tensor:
        """Of each crop, (B,): squared grey levels, and likeness on their scale."""
        ssim_share, ms_ssim_share = self.recipe.ssim_share, self.recipe.ms_ssim_share
        squared = GREY_LEVELS * mse
        if not ssim_share + ms_ssim_share:
            return squared
        ssim, ms_ssim = similarities(pixels, restored)
        total = (1 - ssim_share - ms_ssim_share) * squared
        total = total + ssim_share * SSIM_SCALE * (1 - ssim)
        if ms_ssim is not None:
            total = total + ms_ssim_share * MS_SSIM_SCALE * (1 - ms_ssim)
        return total


def rounded_bits(latent: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Bits of rounded latents, with a gradient for the latents, too.

    Mean and scale learn from what is sent. The slope for a latent is what its bits with uniform
    noise have on average, bits(z + 1/2) - bits(z - 1/2): half way between two code words it is the
    difference of their bits. (Noise in the value as well would teach the context model to expect
    it, and at low rates most latents are zeros that cost hardly anything without it.)
    """
    spent = bits(latent.detach().round(), mean, log_scale)
    if not latent.requires_grad:
        return spent
    with torch.no_grad():
        slope = bits(latent + 0.5, mean, log_scale) - bits(latent - 0.5, mean, log_scale)
    return spent + (latent - latent.detach()) * slope


def klt_patches(images: ImageSet, seed: int) -> Tensor:
    """Random 8x8 patches of the training images, (``KLT_PATCHES``, 192) in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    side = 4 * STRIDE
    crops = to_unit(images.crops(KLT_CROPS, side, generator)).cpu() * 2 - 1
    patches = to_patches(crops).movedim(1, -1).flatten(0, 2)
    return patches[torch.randperm(len(patches), generator=generator)[:KLT_PATCHES]]


def as_read(weights: Mapping[str, Tensor], shape: Mapping[str, Any]) -> VR:
    """Networks with weights as a model's file will give them: the coder's tables are made for
    the latents of the rounded ones.

    Args:
        weights: of a run, by name.
        shape: the architecture of the card to be.
    """
    network = VR(**{name: shape[name] for name in SHAPE})
    network.load_state_dict({name: tensor.half().float() for name, tensor in weights.items()})
    return network


@torch.no_grad()
def sent_latents(network: VR, images: ImageSet, seed: int) -> Iterator[Block]:
    """What the network makes of random crops, at rates all over the range.

    Args:
        network: on the device of the images.
        images: to crop.
        seed: of the crops.
    """
    side = min(TABLE_CROP, int(images.heights.min()), int(images.widths.min()))
    side = side // STRIDE * STRIDE
    crops = images.crops(TABLE_CROPS, side, torch.Generator().manual_seed(seed))
    for index, crop in enumerate(crops):
        rate = index * MAX_RATE // (TABLE_CROPS - 1)
        pixels = to_unit(crop[None]).contiguous(memory_format=torch.channels_last)
        latent = network.analysis(pixels, torch.tensor([float(rate)], device=crop.device))
        words = latent[0].round().clamp(-LARGEST, LARGEST).to(torch.int16)
        yield words.cpu().numpy(), rate


class VRTrainer(Run):
    """Training of a ``vr`` network; see ``Run``.

    Args:
        network: on its device.
        recipe: how to train it.
        data: training and validation images.
        folder: of the run.
        seed: of crops, rates and noise.
        precision: as in ``VRLoss``.
        init: name of the model that the weights come from, for the card.
    """

    FIGURES: ClassVar = ("loss", "mse", "bpp")
    COLUMNS: ClassVar = (
        *("step", "seconds", "learning_rate", "loss", "bpp", "psnr"),
        *("validation_bpp", "validation_psnr"),
        *("validation_bd", "validation_bd_low", "validation_bd_middle", "validation_bd_high"),
        *("validation_bd_ssim", "validation_bd_ms_ssim"),
    )
    SAME_DRAWS: ClassVar = True

    def __init__(
        self,
        network: VR,
        recipe: VRRecipe,
        data: Dataset,
        folder: Path,
        seed: int = 0,
        precision: torch.dtype = torch.bfloat16,
        init: str = "",
    ) -> None:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.data = data
        objective = VRLoss(network, recipe, precision)
        header = Header(recipe.latent_channels, recipe, seed, data.sources, init)
        shares = dict.fromkeys(LINEAR, recipe.linear_share)
        shares |= dict.fromkeys(NETWORKS, recipe.network_share)
        super().__init__(network, objective, header, folder, len(data.training), shares, LINEAR)
        if self.device.type == "cuda":
            # The training's own call: validations, of other shapes, use ``transmit``.
            objective.compile()
        self.pictures = synthetic_pictures(recipe.patch, seed).to(self.device)
        self.crops = validation_crops(data.validation)
        self.anchor = bpg_curves(self.crops.cpu().numpy(), folder) if self.rank == 0 else None

    def losses(self, objective: nn.Module, generator: torch.Generator) -> Tensor:
        """Loss, mean squared error and bits per pixel of this process's part of a batch."""
        return torch.stack(objective(*self.inputs(generator)))

    def inputs(self, generator: torch.Generator) -> Sequence[Tensor]:
        """Crops (B, 3, P, P), rates (B,) and perhaps noise of this process's part of a batch."""
        recipe = self.recipe
        assert isinstance(recipe, VRRecipe)
        count = recipe.batch // self.world
        own = slice(self.rank * count, (self.rank + 1) * count)
        crops = self.data.training.crops(recipe.batch, recipe.patch, generator)
        crops = replace_some(crops, self.pictures, recipe.synthetic, generator)[own]
        rate = sent(torch.rand(recipe.batch, generator=generator)[own], self.device) * MAX_RATE
        pixels = to_unit(crops).contiguous(memory_format=torch.channels_last)
        if not recipe.noise:
            return pixels, rate
        side = recipe.patch // STRIDE
        shape = (recipe.batch, recipe.latent_channels, side, side)
        noise = torch.rand(shape, generator=on_device(generator, self.device), device=self.device)
        return pixels, rate, noise[own] - 0.5

    def validate(self) -> dict[str, float]:
        """Figures over all of ``VALIDATION_RATES``; BD-rates against BPG in percent."""
        assert isinstance(self.objective, VRLoss)
        points = measure(self.objective, self.crops)
        figures = {
            "validation_bpp": float(points[..., 0].mean()),
            "validation_psnr": float(points[..., 1].mean()),
        }
        found = self.anchor.bd_rates(points) if self.anchor is not None else {}
        for name in (*RANGES, *METRICS[1:]):
            column = "validation_bd" + ("" if name == "all" else f"_{name}")
            figures[column] = found.get(name, float("nan"))
        return figures


def validation_crops(images: ImageSet) -> Tensor:
    """The same held-out crops in every call: uint8 (n, P, P, 3), P up to ``VALIDATION_SIZE``."""
    smallest = min(int(images.heights.min()), int(images.widths.min()))
    side = min(VALIDATION_SIZE, smallest) // STRIDE * STRIDE
    return images.crops(VALIDATION_CROPS, side, torch.Generator().manual_seed(1))


@torch.no_grad()
def measure(objective: VRLoss, crops: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Bits per pixel (estimate) and ``likenesses`` of every crop at every rate: (n, rates, 4)."""
    rows = []
    for part in torch.split(crops, VALIDATION_BATCH):
        pixels = to_unit(part).contiguous(memory_format=torch.channels_last)
        row = []
        for rate in VALIDATION_RATES:
            rates = torch.full((len(part),), float(rate), device=part.device)
            restored, bpp, _ = objective.transmit(pixels, rates, None)
            pairs = zip(part.cpu().numpy(), to_bytes(restored).cpu().numpy(), strict=True)
            found = [likenesses(picture, decoded) for picture, decoded in pairs]
            row.append(np.column_stack([bpp.double().cpu().numpy(), found]))
        rows.append(np.stack(row, 1))
    return np.concatenate(rows)
