"""ManTra-Net: where was a photo manipulated? (Wu, AbdAlmageed, Natarajan, CVPR 2019)

Two networks, fully convolutional and without down-sampling. ``Features`` gives every pixel a vector
of unit norm that tells how it was processed; it learns as a classifier of manipulations, with
``Trace.decision`` behind it. ``Anomaly`` tells how far each vector is from those around it, in
windows of several sizes and in the whole photo.

The convolutions of ``Features`` have no padding: a photo is continued by reflection once, which is
symmetric padding as in the paper, and patches to learn from need none. The paper's batch
normalisation of adapted features is left out: without scale and shift, in front of deviations that
are divided by a photo's own, it changes nothing but the floor under that. The small sizes look for
anomalies in means over cells of some pixels, for few features say little of a single pixel, and
beside the features in ``exact_traces``, which no convolution sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.models.exact import EXACT, exact_traces
from dcncodec.models.fan import RESIDUAL_GAIN, RESIDUAL_SIZE, ConstrainedConv

SRM = (
    (
        4,
        (
            (0, 0, 0, 0, 0),
            (0, -1, 2, -1, 0),
            (0, 2, -4, 2, 0),
            (0, -1, 2, -1, 0),
            (0, 0, 0, 0, 0),
        ),
    ),
    (
        12,
        (
            (-1, 2, -2, 2, -1),
            (2, -6, 8, -6, 2),
            (-2, 8, -12, 8, -2),
            (2, -6, 8, -6, 2),
            (-1, 2, -2, 2, -1),
        ),
    ),
    (
        2,
        (
            (0, 0, 0, 0, 0),
            (0, 0, 0, 0, 0),
            (0, 1, -2, 1, 0),
            (0, 0, 0, 0, 0),
            (0, 0, 0, 0, 0),
        ),
    ),
)
"""Steganalysis' residual filters: divisors and kernels, applied to each colour by itself."""
RESIDUALS = 3 * len(SRM) + 3
"""Maps of fixed and constrained filters."""
UNITS = 8
"""Of the recurrent layer."""
FLOOR = 1e-5
"""Under a photo's deviations, and what is learned on top of it at the start."""
EXACT_FLOOR = 0.25
"""The same for exact traces, whose shares mean the same in every photo."""
USUAL_SHARE = 0.1
"""Of a photo's pixels, what the map begins with: an optimiser takes long to find a bias."""


@dataclass(frozen=True)
class Size:
    """How large the networks are.

    Attributes:
        plain: free filters of the first layer.
        layers: outputs of the 3x3 convolutions behind it; the last are the features.
        adapted: features that anomalies are looked for in.
        cell: side in pixels of the squares over which these are averaged first; windows, kernels
            and the map count in cells, which are pixels in the paper.
        windows: sides in cells, odd, from near to far.
        kernel: side of the recurrent layer's kernels and of the last one.
        averaged: sides of the windows over which the map is averaged at last, odd; the paper has
            none, but few features say little of a single pixel.
        exact: whether anomalies are looked for in ``exact_traces``, too; not in the paper.
    """

    plain: int
    layers: tuple[int, ...]
    adapted: int
    cell: int
    windows: tuple[int, ...]
    kernel: int
    averaged: tuple[int, ...] = ()
    exact: bool = False

    @property
    def maps(self) -> int:
        """In which anomalies are looked for."""
        return self.adapted + EXACT * self.exact


def _reduced(base: int) -> Size:
    widths = (1, *(2,) * 2, *(4,) * 3, *(8,) * 3)
    layers = tuple(base * width for width in widths)
    return Size(2, layers, 16, 4, (3, 7, 15, 31), 5, averaged=(1, 3, 7, 15), exact=True)


SIZES = {
    "paper": Size(20, (32, *(64,) * 2, *(128,) * 3, *(256,) * 6), 64, 1, (7, 15, 31), 7),
    "12": _reduced(12),
    "8": _reduced(8),
}
"""The paper's as its authors released it, and two that a processor core can train; by name."""


class Statistics(NamedTuple):
    """Means and standard deviations of a photo's adapted features, each (B, C, 1, 1)."""

    mean: Tensor
    deviation: Tensor


