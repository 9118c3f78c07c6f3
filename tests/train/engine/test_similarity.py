"""The loss's SSIM and MS-SSIM are the metrics' own, nearly; their gradients are finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from dcncodec.likeness import ms_ssim
from dcncodec.train.engine.similarity import similarities


def pair(side: int, noise: float) -> tuple[Tensor, Tensor]:
    """Smooth pictures, and the same with noise."""
    torch.manual_seed(0)
    coarse = torch.rand(2, 3, side // 8, side // 8)
    picture = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return picture, (picture + noise * torch.randn_like(picture)).clamp(0, 1)


@pytest.mark.parametrize(("side", "noise"), [(192, 0.02), (192, 0.1), (168, 0.05)])
def test_near_the_metrics(side: int, noise: float) -> None:
    x, y = pair(side, noise)
    similarity, multi_scale = similarities(x, y)
    assert multi_scale is not None
    windows = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    known = [
        structural_similarity(a, b, data_range=1.0, channel_axis=0, **windows)
        for a, b in zip(x.double().numpy(), y.double().numpy(), strict=True)
    ]
    torch.testing.assert_close(similarity.double(), torch.tensor(known), rtol=0, atol=0.004)
    known = [
        np.float64(ms_ssim(a, b))
        for a, b in zip(*(z.double().movedim(1, -1).numpy() for z in (x, y)), strict=True)
    ]
    torch.testing.assert_close(multi_scale.double(), torch.tensor(known), rtol=0, atol=0.004)


def test_a_picture_is_like_itself() -> None:
    x, _ = pair(168, 0.1)
    for similarity in similarities(x, x):
        assert similarity is not None
        torch.testing.assert_close(similarity, torch.ones(2), rtol=0, atol=1e-5)


def test_small_crops_have_no_ms_ssim() -> None:
    x, y = pair(128, 0.1)
    similarity, multi_scale = similarities(x, y)
    assert multi_scale is None
    assert float(similarity.max()) < 1


def test_gradients_are_finite_where_nothing_is_alike() -> None:
    x, _ = pair(168, 0.0)
    y = (1 - x).requires_grad_()
    similarity, multi_scale = similarities(x, y)
    assert multi_scale is not None
    (similarity.sum() + multi_scale.sum()).backward()
    assert y.grad is not None
    assert bool(torch.isfinite(y.grad).all())
