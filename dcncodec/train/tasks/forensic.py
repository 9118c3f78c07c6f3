"""Joint optimisation of codec and forensic analysis (DCN paper, section 4.2, equations 8 and 9).

A batch of photos goes through every manipulation, the channel and the FAN; under the paper's
protocol as a whole, or photo by photo as in the field (``forensic_field``). What is trainable
minimises the FAN's cross-entropy plus ``lambda_c`` times what the channel loses::

    L = cross-entropy + lambda_c (L2 + lambda_H entropy)  [+ cross-entropy of a critic]

A codec begins with gauges (``forensics.gauges``), unless the recipe has none; see ``with_gauges``.
With nothing trainable only the FAN learns, on a channel that stays as it is. Photos are finished
ones, or RAW frames that a camera pipeline develops (NIP paper, section 3.3). Where the pipeline is
trainable ``lambda_n`` times its distortion, L2 against the standard pipeline's picture, is added.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.forensics.channel import Channel, as_bytes
from dcncodec.forensics.gauges import GAUGES, install_gauges
from dcncodec.forensics.manipulations import manipulate_all
from dcncodec.formats.geometry import STRIDE
from dcncodec.metrics import psnr, ssim, to_unit
from dcncodec.models.dcn import DCN
from dcncodec.models.families.fan import LEARNS_CODEC, LEARNS_NIP
from dcncodec.models.fan import FAN
from dcncodec.models.nip import Pipeline
from dcncodec.models.vr import VR
from dcncodec.train.engine.checkpoint import Header
from dcncodec.train.engine.data import Dataset, ImageSet
from dcncodec.train.engine.raw_data import RawDataset, RawSet
from dcncodec.train.engine.recipes import PAPER_PATCH, ForensicRecipe
from dcncodec.train.engine.run import Run
from dcncodec.train.engine.varied import varied_crops
from dcncodec.train.tasks.codec import codec_loss, distortion
from dcncodec.train.tasks.forensic_field import MARGIN, field_versions, is_field, passed_on
from dcncodec.train.tasks.forensic_rates import RatedCodec, draw_rates

VALIDATION_PATCHES = 64
VALIDATION_BATCH = 8


class ForensicLoss(nn.Module):
    """Manipulations, channel and FAN with their common loss.

    Args:
        channel: with the codec, if it has one.
        fan: the classifier.
        recipe: classes, weights and what is trainable.
        precision: bfloat16 for mixed precision, float32 otherwise.
        nip: the camera pipeline, if there is one.
        critic: a FAN that stays as it is. It knows the traces before the FAN that learns does, and
            so shows the codec which of them it loses from the first step.
    """

    def __init__(
        self,
        channel: Channel,
        fan: FAN,
        recipe: ForensicRecipe,
        precision: torch.dtype,
        nip: Pipeline | None = None,
        critic: FAN | None = None,
    ) -> None:
        super().__init__()
        self.critic = critic
        self.channel, self.fan, self.nip = channel, fan, nip
        self.recipe, self.precision = recipe, precision
        codec = channel.codec
        self.rated = RatedCodec(codec, recipe, precision) if isinstance(codec, VR) else None
        self.share = 1.0
        """Of the budget that is used: rates are drawn by it."""

    def forward(
        self,
        photos: Tensor,
        generator: torch.Generator,
        stacks: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Figures of a batch, and what went into the compression and came out.

        Args:
            photos: float32 (B, 3, P, P) in [0, 1]; with a pipeline what it should give.
            generator: of the noise.
            stacks: float32 (B, 4, P/2, P/2), what a pipeline develops.
            labels: (K * B,), where photos are manipulated already: (K * B, 3, P, P).

        Returns:
            Scalars by name: loss, cross_entropy, accuracy, mse, bpp, nip_mse; pictures
            (K * B, 3, P, P) before and after the compression.
        """
        recipe = self.recipe
        mixed = self.precision != torch.float32
        learns, develops = (LEARNS_CODEC in recipe.trainable), (LEARNS_NIP in recipe.trainable)
        grad = torch.is_grad_enabled()
        with torch.set_grad_enabled(develops and grad):
            developed = photos
            if self.nip is not None:
                assert stacks is not None
                with torch.autocast(photos.device.type, self.precision, enabled=mixed):
                    developed = self.nip(stacks.contiguous(memory_format=torch.channels_last))
            nip_mse = (developed - photos).square().mean()
            versions = developed
            if labels is None:
                versions, labels = manipulate_all(
                    as_bytes(developed), recipe.classes, generator, recipe.vary_strengths
                )
            sent = self.channel.prepare(versions)
            sent = sent.contiguous(memory_format=torch.channels_last)
        with torch.autocast(photos.device.type, self.precision, enabled=mixed):
            with torch.set_grad_enabled((learns or develops) and grad):
                if self.rated is not None:
                    count = len(sent) // len(recipe.classes)
                    rates = draw_rates(recipe, self.share, count, generator)
                    rates = rates.repeat(len(recipe.classes))
                    restored, bits = self.rated.compress(sent, rates, generator)
                    received, entropy = as_bytes(restored), None
                else:
                    received, entropy = self.channel.compress(sent)
            seen = passed_on(received, generator) if recipe.resave and grad else received
            logits = self.fan(seen.contiguous(memory_format=torch.channels_last))
            judged = None
            if self.critic is not None and grad:
                judged = self.critic(received.contiguous(memory_format=torch.channels_last))
        cross_entropy = functional.cross_entropy(logits, labels)
        mse = (received - sent).square().mean()
        loss, bpp = cross_entropy, torch.zeros_like(cross_entropy)
        if self.rated is not None:
            bpp = bits.detach().mean()
            if learns:
                cost = self.rated.cost(sent, received, rates, bits)
                loss = loss + recipe.lambda_c * cost
        elif entropy is not None:
            assert self.channel.codec is not None
            bpp = entropy.detach() * (self.channel.codec.latent_channels / STRIDE**2)
            if learns:
                cost = codec_loss(recipe, sent, received, mse, entropy)
                loss = loss + recipe.lambda_c * cost
        if judged is not None:
            loss = loss + recipe.critic_weight * functional.cross_entropy(judged, labels)
        if develops:
            loss = loss + recipe.lambda_n * distortion(nip_mse)
        figures = {
            "loss": loss,
            "cross_entropy": cross_entropy.detach(),
            "accuracy": (logits.argmax(1) == labels).float().mean(),
            "mse": mse.detach(),
            "bpp": bpp,
            "nip_mse": nip_mse.detach(),
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
        origins: of codec and pipeline, see ``Header``.
        nip, critic: as in ``ForensicLoss``; see ``CameraTrainer``.
    """

    data: Dataset | RawDataset
    recipe: ForensicRecipe

    SOME_REST: ClassVar = True
    VALIDATED: ClassVar[tuple[str, ...]] = ("accuracy", "bpp", "psnr", "ssim")
    FIGURES: ClassVar = ("loss", "cross_entropy", "accuracy", "mse", "bpp")
    COLUMNS: ClassVar[tuple[str, ...]] = (
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
        data: Dataset | RawDataset,
        folder: Path,
        seed: int = 0,
        precision: torch.dtype = torch.bfloat16,
        origins: dict[str, dict[str, Any]] | None = None,
        nip: Pipeline | None = None,
        critic: FAN | None = None,
    ) -> None:
        self.fan, self.data, self.channel = fan, data, channel
        if critic is not None:
            critic = critic.requires_grad_(False).eval()
        objective = ForensicLoss(channel, fan, recipe, precision, nip, critic)
        objective = objective.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        trained = nn.ModuleDict({"fan": fan})
        codec = channel.codec
        if codec is not None and LEARNS_CODEC in recipe.trainable:
            trained["codec"] = codec
        elif codec is not None:
            codec.requires_grad_(False)
        if nip is not None and LEARNS_NIP in recipe.trainable:
            trained["nip"] = nip
        elif nip is not None:
            nip.requires_grad_(False)
        latent_channels = codec.latent_channels if codec is not None else 0
        origins = origins or {}
        init = str(origins.get(LEARNS_CODEC, {}).get("name", ""))
        header = Header(latent_channels, recipe, seed, data.sources, init, origins=origins)
        shares = dict.fromkeys(("codec", "nip"), recipe.tuning_rate)
        # Muon would turn the codec's transform away from what it was started as.
        adam = ("codec",) if isinstance(codec, VR) else ()
        super().__init__(trained, objective, header, folder, len(data.training), shares, adam)

    def _step(self, objective: nn.Module, share: float) -> Tensor:
        self.channel.encoder_rests = share < self.recipe.encoder_rest
        assert isinstance(self.objective, ForensicLoss)
        self.objective.share = share
        return super()._step(objective, share)

    def losses(self, objective: nn.Module, generator: torch.Generator) -> Tensor:
        """See ``FIGURES``; of random patches that vary enough."""
        count = self.recipe.batch // self.world
        batch = self.batch(self.data.training, count, self.recipe.patch, generator)
        figures, _, _ = objective(batch[0], generator, *batch[1:])
        return torch.stack([figures[name] for name in self.FIGURES])

    def batch(
        self, images: ImageSet | RawSet, count: int, size: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Photos, stacks and labels for ``ForensicLoss``, of ``count`` random varied photos."""
        if is_field(self.recipe):
            assert isinstance(images, ImageSet)
            crops = varied_crops(images, count, size + 2 * MARGIN, generator)
            versions, labels = field_versions(crops, self.recipe, generator)
            return versions, None, labels
        return *self.patches(images, count, size, generator), None

    @staticmethod
    def patches(
        images: ImageSet | RawSet, count: int, size: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Random varied photos, float32 (count, 3, size, size), and their stacks, if any."""
        assert isinstance(images, ImageSet)
        return to_unit(varied_crops(images, count, size, generator)), None

    def finish_step(self) -> None:
        """Keeps the FAN's first filters residuals."""
        self.fan.constrain()
        super().finish_step()

    def validate(self) -> dict[str, float]:
        """Means over patches that are the same every time; bpp is an estimate."""
        generator = torch.Generator().manual_seed(1)
        assert isinstance(self.objective, ForensicLoss)
        self.objective.share = 1.0
        rows = []
        for _ in range(0, VALIDATION_PATCHES, VALIDATION_BATCH):
            count = min(VALIDATION_BATCH, VALIDATION_PATCHES)
            photos, stacks, labels = self.batch(self.data.validation, count, PAPER_PATCH, generator)
            figures, sent, received = self.objective(photos, generator, stacks, labels)
            figures["psnr"] = psnr(sent, received).clamp_max(99).mean()
            figures["ssim"] = ssim(sent, received).mean()
            figures["nip_psnr"] = -10 * figures["nip_mse"].clamp_min(1e-10).log10()
            rows.append([float(figures[name]) for name in self.VALIDATED])
        means = [fmean(column) for column in zip(*rows, strict=True)]
        names = [f"validation_{name}" for name in self.VALIDATED]
        return dict(zip(names, means, strict=True))


class CameraTrainer(ForensicTrainer):
    """The same on RAW frames that a pipeline develops, trainable or not.

    It works as at inference: batch normalisation keeps the statistics that it came with.
    """

    VALIDATED: ClassVar = (*ForensicTrainer.VALIDATED, "nip_psnr")
    COLUMNS: ClassVar = (*ForensicTrainer.COLUMNS, "validation_nip_psnr")

    @staticmethod
    def patches(
        images: ImageSet | RawSet, count: int, size: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Random parts of frames whose pictures vary."""
        assert isinstance(images, RawSet)
        stacks, pictures = images.crops(count, size, generator, varied=True)
        return pictures, stacks


def with_gauges(
    trainer: type[ForensicTrainer],
    codec: DCN | VR | None,
    recipe: ForensicRecipe,
    images: ImageSet | RawSet,
) -> ForensicRecipe:
    """Give a codec its gauges before a run begins; where it gets none, its encoder does not rest.

    Args:
        trainer: of the run; it says what patches are.
        codec: that learns; its weights are changed in place.
        recipe: of the run.
        images: to measure the codec with, where the codec is.

    Returns:
        The recipe that the run keeps, also when it is resumed.
    """
    # An encoder at rest would not show a pipeline before it what the FAN needs.
    wanted = recipe.gauges and recipe.trainable == (LEARNS_CODEC,)
    if wanted and isinstance(codec, DCN) and codec.latent_channels >= len(GAUGES):
        generator = torch.Generator().manual_seed(1)
        photos, _ = trainer.patches(images, VALIDATION_PATCHES, PAPER_PATCH, generator)
        if install_gauges(codec, photos) is not None:
            return recipe
    return replace(recipe, encoder_rest=0.0)
