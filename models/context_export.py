"""From the float twin of a context model to the integers that the coder reads.

    tensors = quantise(weights, offsets)                    # state of ``models.context``
    tensors = refine(ContextModel(tensors), latents, ...)   # tables from counts

The float model (DESIGN: ``squash``, two masked layers, mean and natural logarithm of the scale of
a logistic distribution) is given by arrays; only numpy is needed. Its scale is clamped to
``SCALE_RANGE`` and its inputs to ``LIMIT``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import ModelError
from dcncodec.formats.context import ContextModel
from dcncodec.formats.context_tensors import FRACTIONS, PRECISION

Float = NDArray[np.float64]
Tensors = dict[str, NDArray[Any]]

NEIGHBOURS = ((-1, 0), (0, -1), (-1, -1), (-1, 1), (-2, 0), (0, -2))
"""Row and column of N, W, NW, NE, NN, WW from the place that is predicted."""

LIMIT = 2047
"""Largest magnitude of a latent as an input; larger ones count as this."""
SCALES = 64
SCALE_RANGE = (-3.5, 5.0)
"""Natural logarithm of the smallest and largest scale, in code words."""
SCALE_STEP = (SCALE_RANGE[1] - SCALE_RANGE[0]) / (SCALES - 1)

# Fixed point: bits behind the point.
SQUASH_BITS = 10
ACTIVATION_BITS = 9
MEAN_BITS = 8
MEAN_STEPS = 16

# A table ends where the tail is smaller than one of its 2^15 parts, or is coarsened above.
TAIL = 8.3
FINEST = 8.0
LEAST_RADIUS = 2


def squash_table() -> NDArray[np.int16]:
    """sign(z) log(1 + |z|) for z = 0..LIMIT, ``SQUASH_BITS`` behind the point."""
    values = np.log1p(np.arange(LIMIT + 1.0)) * 2.0**SQUASH_BITS
    return np.asarray(np.rint(values), np.int16)


def degrees(channels: int, hidden: int) -> NDArray[np.int64]:
    """Of every hidden unit: it sees the channels below its degree."""
    return np.arange(hidden) * channels // hidden


def masks(channels: int, hidden: int) -> dict[str, NDArray[np.bool_]]:
    """Which weights of the float model count: those of what is known already."""
    degree, channel = degrees(channels, hidden), np.arange(channels)
    output = degree[None, :] <= channel[:, None]
    return {
        "before.weight": channel[None, :] < degree[:, None],
        "hidden.weight": degree[None, :] <= degree[:, None],
        "mean.weight": output,
        "scale.weight": output,
        "linear_before.weight": channel[None, :] < channel[:, None],
    }


def quantise(
    weights: Mapping[str, NDArray[Any]], offsets: Sequence[tuple[int, int]] = NEIGHBOURS
) -> Tensors:
    """The integer model of a float model, its tables those of the logistic distribution.

    Args:
        weights: ``neighbours.weight`` (H, K N), neighbour by neighbour; ``before.weight`` (H, N);
            ``bias`` (H); ``rate_bias`` (Q, H); ``hidden.weight`` (H, H); ``hidden.bias`` (H);
            ``mean.weight``, ``scale.weight`` (N, H); ``mean.bias``, ``scale.bias`` (N);
            ``rate_scale`` (Q, N); ``linear_neighbours.weight`` (N, K N);
            ``linear_before.weight`` (N, N). Masks are applied here.
        offsets: row and column of each of the K neighbours from the predicted place.

    Returns:
        The tensors of ``ContextModel``.

    Raises:
        ModelError: weights too large for 16 bits, or not finite.
    """
    w = {name: np.asarray(value, np.float64) for name, value in weights.items()}
    if not all(np.isfinite(value).all() for value in w.values()):
        raise ModelError("context model: weights that are not finite")
    channels, hidden = w["mean.weight"].shape
    for name, mask in masks(channels, hidden).items():
        w[name] = w[name] * mask
    squash = squash_table()
    activation = 2.0**15
    first, first_shift = _quantised(
        np.concatenate([w["neighbours.weight"], w["before.weight"]], axis=1),
        w["bias"] + w["rate_bias"],
        SQUASH_BITS,
        ACTIVATION_BITS,
        float(squash.max()),
    )
    second, hidden_shift = _quantised(
        w["hidden.weight"], w["hidden.bias"][None], ACTIVATION_BITS, ACTIVATION_BITS, activation
    )
    linear, linear_shift = _quantised(
        np.concatenate([w["linear_neighbours.weight"], w["linear_before.weight"]], axis=1),
        np.zeros((1, channels)),
        0,
        MEAN_BITS,
        float(LIMIT),
    )
    # Half a step for rounding to 1/16, half of the finer step for the linear part, whose sum has
    # no bias of its own.
    half = 0.5 / MEAN_STEPS + 0.5 / 2**MEAN_BITS
    mean, mean_shift = _quantised(
        w["mean.weight"], w["mean.bias"][None] + half, ACTIVATION_BITS, MEAN_BITS, activation
    )
    level = w["scale.bias"] + w["rate_scale"] - SCALE_RANGE[0]
    scale, scale_shift = _quantised(
        w["scale.weight"] / SCALE_STEP, level / SCALE_STEP, ACTIVATION_BITS, 0, activation
    )
    inputs = len(offsets) * channels
    radius, low_bits, frequencies = logistic_tables()
    return {
        "offsets": np.array(offsets, np.int8),
        "squash": squash,
        "neighbours.weight": first[0][:, :inputs],
        "before.weight": first[0][:, inputs:],
        "first.bias": first[1],
        "first.shift": first_shift,
        "hidden.weight": second[0],
        "hidden.bias": second[1][0],
        "hidden.shift": hidden_shift,
        "mean.weight": mean[0],
        "mean.bias": mean[1][0],
        "mean.shift": mean_shift,
        "scale.weight": scale[0],
        "scale.bias": scale[1],
        "scale.shift": scale_shift,
        "linear_neighbours.weight": linear[0][:, :inputs],
        "linear_before.weight": linear[0][:, inputs:],
        "linear.shift": linear_shift,
        "radius": radius,
        "low_bits": low_bits,
        "frequencies": frequencies,
    }


def _quantised(
    weights: Float, bias: Float, bits_in: int, bits_out: int, largest: float
) -> tuple[tuple[NDArray[np.int16], NDArray[np.int32]], NDArray[np.uint8]]:
    """A layer with as many bits behind the point in each row as 16 and 32 bits leave room for.

    Args:
        weights: (rows, inputs).
        bias: (knots, rows); half a step is added, because shifts round down.
        bits_in, bits_out: behind the point of inputs and results.
        largest: magnitude of an input, in its fixed point.
    """
    rows, inputs = weights.shape
    integers = np.zeros(weights.shape, np.int16)
    biases = np.zeros((len(bias), rows), np.int32)
    shifts = np.zeros(rows, np.uint8)
    for row in range(rows):
        norm, top = np.abs(weights[row]).sum(), np.abs(weights[row]).max()
        for shift in range(31, -1, -1):
            bits = shift + bits_out - bits_in
            rounding = 1 << shift >> 1
            # Half a unit more for each weight and bias, which rounding may add.
            total = (norm * 2.0**bits + inputs / 2) * largest
            total += np.abs(bias[:, row]).max() * 2.0 ** (bits + bits_in) + rounding + 1
            if top * 2.0**bits <= 2**15 - 1 and total < 2**31:
                break
        else:
            raise ModelError("context model: weights too large for 16 bits; train with more decay")
        integers[row] = np.rint(weights[row] * 2.0**bits)
        biases[:, row] = np.rint(bias[:, row] * 2.0 ** (bits + bits_in)) + rounding
        shifts[row] = shift
    return (integers, biases), shifts


def scale_values() -> Float:
    """All scales of the logistic distribution, in code words."""
    return np.asarray(np.exp(SCALE_RANGE[0] + SCALE_STEP * np.arange(SCALES)))


def logistic_tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint16]]:
    """Radius and low bits of every scale, and all frequencies.

    From the scale ``FINEST`` on, a symbol stands for a run of 2^low_bits code words, inside of
    which the density hardly changes; the run's low bits are stored as they are.
    """
    radii = np.zeros(SCALES, np.uint8)
    low_bits = np.zeros(SCALES, np.uint8)
    tables = []
    for index, scale in enumerate(scale_values()):
        low_bits[index] = max(0, int(np.floor(np.log2(scale / FINEST))) + 1)
        radii[index] = max(LEAST_RADIUS, int(np.ceil(TAIL * scale / 2.0 ** low_bits[index])))
        tables += [
            frequencies_of(p) for p in _logistic(scale, int(radii[index]), int(low_bits[index]))
        ]
    return radii, low_bits, np.concatenate(tables)


def _logistic(scale: float, radius: int, low_bits: int) -> Float:
    """Probabilities of a scale's symbols, the escape last: (FRACTIONS, 2 radius + 2)."""
    edges = np.arange(-radius, radius + 2) * 2.0**low_bits - 0.5
    mean = np.arange(FRACTIONS)[:, None] / FRACTIONS
    below = _sigmoid((edges[None] - mean) / scale)
    inside = np.diff(below, axis=1)
    return np.concatenate([inside, 1 - inside.sum(axis=1, keepdims=True)], axis=1).clip(0)


