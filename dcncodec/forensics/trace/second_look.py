"""A second look at a photo: what tells the parts that are suspected from the rest of it.

The network looks for anomalies alike in every photo. Once it suspects some cells, the photo itself
shows which traces set these apart, and where else those are: Fisher's linear discriminant between
cells weighted by suspicion. Beside the paper; one step of the expectation and maximisation by which
Splicebuster tells two models in a photo apart (Cozzolino, Poggi, Verdoliva, WIFS 2015). It asks
nothing of the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dcncodec.formats.geometry import Area
from dcncodec.models.trace import Anomaly, Statistics, box_means

WINDOW = 3
"""Side in cells of the windows over which traces are averaged first."""
SUSPECTED, STEEPNESS = 1.5, 3.0
"""Deviations above a map's mean at which a cell is suspected by half, and how fast that changes."""
RIDGE = 0.003
"""Added to the traces' variances, which are about 1."""
LIMIT = 10.0
"""Of what the discriminant says of a cell."""
SHARE = 0.5
"""Of the second look in what is found."""


@dataclass(frozen=True, eq=False)
class Cells:
    """What is known of a photo's cells.

    Attributes:
        plane: all of them.
        windows: areas that partition it; more than that is never in memory as float32.
        adapted: adapted features (C, h, w) of the plane.
        statistics: of these.
    """

    plane: Area
    windows: Sequence[Area]
    adapted: Tensor
    statistics: Statistics

    def of(self, part: Area) -> Tensor:
        """Adapted features, float32 (1, C, rows, columns)."""
        return self.adapted[(None, slice(None), *part.within(self.plane))].float()


@torch.inference_mode()
def second_look(anomaly: Anomaly, cells: Cells, logits: Tensor) -> Tensor:
    """A map with what is found once more.

    Args:
        anomaly: the network that found it.
        cells: of the photo.
        logits: float32 (h, w), how anomalous every cell is.

    Returns:
        The same, its mean as before; the logits themselves where they or the traces do not vary.
    """
    spread, middle = torch.std_mean(logits, correction=0)
    if not spread > 0:
        return logits
    first = (logits - middle) / spread
    suspicion = torch.sigmoid(STEEPNESS * (first - SUSPECTED)).double()
    direction, between = _discriminant(anomaly, cells, suspicion)
    found = torch.empty_like(logits)
    far = max(anomaly.averaged, default=1) // 2
    for window in cells.windows:
        outer = window.grown(far, cells.plane)
        traces = _traces(anomaly, cells, outer).double()
        scores = (torch.einsum("c,chw->hw", direction, traces) - between).clamp(-LIMIT, LIMIT)
        means = box_means(scores.float()[None, None], anomaly.averaged or (1,))
        found[window.within(cells.plane)] = torch.stack(list(means)).mean(0)[0, 0][
            window.within(outer)
        ]
    spread_now, middle_now = torch.std_mean(found, correction=0)
    if not spread_now > 0:
        return logits
    second = (found - middle_now) / spread_now
    return middle + spread * torch.lerp(first, second, SHARE)


def _traces(anomaly: Anomaly, cells: Cells, part: Area) -> Tensor:
    """What is told apart: centred features in means over ``WINDOW``, (C, rows, columns)."""
    outer = part.grown(WINDOW // 2, cells.plane)
    centred = anomaly.centred(cells.of(outer), cells.statistics)
    (means,) = box_means(centred, (WINDOW,))
    return means[0][(slice(None), *part.within(outer))]


def _discriminant(anomaly: Anomaly, cells: Cells, suspicion: Tensor) -> tuple[Tensor, Tensor]:
    """Fisher's direction (C,), and the score half-way between both means.

    Args:
        anomaly, cells: see ``second_look``.
        suspicion: float64 (h, w) in (0, 1).
    """
    both = torch.stack([suspicion, 1 - suspicion])
    both /= both.sum((1, 2), keepdim=True)
    means = moments = torch.zeros((), dtype=torch.float64, device=suspicion.device)
    for window in cells.windows:
        traces = _traces(anomaly, cells, window).double().flatten(1)
        weights = both[(slice(None), *window.within(cells.plane))].flatten(1)
        means = means + torch.einsum("kn,cn->kc", weights, traces)
        # The mean of both covariances: both sides count alike, however many cells they have.
        moments = moments + (traces * weights.mean(0)) @ traces.T
    within = moments - means.T @ means / 2
    within += RIDGE * torch.eye(len(within), dtype=within.dtype, device=within.device)
    direction = torch.linalg.solve(within, means[0] - means[1])
    return direction, direction @ means.mean(0)
