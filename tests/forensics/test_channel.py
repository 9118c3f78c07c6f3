"""The channel between manipulation and analysis."""

from __future__ import annotations

import pytest
import torch

from dcncodec.errors import UsageError
from dcncodec.forensics.channel import Channel, as_bytes, parse_channel
from dcncodec.forensics.djpeg import DJPEG
from dcncodec.models.dcn import DCN


def test_names() -> None:
    assert parse_channel("jpeg:1") == 1
    assert parse_channel("jpeg:100") == 100
    assert parse_channel("dcn") is None
    assert parse_channel("none") is None


@pytest.mark.parametrize("text", ["jpeg", "jpeg:0", "jpeg:101", "jpeg:9a", "png", ""])
def test_unknown_names(text: str) -> None:
    with pytest.raises(UsageError, match="choose dcn, none, or jpeg:QF"):
        parse_channel(text)


def test_bytes_with_gradient() -> None:
    pixels = torch.tensor([-0.2, 0.0, 0.3, 0.501, 1.4], requires_grad=True)
    rounded = as_bytes(pixels)
    assert torch.allclose(rounded.detach() * 255, torch.tensor([0.0, 0, 76, 128, 255]))
    rounded.sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.tolist() == [1, 1, 1, 1, 1]


def test_none_only_rounds_and_halves() -> None:
    pixels = torch.rand(1, 3, 16, 16)
    received, entropy = Channel("none")(pixels)
    assert entropy is None
    assert torch.equal(received, as_bytes(pixels))
    halved, _ = Channel("none", downsample=True)(pixels)
    means = pixels.view(1, 3, 8, 2, 8, 2).mean((3, 5))
    assert torch.allclose(halved, means, atol=0.5 / 255 + 1e-6)


def test_jpeg() -> None:
    pixels = as_bytes(torch.rand(1, 3, 16, 16))
    received, entropy = Channel("jpeg:50")(pixels)
    assert entropy is None
    assert torch.equal(received, DJPEG(50)(pixels))


@pytest.mark.parametrize("straight_through", [True, False])
def test_codec(straight_through: bool) -> None:
    torch.manual_seed(0)
    codec = DCN(4)
    channel = Channel("dcn", codec, straight_through=straight_through)
    pixels = torch.rand(2, 3, 16, 24)
    received, entropy = channel(pixels)
    words = codec.analysis(as_bytes(pixels)).round().clamp(-15, 16)
    assert torch.allclose(received, as_bytes(codec.synthesis(words)), atol=1e-5)
    assert entropy is not None
    assert 0 < float(entropy.detach()) < 5
    (received.sum() + entropy).backward()
    weight = codec.analysis_net[0].weight
    assert isinstance(weight, torch.Tensor)
    assert weight.grad is not None
    assert float(weight.grad.abs().max()) > 0


def test_a_codec_where_it_belongs() -> None:
    with pytest.raises(ValueError, match="a dcn channel has a codec"):
        Channel("dcn")
    with pytest.raises(ValueError, match="others have none"):
        Channel("none", DCN(4))
