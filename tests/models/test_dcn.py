"""The networks have the paper's layers, and HALO really covers their receptive fields."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dcncodec.formats.geometry import STRIDE
from dcncodec.models.dcn import DCN
from dcncodec.models.families.dcn import HALO


@pytest.fixture(scope="module")
def codec() -> DCN:
    torch.manual_seed(3)
    return DCN(16).eval().requires_grad_(False)


@pytest.mark.parametrize("channels", [16, 32, 64])
def test_layers_are_the_papers(channels: int) -> None:
    codec = DCN(channels)

    def kernels(net: nn.Module) -> list[tuple[int, ...]]:
        return [tuple(m.weight.shape) for m in net.modules() if isinstance(m, nn.Conv2d)]

    residual = [(128, 128, 3, 3)] * 6
    assert kernels(codec.analysis_net) == [
        (64, 3, 5, 5),
        (128, 64, 5, 5),
        *residual,
        (channels, 128, 5, 5),
    ]
    assert kernels(codec.synthesis_net) == [
        (512, channels, 3, 3),
        *residual,
        (256, 128, 3, 3),
        (12, 64, 3, 3),
    ]


@pytest.mark.parametrize("channels", [0, 256])
def test_more_channels_than_the_bit_stream_holds_are_refused(channels: int) -> None:
    with pytest.raises(ValueError, match="latent_channels"):
        DCN(channels)


def test_shapes(codec: DCN) -> None:
    latent = codec.analysis(torch.rand(2, 3, 40, 64))
    assert latent.shape == (2, 16, 5, 8)
    assert codec.synthesis(latent).shape == (2, 3, 40, 64)


def _reach(output: Tensor, source: Tensor, centre: tuple[int, int]) -> int:
    """How far (in elements of ``source``) one output element looks from ``centre``."""
    (gradient,) = torch.autograd.grad(output, source)
    touched = gradient.abs().sum((0, 1)).nonzero()
    return int((touched - torch.tensor(centre)).abs().max())


def test_halo_covers_the_analysis(codec: DCN) -> None:
    pixels = torch.rand(1, 3, 256, 256).requires_grad_()
    latent = codec.analysis(pixels)[0, :, 16, 16].sum()
    reach = _reach(latent, pixels, (16 * STRIDE, 16 * STRIDE))
    assert 32 < reach <= HALO * STRIDE


def test_halo_covers_the_synthesis(codec: DCN) -> None:
    latent = torch.randn(1, 16, 32, 32).requires_grad_()
    pixels = codec.synthesis(latent)[0, :, 16 * STRIDE : 17 * STRIDE, 16 * STRIDE : 17 * STRIDE]
    reach = _reach(pixels.sum(), latent, (16, 16))
    assert 3 < reach <= HALO
