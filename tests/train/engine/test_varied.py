"""Only patches with something in them are used."""

from __future__ import annotations

import pytest
import torch

from dcncodec.errors import TrainingError
from dcncodec.forensics.patches import is_varied
from dcncodec.metrics import to_unit
from dcncodec.train.engine.data import ImageSet
from dcncodec.train.engine.varied import varied_crops


def images(pixels: torch.Tensor) -> ImageSet:
    height, width = pixels.shape[:2]
    return ImageSet(
        pixels.reshape(-1, 3), torch.tensor([0]), torch.tensor([height]), torch.tensor([width])
    )


def test_flat_patches_are_left_out() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.full((64, 256, 3), 128, dtype=torch.uint8)
    pixels[:, 80:] = torch.randint(0, 256, (64, 176, 3), generator=generator, dtype=torch.uint8)
    crops = varied_crops(images(pixels), 8, 16, generator)
    assert crops.shape == (8, 16, 16, 3)
    assert bool(is_varied(to_unit(crops)).all())
    drawn = images(pixels).crops(32, 16, torch.Generator().manual_seed(3))
    assert 0 < int(is_varied(to_unit(drawn)).sum()) < 32


def test_nothing_but_flat_patches() -> None:
    pixels = torch.full((64, 64, 3), 90, dtype=torch.uint8)
    with pytest.raises(TrainingError, match="only 0 of 8 random patches of 16 pixels vary"):
        varied_crops(images(pixels), 2, 16, torch.Generator())
