"""ManTra-Net on photos, band by band.

The same figures as by ``models.trace``, which learns: what is computed between two layers is never
of the whole photo, so that it stays near the processor and uses the same memory again.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from dcncodec.models.trace import UNITS, Anomaly, Statistics, Trace, advance

BAND = 2**16
"""Pixels of a band: their maps take less than the 32 MB from which the system is asked for memory
each time anew."""


def bands(height: int, width: int, cell: int = 1) -> Iterator[slice]:
    """The rows of a photo's bands, from the top, whole cells but for the last."""
    rows = max(1, BAND // width // cell) * cell
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


@torch.inference_mode()
def adapted(trace: Trace, pixels: Tensor) -> Tensor:
    """See ``Trace.adapted``."""
    margin = trace.margin
    height, width = pixels.shape[2:]
    padded = functional.pad(pixels, (margin,) * 4, mode="reflect")
    padded = padded.contiguous(memory_format=torch.channels_last)
    found = []
    for rows in bands(height, width, trace.anomaly.cell):
        around = padded[:, :, rows.start : rows.stop + 2 * margin]
        found.append(trace.anomaly.adapted(trace.features(around), around))
    return torch.cat(found, 2)


@torch.inference_mode()
def logits(anomaly: Anomaly, features: Tensor, statistics: Statistics) -> Tensor:
    """See ``Anomaly.forward``; the features are adapted ones."""
    batch, channels, height, width = features.shape
    # One convolution of what enters a step beside the state before it.
    kernel = torch.cat([anomaly.enter.weight, anomaly.recur.weight], 1)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    edge = kernel.shape[2] // 2
    within = (slice(edge, edge + height), slice(edge, edge + width))
    before, after = (
        features.new_zeros(
            (batch, channels + UNITS, height + 2 * edge, width + 2 * edge)
        ).contiguous(memory_format=torch.channels_last)
        for _ in range(2)
    )
    cell = torch.zeros_like(before[:, channels:, edge:-edge, edge:-edge])
    centred = torch.split(anomaly.centred(features, statistics), 1, 1)
    for step, differences in enumerate(zip(*map(anomaly.differences, centred), strict=True)):
        read = slice(None) if step else slice(channels)
        before[:, :channels, *within] = torch.cat(differences, 1)
        for rows in bands(height, width):
            around = before[:, read, rows.start : rows.stop + 2 * edge]
            gates = functional.conv2d(around, kernel[:, read], anomaly.enter.bias).float()
            state, cell[:, :, rows] = advance(gates, cell[:, :, rows])
            after[:, channels:, edge + rows.start : edge + rows.stop, within[1]] = state
        before, after = after, before
    return anomaly.map_of(before[:, channels:, *within])
