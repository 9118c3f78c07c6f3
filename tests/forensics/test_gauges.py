"""What an encoder is made to tell before it learns with a FAN."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from dcncodec.forensics.channel import as_bytes
from dcncodec.forensics.gauges import (
    BLOCKS,
    GAUGES,
    NEIGHBOURS,
    NOISE,
    SHOWN,
    STRENGTH,
    Gauge,
    install_gauges,
)
from dcncodec.forensics.manipulations import CLASSES, manipulate
from dcncodec.metrics import psnr, to_unit
from dcncodec.models.dcn import DCN
from dcncodec.models.load import load_dcn
from dcncodec.models.registry import find_model


def photos() -> Tensor:
    pictures = [data.astronaut()[:256, :256], data.coffee()[100:356, 200:456]]
    return to_unit(torch.from_numpy(np.stack(pictures)))


Gauged = tuple[DCN, list[int]]


@pytest.fixture(scope="module")
def gauged() -> Gauged:
    codec = load_dcn(find_model("dcn-16c"))
    channels = install_gauges(codec, photos())
    assert channels is not None
    return codec, channels


@torch.no_grad()
def told(gauged: Gauged, gauge: Gauge) -> dict[str, float]:
    """How far each manipulation is from native photos, in units of the gauge's scale."""
    codec, channels = gauged
    means = {}
    for name in CLASSES:
        version = as_bytes(manipulate(photos(), name, generator=torch.Generator().manual_seed(0)))
        channel = channels[GAUGES.index(gauge)]
        means[name] = float(codec.analysis(version)[:, channel].mean()) / gauge.scale
    return {name: value - means["native"] for name, value in means.items()}


def test_strength(gauged: Gauged) -> None:
    found = told(gauged, STRENGTH)
    # Noise of 5 grey levels passes the filter, whose norm is one; Gaussian, it has a mean absolute
    # value of 4 levels. What the photos have of their own lies between 0 and 1.5.
    assert 0.5 < found["awgn"] < 2.5
    assert all(found[name] < -0.1 for name in ("gaussian", "resample", "median"))


def test_blocks(gauged: Gauged) -> None:
    found = told(gauged, BLOCKS)
    assert 0.2 < found.pop("jpeg") < 1
    assert max(map(abs, found.values())) < 0.06


def test_neighbours(gauged: Gauged) -> None:
    found = told(gauged, NEIGHBOURS)
    assert found["median"] < -0.1
    # Noise leaves 5% to 6% of neighbours equal: a normal difference of 7 grey levels, rounded.
    assert 0 < found["sharpen"] < found["awgn"] < 1


def test_noise(gauged: Gauged) -> None:
    found = told(gauged, NOISE)
    assert 0.1 < found["awgn"] < 1
    assert found["jpeg"] < -0.1
    assert max(found[name] for name in CLASSES if name != "awgn") < 0.6 * found["awgn"]


@torch.no_grad()
def test_they_tell_what_is_unusual(gauged: Gauged) -> None:
    codec, channels = gauged
    before = load_dcn(find_model("dcn-16c"))
    means = [c.analysis(photos())[:, channels].mean((0, 2, 3)) for c in (before, codec)]
    assert torch.allclose(*means, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("gauge", GAUGES)
def test_the_decoder_shows_it(gauged: Gauged, gauge: Gauge) -> None:
    codec, channels = gauged
    latent = codec.analysis(photos()).round()
    louder = latent.clone()
    louder[:, channels[GAUGES.index(gauge)]] += 3
    more = 255 * (codec.synthesis(louder) - codec.synthesis(latent))
    # Of every 2x2 pixels: how much of each colour's change has the gauge's pattern.
    squares = more.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4).mean((0, 2, 3))
    shown = squares @ torch.tensor(gauge.pattern) / 4
    assert torch.allclose(shown, 3 * SHOWN * torch.tensor(gauge.shown_in), atol=0.3 * SHOWN)


@torch.no_grad()
def test_the_picture_stays(gauged: Gauged) -> None:
    codec, before = gauged[0], load_dcn(find_model("dcn-16c"))
    values = [
        float(psnr(photos(), c.synthesis(c.analysis(photos()).round())).mean())
        for c in (codec, before)
    ]
    assert values[1] - 1.5 < values[0] < values[1]


def test_only_once(gauged: Gauged) -> None:
    codec = gauged[0]
    before = {name: tensor.clone() for name, tensor in codec.state_dict().items()}
    assert install_gauges(codec, photos()) is None
    assert all(torch.equal(before[n], t) for n, t in codec.state_dict().items())
