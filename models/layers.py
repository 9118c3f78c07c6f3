"""Layers that the graphs of several families are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dcncodec.models.arrays import Weights
    from dcncodec.models.graph import Graph


def conv(
    graph: Graph,
    weights: Weights,
    name: str,
    x: str,
    inputs: int,
    outputs: int,
    side: int,
    *,
    stride: int = 1,
    groups: int = 1,
) -> str:
    """A convolution with a bias, padded with zeros so that a stride of 1 keeps the size.

    Args:
        graph: which it joins.
        weights: hold ``name`` with ``.weight`` and ``.bias``.
        name: of the layer.
        x: (1, inputs, h, w).
        inputs, outputs: channels.
        side: of the square kernel.
        stride, groups: as in torch.
    """
    kernel = weights.take(f"{name}.weight", outputs, inputs // groups, side, side)
    bias = weights.take(f"{name}.bias", outputs)
    return graph.add(
        "Conv",
        x,
        graph.constant(kernel),
        graph.constant(bias),
        kernel_shape=[side, side],
        pads=[side // 2] * 4,
        strides=[stride, stride],
        group=groups,
    )


def pixel_shuffle(graph: Graph, x: str, factor: int) -> str:
    """(1, C factor^2, h, w) to (1, C, factor h, factor w), as in torch."""
    return graph.add("DepthToSpace", x, blocksize=factor, mode="CRD")


def from_pixels(graph: Graph) -> str:
    """The input "pixels" as float32 (1, 3, H, W) in [-1, 1]."""
    pixels = graph.input("pixels", np.uint8, (1, "H", "W", 3))
    x = graph.add("Cast", pixels, to=1)
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.add("Mul", x, graph.scalar(2 / 255))
    return graph.add("Sub", x, graph.scalar(1))


def to_pixels(graph: Graph, x: str) -> None:
    """Give (1, 3, H, W) around [-1, 1] back as "pixels": clipped, rounded to the nearest."""
    x = graph.add("Mul", x, graph.scalar(255 / 2))
    x = graph.add("Add", x, graph.scalar(255 / 2))
    x = graph.add("Clip", x, graph.scalar(0), graph.scalar(255))
    x = graph.add("Cast", graph.add("Round", x), to=2)
    x = graph.add("Transpose", x, perm=[0, 2, 3, 1])
    graph.output(x, "pixels", np.uint8, (1, "H", "W", 3))
