"""A FAN of both kinds: what filters of single edges see, and what spectra say.

Behind a codec one tells what the other misses (bench/RESULTS.md, "Spectra behind a codec").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dcncodec.models.families.fan import COMBINED
from dcncodec.models.fan import FAN, FILTERS, ConvolutionalFAN
from dcncodec.models.spectral_fan import SpectralFAN

FEATURES = FILTERS[-1]
"""Of the convolutional part, which come first."""


class CombinedFAN(FAN):
    """A ``ConvolutionalFAN`` and a ``SpectralFAN`` whose logits are added. See ``FAN``."""

    NETWORK = COMBINED

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.convolutional = ConvolutionalFAN(classes)
        self.spectral = SpectralFAN(classes)

    @property
    def parts(self) -> tuple[FAN, FAN]:
        """Both of them, in the order of their features."""
        return self.convolutional, self.spectral

    @torch.no_grad()
    def start_from(self, *fans: FAN) -> None:
        """Begin as the sum of others; a part that none of them is says nothing yet.

        Args:
            fans: of one kind each, and of its classes; their weights are copied.
        """
        given = {fan.NETWORK: fan for fan in fans}
        for part in self.parts:
            if part.NETWORK in given:
                part.load_state_dict(given[part.NETWORK].state_dict())
            else:
                for parameter in _last(part).parameters():
                    parameter.zero_()

    def constrain(self) -> None:
        """Restore what the parts demand of their weights."""
        for part in self.parts:
            part.constrain()

    def traces(self, pixels: Tensor) -> Tensor:
        """See ``FAN``; the features of both, float32."""
        return torch.cat([part.traces(pixels).float() for part in self.parts], 1)

    def head(self, means: Tensor) -> Tensor:
        """Means of features (N, C) to logits (N, classes)."""
        first, second = self.parts
        return first.head(means[:, :FEATURES]) + second.head(means[:, FEATURES:])


def _last(part: FAN) -> nn.Module:
    """The layer that gives a part's logits."""
    assert isinstance(part.head, nn.Sequential)
    return part.head[-1]
