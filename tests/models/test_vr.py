"""The family vr: its linear start, gains, windows, precisions and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage import data as samples
from torch import Tensor

from dcncodec.metrics import psnr, to_unit
from dcncodec.models.families.vr import geometry
from dcncodec.models.vr import VR, to_patches

LAMBDAS = (0.0005, 0.16)


@pytest.fixture(scope="module")
def photo() -> Tensor:
    pixels = np.ascontiguousarray(samples.astronaut()[:256, 128:384])
    return to_unit(torch.from_numpy(pixels))[None]


def started(photo: Tensor, channels: int) -> VR:
    torch.manual_seed(0)
    network = VR(channels, 1, 2 * channels, 1, 0)
    patches = to_patches(photo * 2 - 1).movedim(1, -1).flatten(0, 2)
    network.start_from_klt(patches, LAMBDAS)
    return network.requires_grad_(False)


def busy(channels: int = 6, blocks: int = 2, analysis: tuple[int, int] = (2, 1)) -> VR:
    """Random weights, also in what starts at zero."""
    torch.manual_seed(1)
    network = VR(channels, blocks, 12, *analysis)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return network.requires_grad_(False)


def at(rate: float) -> Tensor:
    return torch.tensor([rate])


def test_the_start_is_the_klt(photo: Tensor) -> None:
    """More channels, a better picture; all of them, the very picture."""
    found = []
    for channels in (3, 24, 96, 192):
        network = started(photo, channels)
        latent = network.analysis(photo, at(100))
        restored = network.synthesis(latent, at(100))
        found.append(float(psnr(photo, restored)))
        basis = network.linear_analysis.weight.flatten(1)
        assert torch.allclose(basis @ basis.T, torch.eye(channels), atol=1e-5)
    assert found == sorted(found)
    assert found[0] > 20
    assert found[2] > 38
    assert found[3] > 80


def test_channels_come_by_variance_and_gains_by_lambda(photo: Tensor) -> None:
    network = started(photo, 24)
    deviations = network.analysis(photo, at(0)).std((0, 2, 3))
    assert bool((deviations[:-1] >= deviations[1:] * 0.999).all())
    coarse, fine = (network.analysis(photo, at(rate)) for rate in (0, 255))
    ratio = math.sqrt(LAMBDAS[1] / LAMBDAS[0])
    assert torch.allclose(fine, coarse * ratio, rtol=1e-4, atol=1e-4)
    between = network.analysis(photo, at(127.5))
    assert torch.allclose(between, coarse * math.sqrt(ratio), rtol=1e-4, atol=1e-4)


def test_the_start_is_the_same_for_the_same_patches(photo: Tensor) -> None:
    first, second = (started(photo, 24).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_shapes_for_any_size() -> None:
    network = busy()
    latent = network.analysis(torch.rand(1, 3, 24, 40), at(3))
    assert latent.shape == (1, 6, 3, 5)
    assert network.synthesis(latent, at(3)).shape == (1, 3, 24, 40)


@pytest.mark.parametrize(
    ("blocks", "analysis"), [(1, (1, 0)), (2, (2, 2)), (3, (4, 1)), (1, (2, 3))]
)
def test_the_halo_covers_the_receptive_field(blocks: int, analysis: tuple[int, int]) -> None:
    """A window with its halo gives what the whole gives; with less, it does not."""
    network = busy(blocks=blocks, analysis=analysis)
    shape = {"latent_channels": 6, "blocks": blocks, "hidden": 12}
    shape |= {"analysis_blocks": analysis[0], "analysis_fine_blocks": analysis[1]}
    halo, side = geometry({"architecture": shape}).halo, 24
    pixels = torch.rand(1, 3, 8 * side, 8 * side)
    latent = network.analysis(pixels, at(90)).round()
    whole = network.synthesis(latent, at(90))

    def window(margin: int) -> tuple[Tensor, Tensor]:
        top, low = 12 - margin, 13 + margin
        part = network.synthesis(latent[..., top:low, top:low], at(90))
        inner = slice(8 * margin, 8 * margin + 8)
        analysed = network.analysis(pixels[..., 8 * top : 8 * low, 8 * top : 8 * low], at(90))
        return part[..., inner, inner], analysed[..., margin, margin]

    picture, code = window(halo)
    assert torch.allclose(picture, whole[..., 96:104, 96:104], atol=1e-5)
    assert torch.allclose(code, network.analysis(pixels, at(90))[..., 12, 12], atol=1e-4)
    assert not torch.allclose(window(halo - 2)[0], whole[..., 96:104, 96:104], atol=1e-5)


def test_bfloat16_is_close(photo: Tensor) -> None:
    network = started(photo, 96)
    torch.manual_seed(2)
    network.synthesis_net.tail[-1].weight.normal_(0, 0.003)
    network.analysis_net.tail[-1].weight.normal_(0, 0.01)
    latent = network.analysis(photo, at(255))
    restored = network.synthesis(latent.round(), at(255))
    network.analysis_net.bfloat16()
    network.synthesis_net.bfloat16()
    assert float((network.analysis(photo, at(255)) - latent).abs().max()) < 0.5
    close = network.synthesis(latent.round(), at(255))
    assert float((close - restored).abs().max()) * 255 < 1
