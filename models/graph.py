"""Writes networks as ONNX graphs, without torch and without the ``onnx`` package.

A ``Graph`` collects operators, constants and inputs, and becomes the bytes of an ONNX model
(protobuf, https://onnx.ai/onnx/repo-docs/IR.html): what runtimes load, and ``dcn models
export-onnx`` writes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET, IR_VERSION = 17, 8
"""ONNX 1.12 of 2022."""

Buffer = bytes | memoryview
Message = Sequence[Buffer]
"""A piece of protobuf, in parts that are joined once: weights are large."""
Dimension = int | str
"""Of an input or output: a number, or the name of one that is known when the graph runs."""


class Graph:
    """A graph in the making; what its methods return are names of values.

    Args:
        name: of the graph.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[Message] = []
        self._constants: list[Message] = []
        self._inputs: list[Message] = []
        self._outputs: list[Message] = []
        self._count = 0

    def input(self, name: str, kind: type[np.generic], shape: Sequence[Dimension]) -> str:
        """Something that is given whenever the graph runs."""
        self._inputs.append(_value_info(name, kind, shape))
        return name

    def constant(self, array: NDArray[Any]) -> str:
        """An array that is part of the graph."""
        name = self._new("c")
        content = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        self._constants.append(
            [
                *(_integer(1, side) for side in array.shape),
                _integer(2, _ELEMENTS[array.dtype.type]),
                *_text(8, name),
                *_field(9, [content.reshape(-1).view(np.uint8).data]),
            ]
        )
        return name

    def scalar(self, value: float) -> str:
        """A float32 without dimensions."""
        return self.constant(np.array(value, np.float32))

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The (first) output of an operator of the ONNX standard.

        Args:
            operator: its name there.
            inputs: what it takes.
            attributes: by their names there: int, float, str or sequences of int.
        """
        return self._node(operator, inputs, self._new("v"), attributes)

    def output(
        self, value: str, name: str, kind: type[np.generic], shape: Sequence[Dimension]
    ) -> None:
        """Give a value back under a name."""
        self._node("Identity", (value,), name, {})
        self._outputs.append(_value_info(name, kind, shape))

    def to_bytes(self) -> bytes:
        """The ONNX model, a file's content."""
        graph = [
            *_fields(1, self._nodes),
            *_text(2, self._name),
            *_fields(5, self._constants),
            *_fields(11, self._inputs),
            *_fields(12, self._outputs),
        ]
        return b"".join(
            (
                _integer(1, IR_VERSION),
                *_text(2, "dcncodec"),
                *_field(7, graph),
                *_field(8, [_integer(2, OPSET)]),
            )
        )

    def _new(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def _node(
        self, operator: str, inputs: Sequence[str], output: str, attributes: dict[str, Any]
    ) -> str:
        self._nodes.append(
            [
                *(part for name in inputs for part in _text(1, name)),
                *_text(2, output),
                *_text(3, output),
                *_text(4, operator),
                *_fields(5, (_attribute(name, value) for name, value in attributes.items())),
            ]
        )
        return output


_ELEMENTS: dict[type[np.generic], int] = {np.float32: 1, np.uint8: 2, np.int8: 3, np.int64: 7}
"""ONNX's numbers of element types (``TensorProto.DataType``)."""
_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7
"""ONNX's numbers of kinds of attributes (``AttributeProto.AttributeType``)."""


def _attribute(name: str, value: Any) -> Message:
    if isinstance(value, float):
        content: Message = [_key(2, 5), struct.pack("<f", value)]
        kind = _FLOAT
    elif isinstance(value, int):
        content, kind = [_integer(3, value)], _INT
    elif isinstance(value, str):
        content, kind = _text(4, value), _STRING
    else:
        content, kind = [_integer(8, number) for number in value], _INTS
    return [*_text(1, name), *content, _integer(20, kind)]


def _value_info(name: str, kind: type[np.generic], shape: Sequence[Dimension]) -> Message:
    sides = [_text(2, side) if isinstance(side, str) else [_integer(1, side)] for side in shape]
    tensor = [_integer(1, _ELEMENTS[kind]), *_field(2, _fields(1, sides))]
    return [*_text(1, name), *_field(2, _field(1, tensor))]


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _integer(number: int, value: int) -> bytes:
    return _key(number, 0) + _varint(value)


def _field(number: int, message: Message) -> Message:
    return [_key(number, 2) + _varint(sum(map(len, message))), *message]


def _fields(number: int, messages: Iterable[Message]) -> Message:
    return [part for message in messages for part in _field(number, message)]


def _text(number: int, text: str) -> Message:
    return _field(number, [text.encode()])
