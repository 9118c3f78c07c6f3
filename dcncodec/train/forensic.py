"""Joint optimisation of codec and forensic analysis (DCN paper, section 4.2, equations 8 and 9).

A batch of photos goes through every manipulation, the channel and the FAN. What is trainable
minimises the FAN's cross-entropy plus ``lambda_c`` times what the channel loses::

    L = cross-entropy + lambda_c (L2 + lambda_H entropy)

With nothing trainable only the FAN learns, on a channel that stays as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.forensics.channel import Channel
from dcncodec.forensics.manipulations import manipulate_all
from dcncodec.forensics.patches import varied_crops
from dcncodec.metrics import psnr, ssim, to_unit
from dcncodec.models.dcn import STRIDE
from dcncodec.models.fan import FAN
from dcncodec.train.checkpoint import Header
from dcncodec.train.data import Dataset
from dcncodec.train.loop import LOSS_PIXELS
from dcncodec.train.recipes import PAPER_PATCH, ForensicRecipe
from dcncodec.train.run import Run

VALIDATION_PATCHES = 64
VALIDATION_BATCH = 8


class ForensicLoss(nn.Module):
    """Manipulations, channel and FAN with their common loss.

    Args:
        channel: with the codec, if it has one.
        fan: the classifier.
        recipe: classes, weights and what is trainable.
        precision: bfloat16 for mixed precision, float32 otherwise.
    """

    def __init__(
        self, channel: Channel, fan: FAN, recipe: ForensicRecipe, precision: torch.dtype
    ) -> None:
        super().__init__()
        self.channel, self.fan = channel, fan
        self.recipe, self.precision = recipe, precision

    def forward(
        self, photos: Tensor, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Figures of a batch, and what went into the compression and came out.

        Args:
            photos: float32 (B, 3, P, P) in [0, 1].
            generator: of the noise.

        Returns:
            Scalars by name: loss, cross_entropy, accuracy, mse, bpp; pictures (K * B, 3, P, P)
            before and after the compression.
        """
        recipe = self.recipe
        mixed = self.precision != torch.float32
        learns = "dcn" in recipe.trainable
        with torch.no_grad():
            versions, labels = manipulate_all(photos, recipe.classes, generator)
            sent = self.channel.prepare(versions)
            sent = sent.contiguous(memory_format=torch.channels_last)
        with torch.autocast(photos.device.type, self.precision, enabled=mixed):
            with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
                received, entropy = self.channel.compress(sent)
            logits = self.fan(received.contiguous(memory_format=torch.channels_last))
        cross_entropy = functional.cross_entropy(logits, labels)
        mse = (received - sent).square().mean()
        loss, bpp = cross_entropy, torch.zeros_like(cross_entropy)
        if entropy is not None:
            assert self.channel.codec is not None
            bpp = entropy.detach() * (self.channel.codec.latent_channels / STRIDE**2)
            if learns:
                cost = mse * (LOSS_PIXELS / 2) + recipe.lambda_h * entropy
                loss = loss + recipe.lambda_c * cost
        figures = {
            "loss": loss,
            "cross_entropy": cross_entropy.detach(),
            "accuracy": (logits.argmax(1) == labels).float().mean(),
            "mse": mse.detach(),
            "bpp": bpp,
        }
        return figures, sent, received


class ForensicTrainer(Run):
    """Trains a FAN, and with it what the recipe calls trainable; see ``Run``.

    Args:
        channel: with a pre-trained codec, if it has one, on its device.
        fan: the classifier, on the same device.
        recipe: how to train; its channel and classes are those of the first two.
        data: training and validation images.
        folder: of the run.
        seed: of crops and noise.
        precision: as in ``ForensicLoss``.
        init: name of the codec that the weights come from.
    """

    FIGURES: ClassVar = ("loss", "cross_entropy", "accuracy", "mse", "bpp")
    COLUMNS: ClassVar = (
        "step",
        "seconds",
        "learning_rate",
        "loss",
        "cross_entropy",
        "accuracy",
        "bpp",
        "psnr",
        "validation_accuracy",
        "validation_bpp",
        "validation_psnr",
        "validation_ssim",
    )

    def __init__(
        self,
        channel: Channel,
        fan: FAN,
        recipe: ForensicRecipe,
        data: Dataset,
        folder: Path,
        seed: int = 0,
        precision: torch.dtype = torch.bfloat16,
        init: str = "",
    ) -> None:
        self.fan, self.data = fan, data
        objective = ForensicLoss(channel, fan, recipe, precision)
        objective = objective.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        trained = nn.ModuleDict({"fan": fan})
        codec = channel.codec
        if codec is not None and "dcn" in recipe.trainable:
            trained["codec"] = codec
        elif codec is not None:
            codec.requires_grad_(False)
        latent_channels = codec.latent_channels if codec is not None else 0
        header = Header(latent_channels, recipe, seed, data.sources, init)
        super().__init__(trained, objective, header, folder, len(data.training))

    def losses(self, objective: nn.Module, generator: torch.Generator) -> Tensor:
        """See ``FIGURES``; of random patches that vary enough."""
        count = self.recipe.batch // self.world
        photos = to_unit(varied_crops(self.data.training, count, self.recipe.patch, generator))
        figures, _, _ = objective(photos, generator)
        return torch.stack([figures[name] for name in self.FIGURES])

    def finish_step(self) -> None:
        """Keeps the FAN's first filters residuals."""
        self.fan.constrain()
        super().finish_step()

    def validate(self) -> dict[str, float]:
        """Accuracy, bpp (estimate), PSNR and SSIM over patches that are the same every time."""
        generator = torch.Generator().manual_seed(1)
        patches = varied_crops(self.data.validation, VALIDATION_PATCHES, PAPER_PATCH, generator)
        rows = []
        for part in torch.split(patches, VALIDATION_BATCH):
            figures, sent, received = self.objective(to_unit(part), generator)
            quality = [psnr(sent, received).clamp_max(99).mean(), ssim(sent, received).mean()]
            rows.append(
                torch.stack([figures["accuracy"].double(), figures["bpp"].double(), *quality])
            )
        names = ("accuracy", "bpp", "psnr", "ssim")
        values = torch.stack(rows).mean(0).tolist()
        return {f"validation_{name}": value for name, value in zip(names, values, strict=True)}
