"""Context models from float weights: nothing is lost, and tables learn from counts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from context_samples import float_weights
from numpy.typing import NDArray

from dcncodec.errors import ModelError
from dcncodec.formats.context import ContextModel
from dcncodec.formats.context_tensors import FRACTIONS, PRECISION
from dcncodec.models import context
from dcncodec.models import context_export as export
from dcncodec.train.engine.context_part import context_part

Float = NDArray[np.float64]


def knots_at(knots: Float, rate: int) -> Float:
    position = rate * (len(knots) - 1) / 255
    first = int(position)
    second = min(first + 1, len(knots) - 1)
    return knots[first] * (1 - position + first) + knots[second] * (position - first)


def leaky(x: Float) -> Float:
    return np.where(x < 0, x / 8, x)


class Twin:
    """The float model, place by place."""

    def __init__(self, weights: dict[str, Float], rate: int) -> None:
        channels, hidden = weights["mean.weight"].shape
        self.w = dict(weights)
        for name, mask in export.masks(channels, hidden).items():
            self.w[name] = weights[name] * mask
        self.bias = weights["bias"] + knots_at(weights["rate_bias"], rate)
        self.scale_bias = weights["scale.bias"] + knots_at(weights["rate_scale"], rate)

    def predict(self, around: Float, own: Float) -> tuple[Float, Float]:
        """Means and scales of all channels of a place."""
        w = self.w
        squash = [np.sign(z) * np.log1p(np.abs(z)) for z in (around, own)]
        h = leaky(w["neighbours.weight"] @ squash[0] + w["before.weight"] @ squash[1] + self.bias)
        h = h + leaky(w["hidden.weight"] @ h + w["hidden.bias"])
        mean = w["mean.weight"] @ h + w["mean.bias"]
        mean += w["linear_neighbours.weight"] @ around + w["linear_before.weight"] @ own
        level = w["scale.weight"] @ h + self.scale_bias
        return mean, np.exp(level.clip(*export.SCALE_RANGE))


def surroundings(latents: NDArray[np.int16], y: int, x: int) -> Float:
    channels, _, columns = latents.shape
    around = np.zeros((len(export.NEIGHBOURS), channels))
    for k, (dy, dx) in enumerate(export.NEIGHBOURS):
        if y + dy >= 0 and 0 <= x + dx < columns:
            around[k] = latents[:, y + dy, x + dx]
    return around.ravel()


def drawn(twin: Twin, seed: int, channels: int, rows: int, columns: int) -> NDArray[np.int16]:
    """Latents that the model itself finds likely, so that its own bits are few."""
    rng = np.random.default_rng(seed)
    latents = np.zeros((channels, rows, columns), np.int16)
    for y in range(rows):
        for x in range(columns):
            around = surroundings(latents, y, x)
            for c in range(channels):
                mean, scale = twin.predict(around, latents[:, y, x].astype(float))
                latents[c, y, x] = np.rint(rng.logistic(mean[c], scale[c])).clip(-60, 60)
    return latents


def sigmoid(x: Float) -> Float:
    return 0.5 * (1 + np.tanh(x / 2))


def float_bits(twin: Twin, latents: NDArray[np.int16]) -> float:
    total = 0.0
    _, rows, columns = latents.shape
    for y in range(rows):
        for x in range(columns):
            own = latents[:, y, x].astype(float)
            mean, scale = twin.predict(surroundings(latents, y, x), own)
            distance = np.abs(own - mean)
            p = sigmoid((0.5 - distance) / scale) - sigmoid((-0.5 - distance) / scale)
            total -= float(np.log2(p.clip(1e-12)).sum())
    return total


@pytest.mark.parametrize(("channels", "hidden", "rate"), [(8, 24, 0), (16, 40, 130), (12, 7, 255)])
def test_loss_is_below_half_a_percent(channels: int, hidden: int, rate: int) -> None:
    weights = float_weights(channels, channels, hidden)
    twin = Twin(weights, rate)
    latents = drawn(twin, 1, channels, 24, 24)
    assert 0.1 < (latents != 0).mean() < 0.9
    model = ContextModel(export.quantise(weights))
    ideal = float_bits(twin, latents)
    assert float(model.bits(latents, rate).sum()) < 1.005 * ideal
    # A stream's state is worth 3 bytes more than nothing.
    assert len(model.encode(latents, rate)) * 8 < 1.005 * ideal + 80


def test_predictions_are_those_of_the_twin() -> None:
    weights = float_weights(3, 10, 30)
    twin = Twin(weights, 200)
    latents = drawn(twin, 2, 10, 6, 7)
    means, scales = ContextModel(export.quantise(weights)).predict(latents, 200)
    values = export.scale_values()
    for y in range(6):
        for x in range(7):
            mean, scale = twin.predict(surroundings(latents, y, x), latents[:, y, x].astype(float))
            np.testing.assert_allclose(means[:, y, x] / 16, mean, atol=0.05)
            ours = values[scales[:, y, x]]
            np.testing.assert_allclose(np.log(ours), np.log(scale), atol=0.09)


def test_the_trained_twin_becomes_the_coder() -> None:
    """``models.context`` and the file that a training writes of it."""
    weights = float_weights(4, 10, 30)
    trained = context.ContextModel(10, 30)
    state = trained.state_dict()
    trained.load_state_dict(
        {name: torch.from_numpy(weights[name]).view_as(old) for name, old in state.items()}
    )
    coder = ContextModel.from_bytes(context_part(trained))
    latents = drawn(Twin(weights, 90), 5, 10, 12, 12)
    with torch.no_grad():
        z = torch.from_numpy(latents).float()[None]
        mean, log_scale = trained(z, torch.tensor([90.0]))
        ideal = context.bits(z, mean, log_scale)[0].numpy()
    means, _ = coder.predict(latents, 90)
    np.testing.assert_allclose(means / 16, mean[0].numpy(), atol=0.05)
    assert coder.bits(latents, 90).sum() == pytest.approx(ideal.sum(), rel=0.005)


def test_large_latents_do_not_overflow() -> None:
    weights = float_weights(5, 6, 20)
    model = ContextModel(export.quantise(weights))
    latents = np.full((6, 5, 5), 32767, np.int16)
    latents[::2] = -32768
    block = model.encode(latents, 3)
    np.testing.assert_array_equal(model.decode(block, 5, 5, 3), latents)


def test_one_rate() -> None:
    weights = float_weights(6, 4, 9, knots=1)
    model = ContextModel(export.quantise(weights))
    latents = np.arange(64, dtype=np.int16).reshape(4, 4, 4) % 5
    assert model.encode(latents, 0) == model.encode(latents, 255)


def test_tables_learn_from_counts() -> None:
    weights = float_weights(7, 8, 16)
    model = ContextModel(export.quantise(weights))
    rng = np.random.default_rng(0)

    def blocks(count: int) -> Iterator[tuple[NDArray[np.int16], int]]:
        for _ in range(count):
            # Another distribution than the logistic: hardly an odd number.
            z = 2 * np.rint(rng.normal(size=(8, 30, 30)) * 0.6)
            yield z.astype(np.int16), int(rng.integers(256))

    refined = ContextModel(export.refine(model, blocks(20)))
    latents, rate = next(blocks(1))
    before, after = (float(m.bits(latents, rate).sum()) for m in (model, refined))
    assert after < 0.8 * before
    np.testing.assert_array_equal(
        refined.decode(refined.encode(latents, rate), 30, 30, rate), latents
    )
    # Cells that were never seen keep the table that they had.
    empty = export.refine(model, [])
    np.testing.assert_array_equal(empty["frequencies"], model.tensors["frequencies"])


def test_tables_are_those_of_the_logistic_distribution() -> None:
    radius, low_bits, frequencies = export.logistic_tables()
    assert len(frequencies) == int(((2 * radius.astype(int) + 2) * FRACTIONS).sum())
    at = 0
    for scale, r, low in zip(export.scale_values(), radius, low_bits, strict=True):
        size = 2 * int(r) + 2
        for fraction in range(FRACTIONS):
            table = frequencies[at : at + size].astype(float) / (1 << PRECISION)
            at += size
            if low == 0:
                k = np.arange(-int(r), int(r) + 1) - fraction / FRACTIONS
                p = sigmoid((k + 0.5) / scale) - sigmoid((k - 0.5) / scale)
                np.testing.assert_allclose(table[:-1], p, atol=(size + 1) / (1 << PRECISION))
            assert table[-1] < 0.002
            assert table.sum() == 1


@pytest.mark.parametrize("name", ["neighbours.weight", "hidden.weight", "mean.bias"])
def test_weights_that_are_too_large(name: str) -> None:
    weights = float_weights(7, 4, 8)
    weights[name][0] = 1e9
    with pytest.raises(ModelError, match="too large for 16 bits"):
        export.quantise(weights)
    weights[name][0] = np.nan
    with pytest.raises(ModelError, match="not finite"):
        export.quantise(weights)
