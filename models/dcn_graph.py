"""The networks of ``models.dcn`` as graphs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from dcncodec.errors import ModelError
from dcncodec.models.arrays import Weights
from dcncodec.models.graph import Graph, Transform
from dcncodec.models.layers import conv, from_pixels, pixel_shuffle, to_pixels

if TYPE_CHECKING:
    from dcncodec.models.card import ModelFolder

LEAK = 0.2


def build(folder: ModelFolder, transform: Transform) -> bytes:
    """One of the networks of a model as an ONNX graph; see ``Transform``.

    Raises:
        ModelError: the weights are missing, damaged, or do not fit the card.
    """
    channels = folder.geometry.channels
    net = f"{transform.value}_net"
    others = tuple(f"{other.value}_net." for other in Transform if other is not transform)
    weights = Weights(folder, ("latent_scale", f"{net}."), others)
    scale = float(weights.take("latent_scale"))
    if scale <= 0:
        raise ModelError(f"{folder.weights}: its latent scale is not positive; train it anew")
    graph = Graph(f"{folder.name} {transform.value}")
    if transform is Transform.ANALYSIS:
        x = from_pixels(graph)
        x = _leaky(graph, conv(graph, weights, f"{net}.0", x, 3, 64, 5, stride=2))
        x = _leaky(graph, conv(graph, weights, f"{net}.2", x, 64, 128, 5, stride=2))
        x = _residual_blocks(graph, weights, (f"{net}.{i}" for i in (4, 5, 6)), x)
        x = conv(graph, weights, f"{net}.7", x, 128, channels, 5, stride=2)
        x = graph.add("Mul", x, graph.scalar(scale))
        graph.output(x, "latent", np.float32, (1, channels, "h", "w"))
    else:
        x = graph.input("latent", np.float32, (1, channels, "h", "w"))
        x = graph.add("Mul", x, graph.scalar(1 / scale))
        x = _leaky(graph, conv(graph, weights, f"{net}.0", x, channels, 512, 3))
        x = pixel_shuffle(graph, x, 2)
        x = _residual_blocks(graph, weights, (f"{net}.{i}" for i in (3, 4, 5)), x)
        x = _leaky(graph, conv(graph, weights, f"{net}.6", x, 128, 256, 3))
        x = pixel_shuffle(graph, x, 2)
        x = conv(graph, weights, f"{net}.9", x, 64, 12, 3)
        to_pixels(graph, pixel_shuffle(graph, x, 2))
    weights.check_all_taken()
    return graph.to_bytes()


def _leaky(graph: Graph, x: str) -> str:
    return graph.add("LeakyRelu", x, alpha=LEAK)


def _residual_blocks(graph: Graph, weights: Weights, names: Iterable[str], x: str) -> str:
    for name in names:
        residual = conv(graph, weights, f"{name}.conv1", x, 128, 128, 3)
        residual = conv(graph, weights, f"{name}.conv2", _leaky(graph, residual), 128, 128, 3)
        x = graph.add("Add", x, residual)
    return x