def _sigmoid(x: Float) -> Float:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def frequencies_of(probabilities: Float) -> NDArray[np.uint16]:
    """Frequencies of at least 1 that add up to 1 << PRECISION."""
    count = len(probabilities)
    room = (1 << PRECISION) - count
    exact = probabilities / probabilities.sum() * room
    frequencies = np.floor(exact).astype(np.int64)
    rest = room - int(frequencies.sum())
    order = np.argsort(frequencies - exact, kind="stable")
    frequencies[order[:rest]] += 1
    return np.asarray(frequencies + 1, np.uint16)


def refine(
    model: ContextModel,
    blocks: Iterable[tuple[NDArray[np.int16], int]],
    strength: float = 64.0,
) -> Tensors:
    """The model with tables from counts of latents that it has not to encode.

    Args:
        model: from ``quantise``.
        blocks: latents, int16 (N, rows, columns), and their rates.
        strength: how many latents the model's own table counts for in each cell.

    Returns:
        New tensors; frequencies are proportional to counts plus ``strength`` times the old ones.
    """
    tensors = {name: np.asarray(tensor) for name, tensor in model.tensors.items()}
    radius, low_bits = (tensors[name].astype(np.int64) for name in ("radius", "low_bits"))
    sizes = np.repeat(2 * radius + 2, FRACTIONS)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    counts = np.zeros(int(starts[-1]), np.int64)
    for latents, rate in blocks:
        means, scales = model.predict(latents, rate)
        reach = radius[scales]
        value = (latents - (means >> 4)) >> low_bits[scales]
        symbol = np.where(np.abs(value) > reach, 2 * reach + 1, value + reach)
        cell = scales.astype(np.int64) * FRACTIONS + (means & 15)
        counts += np.bincount((starts[cell] + symbol).ravel(), minlength=len(counts))
    # Less the 1 that each frequency has in any case.
    prior = (tensors["frequencies"] - 1.0) / (1 << PRECISION)
    tables = [
        frequencies_of(counts[start:end] + strength * prior[start:end])
        for start, end in pairwise(starts)
    ]
    return tensors | {"frequencies": np.concatenate(tables)}
