"""The networks of ``models.vr`` as graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dcncodec.formats.geometry import STRIDE
from dcncodec.models.arrays import Weights
from dcncodec.models.context_export import KNOTS, LEAK
from dcncodec.models.graph import Graph, Transform
from dcncodec.models.layers import conv, from_pixels, pixel_shuffle, to_pixels

if TYPE_CHECKING:
    from dcncodec.models.card import ModelFolder

PARTS = {
    Transform.ANALYSIS: ("linear_analysis.", "analysis_net.", "gain"),
    Transform.SYNTHESIS: ("linear_synthesis.", "synthesis_net.", "degain"),
}
CONTEXT = "context_model."
"""Names of what is exported as integers (``models.context_export``)."""
FEATURES = 3 * STRIDE**2
"""Of a patch."""
WIDTH = 256
"""Channels of the networks at stride 8."""
FINE_WIDTH, FINE_BLOCKS = 96, 2
"""Channels of both networks at stride 4, and blocks of the synthesis there."""
FINE_FEATURES = 48
"""Of a patch of 4 x 4 pixels."""
EXPANSION = 2


def build(folder: ModelFolder, transform: Transform) -> bytes:
    """One of the networks of a model as an ONNX graph; see ``Transform``.

    Raises:
        ModelError: the weights are missing, damaged, or do not fit the card.
    """
    (others,) = (PARTS[other] for other in Transform if other is not transform)
    weights = Weights(folder, PARTS[transform], (*others, CONTEXT))
    graph = Graph(f"{folder.name} {transform.value}")
    builder = _Builder(graph, weights)
    shape, channels = folder.card["architecture"], folder.geometry.channels
    if transform is Transform.ANALYSIS:
        builder.analysis(channels, shape["analysis_blocks"], shape["analysis_fine_blocks"])
    else:
        builder.synthesis(channels, shape["blocks"])
    weights.check_all_taken()
    return graph.to_bytes()


class _Builder:
    """Follows ``models.vr.VR``, method by method."""

    def __init__(self, graph: Graph, weights: Weights) -> None:
        self.graph, self.weights = graph, weights
        self.knots = self._knots()

    def analysis(self, channels: int, blocks: int, fine_blocks: int) -> None:
        graph = self.graph
        pixels = from_pixels(graph)
        patches = graph.add("SpaceToDepth", pixels, blocksize=STRIDE)
        linear = self._on_patches("linear_analysis", patches, channels)
        head = self._on_patches("analysis_net.head", patches, WIDTH)
        if fine_blocks:
            head = graph.add("Add", head, self._stem(pixels, fine_blocks))
        corrected = self._blocks("analysis_net", head, blocks)
        corrected = self._conv("analysis_net.tail.0", corrected, WIDTH, channels)
        latent = graph.add("Add", linear, corrected)
        latent = graph.add("Mul", latent, self._gain("gain", channels))
        graph.output(latent, "latent", np.float32, (1, channels, "h", "w"))

    def synthesis(self, channels: int, blocks: int) -> None:
        graph = self.graph
        latent = graph.input("latent", np.float32, (1, channels, "h", "w"))
        scaled = graph.add("Mul", latent, self._gain("degain", channels))
        linear = self._conv("linear_synthesis", scaled, channels, FEATURES)
        x = self._conv("synthesis_net.head", scaled, channels, WIDTH)
        x = self._blocks("synthesis_net", x, blocks)
        x = self._conv("synthesis_net.tail.0", x, WIDTH, 4 * FINE_WIDTH)
        x = pixel_shuffle(graph, x, 2)
        for number in range(2, 2 + FINE_BLOCKS):
            x = self._block(f"synthesis_net.tail.{number}", x, FINE_WIDTH)
        last = f"synthesis_net.tail.{2 + FINE_BLOCKS}"
        corrected = self._conv(last, x, FINE_WIDTH, FINE_FEATURES, 3)
        fine = graph.add("Add", pixel_shuffle(graph, linear, 2), corrected)
        to_pixels(graph, pixel_shuffle(graph, fine, 4))

    def _on_patches(self, name: str, patches: str, outputs: int) -> str:
        """A 1x1 convolution of patches as SpaceToDepth lays them out: rows, columns, colours;
        torch's are colours, then 4x4 pixels, then which of the 2x2 such patches."""
        kernel = self.weights.take(f"{name}.weight", outputs, FEATURES, 1, 1)
        kernel = kernel.reshape(outputs, 3, 4, 4, 2, 2).transpose(0, 4, 2, 5, 3, 1)
        bias = self.weights.take(f"{name}.bias", outputs)
        graph = self.graph
        kernel = kernel.reshape(outputs, FEATURES, 1, 1)
        return graph.add("Conv", patches, graph.constant(kernel), graph.constant(bias))

    def _stem(self, pixels: str, blocks: int) -> str:
        """The analysis at stride 4; for the order of channels see ``_on_patches``."""
        graph, name = self.graph, "analysis_net.stem"
        kernel = self.weights.take(f"{name}.1.weight", FINE_WIDTH, FINE_FEATURES, 3, 3)
        kernel = kernel.reshape(FINE_WIDTH, 3, 4, 4, 3, 3).transpose(0, 2, 3, 1, 4, 5)
        kernel = kernel.reshape(FINE_WIDTH, FINE_FEATURES, 3, 3)
        bias = self.weights.take(f"{name}.1.bias", FINE_WIDTH)
        fine = graph.add("SpaceToDepth", pixels, blocksize=STRIDE // 2)
        x = graph.add("Conv", fine, graph.constant(kernel), graph.constant(bias), pads=[1, 1, 1, 1])
        for number in range(2, 2 + blocks):
            x = self._block(f"{name}.{number}", x, FINE_WIDTH)
        last = f"{name}.{3 + blocks}"
        kernel = self.weights.take(f"{last}.weight", WIDTH, 4 * FINE_WIDTH, 1, 1)
        kernel = kernel.reshape(WIDTH, FINE_WIDTH, 2, 2).transpose(0, 2, 3, 1)
        kernel = kernel.reshape(WIDTH, 4 * FINE_WIDTH, 1, 1)
        bias = self.weights.take(f"{last}.bias", WIDTH)
        x = graph.add("SpaceToDepth", x, blocksize=2)
        return graph.add("Conv", x, graph.constant(kernel), graph.constant(bias))

    def _blocks(self, name: str, h: str, count: int) -> str:
        """A ``Correction`` from its head's output to before its tail."""
        h = self.graph.add("Add", h, self._at_rate(f"{name}.rate_bias", WIDTH))
        for number in range(count):
            h = self._block(f"{name}.blocks.{number}", h, WIDTH)
        return h

    def _block(self, name: str, x: str, channels: int) -> str:
        graph, wide = self.graph, EXPANSION * channels
        h = self._leaky(self._conv(f"{name}.p0", x, channels, channels))
        h = conv(
            graph, self.weights, f"{name}.depthwise", h, channels, channels, 3, groups=channels
        )
        h = self._leaky(self._conv(f"{name}.p1", h, channels, wide))
        return graph.add("Add", x, self._conv(f"{name}.p2", h, wide, channels))

    def _conv(self, name: str, x: str, inputs: int, outputs: int, side: int = 1) -> str:
        return conv(self.graph, self.weights, name, x, inputs, outputs, side)

    def _leaky(self, x: str) -> str:
        return self.graph.add("LeakyRelu", x, alpha=LEAK)

    def _knots(self) -> str:
        """How much of each knot there is at the rate, (1, KNOTS): that of two neighbours, of all
        others nothing."""
        graph = self.graph
        rate = graph.input("rate", np.float32, (1,))
        place = graph.add("Mul", rate, graph.scalar((KNOTS - 1) / 255))
        knots = graph.constant(np.arange(KNOTS, dtype=np.float32)[None])
        distance = graph.add("Abs", graph.add("Sub", knots, place))
        return graph.add("Relu", graph.add("Sub", graph.scalar(1), distance))

    def _at_rate(self, name: str, channels: int) -> str:
        """``context.at_rate``, (1, channels, 1, 1)."""
        graph = self.graph
        table = graph.constant(self.weights.take(name, KNOTS, channels))
        values = graph.add("MatMul", self.knots, table)
        return graph.add("Reshape", values, graph.constant(np.array([1, channels, 1, 1])))

    def _gain(self, name: str, channels: int) -> str:
        return self.graph.add("Exp", self._at_rate(name, channels))
