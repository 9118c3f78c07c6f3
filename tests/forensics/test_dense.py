"""A FAN's answers all over a photo."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dcncodec.errors import ImageError
from dcncodec.forensics import dense
from dcncodec.forensics.dense import STEP, cells_of
from dcncodec.forensics.patches import is_varied
from dcncodec.metrics import to_unit
from dcncodec.models.fan import FAN, RESIDUAL_GAIN, ConvolutionalFAN

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def fan() -> ConvolutionalFAN:
    torch.manual_seed(0)
    return ConvolutionalFAN(3).eval().requires_grad_(False)


def test_every_place_has_an_answer(fan: FAN, photo: Pixels) -> None:
    cells = cells_of(fan, photo[:150, :217], 32)
    assert cells.logs.shape == (3, 10, 14)
    assert cells.varied.shape == (10, 14)
    assert torch.allclose(cells.logs.exp().sum(0), torch.ones(10, 14))
    with pytest.raises(ImageError, match="224 x 20 pixels: too small for a patch of 32 x 32"):
        cells_of(fan, photo[:20], 32)


def test_an_answer_is_that_of_the_box_around_it(fan: ConvolutionalFAN, photo: Pixels) -> None:
    """The middle of a photo, by the plain way: features of all, the mean of a box, the head."""
    features = fan.features(
        fan.residual(to_unit(torch.from_numpy(photo.copy()))[None]) * RESIDUAL_GAIN
    )
    expected = fan.head(features[..., 3:6, 5:8].mean((2, 3))).log_softmax(1)[0]
    assert torch.allclose(cells_of(fan, photo, 32).logs[:, 4, 6], expected, atol=1e-4)


def test_tiles_make_no_difference(fan: FAN, photo: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cells_of(fan, photo, 64)
    monkeypatch.setattr(dense, "TILE", 4)
    assert torch.allclose(cells_of(fan, photo, 64).logs, whole.logs, atol=1e-4)


def test_flat_places(fan: FAN, photo: Pixels) -> None:
    """As patches of the same box are judged."""
    cells = cells_of(fan, photo, 32)
    box = 3 * STEP
    for row, column in ((1, 1), (4, 6), (7, 11)):
        top, left = (row - 1) * STEP, (column - 1) * STEP
        patch = torch.from_numpy(photo[top : top + box, left : left + box].copy())
        assert bool(cells.varied[row, column]) == bool(is_varied(to_unit(patch[None])))
    assert not bool(cells.varied[0, 0])
    assert bool(cells.varied.any())
