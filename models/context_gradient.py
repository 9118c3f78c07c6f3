"""How the bits of latents change with the latents that they are predicted from, in numpy.

The integer model is taken for the float one that it stands for (``models.context``): shifts and
tables have no slope, and the search that asks needs no more than a hint.
"""

from __future__ import annotations

import math
from itertools import starmap

import numpy as np
from numpy.typing import NDArray

from dcncodec.formats.context import ContextModel
from dcncodec.formats.geometry import MAX_RATE
from dcncodec.models.context_export import (
    ACTIVATION_BITS,
    LIMIT,
    MEAN_BITS,
    MEAN_STEPS,
    SCALE_RANGE,
    SCALE_STEP,
    SQUASH_BITS,
)
from dcncodec.models.program import LEAK

BAND = 2048
"""Places that are worked on at a time, in whole rows: some 10 MB for each 100 channels."""
LAYERS = {
    "first": (SQUASH_BITS, ACTIVATION_BITS),
    "hidden": (ACTIVATION_BITS, ACTIVATION_BITS),
    "mean": (ACTIVATION_BITS, MEAN_BITS),
    "scale": (ACTIVATION_BITS, 0),
    "linear": (0, MEAN_BITS),
}
"""Bits behind the point of what goes into a layer, and of what comes out."""
ROUNDING = {
    "first": 2.0 ** -(ACTIVATION_BITS + 1),
    "hidden": 2.0 ** -(ACTIVATION_BITS + 1),
    "mean": 2.0**-MEAN_BITS + 0.5 / MEAN_STEPS,
    "scale": 0.5,
}
"""What biases have more, because shifts round down."""

Float = NDArray[np.float32]


