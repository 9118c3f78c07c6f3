"""Manipulations by functions of libraries: hierarchy of ManTra-Net, classes of the paper."""

from __future__ import annotations

import builtins
import pickle
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from skimage import data

from dcncodec.errors import MissingLibraryError, UsageError
from dcncodec.forensics.manipulations import DEFAULTS
from dcncodec.forensics.operations import compression, filters, noise, resampling
from dcncodec.forensics.operations.hierarchy import KINDS, LEAVES, LEVELS, labels
from dcncodec.forensics.operations.operation import Operation
from dcncodec.forensics.operations.variants import VARIANTS

PHOTO = np.ascontiguousarray(data.astronaut()[100:164, 180:260])
ALL = [*LEAVES, *(variant for variants in VARIANTS.values() for variant in variants)]
IDENTITIES = {"autocontrast cutoff=0"}
"""May leave a photo as it is: one that reaches from 0 to 255."""


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_the_levels_have_the_numbers_of_classes_of_the_paper() -> None:
    assert LEVELS == (7, 25, 49, 96, 185, 385)
    for classes in LEVELS:
        assert sorted(set(labels(classes))) == list(range(classes))
        assert len(labels(classes)) == len(LEAVES) == 385


@pytest.mark.parametrize(("above", "below"), list(pairwise(LEVELS)))
def test_each_level_divides_the_one_above(above: int, below: int) -> None:
    parents: dict[int, set[int]] = {}
    for parent, child in zip(labels(above), labels(below), strict=True):
        parents.setdefault(child, set()).add(parent)
    assert all(len(found) == 1 for found in parents.values())


def test_the_families_have_their_leaves() -> None:
    assert Counter(leaf.family for leaf in LEAVES) == {
        "blurring": 54,
        "resampling": 80,
        "compression": 96,
        "morphology": 64,
        "noise": 64,
        "quantisation": 9,
        "contrast": 18,
    }
    assert len({leaf.name for leaf in LEAVES}) == 385
    assert all(len({leaf.kind for leaf in kind}) == 1 for kind in KINDS)


def test_a_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="choose 7, 25"):
        labels(8)


@pytest.mark.parametrize("operation", ALL[:: len(ALL) // 60], ids=lambda o: f"{o.family} {o.name}")
def test_an_operation_changes_a_photo_and_keeps_its_size(operation: Operation) -> None:
    before = PHOTO.copy()
    changed = operation.apply(PHOTO, rng())
    assert changed.shape == PHOTO.shape
    assert changed.dtype == np.uint8
    assert changed.flags.c_contiguous
    assert (before == PHOTO).all()
    assert operation.name in IDENTITIES or (changed != PHOTO).any()
    again = pickle.loads(pickle.dumps(operation)).apply(PHOTO, rng())
    assert (again == changed).all()


def test_every_kind_works() -> None:
    for first in {(o.family, o.kind): o for o in ALL}.values():
        assert first.apply(PHOTO, rng()).shape == PHOTO.shape


def test_all_classes_have_implementations_of_several_libraries() -> None:
    assert VARIANTS.keys() == DEFAULTS.keys()
    for name, variants in VARIANTS.items():
        assert all(variant.family == name for variant in variants)
        assert name == "native" or len({variant.kind for variant in variants}) >= 2
        assert len({(v.kind, v.name) for v in variants}) == len(variants)


def test_the_implementations_of_a_gaussian_agree_roughly() -> None:
    results = [
        function(PHOTO, rng(), 1.2).astype(float)
        for function in (filters.gaussian_opencv, filters.gaussian_scipy, filters.gaussian_skimage)
    ]
    for result in results[1:]:
        assert np.abs(result - results[0])[8:-8, 8:-8].max() <= 2


@pytest.mark.parametrize("function", [noise.gaussian_noise, noise.skimage_noise, noise.grey_noise])
def test_noise_has_its_strength(function: Any) -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert np.std(function(grey, rng(), 6.0) - 128.0) == pytest.approx(6, rel=0.05)


def test_shot_noise_has_its_strength_where_it_is_bright() -> None:
    deviation = [
        np.std(noise.poisson_noise(np.full((64, 64, 3), level, np.uint8), rng(), 8.0) * 1.0)
        for level in (50, 200)
    ]
    assert deviation[1] == pytest.approx(8 * (200 / 255) ** 0.5, rel=0.05)
    assert deviation[0] == pytest.approx(8 * (50 / 255) ** 0.5, rel=0.05)


def test_jpeg_anywhere_moves_its_lattice() -> None:
    first = compression.jpeg_anywhere(PHOTO, np.random.default_rng(1), 60)
    second = compression.jpeg_anywhere(PHOTO, np.random.default_rng(2), 60)
    assert (first != second).any()
    # Only where the lattice begins at the first pixel is a second compression nearly without loss.
    aligned = compression.jpeg(PHOTO, rng(), 60, "4:4:4")
    twice = compression.jpeg(aligned, rng(), 60, "4:4:4")
    assert np.abs(twice.astype(int) - aligned).mean() < 0.5
    shifted = compression.jpeg(aligned[3:, 5:], rng(), 60, "4:4:4")
    assert np.abs(shifted.astype(int) - aligned[3:, 5:]).mean() > 1


def test_scaling_up_takes_the_middle() -> None:
    for function in (
        lambda: resampling.opencv_resize(PHOTO, rng(), "bilinear", 2.0),
        lambda: resampling.pillow_resize(PHOTO, rng(), "bilinear", 2.0),
    ):
        reduced = function().reshape(32, 2, 40, 2, 3).mean((1, 3))
        middle = PHOTO[16:48, 20:60]
        assert np.abs(reduced - middle).mean() < 8


@pytest.mark.parametrize(
    ("module", "operation", "package"),
    [
        ("cv2", LEAVES[0], "opencv-python-headless"),
        ("skimage", VARIANTS["gamma"][-1], "scikit-image"),
        ("pywt", LEAVES[48], "PyWavelets"),
        ("scipy.ndimage", VARIANTS["median"][4], "scipy"),
    ],
)
def test_a_missing_library_is_said_with_its_extra(
    module: str, operation: Operation, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = builtins.__import__

    def without(name: str, *more: Any, **others: Any) -> Any:
        if name == module:
            raise ImportError(name)
        return usual(name, *more, **others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingLibraryError, match=rf"{package}.*dcncodec\[forensics\]"):
        operation.apply(PHOTO, rng())


def test_every_unsharp_mask_sharpens_all_of_a_photo() -> None:
    pixels = data.astronaut()[60:124, 200:280].copy()
    generator = np.random.default_rng(0)
    for operation in VARIANTS["sharpen"]:
        changed = operation.apply(pixels, generator).astype(int)
        error = np.abs(changed - pixels)
        assert error[16:].mean() > 0, operation.name
        assert error.mean() < 40, operation.name
