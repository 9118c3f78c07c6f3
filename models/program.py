"""Networks as lists of layers over buffers: what a runtime executes, and graphs are written from.

A ``Program`` describes one of a codec's networks with its weights, in the terms of ``csrc/net``
(``net.h`` says what every number means): a layer multiplies what its kernel covers of a buffer with
a matrix, adds a bias, and may end in a leaky ReLU, a sum and a pixel shuffle. Maps say which weight
an element of the matrix is, so that channels lie as is best for the work, whatever their order in
torch. Nothing here imports numpy.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from enum import Enum

from dcncodec.formats.geometry import STRIDE
from dcncodec.records import record
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from dcncodec.formats.tensors import Tensor
    from dcncodec.models.arrays import Weights

NONE = 2**32 - 1
"""In a map: a zero. For ``Layer.add``: nothing."""
UNIT, PIXEL = 16, 4
"""Places have multiples of so many numbers; pixels have so many."""
COLOURS = 3
LEAK = 0.125
"""Slope of the leaky ReLU below zero, where a family has no other: a power of two, exact in
integers."""
KNOTS = 8
"""Rates at which what depends on the rate is kept; between them it is interpolated."""

Order = Callable[[int, int, int], int]
"""Row, column and channel to a weight's index along one side of its matrix."""


class Transform(Enum):
    """Which of a codec's networks.

    Inputs and outputs of their graphs, H and W multiples of the stride, h and w those in latents::

        ANALYSIS    "pixels" uint8 (1, H, W, 3), "rate" float32 (1,) -> "latent" float32
                    (1, N, h, w), in units of the quantiser's step
        SYNTHESIS   "latent" float32 (1, N, h, w), code words, "rate" -> "pixels" uint8 (1, H, W, 3)

    Networks of one rate have no input "rate".
    """

    ANALYSIS = "analysis"
    SYNTHESIS = "synthesis"


@record
class Buffer:
    """``channels`` numbers for each of ``scale``^2 places a latent; a strip's own if ``local``."""

    channels: int
    scale: int
    local: bool = False


@record
class Layer:
    """See ``dcn_net_layer``; buffers are given by their number."""

    input: int
    output: int
    weight: Tensor
    bias: Tensor
    input_map: array[int]
    output_map: array[int]
    side: int = 1
    stride: int = 1
    padding: int = 0
    shuffle: int = 1
    leaky: bool = False
    wide: bool = False
    depthwise: bool = False
    add: int = NONE
    gate: int = NONE
    compared: bool = False
    rate_bias: Tensor | None = None

    @property
    def outputs(self) -> int:
        """Rows of the weights' matrix."""
        return self.weight.shape[0]

    @property
    def inputs(self) -> int:
        """Columns of it."""
        return self.weight.count // self.outputs


class Program:
    """One of a codec's networks.

    Attributes:
        name: of the model.
        transform: which one.
        channels: of latents, N.
        slope: of the leaky ReLUs.
        gain: what latents are multiplied with.
        log_gains: (knots, N), logarithms of another such factor by rate.
        gradient: whether it gives that of the error of pixels, which ``transform`` makes.
        buffers: 0 is the input.
        layers: in their order; the last one gives the output.
    """

    def __init__(
        self,
        name: str,
        transform: Transform,
        channels: int,
        slope: float,
        gain: float = 1.0,
        log_gains: Tensor | None = None,
        *,
        gradient: bool = False,
    ) -> None:
        self.name, self.transform, self.channels = name, transform, channels
        self.slope, self.gain, self.log_gains = slope, gain, log_gains
        self.gradient = gradient
        synthesis = transform is Transform.SYNTHESIS
        self.buffers = [Buffer(channels, 1) if synthesis else Buffer(COLOURS, STRIDE)]
        self.layers: list[Layer] = []

    def buffer(self, channels: int, scale: int, *, local: bool = False) -> int:
        """A new buffer's number."""
        self.buffers.append(Buffer(channels, scale, local))
        return len(self.buffers) - 1

    def multiply(
        self,
        source: int,
        target: int,
        weight: Tensor,
        bias: Tensor,
        *,
        kernel: tuple[int, int, int] = (1, 1, 0),
        shuffle: int = 1,
        inputs: Order,
        outputs: Order,
        leaky: bool = False,
        wide: bool = False,
        add: int = NONE,
        rate_bias: Tensor | None = None,
    ) -> None:
        """A layer whose weights have an order of their own.

        Args:
            source, target: buffers.
            weight, bias: the first of them a matrix, of outputs and inputs.
            kernel: its side, stride and padding.
            inputs: which weight meets a row, column and channel of the kernel.
            outputs: which weight gives a row, column and channel of what a place is shuffled to.
            shuffle, leaky, wide, add, rate_bias: see ``Layer``.
        """
        side, stride, padding = kernel
        self.layers.append(
            Layer(
                source,
                target,
                weight,
                bias,
                _map(self.buffers[source].channels, self.step(source), side, inputs),
                _map(self.buffers[target].channels, self.step(target), shuffle, outputs),
                side=side,
                stride=stride,
                padding=padding,
                shuffle=shuffle,
                leaky=leaky,
                wide=wide,
                add=add,
                rate_bias=rate_bias,
            )
        )

    def convolve(
        self,
        weights: Weights,
        name: str,
        source: int,
        target: int,
        *,
        side: int = 1,
        stride: int = 1,
        shuffle: int = 1,
        leaky: bool = False,
        wide: bool = False,
        add: int = NONE,
        rate_bias: Tensor | None = None,
    ) -> None:
        """A convolution of torch, padded with zeros so that a stride of 1 keeps the size, maybe
        with a pixel shuffle after it.

        Args:
            weights: hold ``name`` with ``.weight`` and ``.bias``.
            name: of the layer.
            side, stride: of the kernel.
            source, target, shuffle, leaky, wide, add, rate_bias: see ``multiply``.
        """
        count = self.buffers[target].channels * shuffle**2
        shape = count, self.buffers[source].channels, side, side
        self.multiply(
            source,
            target,
            weights.take(f"{name}.weight", *shape),
            weights.take(f"{name}.bias", count),
            kernel=(side, stride, side // 2),
            shuffle=shuffle,
            inputs=lambda y, x, c: (c * side + y) * side + x,
            outputs=lambda y, x, c: (c * shuffle + y) * shuffle + x,
            leaky=leaky,
            wide=wide,
            add=add,
            rate_bias=rate_bias,
        )

    def filter(self, weights: Weights, name: str, source: int, target: int) -> None:
        """A depthwise 3x3 convolution; arguments as for ``convolve``."""
        channels = self.buffers[source].channels
        weight = weights.take(f"{name}.weight", channels, 1, 3, 3)
        bias = weights.take(f"{name}.bias", channels)
        none: array[int] = array("I")
        self.layers.append(
            Layer(source, target, weight, bias, none, none, side=3, padding=1, depthwise=True)
        )

    def step(self, number: int) -> int:
        """Numbers that a place of a buffer has in memory."""
        channels = self.buffers[number].channels
        pixels = number == 0 and self.transform is Transform.ANALYSIS
        return PIXEL if pixels else -(-channels // UNIT) * UNIT


def _map(channels: int, step: int, side: int, order: Order) -> array[int]:
    padding = [NONE] * (step - channels)
    entries: array[int] = array("I")
    for y in range(side):
        for x in range(side):
            entries.extend([order(y, x, c) for c in range(channels)])
            entries.extend(padding)
    return entries
