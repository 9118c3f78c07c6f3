"""The gradient of a synthesis as a program: its layers, and their transposes in the reverse order.

A transposed convolution is a convolution again, of the gradient in the layer's output, with the
weights of the other direction; a pixel shuffle before it becomes a stride. Where leaky ReLUs were,
results are multiplied by their slope or not: so what they gave is kept.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcncodec.formats.tensors import Tensor
from dcncodec.models.arrays import as_floats
from dcncodec.models.program import NONE, Layer, Program
from dcncodec.records import replace


@dataclass
class _Value:
    """What a layer gives, or the latents.

    Attributes:
        buffer: that holds it.
        producer: the number of the layer; None for the latents.
        uses: in layers whose share of its gradient is not known yet.
        gradient: the buffer of that; ``NONE`` as long as there is none.
    """

    buffer: int
    producer: int | None
    uses: int = 0
    gradient: int = NONE


def gradient_of(synthesis: Program) -> Program:
    """The program that gives the gradient of the pixels' squared error in the latents.

    Args:
        synthesis: whose layers look around with odd kernels, a stride of 1 and zeros at the edges.
    """
    return _Reversal(synthesis).program


class _Reversal:
    """Walks through the layers forwards and back."""

    def __init__(self, synthesis: Program) -> None:
        self._layers = synthesis.layers
        self.program = program = Program(
            synthesis.name,
            synthesis.transform,
            synthesis.channels,
            synthesis.slope,
            synthesis.gain,
            synthesis.log_gains,
            gradient=True,
        )
        program.buffers = list(synthesis.buffers)
        latents = _Value(0, None)
        self._values = {0: latents}
        """By the buffers that hold them."""
        self._steps: list[tuple[_Value, _Value | None, _Value]] = []
        """Of every layer its input, what is added, and its output."""
        for number in range(len(self._layers)):
            self._go(number)
        pixels = self._steps[-1][2]
        program.layers[-1] = replace(program.layers[-1], compared=True)
        pixels.gradient = pixels.buffer
        for number in reversed(range(len(self._layers))):
            self._return(number)
        # The last share of the latents' gradient is the result.
        last = program.layers[-1]
        result = program.buffer(program.channels, 1, local=True)
        program.layers[-1] = replace(last, output=result)

    def _go(self, number: int) -> None:
        """A layer of the synthesis."""
        layer, program = self._layers[number], self.program
        source = self._values[layer.input]
        added = None if layer.add == NONE else self._values[layer.add]
        output = layer.output
        if layer.leaky or number + 1 == len(self._layers):
            # Kept for later, where others would be written over it.
            shape = program.buffers[output]
            output = program.buffer(shape.channels, shape.scale)
        value = _Value(output, number)
        self._values[layer.output] = value
        for used in (source, added):
            if used is not None:
                used.uses += 1
        self._steps.append((source, added, value))
        add = NONE if added is None else added.buffer
        program.layers.append(replace(layer, input=source.buffer, output=output, add=add))

    def _return(self, number: int) -> None:
        """The transpose of a layer."""
        layer = self._layers[number]
        source, added, value = self._steps[number]
        if added is not None:
            assert added.gradient == NONE
            # All of the sum's gradient is that of what was added.
            added.gradient = value.gradient
            added.uses -= 1
        source.uses -= 1
        before = source.gradient
        if before == NONE:
            shape = self.program.buffers[source.buffer]
            local = source.uses == 0 and self._follows(source, number)
            source.gradient = self.program.buffer(shape.channels, shape.scale, local=local)
        gated = source.producer is not None and self._layers[source.producer].leaky
        self.program.layers.append(
            replace(
                self._transposed(layer),
                input=value.gradient,
                output=source.gradient,
                add=before,
                gate=source.buffer if gated and source.uses == 0 else NONE,
            )
        )

    def _follows(self, source: _Value, number: int) -> bool:
        """Whether what a layer reads is what the one before gives, place by place: then their
        transposes follow each other within a strip."""
        producer = source.producer
        if producer is None or producer + 1 != number:
            return False
        layer = self._layers[producer]
        return layer.side == layer.shuffle == 1 and layer.add == NONE

    def _transposed(self, layer: Layer) -> Layer:
        """With the transposed weights and no bias, for buffers to be named."""
        assert layer.stride == 1
        assert layer.side == 2 * layer.padding + 1
        none: array[int] = array("I")
        if layer.depthwise:
            weights = np.ascontiguousarray(as_floats(layer.weight)[..., ::-1, ::-1])
            maps = none, none
        else:
            weights = _reversed(layer)
            maps = array("I", range(weights.shape[1])), array("I", range(weights.shape[0]))
        return Layer(
            NONE,
            NONE,
            _tensor(layer.weight.name, weights),
            _tensor(layer.bias.name, np.zeros(len(weights), np.float32)),
            *maps,
            side=layer.side * layer.shuffle,
            stride=layer.shuffle,
            padding=layer.padding * layer.shuffle,
            depthwise=layer.depthwise,
        )


def _reversed(layer: Layer) -> NDArray[np.float32]:
    """Weights that give the gradient in a convolution's input, as buffers have their channels:
    (channels, kernel's row, its column and channel)."""
    weights = np.pad(as_floats(layer.weight).reshape(layer.outputs, layer.inputs), ((0, 1), (0, 1)))
    side, shuffle = layer.side, layer.shuffle
    # ``NONE`` is the zeros behind all others.
    outputs = np.minimum(np.array(layer.output_map), layer.outputs)
    inputs = np.minimum(np.array(layer.input_map), layer.inputs)
    # What a kernel sees to the left has it to the right.
    inputs = inputs.reshape(side, side, -1)[::-1, ::-1]
    found = weights[np.ix_(outputs, inputs.ravel())]
    found = found.reshape(shuffle, shuffle, -1, side, side, inputs.shape[2])
    return found.transpose(5, 3, 0, 4, 1, 2).reshape(inputs.shape[2], -1)


def _tensor(name: str, values: NDArray[np.float32]) -> Tensor:
    return Tensor(name, "F32", values.shape, memoryview(values.astype("<f4").tobytes()))
