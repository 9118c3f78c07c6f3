"""Losses of ManTra-Net: cross-entropy of manipulations, and of maps."""

from __future__ import annotations

import torch

from dcncodec.forensics.operations.hierarchy import labels
from dcncodec.models.trace import SIZES, USUAL_SHARE, Trace
from dcncodec.train.tasks.trace_loss import FeaturesLoss, MapLoss, prepared


def test_the_classifiers_loss() -> None:
    loss = FeaturesLoss(Trace(SIZES["8"], 25), 25, torch.float32)
    pixels = torch.randint(256, (4, 64, 64, 3), dtype=torch.uint8)
    leaves = torch.tensor([0, 100, 200, 384])
    value, accuracy, families = loss(pixels, leaves)
    logits = loss.trace.classify(prepared(pixels))
    truth = torch.tensor(labels(25))[leaves]
    torch.testing.assert_close(value, torch.nn.functional.cross_entropy(logits, truth))
    assert float(accuracy) == float((logits.argmax(1) == truth).float().mean())
    assert 0 <= float(families) <= 1
    assert loss.families.sum(1).eq(1).all()


def test_small_parts_count_as_much_as_large_ones() -> None:
    """Of a forgery: its error inside the mask counts alike, whatever the mask's size."""
    trace = Trace(SIZES["8"], 25)
    pixels = torch.rand(3, 3, 64, 64)
    masks = torch.zeros(3, 64, 64, dtype=torch.bool)
    masks[0, :8, :8] = masks[1, :, :32] = True
    loss, logits = MapLoss(trace, torch.float32, joint=False)(pixels, masks)
    errors = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, masks.float(), reduction="none"
    )
    share = USUAL_SHARE
    expected = [
        share * error[mask].mean() + (1 - share) * error[~mask].mean()
        for error, mask in zip(errors[:2], masks[:2], strict=True)
    ]
    # A photo without a manipulated part counts by the rest alone.
    expected.append((1 - share) * errors[2].mean())
    torch.testing.assert_close(loss, torch.stack(expected).mean())
