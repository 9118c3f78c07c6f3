"""Joint optimisation of codec and forensic analysis (DCN paper, section 4.2, equations 8 and 9).

A batch of photos goes through every manipulation, the channel and the FAN; under the paper's
protocol as a whole, or photo by photo as in the field (``forensic_field``). What is trainable
minimises the FAN's cross-entropy plus ``lambda_c`` times what the channel loses::

    L = cross-entropy + lambda_c (L2 + lambda_H entropy)  [+ cross-entropy of critics]
                                                          [+ loss of fingerprints]

With nothing trainable only the FAN learns, on a channel that stays as it is. Photos are finished
ones, or RAW frames that a camera pipeline develops (NIP paper, section 3.3). Where the pipeline is
trainable ``lambda_n`` times its distortion, L2 against the standard pipeline's picture, is added.
Fingerprints are those of sensors, see ``forensic_sensor``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dcncodec.forensics.channel import Channel
from dcncodec.formats.files import make_folder
from dcncodec.metrics import psnr, ssim, to_bytes, to_unit
from dcncodec.models.families.fan import LEARNS_CODEC, LEARNS_NIP
from dcncodec.models.fan import FAN
from dcncodec.models.nip import Pipeline
from dcncodec.models.vr import VR
from dcncodec.train.engine.ahead import Ahead
from dcncodec.train.engine.checkpoint import Header
from dcncodec.train.engine.data import Dataset, ImageSet, seeded, sent
from dcncodec.train.engine.presets import PAPER_PATCH
from dcncodec.train.engine.raw_data import RawDataset, RawSet
from dcncodec.train.engine.recipes import ForensicRecipe
from dcncodec.train.engine.run import Budget, Report, Run
from dcncodec.train.engine.session import Notify
from dcncodec.train.engine.varied import varied_crops
from dcncodec.train.tasks.forensic_field import FieldPhotos, field_batch, is_field
from dcncodec.train.tasks.forensic_loss import ForensicLoss
from dcncodec.train.tasks.forensic_passing import Passing, draw_passing
from dcncodec.train.tasks.forensic_rates import SHARES, draw_rates
from dcncodec.train.tasks.forensic_store import DRAWS, Pictures, PictureStore, store_folder
from dcncodec.train.tasks.vr import LINEAR

VALIDATION_PATCHES = 64
VALIDATION_BATCH = 8

Batch = tuple[Tensor | None, ...]
"""What ``ForensicLoss`` takes beside a generator, in its order."""


class ForensicTrainer(Run):
    """Trains a FAN, and with it what the recipe calls trainable; see ``Run``.

    Args:
        channel: with a pre-trained codec, if it has one, on its device.
        fan: the classifier, on the same device; None without classes.
        recipe: how to train; its channel and classes are those of the first two.
        data: training and validation images, on the device; where photos are drawn one by one
            (``is_field``) on the CPU.
        folder: of the run.
        seed: of crops and noise.
        precision: as in ``ForensicLoss``.
        origins: of codec and pipeline, see ``Header``.
        nip, critics: as in ``ForensicLoss``; see ``CameraTrainer``.
        loaders: processes that draw photos one by one.
        notify: told how far the making of stored pictures is.
    """

    data: Dataset | RawDataset
    recipe: ForensicRecipe

    VALIDATED: ClassVar[tuple[str, ...]] = ("accuracy", "bpp", "psnr", "ssim")
    FIGURES: ClassVar[tuple[str, ...]] = ("loss", "cross_entropy", "accuracy", "mse", "bpp")
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
        fan: FAN | None,
        recipe: ForensicRecipe,
        data: Dataset | RawDataset,
        folder: Path,
        seed: int = 0,
        precision: torch.dtype = torch.bfloat16,
        origins: dict[str, dict[str, Any]] | None = None,
        nip: Pipeline | None = None,
        critics: Sequence[FAN] = (),
        loaders: int = 0,
        notify: Notify = lambda _: None,
    ) -> None:
        self.fan, self.data, self.channel, self.notify = fan, data, channel, notify
        critics = [critic.requires_grad_(False).eval() for critic in critics]
        objective = ForensicLoss(channel, fan, recipe, precision, nip, critics)
        objective = objective.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        trained = nn.ModuleDict({} if fan is None else {"fan": fan})
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
        adam: list[str] = []
        if isinstance(codec, VR):
            shares |= {f"codec.{part}": recipe.tuning_rate * s for part, s in SHARES.items()}
            adam = [f"codec.{part}" for part in LINEAR]
        super().__init__(trained, objective, header, folder, len(data.training), shares, adam)
        # What it has beside the networks is no part of them.
        objective.to(self.device)
        self.held_out: list[Batch] = []
        """What validations judge, once one has drawn it."""
        self.photos: Ahead | None = None
        """Photos that are drawn one by one."""
        self.store: PictureStore | None = None
        """What the channel made of them, to be used again."""
        if is_field(recipe):
            assert isinstance(data.training, ImageSet)
            count = recipe.batch // self.world
            source = FieldPhotos(data.training, recipe, count, seed, self.rank)
            self.photos = Ahead(source, loaders)
            if recipe.stored:
                described = "" if fan is None or fan.LEARNS_TRACES else fan.NETWORK
                place = store_folder(folder, header, count, self.rank, described)
                make_folder(place)
                batches = math.ceil(recipe.stored / recipe.batch)
                self.store = PictureStore(self._coded, place, batches, count)
            elif objective.rated is not None and not recipe.keep:
                self.inputs = self._inputs

    def run(self, budget: Budget, report: Report) -> bool:
        """See ``Run``; the processes that draw photos end with it."""
        if self.photos is None:
            return super().run(budget, report)
        # The first ones come before the clock of the training runs.
        with self.photos.making(self.progress.step if self.store is None else self.store.first()):
            if self.store is not None:
                self.store.fill(lambda: self.stopping, self._filled)
            return super().run(budget, report)

    def _filled(self, batches: int) -> None:
        assert self.store is not None
        photos, all_photos = (n * self.recipe.batch for n in (batches, self.store.batches))
        self.notify(f"{photos:,} of {all_photos:,} photos went through the channel")

    def _step(self, objective: nn.Module, share: float) -> Tensor:
        assert isinstance(self.objective, ForensicLoss)
        self.objective.share = share
        return super()._step(objective, share)

    def losses(self, objective: nn.Module, generator: torch.Generator) -> Tensor:
        """See ``FIGURES``; of random patches that vary enough."""
        if self.store is not None:
            return self._stored(self.store, objective, generator)
        images, count, side = self.data.training, self.recipe.batch // self.world, self.recipe.patch
        if self.photos is None:
            judged = self.judged(images, count, side, generator)
        else:
            judged = self._drawn(*self.photos.take(self.progress.step))
        batch = *judged, *self.sensors(images, count, side, generator)
        figures, _, _ = objective(batch[0], generator, *batch[1:])
        return torch.stack([figures[name] for name in self.FIGURES])

    def _stored(
        self, store: PictureStore, objective: nn.Module, generator: torch.Generator
    ) -> Tensor:
        """As ``losses``; the channel's figures are those of when the pictures were made."""
        taken, mse, bpp = store.take(generator)
        seen = sent(taken.transpose(0, 1).flatten(0, 1), self.device)
        seen = to_unit(seen) if seen.dtype == torch.uint8 else seen
        labels = torch.arange(len(self.recipe.classes)).repeat_interleave(store.count)
        figures, _, _ = objective(seen, generator, labels=sent(labels, self.device), coded=True)
        figures |= {"mse": mse.to(self.device), "bpp": bpp.to(self.device)}
        return torch.stack([figures[name] for name in self.FIGURES])

    def _coded(self, number: int) -> Pictures:
        """A batch of the store."""
        assert isinstance(self.objective, ForensicLoss)
        assert self.photos is not None
        versions, _, _ = self._drawn(*self.photos.take(number))
        count = self.recipe.batch // self.world
        # One more number than the photos have: it draws rates.
        generator = seeded(self.header.seed, self.rank, number, 1, 1)
        rates = draw_rates(self.recipe, 1.0, count, generator)
        received, mse, bpp = self.objective.coded(versions, rates)
        assert self.fan is not None
        if self.fan.LEARNS_TRACES:
            seen = to_bytes(received).unsqueeze(1)
        else:
            draws = DRAWS if self.recipe.resave else 1
            described = [self.objective.described(received, generator) for _ in range(draws)]
            seen = torch.stack(described, 1)
        photos = seen.cpu().reshape(-1, count, *seen.shape[1:]).transpose(0, 1).contiguous()
        return Pictures(photos, mse.cpu(), bpp.cpu())

    def _inputs(self, generator: torch.Generator) -> Sequence[Tensor]:
        """Versions, labels and rates of a step that draws nothing else but what becomes of decoded
        pictures, the parts of a ``Passing``."""
        assert isinstance(self.objective, ForensicLoss)
        assert self.photos is not None
        count, share = self.recipe.batch // self.world, self.objective.share
        rates = draw_rates(self.recipe, share, count, generator)
        versions, _, labels = self._drawn(*self.photos.take(self.progress.step))
        drawn = [rates]
        if self.recipe.resave:
            drawn += draw_passing(len(versions), versions.shape[-1], generator)
        return versions, labels, *(sent(part, self.device) for part in drawn)

    def captured_figures(self, objective: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
        """See ``Run``."""
        versions, labels, rates, *parts = inputs
        passing = Passing(*parts) if parts else None
        figures, _, _ = objective(versions, None, labels=labels, rates=rates, passing=passing)
        return torch.stack([figures[name] for name in self.FIGURES])

    def judged(
        self, images: ImageSet | RawSet, count: int, size: int, generator: torch.Generator
    ) -> Batch:
        """Photos, stacks and labels for ``ForensicLoss``, of ``count`` random varied photos."""
        if self.photos is not None:
            assert isinstance(images, ImageSet)
            return self._drawn(*field_batch(images, count, size, self.recipe, generator))
        return *self.patches(images, count, size, generator), None

    def _drawn(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, None, Tensor]:
        """What ``judged`` gives of ``field_versions``."""
        return to_unit(sent(pixels, self.device)), None, sent(labels, self.device)

    def sensors(
        self, images: ImageSet | RawSet, count: int, size: int, generator: torch.Generator
    ) -> Batch:
        """Photos of sensors and what these left in them, for ``ForensicLoss``; none here."""
        return ()

    @staticmethod
    def patches(
        images: ImageSet | RawSet, count: int, size: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Random varied photos, float32 (count, 3, size, size), and their stacks, if any."""
        assert isinstance(images, ImageSet)
        return to_unit(varied_crops(images, count, size, generator)), None

    def finish_step(self) -> None:
        """Keeps the FAN's first filters residuals."""
        if self.fan is not None:
            self.fan.constrain()
        super().finish_step()

    def validate(self) -> dict[str, float]:
        """Means over patches that are the same every time; bpp is an estimate."""
        assert isinstance(self.objective, ForensicLoss)
        self.objective.share = 1.0
        rows = []
        for number, batch in enumerate(self._held_out()):
            generator = torch.Generator().manual_seed(number)
            figures, before, after = self.objective(batch[0], generator, *batch[1:])
            figures["psnr"] = psnr(before, after).clamp_max(99).mean()
            figures["ssim"] = ssim(before, after).mean()
            if "nip_mse" in figures:
                figures["nip_psnr"] = -10 * figures["nip_mse"].clamp_min(1e-10).log10()
            rows.append([float(figures[name]) for name in self.VALIDATED])
        means = [fmean(column) for column in zip(*rows, strict=True)]
        names = [f"validation_{name}" for name in self.VALIDATED]
        return dict(zip(names, means, strict=True))

    def _held_out(self) -> list[Batch]:
        """Of the validation images; drawn once, as some of it takes other programs' operators."""
        if not self.held_out:
            generator = torch.Generator().manual_seed(1)
            count = min(VALIDATION_BATCH, VALIDATION_PATCHES)
            drawn = self.data.validation, count, PAPER_PATCH, generator
            self.held_out = [
                (*self.judged(*drawn), *self.sensors(*drawn))
                for _ in range(0, VALIDATION_PATCHES, VALIDATION_BATCH)
            ]
        return self.held_out


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