class BitsGradient:
    """The gradient of the bits of a context model.

    Args:
        model: what predicts.
    """

    def __init__(self, model: ContextModel) -> None:
        self._tensors = {name: np.asarray(tensor) for name, tensor in model.tensors.items()}
        # Neighbours come first, then the place itself.
        self._first = self._joined("neighbours", "before", "first")
        self._hidden = self._weight("hidden", "hidden")
        self._output = np.concatenate([self._weight(name, name) for name in ("mean", "scale")])
        self._linear = self._joined("linear_neighbours", "linear_before", "linear")
        offsets = [*map(tuple, self._tensors["offsets"].tolist()), (0, 0)]
        self._above = -min(row for row, _ in offsets)
        self._beside = max(abs(column) for _, column in offsets)
        self._offsets = [(self._above + row, self._beside + column) for row, column in offsets]

    def of_others(self, latents: NDArray[np.int16], rate: int) -> Float:
        """How all other latents' bits change with each.

        Args:
            latents: int16 (N, rows, columns) of a whole block.
            rate: 0..255; models of one rate ignore it.

        Returns:
            Bits by code words, float32 of the latents' shape.
        """
        channels, rows, columns = latents.shape
        edges = (self._above, 0), (self._beside, self._beside), (0, 0)
        known = np.pad(np.moveaxis(latents, 0, 2), edges).clip(-LIMIT, LIMIT).astype(np.float32)
        squash = np.sign(known) * np.log1p(np.abs(known))
        # Of what is seen as it is, and squashed.
        plain, squashed = np.zeros_like(known), np.zeros_like(known)
        biases = [self._bias(name, rate) for name in ("first", "hidden", "mean", "scale")]
        step = max(1, BAND // columns)
        for top in range(0, rows, step):
            count = min(step, rows - top)
            places = [
                (slice(top + row, top + row + count), slice(column, column + columns))
                for row, column in self._offsets
            ]
            seen, small = (
                np.concatenate([plane[place].reshape(-1, channels) for place in places], 1)
                for plane in (known, squash)
            )
            shares = self._backwards(seen, small, biases)
            for plane, share in zip((plain, squashed), shares, strict=True):
                parts = share.reshape(count, columns, len(places), channels)
                for number, place in enumerate(places):
                    plane[place] += parts[:, :, number]
        # A zero has no slope: whichever way it goes, it mostly widens what others are taken for.
        slope = plain + squashed * (known != 0) / (1 + np.abs(known))
        inner = slope[self._above :, self._beside : self._beside + columns]
        return np.ascontiguousarray(np.moveaxis(inner, 2, 0))

    def _backwards(self, seen: Float, small: Float, biases: list[Float]) -> tuple[Float, Float]:
        """Gradients of the bits of some places in what they see.

        Args:
            seen, small: (places, inputs), as it is and squashed, at last the places' own latents.
            biases: of the layers.

        Returns:
            Those in ``seen`` and ``small``.
        """
        channels = len(self._linear)
        first = small @ self._first.T + biases[0]
        units = _bent(first)
        second = units @ self._hidden.T + biases[1]
        output = (units + _bent(second)) @ self._output.T
        mean = output[:, :channels] + biases[2] + seen @ self._linear.T
        level = (output[:, channels:] + biases[3]) * np.float32(SCALE_STEP)
        in_mean, in_scale = _slopes(seen[:, -channels:] - mean, level + np.float32(SCALE_RANGE[0]))
        in_output = np.concatenate([in_mean, in_scale * np.float32(SCALE_STEP)], 1)
        in_units = in_output @ self._output
        in_units += (in_units * _slope(second)) @ self._hidden
        return in_mean @ self._linear, (in_units * _slope(first)) @ self._first

    def _joined(self, neighbours: str, before: str, layer: str) -> Float:
        names = ((neighbours, layer), (before, layer))
        return np.concatenate(list(starmap(self._weight, names)), 1)

    def _weight(self, name: str, layer: str) -> Float:
        """A matrix (outputs, inputs) as it was before it became integers."""
        before, after = LAYERS[layer]
        exponent = self._tensors[f"{layer}.shift"].astype(np.float32)[:, None] + (after - before)
        weight: Float = self._tensors[f"{name}.weight"] * np.exp2(-exponent)
        return weight

    def _bias(self, layer: str, rate: int) -> Float:
        """A bias (outputs) at a rate, without what makes shifts round."""
        shift = self._tensors[f"{layer}.shift"].astype(np.float32)
        knots = np.atleast_2d(self._tensors[f"{layer}.bias"]).astype(np.float32)
        place = rate / MAX_RATE * (len(knots) - 1)
        number = min(int(place), max(len(knots) - 2, 0))
        share = np.float32(place - number)
        bias = (1 - share) * knots[number] + share * knots[min(number + 1, len(knots) - 1)]
        unscaled: Float = bias * np.exp2(-shift - LAYERS[layer][1])
        return unscaled - np.float32(ROUNDING[layer])


def _bent(values: Float) -> Float:
    bent: Float = np.maximum(values, values * np.float32(LEAK))
    return bent


def _slope(values: Float) -> Float:
    slope: Float = np.where(values > 0, np.float32(1), np.float32(LEAK))
    return slope


def _slopes(distance: Float, log_scale: Float) -> tuple[Float, Float]:
    """How bits of logistic distributions change with their mean and their scale's logarithm.

    A latent's probability is F(a) - F(b) = F(a) F(-b) (1 - exp(b - a)) with the logistic function F
    of the ends of its cell, a above b: so the logarithm's derivative has no difference that could
    be lost in rounding.
    """
    inverse = np.exp(-log_scale.clip(*SCALE_RANGE))
    far = np.abs(distance)
    above, below = _logistic((0.5 - far) * inverse), _logistic((-0.5 - far) * inverse)
    bits = np.float32(1 / math.log(2))
    in_mean = np.sign(distance) * inverse * (above + below - 1) * bits
    widening = (0.5 - far) * (1 - above) + (0.5 + far) * below + 1 / np.expm1(inverse)
    within = (log_scale >= SCALE_RANGE[0]) & (log_scale <= SCALE_RANGE[1])
    return in_mean, np.where(within, inverse * widening * bits, np.float32(0))


def _logistic(values: Float) -> Float:
    # Half of the exponent, so that none overflows.
    return np.float32(0.5) + np.float32(0.5) * np.tanh(values / 2)
