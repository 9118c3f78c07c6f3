"""Colours on the lattices of JPEG, WebP and Lab, and repeated pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from dcncodec.forensics.operations.compression import jpeg, webp
from dcncodec.forensics.operations.operation import Pixels
from dcncodec.forensics.operations.tones import equalise
from dcncodec.metrics import to_unit
from dcncodec.models.exact import EXACT, LATTICES, exact_pixels, exact_traces

NAMES = ("jpeg", "webp", "lab")


@pytest.fixture(scope="module")
def photo() -> Pixels:
    """Of the kind that cameras' sensors make: no two pixels are alike, no lattice fits."""
    noise = np.random.default_rng(0).normal(0, 4, (120, 140, 3))
    return np.rint(data.coffee()[100:220, 100:240] + noise).clip(0, 255).astype(np.uint8)


def shares(pixels: Pixels) -> dict[str, float]:
    found = exact_pixels(to_unit(torch.from_numpy(pixels))[None])
    assert found.shape == (1, LATTICES + 2, pixels.shape[0] - 1, pixels.shape[1] - 1)
    assert found.dtype == torch.float32
    means = found.mean((0, 2, 3)).tolist()
    return dict(zip((*NAMES, "after", "below"), means, strict=True))


def test_hardly_any_colour_of_a_sensor_is_on_a_lattice(photo: Pixels) -> None:
    found = shares(photo)
    assert all(found[name] < 0.4 for name in NAMES)
    assert found["after"] + found["below"] < 0.01


@pytest.mark.parametrize("quality", [40, 75, 100])
def test_what_was_decoded_is_on_its_own_lattice(photo: Pixels, quality: int) -> None:
    generator = np.random.default_rng(0)
    found = shares(jpeg(photo, generator, quality))
    assert found["jpeg"] > 0.97
    assert max(found["webp"], found["lab"]) < 0.4
    found = shares(webp(photo, generator, quality))
    assert found["webp"] > 0.97
    assert max(found["jpeg"], found["lab"]) < 0.4
    found = shares(jpeg(photo, generator, quality, "4:4:4"))
    assert found["jpeg"] > 0.97


def test_equalised_lightness_is_on_labs(photo: Pixels) -> None:
    found = shares(equalise(photo, np.random.default_rng(0), 2))
    assert found["lab"] > 0.75
    assert max(found["jpeg"], found["webp"]) < 0.4


def test_one_grey_level_leaves_the_lattice(photo: Pixels) -> None:
    decoded = jpeg(photo, np.random.default_rng(0), 90)
    decoded[60:] += (decoded[60:] < 255) & np.array([True, False, False])
    levels = to_unit(torch.from_numpy(decoded))[None]
    above, below = exact_pixels(levels)[0, 0].split([60, 59])
    assert above.mean() > 0.97
    assert below.mean() < 0.3


def test_repeated_pixels_are_counted_one_by_one() -> None:
    levels = torch.arange(0, 240, 10).reshape(1, 1, 4, 6).repeat(1, 3, 1, 1)
    levels[0, :, 1, 3] = levels[0, :, 1, 2]
    levels[0, :, 3, 0] = levels[0, :, 2, 0]
    levels[0, :2, 2, 4] = levels[0, :2, 1, 4]  # Two colours of three.
    _, _, _, after, below = exact_pixels(levels / 255)[0]
    assert after.nonzero().tolist() == [[1, 2]]
    assert below.nonzero().tolist() == [[2, 0]]


def test_mixed_precision_changes_nothing(photo: Pixels) -> None:
    pixels: Tensor = to_unit(torch.from_numpy(photo))[None]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = exact_traces(pixels, 4)
    assert torch.equal(mixed, exact_traces(pixels, 4))


def test_shares_of_cells(photo: Pixels) -> None:
    """Those at the end are cut off; lattices count twice, the second time where all agree."""
    decoded = jpeg(photo, np.random.default_rng(0), 90)[:43, :50]
    pixels = to_unit(torch.from_numpy(decoded))[None]
    found, single = exact_traces(pixels, 4), exact_pixels(pixels)
    assert found.shape == (1, EXACT, 11, 13)
    torch.testing.assert_close(found[0, :5, 2, 3], single[0, :, 8:12, 12:16].mean((1, 2)))
    torch.testing.assert_close(found[0, :5, 10, 12], single[0, :, 40:, 48:].mean((1, 2)))
    torch.testing.assert_close(found[:, 5:], found[:, :3] ** 4)
    assert found[:, 5].mean() > 0.9
    assert found[:, 6].mean() < 0.1