class Features(nn.Module):
    """Image manipulation trace features (section 3): 3,680,989 parameters in the paper's size.

    Attributes:
        margin: pixels that the output is smaller than the input, on each side.
    """

    srm: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.plain = nn.Conv2d(3, size.plain, RESIDUAL_SIZE, bias=False)
        self.bayar = ConstrainedConv()
        self.register_buffer("srm", _srm(), persistent=False)
        channels = size.plain + RESIDUALS
        self.layers = nn.ModuleList()
        for outputs in size.layers:
            layer = nn.Conv2d(channels, outputs, 3)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
            self.layers.append(layer)
            channels = outputs
        self.margin = RESIDUAL_SIZE // 2 + len(size.layers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Features of the pixels that are ``margin`` or more away from the border.

        Args:
            pixels: (B, 3, H + 2 margin, W + 2 margin) in [0, 1].

        Returns:
            (B, C, H, W), over the C channels of mean square 1.
        """
        # Residuals are small differences of large numbers: bfloat16 would drown them.
        with torch.autocast(pixels.device.type, enabled=False):
            pixels = pixels.float()
            kernels = torch.cat([self.srm, self.bayar.kernel])
            residuals = RESIDUAL_GAIN * functional.conv2d(pixels, kernels)
            x = functional.relu(torch.cat([self.plain(2 * pixels - 1), residuals], 1))
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x))
        x = self.layers[-1](x)
        # Unit norm times the root of their number: the layers behind expect ones.
        return functional.normalize(x.float(), dim=1) * math.sqrt(x.shape[1])


class Anomaly(nn.Module):
    """Local anomaly detection network (section 4): 129,769 parameters in the paper's size.

    Attributes:
        cell: see ``Size``; what is called (h, w) here are cells, those at the end cut off.
        reach: cells around one, beside statistics, that its result depends on.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.cell, self.exact = size.cell, size.exact
        self.windows, self.averaged, middle = size.windows, size.averaged, size.kernel // 2
        self.adapt = nn.Conv2d(size.layers[-1], size.adapted, 1, bias=False)
        self.floor = nn.Parameter(torch.full((size.maps,), FLOOR))
        gates = 4 * UNITS
        self.enter = nn.Conv2d(size.maps, gates, size.kernel, padding=middle)
        self.recur = nn.Conv2d(UNITS, gates, size.kernel, padding=middle, bias=False)
        self.decide = decision_layer(UNITS, size.kernel)
        entering = self.enter.bias
        assert entering is not None
        with torch.no_grad():
            self.floor[size.adapted :] = EXACT_FLOOR
            entering.zero_()
            # As in Keras, whose layer the authors use: at the start nothing is forgotten.
            entering[2 * UNITS : 3 * UNITS] = 1
        steps = len(size.windows) + 1
        far = (max(windows, default=0) // 2 for windows in (size.windows, size.averaged))
        self.reach = sum(far) + middle * (steps + 1) + (self.cell > 1)

    def adapted(self, features: Tensor, pixels: Tensor) -> Tensor:
        """Fewer features, by projections of unit norm, and exact traces where they are used.

        Args:
            features: (B, F, H, W).
            pixels: (B, 3, H + 2 M, W + 2 M) in [0, 1], with those around, M at least 1.

        Returns:
            float32 (B, C, h, w).
        """
        weight = functional.normalize(self.adapt.weight, dim=1)
        adapted = functional.conv2d(features, weight).float()
        if self.cell > 1:
            adapted = functional.avg_pool2d(adapted, self.cell, ceil_mode=True)
        if self.exact:
            height, width = features.shape[2:]
            margin = (pixels.shape[2] - height) // 2
            here = pixels.narrow(2, margin, height + 1).narrow(3, margin, width + 1)
            adapted = torch.cat([adapted, exact_traces(here, self.cell)], 1)
        return adapted

    @staticmethod
    def statistics(adapted: Tensor) -> Statistics:
        """Of a whole photo, (B, C, h, w)."""
        deviation, mean = torch.std_mean(adapted, (2, 3), correction=0, keepdim=True)
        return Statistics(mean, deviation)

    def centred(self, adapted: Tensor, statistics: Statistics) -> Tensor:
        """How far adapted features are from their mean, in deviations; shapes as in ``forward``."""
        scale = torch.maximum(
            statistics.deviation, FLOOR + self.floor.abs()[:, None, None]
        ).reciprocal()
        return (adapted - statistics.mean) * scale

    def differences(self, centred: Tensor) -> Iterator[Tensor]:
        """How far features are from their means over windows, and over the photo (section 4.1).

        Args:
            centred: (B, C, h, w), of the photo's mean 0.

        Yields:
            For every window and then for the photo the shape of ``centred``.
        """
        for mean in box_means(centred, self.windows):
            yield mean - centred
        yield -centred

    def forward(self, adapted: Tensor, statistics: Statistics) -> Tensor:
        """How anomalous every cell is.

        Args:
            adapted: float32 (B, C, h, w), of a photo or of a part of it.
            statistics: of the photo.

        Returns:
            Logits, float32 (B, h, w): above 0 rather manipulated.
        """
        state = cell = torch.zeros(())
        for step, difference in enumerate(self.differences(self.centred(adapted, statistics))):
            gates = self.enter(difference)
            if step:
                gates = gates + self.recur(state)
            state, cell = advance(gates.float(), cell)
        return self.map_of(state)

    def map_of(self, state: Tensor) -> Tensor:
        """Logits, float32 (B, h, w), of what the last layer reads, (B, F, h, w)."""
        logits: Tensor = self.decide(state).float()
        if self.averaged:
            logits = torch.stack(list(box_means(logits, self.averaged))).mean(0)
        return logits[:, 0]

    def of_pixels(self, logits: Tensor, height: int, width: int) -> Tensor:
        """Logits of pixels, (B, height, width), from those of their cells, (B, h, w)."""
        if self.cell > 1:
            logits = functional.interpolate(
                logits[:, None], scale_factor=self.cell, mode="bilinear", align_corners=False
            )[:, 0, :height, :width]
        return logits


class Trace(nn.Module):
    """Both networks and the classifier of manipulations.

    Args:
        size: of ``SIZES``.
        classes: of the classifier.
    """

    def __init__(self, size: Size, classes: int) -> None:
        super().__init__()
        self.features = Features(size)
        self.decision = nn.Conv2d(size.layers[-1], classes, 3)
        self.anomaly = Anomaly(size)

    @property
    def margin(self) -> int:
        """Pixels around one that its features depend on."""
        return self.features.margin

    @property
    def halo(self) -> int:
        """Cells around one that its anomaly depends on, beside a photo's statistics."""
        return -(-self.margin // self.anomaly.cell) + self.anomaly.reach

    def constrain(self) -> None:
        """Restore the constraint of the residual filters after an optimisation step."""
        self.features.bayar.constrain()

    def classify(self, pixels: Tensor) -> Tensor:
        """How patches were manipulated: the mean of what their pixels say.

        Args:
            pixels: (B, 3, H, W) in [0, 1], H and W at least ``2 * margin + 3``.

        Returns:
            Logits, float32 (B, classes).
        """
        logits: Tensor = self.decision(self.features(pixels))
        return logits.float().mean((2, 3))

    def adapted(self, pixels: Tensor) -> Tensor:
        """Adapted features of every cell: (B, 3, H, W) in [0, 1] to float32 (B, C, h, w).

        The photo goes on beyond its borders by reflection, so H and W are at least ``margin + 1``.
        """
        padded = functional.pad(pixels, (self.margin,) * 4, mode="reflect")
        return self.anomaly.adapted(self.features(padded), padded)

    def forward(self, pixels: Tensor) -> Tensor:
        """Where photos were manipulated: (B, 3, H, W) in [0, 1] to logits, float32 (B, H, W)."""
        adapted = self.adapted(pixels)
        logits = self.anomaly(adapted, Anomaly.statistics(adapted))
        return self.anomaly.of_pixels(logits, *pixels.shape[2:])


def decision_layer(channels: int, kernel: int) -> nn.Conv2d:
    """The last layer of a map, which begins with ``USUAL_SHARE`` everywhere."""
    layer = nn.Conv2d(channels, 1, kernel, padding=kernel // 2)
    assert layer.bias is not None
    nn.init.constant_(layer.bias, math.log(USUAL_SHARE / (1 - USUAL_SHARE)))
    return layer


def advance(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """A step of the recurrent layer.

    Args:
        gates: (B, 4 * UNITS, H, W): what may enter the cell, and how far the gates are open for
            that, for the cell to stay, and for it to leave.
        cell: (B, UNITS, H, W), or one zero.

    Returns:
        The new state and the new cell, each (B, UNITS, H, W).
    """
    enter, keep, leave = _hard_sigmoid(gates[:, UNITS:]).chunk(3, 1)
    # A copy, for a processor's hyperbolic tangent of scattered figures takes twice as long.
    new = gates[:, :UNITS].contiguous(memory_format=torch.channels_last)
    cell = enter * new.tanh() + keep * cell
    return leave * cell.tanh(), cell


def box_means(maps: Tensor, windows: Sequence[int]) -> Iterator[Tensor]:
    """Means over square windows around every pixel, of what lies inside the map.

    Args:
        maps: float32 (B, C, H, W).
        windows: sides, odd.

    Yields:
        For every window the shape of ``maps``.
    """
    most = max(windows, default=0) // 2
    # An integral image: float32 would not hold differences of sums over a photo.
    padded = functional.pad(maps.contiguous(), (most + 1, most) * 2).double()
    sums = padded.cumsum(3).cumsum(2)
    for window in windows:
        means = sums
        for axis in (2, 3):
            means = _over_windows(means, window // 2, most, axis)
        rows, columns = (_inside(side, window // 2, maps) for side in maps.shape[2:])
        yield means.to(maps.dtype) / rows[:, None] / columns


def _over_windows(sums: Tensor, half: int, most: int, axis: int) -> Tensor:
    """Differences of an integral image along an axis, half a window after and before."""
    length = sums.shape[axis] - 2 * most - 1
    after, before = most + 1 + half, most - half
    return sums.narrow(axis, after, length) - sums.narrow(axis, before, length)


def _inside(length: int, half: int, like: Tensor) -> Tensor:
    """How many of a line's pixels lie in the window around each, (length,)."""
    place = torch.arange(length, device=like.device)
    inside = (place + half).clamp_max(length - 1) - (place - half).clamp_min(0) + 1
    return inside.to(like.dtype)


def _srm() -> Tensor:
    """The fixed kernels (9, 3, 5, 5), colour by colour."""
    kernels = torch.stack([torch.tensor(rows) / divisor for divisor, rows in SRM])
    own = torch.eye(3)
    return torch.einsum("ci,krs->ckirs", own, kernels).flatten(0, 1)


def _hard_sigmoid(x: Tensor) -> Tensor:
    """0.2 x + 0.5, cut off at 0 and 1."""
    return functional.hardsigmoid(1.2 * x)
