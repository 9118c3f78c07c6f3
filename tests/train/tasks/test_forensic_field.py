"""Batches of the field protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.forensics.history import LATTICE
from dcncodec.forensics.manipulations import manipulate_all
from dcncodec.metrics import to_bytes, to_unit
from dcncodec.train.engine.checkpoint import Header
from dcncodec.train.engine.presets import FORENSIC_RECIPES
from dcncodec.train.engine.recipes import ForensicRecipe
from dcncodec.train.tasks.forensic_choices import choose
from dcncodec.train.tasks.forensic_fans import ForensicSettings
from dcncodec.train.tasks.forensic_field import MARGIN, field_versions, is_field

CLASSES = ("native", "jpeg", "median")
FIELD = replace(FORENSIC_RECIPES["fast"], channel="none", resave=False, classes=CLASSES)
PAPER = replace(FORENSIC_RECIPES["paper"], channel="none", classes=CLASSES)


@pytest.fixture(scope="module")
def crops() -> Tensor:
    """Four times the same 64 pixels."""
    crop = torch.from_numpy(data.astronaut()[80:144, 200:264].copy())
    return crop.expand(4, -1, -1, -1).contiguous()


def drawn(crops: Tensor, recipe: ForensicRecipe, seed: int) -> tuple[Tensor, Tensor]:
    """``field_versions`` as what trainings make of them, float (B, 3, P, P) in [0, 1]."""
    pixels, labels = field_versions(crops, recipe, torch.Generator().manual_seed(seed))
    assert pixels.dtype == torch.uint8
    return to_unit(pixels), labels


def test_what_is_drawn_photo_by_photo() -> None:
    assert is_field(FIELD)
    assert not is_field(PAPER)
    assert is_field(replace(PAPER, grid="random"))
    assert is_field(replace(PAPER, history="95"))
    assert is_field(replace(PAPER, retake=True))


def test_every_photo_has_its_own_offset(crops: Tensor) -> None:
    recipe = replace(PAPER, grid="random")
    versions, labels = drawn(crops, recipe, 3)
    assert versions.shape == (12, 3, 32, 32)
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    found = set()
    for native in to_bytes(versions[:4]).numpy():
        places = [
            (top, left)
            for top in range(MARGIN, MARGIN + LATTICE)
            for left in range(MARGIN, MARGIN + LATTICE)
            if np.array_equal(crops[0, top : top + 32, left : left + 32].numpy(), native)
        ]
        assert len(places) == 1
        found.add(places[0])
    assert len(found) == 4


def test_half_of_the_photos_as_in_the_paper(crops: Tensor) -> None:
    """These have no history, begin with the lattice, and are changed as the paper's whole batch."""
    recipe = replace(FIELD, implementations="both")
    assert is_field(recipe)
    many = crops[:1].expand(40, -1, -1, -1).contiguous()
    versions, _ = drawn(many, recipe, 3)
    inside = slice(MARGIN, MARGIN + 32)
    native = to_unit(crops[:1, inside, inside])
    plain = (versions[:40] == native).flatten(1).all(1)
    assert 10 < int(plain.sum()) < 30
    saved, _ = manipulate_all(to_unit(crops[:1]), ("jpeg",))
    jpegs = versions[40:80][plain]
    expected = to_bytes(saved[:, :, inside, inside])
    assert all(np.array_equal(to_bytes(jpeg[None]), expected) for jpeg in jpegs)


def cut(photo: np.ndarray, count: int) -> Tensor:
    """Random crops for patches of 48 pixels, uint8."""
    side = 48 + 2 * MARGIN
    draws = np.random.default_rng(0)
    rows, columns = (draws.integers(length - side, size=count) for length in photo.shape[:2])
    pairs = zip(rows, columns, strict=True)
    return torch.from_numpy(np.stack([photo[y : y + side, x : x + side] for y, x in pairs]))


def steps(pictures: Tensor) -> Tensor:
    """How strong steps are at every place of the lattice, in either direction: (B, 16)."""
    grey = pictures.mean(1)
    found = []
    for plane in (grey, grey.transpose(1, 2)):
        parts = plane.unfold(2, 4, 1) @ torch.tensor([1.0, -3.0, 3.0, -1.0])
        means = parts[..., : 5 * LATTICE].abs().unflatten(2, (5, LATTICE)).mean((1, 2))
        found.append((means + 1e-4).log())
    both = torch.cat(found, 1)
    return both - both.mean(1, keepdim=True)


