"""Errors and gradients of windows beside those of the whole, of other engines, and differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from alike import engine_of, transforms
from numpy.typing import NDArray
from skimage import data as samples
from vr_models import write_vr

from dcncodec.codec import Codec
from dcncodec.formats.geometry import Area
from dcncodec.formats.means import Means
from dcncodec.models.card import ModelFolder
from dcncodec.models.load import load_codec
from dcncodec.models.registry import open_folder
from dcncodec.runtime.engine import Engine
from dcncodec.runtime.gradients import squared_errors
from dcncodec.runtime.native_engine import NativeEngine
from dcncodec.runtime.onnx_engine import OnnxEngine
from dcncodec.runtime.torch_engine import LUMINANCE, TorchEngine
from dcncodec.runtime.windows import Latents

PHOTO: NDArray[np.uint8] = np.ascontiguousarray(samples.astronaut()[40:101, 180:263])
PLANE = Area(0, 0, 8, 11)
RATE = 100
MEANS = Means(np.random.default_rng(1).integers(-8, 9, 18).astype(np.int8).tobytes(), 3, 2, 6, 4)
"""Of a window that begins in the first region."""


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    folder = write_vr(tmp_path_factory.mktemp("models") / "my-vr", channels=12)
    return Codec(folder, device="cpu", precision="fp32", threads=1)


@pytest.fixture(scope="module")
def latents(codec: Codec) -> Latents:
    return codec.transforms.analyse(PHOTO, PLANE, RATE)


def error(
    codec: Codec, latents: Latents, grey: bool = False, means: Means | None = None
) -> tuple[float, NDArray[np.float32]]:
    gradient = np.zeros(latents.shape, np.float32)
    values = squared_errors(
        codec.transforms, latents, PLANE, PHOTO, PLANE, RATE, means, grey=grey, gradient=gradient
    )
    return values.sum(), gradient


@pytest.mark.parametrize("grey", [False, True])
def test_error_is_that_of_decoded_pixels(codec: Codec, latents: Latents, grey: bool) -> None:
    means = MEANS.within(PLANE)
    shown = codec.transforms.synthesise(latents, PLANE, PLANE, RATE, means)
    pixels = shown[: len(PHOTO), : PHOTO.shape[1]].astype(float)
    if grey:
        pixels = (pixels @ LUMINANCE)[..., None]
    value, _ = error(codec, latents, grey, means)
    assert value == pytest.approx(((pixels - PHOTO) ** 2).sum(), rel=0.01)
    places = squared_errors(codec.transforms, latents, PLANE, PHOTO, PLANE, RATE, means, grey=grey)
    assert places.sum() == pytest.approx(value, rel=1e-5)
    squares = ((pixels - PHOTO) ** 2).sum(2)
    for row, column in ((0, 0), (3, 5), (PLANE.rows - 1, PLANE.columns - 1)):
        part = squares[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert places[row, column] == pytest.approx(part.sum(), rel=0.05, abs=20)


def test_gradient_is_that_of_differences(codec: Codec, latents: Latents) -> None:
    _, gradient = error(codec, latents)
    for channel, row, column in ((0, 3, 4), (1, 7, 10), (5, 0, 0)):
        values = []
        for step in (-1, 1):
            moved = latents.copy()
            moved[channel, row, column] += step
            values.append(error(codec, moved)[0])
        # The linear start has a quadratic error, but where pixels are clipped.
        difference = (values[1] - values[0]) / 2
        assert gradient[channel, row, column] == pytest.approx(difference, rel=0.05, abs=2)


def test_windows(codec: Codec, latents: Latents, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = error(codec, latents)
    monkeypatch.setattr(codec.transforms, "window", 3)
    parts = error(codec, latents)
    assert parts[0] == pytest.approx(whole[0], rel=1e-5)
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-3, atol=1e-2 * np.abs(whole[1]).max())


def engine_named(folder: ModelFolder, name: str) -> Engine:
    if name == "onnx":
        return OnnxEngine(folder, "cpu", 1)
    return NativeEngine(folder, 3) if name == "threads" else engine_of(folder, name)


@pytest.mark.parametrize("name", ["plain", "avx2", "avx512", "threads", "onnx"])
@pytest.mark.parametrize("family", ["vr", "dcn"])
@pytest.mark.parametrize("grey", [False, True])
def test_engines(vr: ModelFolder, tiny_model: Path, name: str, family: str, grey: bool) -> None:
    """As torch's automatic differentiation has them, with pixels that do not count and clipped
    ones, and with every layer at work."""
    folder = vr if family == "vr" else open_folder(tiny_model)
    own = engine_named(folder, name)
    peer = TorchEngine(load_codec(folder), torch.device("cpu"), torch.float32)
    random = np.random.default_rng(4)
    latents = transforms(folder, peer).analyse(PHOTO, PLANE, RATE)
    latents[0, 2:4, 2:4] *= 3
    wanted = random.integers(0, 256, (64, 88, 3), np.uint8)
    counted = random.random((64, 88)) < 0.8
    expected, peer_slope = peer.errors(latents, RATE, wanted, counted, MEANS, grey=grey, steep=True)
    found, slope = own.errors(latents, RATE, wanted, counted, MEANS, grey=grey, steep=True)
    # Beside ONNX Runtime the C core works in bfloat16, where the processor can.
    np.testing.assert_allclose(found, expected, rtol=1e-2 if name == "onnx" else 1e-4)
    assert slope is not None
    assert peer_slope is not None
    off = np.square(slope - peer_slope).sum() / np.square(peer_slope).sum()
    assert off < (1e-2 if name == "onnx" else 1e-6)
    alone, none = own.errors(latents, RATE, wanted, counted, MEANS, grey=grey, steep=False)
    assert none is None
    np.testing.assert_array_equal(alone, found)
