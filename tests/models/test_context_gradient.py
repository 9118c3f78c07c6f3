"""The gradient of the context model's bits beside that of its float twin, by torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data as samples
from vr_models import write_vr

from dcncodec.codec import Codec
from dcncodec.formats.context_coder import ContextCoder
from dcncodec.formats.geometry import Area
from dcncodec.models import context_gradient
from dcncodec.models.card import ModelFolder
from dcncodec.models.context import bits
from dcncodec.models.context_gradient import BitsGradient
from dcncodec.models.load import load_codec
from dcncodec.models.registry import find_model


@pytest.mark.parametrize("rate", [0, 91, 255])
def test_as_the_float_model(monkeypatch: pytest.MonkeyPatch, rate: int) -> None:
    """But for what integers round."""
    folder = find_model("dcn-vr")
    codec = Codec(folder, device="cpu", precision="fp32", threads=1)
    pixels = np.ascontiguousarray(samples.astronaut()[:72, 170:258])
    words = codec.transforms.analyse(pixels, Area(0, 0, 9, 11), rate)
    coder = folder.own_coder
    assert isinstance(coder, ContextCoder)
    # Several bands, one of them smaller.
    monkeypatch.setattr(context_gradient, "BAND", 44)
    found = BitsGradient(coder.model).of_others(words, rate)
    difference = found - by_torch(folder, words, rate)
    assert np.square(difference).sum() < 1e-3 * np.square(found).sum()
    # Nothing is coded after the last channel of the last place.
    assert found[-1, -1, -1] == 0


def test_linear_start(tmp_path: Path) -> None:
    """Of a model whose context part is as training begins with it."""
    folder = find_model(write_vr(tmp_path / "vr", channels=5))
    effort = Codec(folder, device="cpu", threads=1).effort(1)
    assert effort is not None
    words = np.random.default_rng(0).integers(-4, 5, (5, 3, 4), np.int16)
    found = effort.bits_gradient.of_others(words, 100)
    expected = by_torch(folder, words, 100)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found, expected, atol=2e-4)


def by_torch(folder: ModelFolder, words: NDArray[np.int16], rate: int) -> NDArray[np.float32]:
    """The gradient of the float model that the integers stand for."""
    twin = load_codec(folder).twin()
    assert twin is not None
    latent = torch.from_numpy(words.astype(np.float32))[None].requires_grad_()
    mean, log_scale = twin(latent, torch.tensor([float(rate)]))
    (gradient,) = torch.autograd.grad(bits(latent.detach(), mean, log_scale).sum(), latent)
    return gradient[0].numpy()
