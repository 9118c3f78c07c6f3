"""Gradients of windows beside those of the whole, and beside differences."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data as samples
from vr_models import write_vr

from dcncodec.codec import Codec
from dcncodec.formats.geometry import Area
from dcncodec.runtime.gradients import LUMINANCE, Gradients
from dcncodec.runtime.windows import Latents

PHOTO: NDArray[np.uint8] = np.ascontiguousarray(samples.astronaut()[40:101, 180:263])
PLANE = Area(0, 0, 8, 11)
RATE = 100


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Gradients:
    folder = write_vr(tmp_path_factory.mktemp("models") / "my-vr", channels=12)
    codec = Codec(folder, device="cpu", precision="fp32", threads=1)
    return Gradients(codec.model, codec.transforms, "fp32")


@pytest.fixture(scope="module")
def latents(search: Gradients) -> Latents:
    return search.transforms.analyse(PHOTO, PLANE, RATE)


def error(
    search: Gradients, latents: Latents, grey: bool = False
) -> tuple[float, NDArray[np.float32]]:
    gradient = np.zeros(latents.shape, np.float32)
    values = search.squared_errors(latents, PLANE, PHOTO, PLANE, RATE, grey=grey, gradient=gradient)
    return values.sum(), gradient


@pytest.mark.parametrize("grey", [False, True])
def test_error_is_that_of_decoded_pixels(search: Gradients, latents: Latents, grey: bool) -> None:
    shown = search.transforms.synthesise(latents, PLANE, PLANE, RATE)[
        : len(PHOTO), : PHOTO.shape[1]
    ]
    pixels = shown.astype(float)
    if grey:
        pixels = (pixels @ LUMINANCE)[..., None]
    value, _ = error(search, latents, grey)
    assert value == pytest.approx(((pixels - PHOTO) ** 2).sum(), rel=0.01)
    places = search.squared_errors(latents, PLANE, PHOTO, PLANE, RATE, grey=grey)
    assert places.sum() == pytest.approx(value, rel=1e-5)
    squares = ((pixels - PHOTO) ** 2).sum(2)
    for row, column in ((0, 0), (3, 5), (PLANE.rows - 1, PLANE.columns - 1)):
        part = squares[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert places[row, column] == pytest.approx(part.sum(), rel=0.05, abs=20)


def test_gradient_is_that_of_differences(search: Gradients, latents: Latents) -> None:
    _, gradient = error(search, latents)
    for channel, row, column in ((0, 3, 4), (1, 7, 10), (5, 0, 0)):
        values = []
        for step in (-1, 1):
            moved = latents.copy()
            moved[channel, row, column] += step
            values.append(error(search, moved)[0])
        # The linear start has a quadratic error, but where pixels are clipped.
        difference = (values[1] - values[0]) / 2
        assert gradient[channel, row, column] == pytest.approx(difference, rel=0.05, abs=2)


def test_windows(search: Gradients, latents: Latents, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = error(search, latents)
    bits = search.others_bits(latents, RATE)
    assert np.abs(bits).max() > 0.01
    monkeypatch.setattr(search.transforms, "window", 3)
    parts = error(search, latents)
    assert parts[0] == pytest.approx(whole[0], rel=1e-5)
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-3, atol=1e-2 * np.abs(whole[1]).max())
    again = search.others_bits(latents, RATE)
    np.testing.assert_allclose(again, bits, atol=1e-3)


def test_last_latent_has_no_others(search: Gradients, latents: Latents) -> None:
    """Nothing is coded after the last channel of the last place."""
    bits = search.others_bits(latents, RATE)
    assert bits[-1, -1, -1] == 0
