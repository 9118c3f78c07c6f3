"""dJPEG against libjpeg, and its gradients."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from dcncodec.errors import UsageError
from dcncodec.forensics.djpeg import (
    DJPEG,
    Rounding,
    Subsampling,
    quantisation_tables,
    round_approximately,
)
from dcncodec.metrics import to_unit


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    """Sides that are no multiples of 16, so that incomplete blocks are tested, too."""
    pixels: NDArray[np.uint8] = data.astronaut()[10:173, 150:345]
    return pixels


def libjpeg(pixels: NDArray[np.uint8], quality: int, subsampling: Subsampling) -> torch.Tensor:
    file = io.BytesIO()
    mode = {"444": 0, "420": 2}[subsampling]
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=mode)
    return torch.from_numpy(np.array(Image.open(file))).float()


@pytest.mark.parametrize("subsampling", ["444", "420"])
def test_equals_libjpeg_at_every_quality(
    photo: NDArray[np.uint8], subsampling: Subsampling
) -> None:
    pixels = to_unit(torch.from_numpy(photo.copy())).unsqueeze(0)
    differences = {}
    for quality in range(1, 101):
        mine = DJPEG(quality, subsampling, "hard")(pixels)[0].movedim(0, -1) * 255
        assert torch.allclose(mine, mine.round(), atol=1e-3)
        differences[quality] = float((mine - libjpeg(photo, quality, subsampling)).abs().mean())
    assert max(differences.values()) < 0.25, differences


def test_tables_of_each_picture(photo: NDArray[np.uint8]) -> None:
    parts = torch.stack([to_unit(torch.from_numpy(photo[:40, i : i + 40].copy())) for i in (0, 60)])
    tables = torch.stack([quantisation_tables(quality) for quality in (30, 90)])
    together = DJPEG(50, "420", "hard")(parts, tables)
    for quality, part, found in zip((30, 90), parts, together, strict=True):
        assert torch.equal(found, DJPEG(quality, "420", "hard")(part[None])[0])


def test_soft_rounding_is_hard_forwards(photo: NDArray[np.uint8]) -> None:
    pixels = to_unit(torch.from_numpy(photo[:32, :32].copy())).unsqueeze(0)
    hard, soft = (DJPEG(70, "420", rounding)(pixels) for rounding in ("hard", "soft"))
    assert torch.allclose(hard, soft, atol=1e-5)


@pytest.mark.parametrize(
    ("rounding", "moves"),
    [("hard", False), ("soft", True), ("sinusoidal", True), ("harmonic", True)],
)
def test_gradients(photo: NDArray[np.uint8], rounding: Rounding, moves: bool) -> None:
    """Of the coefficients' rounding alone: samples pass their gradient in any case."""
    values = torch.linspace(-3, 3, 101, requires_grad=True)
    round_approximately(values, rounding).sum().backward()
    assert values.grad is None or bool((values.grad.abs() > 1e-3).any()) == moves
    pixels = to_unit(torch.from_numpy(photo[:16, :16].copy())).unsqueeze(0).requires_grad_()
    DJPEG(50, "444", rounding)(pixels).square().sum().backward()
    assert pixels.grad is not None
    assert bool((pixels.grad.abs() > 0).any()) == moves


def test_approximations_come_near() -> None:
    values = torch.linspace(-4, 4, 1001)
    errors = [
        float((round_approximately(values, r) - values.round()).abs().mean())
        for r in ("sinusoidal", "harmonic", "hard")
    ]
    assert errors[0] > errors[1] > errors[2] == pytest.approx(0, abs=2e-3)
    assert errors[0] < float((values - values.round()).abs().mean())


def test_lower_quality_loses_more(photo: NDArray[np.uint8]) -> None:
    pixels = to_unit(torch.from_numpy(photo.copy())).unsqueeze(0)
    errors = [float((DJPEG(q)(pixels) - pixels).square().mean()) for q in (90, 50, 10)]
    assert errors == sorted(errors)


@pytest.mark.parametrize("quality", [0, 101])
def test_quality_out_of_range(quality: int) -> None:
    with pytest.raises(UsageError, match="choose 1 to 100"):
        DJPEG(quality)
