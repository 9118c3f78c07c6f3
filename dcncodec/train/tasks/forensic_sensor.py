"""Photos of simulated sensors for trainings that keep fingerprints (``--keep prnu``)."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from dcncodec.camera.acquisition import acquire, sensor
from dcncodec.camera.camera import Floats, develop_frame
from dcncodec.forensics.prnu.residual import to_grey
from dcncodec.metrics import to_unit
from dcncodec.models.families.nip import STANDARD
from dcncodec.train.engine.data import ImageSet
from dcncodec.train.engine.raw_data import RawSet
from dcncodec.train.engine.recipes import ForensicRecipe
from dcncodec.train.tasks.forensic import Batch, CameraTrainer, ForensicTrainer

PRNU = "prnu"
"""Value of a recipe's ``keep``."""
STRENGTHS = (0.01, 0.02)
"""Range of the standard deviation of a sensor's gains. Real ones have 0.5% to 1.5%, of which the
weaker ones would hardly show among the noise of few crops."""


def taken(crops: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What cameras with sensors of their own make of pictures (``camera.acquisition``).

    Args:
        crops: uint8 (B, P, P, 3), P even.
        generator: of sensors, cameras and noise.

    Returns:
        Photos, float (B, 3, P, P) in [0, 1], 8-bit samples; and what their sensors' gains changed
        in them, grey levels (B, P, P); both on the crops' device.
    """
    photos, patterns = [], []
    for crop in crops.cpu().numpy():
        numbers = torch.randint(2**31, (2,), generator=generator).tolist()
        low, high = map(math.log, STRENGTHS)
        strength = math.exp(low + (high - low) * float(torch.rand((), generator=generator)))
        gains = sensor(numbers[0], crop.shape[0], crop.shape[1], strength)
        photo, even = (
            develop_frame(acquire(crop, numbers[1], gains=found)) for found in (gains, None)
        )
        photos.append(_bytes(photo))
        patterns.append(to_grey(photo - even) * 255)
    exact = to_unit(torch.from_numpy(np.stack(photos)).to(crops.device))
    return exact, torch.from_numpy(np.stack(patterns)).to(crops.device)


def _bytes(picture: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    found: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = np.rint(picture * 255).astype(np.uint8)
    return found


class SensorTrainer(ForensicTrainer):
    """Tunes a codec to keep the fingerprints of sensors: no FAN, no classes."""

    VALIDATED: ClassVar = ("bpp", "psnr", "ssim", PRNU)
    FIGURES: ClassVar = ("loss", "mse", "bpp", PRNU)
    COLUMNS: ClassVar = (
        *("step", "seconds", "learning_rate", "loss", "bpp", "psnr", PRNU),
        *("validation_bpp", "validation_psnr", "validation_ssim", "validation_prnu"),
    )

    def judged(
        self, images: ImageSet | RawSet, count: int, size: int, generator: torch.Generator
    ) -> Batch:
        """None."""
        return None, None, None

    def sensors(
        self, images: ImageSet | RawSet, count: int, size: int, generator: torch.Generator
    ) -> Batch:
        """``count`` of them. Flat photos are the best there are."""
        assert isinstance(images, ImageSet)
        photos, patterns = taken(images.crops(count, size, generator), generator)
        return photos.to(self.device), patterns.to(self.device)


class KeepingTrainer(ForensicTrainer):
    """Tunes a codec with a FAN, and to keep the fingerprints of sensors besides."""

    VALIDATED: ClassVar = (*ForensicTrainer.VALIDATED, PRNU)
    FIGURES: ClassVar = (*ForensicTrainer.FIGURES, PRNU)
    COLUMNS: ClassVar = (*ForensicTrainer.COLUMNS, PRNU, "validation_prnu")

    sensors = SensorTrainer.sensors


def trainer_of(recipe: ForensicRecipe) -> type[ForensicTrainer]:
    """What trains by a recipe."""
    if recipe.nip not in {"", STANDARD}:
        return CameraTrainer
    if not recipe.keep:
        return ForensicTrainer
    return KeepingTrainer if recipe.classes else SensorTrainer
