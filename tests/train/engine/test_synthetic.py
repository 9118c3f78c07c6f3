"""Pictures that are no photos: every kind, the same for one seed, in the stated share."""

from __future__ import annotations

import torch

from dcncodec.train.engine.synthetic import KINDS, replace_some, synthetic_pictures


def test_every_kind_for_one_seed() -> None:
    pictures = synthetic_pictures(32, 0, 20)
    assert pictures.shape == (20, 32, 32, 3)
    assert torch.equal(pictures, synthetic_pictures(32, 0, 20))
    assert not torch.equal(pictures, synthetic_pictures(32, 1, 20))
    colours = [len(picture.view(-1, 3).unique(dim=0)) for picture in pictures]
    flat, _, boards, lines, texts = (colours[i :: len(KINDS)] for i in range(len(KINDS)))
    assert set(flat) == {1}
    assert set(boards) <= {1, 2}
    assert min(lines) > 1
    assert min(texts) > 1


def test_corners_of_the_gamut_are_there() -> None:
    flat = synthetic_pictures(8, 0, 500)[:: len(KINDS), 0, 0]
    ends = ((flat == 0) | (flat == 255)).all(1)
    assert 5 <= int(ends.sum()) <= 40


def test_the_share() -> None:
    crops = torch.zeros(400, 8, 8, 3, dtype=torch.uint8)
    pictures = torch.full((3, 8, 8, 3), 7, dtype=torch.uint8)
    replaced = replace_some(crops, pictures, 0.25, torch.Generator().manual_seed(0))
    assert 60 < int((replaced[:, 0, 0, 0] == 7).sum()) < 140
    assert torch.equal(replace_some(crops, pictures, 0.0, torch.Generator()), crops)
