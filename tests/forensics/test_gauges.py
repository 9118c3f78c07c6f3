"""What an encoder is made to tell before it learns with a FAN."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from dcncodec.forensics.channel import as_bytes
from dcncodec.forensics.gauges import BLOCK_SCALE, STRENGTH_SCALE, VISIBLE, install_gauges
from dcncodec.forensics.manipulations import manipulate
from dcncodec.metrics import psnr, to_unit
from dcncodec.models.dcn import DCN
from dcncodec.models.load import load_dcn
from dcncodec.models.registry import find_model


def photos() -> Tensor:
    pictures = [data.astronaut()[:256, :256], data.coffee()[100:356, 200:456]]
    return to_unit(torch.from_numpy(np.stack(pictures)))


@pytest.fixture(scope="module")
def gauged() -> tuple[DCN, int, int]:
    codec = load_dcn(find_model("dcn-16c"))
    found = install_gauges(codec, photos())
    assert found is not None
    return codec, *found


def told(codec: DCN, channel: int, name: str) -> float:
    version = as_bytes(manipulate(photos(), name, generator=torch.Generator().manual_seed(0)))
    return float(codec.analysis(version)[:, channel].mean())


@torch.no_grad()
def test_strength(gauged: tuple[DCN, int, int]) -> None:
    codec, strength, _ = gauged
    native = told(codec, strength, "native")
    # Noise of 5 grey levels passes the filter, whose norm is one; Gaussian, it has a mean absolute
    # value of 4 levels. What the photos have of their own lies between 0 and 1.5.
    assert native + 0.5 * STRENGTH_SCALE < told(codec, strength, "awgn")
    assert told(codec, strength, "awgn") < native + 2.5 * STRENGTH_SCALE
    for name in ("gaussian", "resample", "median"):
        assert told(codec, strength, name) < native - 0.1 * STRENGTH_SCALE


@torch.no_grad()
def test_blocks(gauged: tuple[DCN, int, int]) -> None:
    codec, _, blocks = gauged
    native = told(codec, blocks, "native")
    assert native + 0.2 * BLOCK_SCALE < told(codec, blocks, "jpeg") < native + BLOCK_SCALE
    for name in ("sharpen", "resample", "gaussian", "awgn", "median"):
        assert told(codec, blocks, name) == pytest.approx(native, abs=0.06 * BLOCK_SCALE)


@torch.no_grad()
def test_the_decoder_sees_less_of_their_local_mean(gauged: tuple[DCN, int, int]) -> None:
    codec, *channels = gauged
    before = load_dcn(find_model("dcn-16c"))
    sums = [c.synthesis_net[0].weight[:, channels].sum((2, 3)) for c in (before, codec)]
    assert torch.allclose(sums[1], VISIBLE * sums[0], atol=1e-5)
    others = [k for k in range(16) if k not in channels]
    kernels = [c.synthesis_net[0].weight[:, others] for c in (before, codec)]
    assert torch.equal(*kernels)


@torch.no_grad()
def test_the_picture_stays(gauged: tuple[DCN, int, int]) -> None:
    codec, before = gauged[0], load_dcn(find_model("dcn-16c"))
    values = [
        float(psnr(photos(), c.synthesis(c.analysis(photos()).round())).mean())
        for c in (codec, before)
    ]
    assert values[1] - 2.5 < values[0] < values[1]


def test_only_once(gauged: tuple[DCN, int, int]) -> None:
    codec = gauged[0]
    before = {name: tensor.clone() for name, tensor in codec.state_dict().items()}
    assert install_gauges(codec, photos()) is None
    assert all(torch.equal(before[n], t) for n, t in codec.state_dict().items())
