"""FANs, forensic analysis networks: what all of them are, and that of the DCN paper.

The paper's (Table 6; Bayar & Stamm's constrained filter) begins with a constrained convolution,
which suppresses the content of a photo and leaves what manipulation changes: each of its filters
predicts a pixel from its neighbours and subtracts the pixel. Another one is in ``spectral_fan``,
and both together are in ``combined_fan``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.models.families.fan import CONVOLUTIONAL

STEP = 16
"""Pixels along a side of a cell, for which a FAN has one vector of features."""
RESIDUAL_SIZE = 5
FILTERS = (32, 64, 128, 256)
DENSE = (512, 128)
LEAK = 0.2
DEVIATION = 0.0023
"""Of the constrained filters from smooth ones, at first."""
RESIDUAL_GAIN = 100.0
"""Residuals of photos in [0, 1] are of the order of 0.01; without gain the layers would see
nearly nothing but their own biases."""


class ConstrainedConv(nn.Module):
    """5x5 filters from RGB to three residuals, without bias; the borders are reflected.

    Every filter's centre weight on its own channel is -1 and the others sum to 1, so that a
    constant image gives zero. ``constrain`` restores that after an optimisation step.
    """

    def __init__(self) -> None:
        super().__init__()
        # Starts near the difference to a smooth prediction from the pixel's own channel.
        line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0])
        smooth = line.unsqueeze(1) * line
        smooth /= smooth.sum() - smooth[RESIDUAL_SIZE // 2, RESIDUAL_SIZE // 2]
        weight = torch.eye(3).view(3, 3, 1, 1) * smooth
        weight += DEVIATION * torch.randn_like(weight)
        # One row for each filter: no convolution kernel to an optimiser that treats those apart.
        self.weight = nn.Parameter(weight.flatten(1))
        self.constrain()

    @property
    def kernel(self) -> Tensor:
        """The filters (3, 3, 5, 5)."""
        return self.weight.view(3, 3, RESIDUAL_SIZE, RESIDUAL_SIZE)

    @torch.no_grad()
    def constrain(self) -> None:
        """Move the weights to the nearest ones that meet the constraint.

        Bayar & Stamm divide by the sum. That makes filters louder or softer with every step, and
        turns those over whose sum rounding has changed: they are soon large beside a sum of 1.
        """
        middle, own = RESIDUAL_SIZE // 2, torch.arange(3)
        self.kernel[own, own, middle, middle] = 0
        excess = self.weight.sum(1, keepdim=True) - 1
        self.weight.sub_(excess / (self.weight.shape[1] - 1))
        self.kernel[own, own, middle, middle] = -1

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to residuals of the same shape."""
        padded = functional.pad(pixels, (RESIDUAL_SIZE // 2,) * 4, mode="reflect")
        return functional.conv2d(padded, self.kernel)


class FAN(nn.Module):
    """A classifier of manipulations: features of cells, their means, and what judges those.

    Args:
        classes: number of classes, 2 or more.

    Raises:
        ValueError: fewer than two classes.
    """

    NETWORK: ClassVar[str]
    """What cards and recipes call it."""
    LEARNS_TRACES: ClassVar[bool] = True
    """Whether ``traces`` have weights."""
    head: Callable[[Tensor], Tensor]
    """Means of features (N, C) to logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"a classifier needs at least 2 classes, not {classes}")
        self.classes = classes

    def constrain(self) -> None:
        """Restore what the network demands of its weights after an optimisation step."""

    def traces(self, pixels: Tensor) -> Tensor:
        """Features of every cell.

        Args:
            pixels: RGB (B, 3, H, W) in [0, 1], H and W at least ``STEP``.

        Returns:
            (B, C, H / ``STEP``, W / ``STEP``), rounded down.
        """
        raise NotImplementedError

    def describe(self, pixels: Tensor) -> Tensor:
        """The same pixels to the means of their features, (B, C), which ``head`` judges."""
        return self.traces(pixels).mean((2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        """RGB (B, 3, H, W) in [0, 1], H and W at least ``STEP``, to logits, float32."""
        return self.head(self.describe(pixels)).float()


class ConvolutionalFAN(FAN):
    """The DCN paper's: 1,341,990 parameters for five classes. See ``FAN``."""

    NETWORK = CONVOLUTIONAL

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.residual = ConstrainedConv()
        layers: list[nn.Module] = []
        channels = 3
        for filters in FILTERS:
            layers += [
                nn.Conv2d(channels, filters, 5, padding=2),
                nn.LeakyReLU(LEAK),
                nn.MaxPool2d(2),
            ]
            channels = filters
        layers += [nn.Conv2d(channels, channels, 1), nn.LeakyReLU(LEAK)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(channels, DENSE[0]),
            nn.LeakyReLU(LEAK),
            nn.Linear(DENSE[0], DENSE[1]),
            nn.LeakyReLU(LEAK),
            nn.Linear(DENSE[1], classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, a=LEAK)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def constrain(self) -> None:
        """Restore the constraint of the residual filters."""
        self.residual.constrain()

    def traces(self, pixels: Tensor) -> Tensor:
        """See ``FAN``; 256 features."""
        # The residual is a small difference of large numbers: bfloat16 would drown it.
        with torch.autocast(pixels.device.type, enabled=False):
            residual = self.residual(pixels.float()) * RESIDUAL_GAIN
        features: Tensor = self.features(residual)
        return features
