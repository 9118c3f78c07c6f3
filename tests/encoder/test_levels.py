"""The search for a rate, on curves that are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from dcncodec.encoder.levels import curve_of, largest_level, line_of
from dcncodec.encoder.search import CLOSE

Curve = Callable[[int], float]


def photo(level: int) -> float:
    """The logarithm of a size, as photos have it: steeper at low rates."""
    return 8.8 + 0.0155 * level - 1.4e-5 * level**2


def searched(curve: Curve, sampled: Curve, limit: float, margin: float) -> tuple[int | None, int]:
    """What is found, and how many trials it took."""
    tried: list[int] = []

    def measure(level: int) -> float:
        tried.append(level)
        return curve(level)

    found = largest_level(measure, curve_of(sampled, limit), limit, margin)
    assert len(set(tried)) == len(tried)
    within = [level for level in tried if curve(level) <= limit]
    assert found == (within[-1] if within else None)
    return found, len(tried)


@pytest.mark.parametrize("level", [0, 1, 40, 127, 200, 254, 255])
def test_smooth_curves_take_few_trials(level: int) -> None:
    """Whatever the parts cost, and if their slope is a fifth off."""
    limit = photo(level) + 0.004
    for scale, offset in ((1.0, 0.3), (1.2, 0.5), (0.8, -0.3)):

        def sampled(at: int, scale: float = scale, offset: float = offset) -> float:
            return photo(128) + scale * (photo(at) - photo(128)) + offset

        found, trials = searched(photo, sampled, limit, CLOSE)
        assert found == level
        assert trials <= (3 if scale == 1 else 4)


@pytest.mark.parametrize("sampled", [lambda _: 0.0, lambda level: -float(level), photo])
def test_curves_that_the_parts_do_not_tell(sampled: Curve) -> None:
    rng = np.random.default_rng(3)
    steps = np.cumsum(rng.choice([0.0, 0.0, 0.0, 0.4], 256))
    for level in range(0, 256, 15):
        limit = float(steps[level]) + 0.1
        found, trials = searched(lambda at: float(steps[at]), sampled, limit, math.inf)
        assert found == np.flatnonzero(steps <= limit)[-1]
        assert trials <= 13


def test_a_level_that_may_be_missed_saves_trials() -> None:
    """The curve is off by less than half a level: the first trial does, and is not the best."""
    for level in (40, 127, 200):
        limit = photo(level) + 0.002
        tried: list[int] = []

        def measure(at: int, tried: list[int] = tried) -> float:
            tried.append(at)
            return photo(at)

        shape = curve_of(photo, limit)
        found = largest_level(measure, shape, limit, 0, spare=1, lead=-0.5)
        assert found in {level - 1, level}
        assert len(tried) == 1


def test_where_all_levels_do_the_last_one_is_tried() -> None:
    tried: list[int] = []

    def measure(at: int) -> float:
        tried.append(at)
        return photo(at)

    limit = photo(255) + 0.1
    assert largest_level(measure, curve_of(photo, limit), limit, 0, spare=1, lead=-0.5) == 255
    assert tried == [255]


def test_levels_known_before_are_not_tried() -> None:
    limit = photo(100) + 0.004
    tried: list[int] = []

    def measure(at: int) -> float:
        tried.append(at)
        return photo(at)

    shape = curve_of(photo, limit)
    known = {99: photo(99), 101: photo(101)}
    assert largest_level(measure, shape, limit, math.inf, known=known) == 100
    assert tried == [100]
    known = {100: photo(100), 101: photo(101)}
    assert largest_level(measure, shape, limit, math.inf, known=known) == 100
    assert tried == [100]


def test_two_trials_tell_how_steep_the_curve_is() -> None:
    """Where the samples' is twice as steep, the third trial does."""
    for level in (60, 200):
        tried: list[int] = []

        def measure(at: int, tried: list[int] = tried) -> float:
            tried.append(at)
            return 0.01 * at

        shape = 0.02 * np.arange(256) - 1.0
        found = largest_level(measure, shape, 0.01 * level + 0.005, 0, spare=1, lead=-0.5)
        assert found in {level - 1, level}
        assert len(tried) <= 3


@pytest.mark.parametrize("level", [0, 30, 120, 128, 240, 255])
def test_a_line_goes_through_samples_near_the_limit(level: int) -> None:
    """Whatever slope is the usual one."""
    tried: list[int] = []

    def sampled(at: int) -> float:
        tried.append(at)
        return photo(at)

    for slope in (0.006, 0.012, 0.024):
        tried.clear()
        line = line_of(sampled, lambda at: photo(at) + 0.01, photo(level), slope)
        assert len(tried) <= 4
        assert abs(tried[-1] - level) < 16
        assert line[level] == pytest.approx(photo(level), abs=0.2)
        assert line[tried[-1]] == pytest.approx(photo(tried[-1]) + 0.01)


def test_out_of_reach() -> None:
    assert searched(photo, photo, 8.7, CLOSE) == (None, 1)
    assert searched(photo, lambda level: photo(level) - 5, -math.inf, CLOSE)[0] is None
    assert searched(photo, photo, 99.0, CLOSE) == (255, 1)
