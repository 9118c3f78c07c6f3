"""Camera pipelines: their sizes, what they start with, and that windows are like the whole."""

from __future__ import annotations

import pytest
import torch

from dcncodec.models.nip import (
    NETWORKS,
    BatchNorm,
    DNet,
    INet,
    UNet,
    bilinear,
    make_nip,
    reflect,
    scatter,
)

COLOURS = torch.tensor([[1.7, -0.5, -0.2], [-0.2, 1.5, -0.3], [0.1, -0.6, 1.5]])


@pytest.mark.parametrize(
    ("network", "count"), [("inet", 321), ("unet", 7_760_268), ("dnet", 493_976)]
)
def test_number_of_parameters(network: str, count: int) -> None:
    """Of the NIP paper's supplement."""
    assert sum(parameter.numel() for parameter in make_nip(network).parameters()) == count


def test_unknown_network() -> None:
    with pytest.raises(ValueError, match="resnet"):
        make_nip("resnet")


@pytest.mark.parametrize("network", NETWORKS)
def test_shapes_and_gradients(network: str) -> None:
    torch.manual_seed(0)
    pipeline = make_nip(network)
    picture = pipeline(torch.rand(2, 4, 18, 22))
    assert picture.shape == (2, 3, 36, 44)
    assert picture.dtype == torch.float32
    picture.square().mean().backward()
    assert all(parameter.grad is not None for parameter in pipeline.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        assert pipeline(torch.rand(1, 4, 16, 16)).dtype == torch.float32


def test_scatter_puts_samples_where_the_filter_has_them() -> None:
    picture = scatter(torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1))
    assert picture[0].tolist() == [[[1, 0], [0, 0]], [[0, 2], [3, 0]], [[0, 0], [0, 4]]]


def test_bilinear_fills_the_gaps_of_a_ramp() -> None:
    """Linear interpolation is exact where the picture is linear, away from the border."""
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(16.0), indexing="ij")
    picture = torch.stack([x + 2 * y, 3 * x - y, 5 - x]).unsqueeze(0)
    places = scatter(torch.ones(1, 4, 6, 8))
    filled = torch.nn.functional.conv2d(reflect(picture * places, 1), bilinear())
    assert torch.allclose(filled[..., 2:-2, 2:-2], picture[..., 2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize("kind", [INet, DNet])
def test_they_start_as_simple_pipelines(kind: type[INet] | type[DNet]) -> None:
    """On a frame of one colour: the matrix, then sRGB's curve."""
    torch.manual_seed(0)
    colour = torch.tensor([0.5, 0.3, 0.2])
    stack = colour[[0, 1, 1, 2]].view(1, 4, 1, 1).expand(1, 4, 16, 16)
    linear = COLOURS @ colour
    expected = 1.055 * linear ** (1 / 2.4) - 0.055
    found = kind(COLOURS).eval().develop(stack)[0, :, 8:-8, 8:-8]
    assert (found - expected.view(3, 1, 1)).abs().max() < 0.015


@pytest.mark.parametrize("network", NETWORKS)
def test_halo(network: str) -> None:
    """What lies further away changes nothing."""
    torch.manual_seed(0)
    pipeline = make_nip(network).eval()
    side = pipeline.halo + 48
    stack = torch.rand(1, 4, side, side)
    changed = stack.clone()
    changed[..., :16, :] = 0
    whole, other = (pipeline.develop(part) for part in (stack, changed))
    first = 2 * (16 + pipeline.halo)
    assert torch.allclose(whole[..., first:, :], other[..., first:, :], atol=1e-6)
    assert not torch.equal(whole, other)


def test_batch_normalisation_is_torchs() -> None:
    torch.manual_seed(0)
    own, known = BatchNorm(5), torch.nn.BatchNorm2d(5)
    for _ in range(3):
        batch = torch.randn(4, 5, 6, 7) * 3 + 1
        assert torch.allclose(own(batch), known(batch), atol=1e-6)
    batch = torch.randn(1, 5, 3, 3)
    assert torch.allclose(own.eval()(batch), known.eval()(batch), atol=1e-6)
    assert all(tensor.is_floating_point() for tensor in own.state_dict().values())


def test_unet_takes_any_size() -> None:
    with torch.no_grad():
        assert UNet()(torch.rand(1, 4, 5, 17)).shape == (1, 3, 10, 34)