def test_a_network_that_learned_aligned_lattices_misses_others() -> None:
    """What WIFS 2020 is about, and what the option grid is for: JPEGs told on another photo."""
    photos = cut(data.astronaut(), 150), cut(data.coffee(), 60)
    told = {}
    for grid in ("aligned", "random"):
        recipe = replace(PAPER, classes=("native", "jpeg"), grid=grid)
        versions, labels = drawn(photos[0], recipe, 2)
        found = steps(versions)
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2))
        optimiser = torch.optim.Adam(network.parameters(), 0.01)
        for _ in range(200):
            optimiser.zero_grad()
            functional.cross_entropy(network(found), labels).backward()
            optimiser.step()
        for tested in ("aligned", "random"):
            recipe = replace(recipe, grid=tested)
            versions, labels = drawn(photos[1], recipe, 3)
            right = network(steps(versions)).argmax(1) == labels
            told[grid, tested] = float(right[labels == 1].float().mean())
            assert float(right[labels == 0].float().mean()) > 0.75
    assert told["aligned", "aligned"] > 0.75
    assert told["aligned", "random"] < 0.4
    assert min(told["random", "aligned"], told["random", "random"]) > 0.6


def test_no_history_is_none(crops: Tensor) -> None:
    """And with a history of half of the photos some are changed, their native versions, too."""
    inside = to_unit(crops[:, MARGIN:-MARGIN, MARGIN:-MARGIN])
    aligned = replace(FIELD, grid="aligned", history="none", retake=False)
    versions, _ = drawn(crops, aligned, 0)
    assert torch.equal(versions[:4], inside)
    saved = replace(aligned, history="60")
    versions, _ = drawn(crops, saved, 0)
    changed = [not torch.equal(a, b) for a, b in zip(versions[:4], inside, strict=True)]
    assert {True, False} == set(changed)


def test_half_of_the_photos_are_taken_again(crops: Tensor) -> None:
    """All versions of a photo are of the same one then; the paper's half stays as it is."""
    inside = to_unit(crops[:1, MARGIN:-MARGIN, MARGIN:-MARGIN])
    many = crops[:1].expand(40, -1, -1, -1).contiguous()
    aligned = replace(PAPER, classes=("native", "median"), retake=True)
    natives, medians = drawn(many, aligned, 0)[0].chunk(2)
    kept = (natives == inside).flatten(1).all(1)
    assert 10 < int(kept.sum()) < 30
    filtered, _ = manipulate_all(to_unit(crops[:1]), ("median",))
    expected = to_unit(to_bytes(filtered[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]))
    same = (medians == expected).flatten(1).all(1)
    assert torch.equal(same, kept)
    natives = drawn(many, replace(aligned, implementations="both"), 0)[0][:40]
    assert int((natives == inside).flatten(1).all(1).sum()) > 22


def test_draws_follow_the_generator(crops: Tensor) -> None:
    first, again, other = (drawn(crops, FIELD, seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("overrides", "nip", "taken"),
    [
        ({}, None, True),
        ({"history": "none"}, None, False),
        ({"history": "none", "retake": True}, None, True),
        ({"retake": False}, None, False),
        ({}, "standard", False),
        ({"retake": True}, "standard", True),
    ],
)
def test_when_photos_are_taken_again(
    tmp_path: Path, overrides: dict[str, Any], nip: str | None, taken: bool
) -> None:
    """Not where that makes no sense, unless somebody asks; and a run goes on as it began."""
    settings = ForensicSettings((), tmp_path, nip=nip, overrides={"channel": "none"} | overrides)
    begun, _ = choose(settings, None, None)
    assert begun.retake is taken
    again = ForensicSettings((), tmp_path, nip=nip)
    assert choose(again, Header(0, begun), None)[0].retake is taken


def test_a_run_from_before_goes_on_with_its_preset(tmp_path: Path) -> None:
    settings = ForensicSettings((), tmp_path, overrides={"channel": "none", "retake": False})
    old, _ = choose(settings, None, None)
    again = ForensicSettings((), tmp_path, preset="fast", overrides={"channel": "none"})
    assert choose(again, Header(0, old), None)[0].retake is False


def test_a_paper_s_run_takes_none_again(tmp_path: Path) -> None:
    settings = ForensicSettings((), tmp_path, preset="paper", overrides={"channel": "none"})
    assert choose(settings, None, None)[0].retake is False
