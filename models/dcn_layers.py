"""The networks of ``models.dcn`` as layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcncodec.errors import ModelError
from dcncodec.models.arrays import Weights
from dcncodec.models.program import COLOURS, Program, Transform

if TYPE_CHECKING:
    from dcncodec.models.card import ModelFolder

LEAK = 0.2
MIDDLE, FINE = 128, 64
"""Channels at strides 4 and 2."""


def build(folder: ModelFolder, transform: Transform) -> Program:
    """One of the networks of a model; see ``CodecFamily.program``."""
    net = f"{transform.value}_net"
    others = tuple(f"{other.value}_net." for other in Transform if other is not transform)
    weights = Weights(folder, ("latent_scale", f"{net}."), others)
    scale = weights.take_number("latent_scale")
    if scale <= 0:
        raise ModelError("its latent scale is not positive; train it anew", folder.weights)
    synthesis = transform is Transform.SYNTHESIS
    channels = folder.geometry.channels
    p = Program(folder.name, transform, channels, LEAK, gain=1 / scale if synthesis else scale)
    middle, fine = p.buffer(MIDDLE, 2), p.buffer(FINE, 4)
    if synthesis:
        p.convolve(weights, f"{net}.0", 0, middle, side=3, shuffle=2, leaky=True)
        _residual_blocks(p, weights, [f"{net}.{i}" for i in (3, 4, 5)], middle)
        p.convolve(weights, f"{net}.6", middle, fine, side=3, shuffle=2, leaky=True)
        # The last pixel shuffle, by rows, columns and colours as pixels lie.
        pixels = p.buffer(4 * COLOURS, 4, local=True)
        p.multiply(
            fine,
            pixels,
            weights.take(f"{net}.9.weight", 4 * COLOURS, FINE, 3, 3),
            weights.take(f"{net}.9.bias", 4 * COLOURS),
            kernel=(3, 1, 1),
            inputs=lambda row, column, c: (c * 3 + row) * 3 + column,
            outputs=lambda row, column, c: c % COLOURS * 4 + c // COLOURS,
        )
    else:
        p.convolve(weights, f"{net}.0", 0, fine, side=5, stride=2, leaky=True)
        p.convolve(weights, f"{net}.2", fine, middle, side=5, stride=2, leaky=True)
        _residual_blocks(p, weights, [f"{net}.{i}" for i in (4, 5, 6)], middle)
        latent = p.buffer(channels, 1, local=True)
        p.convolve(weights, f"{net}.7", middle, latent, side=5, stride=2)
    weights.check_all_taken()
    return p


def _residual_blocks(p: Program, weights: Weights, names: list[str], x: int) -> None:
    inner = p.buffer(MIDDLE, 2)
    for name in names:
        p.convolve(weights, f"{name}.conv1", x, inner, side=3, leaky=True)
        p.convolve(weights, f"{name}.conv2", inner, x, side=3, add=x)
