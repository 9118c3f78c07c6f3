"""What ManTra-Net learns by: cross-entropy of manipulations, and of the pixels of a map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.forensics.operations.hierarchy import LEVELS, labels
from dcncodec.metrics import to_unit
from dcncodec.models.trace import USUAL_SHARE, Anomaly, Trace


class FeaturesLoss(nn.Module):
    """Cross-entropy of the classifier.

    Args:
        trace: the networks.
        classes: of the hierarchy's level that it learns.
        precision: bfloat16 for mixed precision, float32 otherwise.
    """

    leaves: Tensor
    families: Tensor

    def __init__(self, trace: Trace, classes: int, precision: torch.dtype) -> None:
        super().__init__()
        self.trace, self.precision = trace, precision
        self.register_buffer("leaves", torch.tensor(labels(classes)), persistent=False)
        families = torch.zeros(classes, LEVELS[0])
        families[list(labels(classes)), list(labels(LEVELS[0]))] = 1
        self.register_buffer("families", families, persistent=False)

    def forward(self, pixels: Tensor, leaves: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, accuracy, and accuracy among the families.

        Args:
            pixels: uint8 (B, P, P, 3).
            leaves: indices of the 385 manipulations (B,).
        """
        truth = self.leaves[leaves]
        mixed = self.precision != torch.float32
        with torch.autocast(pixels.device.type, self.precision, enabled=mixed):
            logits = self.trace.classify(prepared(pixels))
        found = logits.detach()
        family = (found.softmax(1) @ self.families).argmax(1)
        return (
            functional.cross_entropy(logits, truth),
            (found.argmax(1) == truth).float().mean(),
            (family == self.families.argmax(1)[truth]).float().mean(),
        )


class MapLoss(nn.Module):
    """Binary cross-entropy of every pixel of a map.

    Unlike in the paper every forgery counts as if ``USUAL_SHARE`` of it were manipulated: small
    parts would hardly count beside large ones.

    Args:
        trace: the networks.
        precision: as in ``FeaturesLoss``.
        joint: whether the features learn, too.
    """

    def __init__(self, trace: Trace, precision: torch.dtype, joint: bool) -> None:
        super().__init__()
        self.trace, self.precision, self.joint = trace, precision, joint

    def forward(self, pixels: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and logits (B, P, P).

        Args:
            pixels: float (B, 3, P, P) in [0, 1].
            masks: bool (B, P, P).
        """
        mixed = self.precision != torch.float32
        learns = self.joint and torch.is_grad_enabled()
        with torch.autocast(pixels.device.type, self.precision, enabled=mixed):
            margin = self.trace.margin
            padded = functional.pad(pixels, (margin,) * 4, mode="reflect")
            padded = padded.contiguous(memory_format=torch.channels_last)
            with torch.set_grad_enabled(learns):
                features = self.trace.features(padded)
            adapted = self.trace.anomaly.adapted(features, padded)
            logits = self.trace.anomaly(adapted, Anomaly.statistics(adapted))
            logits = self.trace.anomaly.of_pixels(logits, *masks.shape[1:])
        shares = masks.float().mean((1, 2), keepdim=True)
        inside, outside = USUAL_SHARE / shares, (1 - USUAL_SHARE) / (1 - shares)
        weights = torch.where(masks, inside, outside)
        loss = functional.binary_cross_entropy_with_logits(logits, masks.float(), weights)
        return loss, logits


def prepared(pixels: Tensor) -> Tensor:
    """Patches for networks: uint8 (B, P, P, 3) to float32 (B, 3, P, P) in [0, 1]."""
    return to_unit(pixels).contiguous(memory_format=torch.channels_last)
