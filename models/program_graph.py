"""Programs as ONNX graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.formats.geometry import MAX_RATE, STRIDE
from dcncodec.models.arrays import as_floats
from dcncodec.models.graph import Graph
from dcncodec.models.program import COLOURS, KNOTS, NONE, Transform

if TYPE_CHECKING:
    from array import array

    from dcncodec.formats.tensors import Tensor
    from dcncodec.models.program import Layer, Program


def to_onnx(program: Program) -> bytes:
    """A program as an ONNX model; see ``Transform`` for its inputs and outputs."""
    return _Writer(program).written()


class _Writer:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.graph = Graph(f"{program.name} {program.transform.value}")
        self.knots = "" if program.log_gains is None else self._knots()
        self.values = {0: self._input()}

    def written(self) -> bytes:
        """The model's bytes."""
        for layer in self.program.layers:
            self.values[layer.output] = self._layer(layer)
        self._output(self.values[self.program.layers[-1].output])
        return self.graph.to_bytes()

    def _input(self) -> str:
        graph, channels = self.graph, self.program.channels
        if self.program.transform is Transform.SYNTHESIS:
            return self._scaled(graph.input("latent", np.float32, (1, channels, "h", "w")))
        pixels = graph.input("pixels", np.uint8, (1, "H", "W", COLOURS))
        x = graph.add("Transpose", graph.add("Cast", pixels, to=1), perm=[0, 3, 1, 2])
        return graph.add("Sub", graph.add("Mul", x, graph.scalar(2 / 255)), graph.scalar(1))

    def _output(self, x: str) -> None:
        graph, channels = self.graph, self.program.channels
        if self.program.transform is Transform.ANALYSIS:
            graph.output(self._scaled(x), "latent", np.float32, (1, channels, "h", "w"))
            return
        scale = self.program.buffers[self.program.layers[-1].output].scale
        x = graph.add("DepthToSpace", x, blocksize=STRIDE // scale, mode="DCR")
        x = graph.add("Add", graph.add("Mul", x, graph.scalar(255 / 2)), graph.scalar(255 / 2))
        x = graph.add("Round", graph.add("Clip", x, graph.scalar(0), graph.scalar(255)))
        x = graph.add("Transpose", graph.add("Cast", x, to=2), perm=[0, 2, 3, 1])
        graph.output(x, "pixels", np.uint8, (1, "H", "W", COLOURS))

    def _layer(self, layer: Layer) -> str:
        graph, buffers = self.graph, self.program.buffers
        inputs, outputs = buffers[layer.input].channels, buffers[layer.output].channels
        weights, bias = as_floats(layer.weight), as_floats(layer.bias)
        if not layer.depthwise:
            rows = _real(layer.input_map, layer.side, inputs).transpose(2, 0, 1)
            columns = _real(layer.output_map, layer.shuffle, outputs).ravel()
            weights = weights.reshape(layer.outputs, layer.inputs)[columns][:, rows]
            bias = bias[columns]
        x = graph.add(
            "Conv",
            self.values[layer.input],
            graph.constant(weights),
            graph.constant(bias),
            kernel_shape=[layer.side] * 2,
            pads=[layer.padding] * 4,
            strides=[layer.stride] * 2,
            group=inputs if layer.depthwise else 1,
        )
        if layer.rate_bias is not None:
            x = graph.add("Add", x, self._at_rate(layer.rate_bias))
        if layer.leaky:
            x = graph.add("LeakyRelu", x, alpha=self.program.slope)
        if layer.shuffle > 1:
            x = graph.add("DepthToSpace", x, blocksize=layer.shuffle, mode="DCR")
        return x if layer.add == NONE else graph.add("Add", x, self.values[layer.add])

    def _scaled(self, x: str) -> str:
        """Times the gain, and that of the rate."""
        graph, program = self.graph, self.program
        x = graph.add("Mul", x, graph.scalar(program.gain))
        if program.log_gains is None:
            return x
        return graph.add("Mul", x, graph.add("Exp", self._at_rate(program.log_gains)))

    def _knots(self) -> str:
        """How much each knot counts at the input "rate": one minus its distance, at least 0."""
        graph = self.graph
        rate = graph.input("rate", np.float32, (1,))
        place = graph.add("Mul", rate, graph.scalar((KNOTS - 1) / MAX_RATE))
        knots = graph.constant(np.arange(KNOTS, dtype=np.float32)[None])
        distance = graph.add("Abs", graph.add("Sub", place, knots))
        return graph.add("Relu", graph.add("Sub", graph.scalar(1), distance))

    def _at_rate(self, table: Tensor) -> str:
        """``context.at_rate`` as (1, C, 1, 1)."""
        graph = self.graph
        values = graph.add("MatMul", self.knots, graph.constant(as_floats(table)))
        shape = graph.constant(np.array([1, table.shape[1], 1, 1]))
        return graph.add("Reshape", values, shape)


def _real(entries: array[int], side: int, channels: int) -> NDArray[Any]:
    """A map without what fills places up: (side, side, channels)."""
    return np.array(entries).reshape(side, side, -1)[:, :, :channels]
