"""What happens to decoded pictures in a training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch import Tensor

from dcncodec.forensics.channel import Channel
from dcncodec.forensics.djpeg import DJPEG, quantisation_tables
from dcncodec.forensics.operations.compression import jpeg
from dcncodec.metrics import to_bytes, to_unit
from dcncodec.models.fan import FAN
from dcncodec.train.engine.presets import FORENSIC_RECIPES
from dcncodec.train.tasks.forensic_loss import ForensicLoss
from dcncodec.train.tasks.forensic_passing import (
    KERNELS,
    Passing,
    draw_passing,
    passed_on,
)

Pixels = NDArray[np.uint8]

JPEG = DJPEG(100, "420", "hard")


@pytest.fixture(scope="module")
def photos() -> Tensor:
    """Uint8 (40, 64, 64, 3), all of them different."""
    photo = torch.from_numpy(data.astronaut())
    places = [(40 + 8 * n, 200 - 4 * n) for n in range(40)]
    return torch.stack([photo[top : top + 64, left : left + 64] for top, left in places])


def test_pictures_that_keep_their_size(photos: Tensor) -> None:
    pictures = to_unit(photos).requires_grad_()
    passing = draw_passing(40, 64, torch.Generator().manual_seed(0))
    kept, scaled = passed_on(pictures, passing, JPEG)
    assert kept.shape == (32, 3, 56, 56)
    assert scaled.shape == (8, 3, 42, 42)
    assert sorted(passing.order.tolist()) == list(range(40))
    # Half of them begin where the codec's lattice does.
    assert 12 <= (passing.places == 0).all(1).sum() <= 28
    assert len(set(map(tuple, passing.places.tolist()))) > 16
    # A quarter is turned or mirrored, in each of the seven ways.
    assert 4 <= passing.turns.any(1).sum() <= 17
    many = draw_passing(2000, 64, torch.Generator().manual_seed(0)).turns
    assert 430 < many.any(1).sum() < 570
    assert len(set(map(tuple, many.tolist()))) == 8
    assert (len(passing.tables), len(passing.scaled_tables)) == (10, 2)
    for place, picture in enumerate(to_bytes(kept.detach()).numpy()):
        cut = cut_of(photos, passing, place)
        if place < 22:
            assert np.array_equal(picture, cut)
        else:
            assert not np.array_equal(picture, cut)
            cut = saved(cut, passing.tables[place - 22])
            assert np.abs(picture.astype(int) - cut).mean() < 0.25
    kept.sum().backward()
    assert pictures.grad is not None
    assert float(pictures.grad.sum()) == pytest.approx(kept.numel())


def test_pictures_that_are_scaled(photos: Tensor) -> None:
    """By Pillow's kernels to some size, and cut somewhere."""
    pictures = to_unit(photos).requires_grad_()
    passing = draw_passing(40, 64, torch.Generator().manual_seed(1))
    unsaved = passing._replace(scaled_tables=passing.scaled_tables[:0])
    _, scaled = passed_on(pictures, unsaved, JPEG)
    found = set()
    for place, picture in enumerate(to_bytes(scaled.detach()).numpy()):
        cut = cut_of(photos, passing, 32 + place)
        difference, size, kernel = min(
            (nearest(picture, cut, size, kernel), size, kernel)
            for size in range(42, 56)
            for kernel in KERNELS
        )
        # Pillow rounds between rows and columns.
        assert difference < 0.4
        found.add((size, kernel))
    assert len({size for size, _ in found}) > 3
    assert len({kernel for _, kernel in found}) == 3
    scaled.sum().backward()
    assert pictures.grad is not None
    assert float(pictures.grad.sum()) == pytest.approx(
        float(passing.scales.sum((2, 3)).prod(1).sum()) * 3, rel=1e-3
    )
    _, both = passed_on(pictures.detach(), passing, JPEG)
    before, after = (to_bytes(shown.detach()).numpy() for shown in (scaled, both))
    assert np.array_equal(after[:6], before[:6])
    for picture, exact, tables in zip(after[6:], before[6:], passing.scaled_tables, strict=True):
        assert not np.array_equal(picture, exact)
        # Blocks that are not full are filled a little differently.
        assert np.abs(picture.astype(int) - saved(exact, tables)).mean() < 0.4


def test_nothing_is_scaled_below_what_a_fan_takes() -> None:
    assert not len(draw_passing(40, 24, torch.Generator().manual_seed(0)).scales)
    assert draw_passing(40, 32, torch.Generator().manual_seed(0)).scales.shape == (8, 2, 18, 24)
    passing = draw_passing(1, 16, torch.Generator().manual_seed(0))
    picture = torch.rand(1, 3, 16, 16)
    kept, scaled = passed_on(picture, passing, JPEG)
    assert torch.equal(kept, picture)
    assert not len(scaled)


class Brightness(FAN):
    """Calls bright pictures the second class."""

    def traces(self, pixels: Tensor) -> Tensor:
        """One feature."""
        return pixels.mean((1, 2, 3)).view(-1, 1, 1, 1)

    @staticmethod
    def head(means: Tensor) -> Tensor:
        """Above a half it is bright."""
        return torch.cat([0.5 - means, means - 0.5], 1)


def test_answers_belong_to_the_labels() -> None:
    """Though pictures are judged in another order."""
    recipe = replace(FORENSIC_RECIPES["fast"], classes=("native", "median"), channel="jpeg:90")
    loss = ForensicLoss(Channel("jpeg:90"), Brightness(2), recipe, torch.float32)
    pictures = torch.zeros(20, 3, 64, 64)
    pictures[10:] = 1
    labels = torch.arange(2).repeat_interleave(10)
    figures, _, _ = loss(pictures, torch.Generator().manual_seed(0), labels=labels)
    assert figures["accuracy"] == 1


def cut_of(photos: Tensor, passing: Passing, place: int) -> Pixels:
    """The picture at a place of the draw, cut and turned."""
    top, left = passing.places[place].tolist()
    cut: Pixels = photos[passing.order[place], top : top + 56, left : left + 56].numpy()
    rows, columns, turned = passing.turns[place].tolist()
    cut = cut[:: -1 if rows else 1, :: -1 if columns else 1]
    return cut.transpose(1, 0, 2) if turned else cut


def saved(pixels: Pixels, tables: Tensor) -> Pixels:
    """As Pillow saves them in the quality with these tables."""
    quality = next(q for q in range(75, 101) if torch.equal(quantisation_tables(q), tables))
    return jpeg(pixels, np.random.default_rng(0), quality)


def nearest(part: Pixels, whole: Pixels, size: int, kernel: Image.Resampling) -> float:
    """How far in the mean a part is from the one most like it of a picture that Pillow scaled."""
    scaled = np.array(Image.fromarray(whole).resize((size, size), kernel)).astype(int)
    parts = sliding_window_view(scaled, part.shape)
    return float(np.abs(parts - part).mean((3, 4, 5)).min())
