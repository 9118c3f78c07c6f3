"""Finds the largest of the levels 0..255 whose cost is within a limit, in few trials.

Costs grow smoothly with levels. Samples (``sample``) tell where about that curve lies, at two or
three levels; then a level is tried where the curve, moved onto what was measured before, meets the
limit. One or two trials do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from dcncodec.formats.geometry import MAX_RATE

Costs = NDArray[np.float64]
"""Of the levels 0..255."""

KNOTS = 48, 208
"""Levels at which the parts are tried first, for a size."""
NEAR = 24
"""Levels from a knot within which the parts are not tried again."""
MIDDLE = 128
"""The level at which they are tried first, for a likeness, which grows straighter."""
APART = 16
"""Levels from the last one within which they are not tried again."""
SAMPLES = 4
"""Levels, at most, at which they are."""
STEEPEST = 4
"""Such a slope may be that many times a picture's."""
GUESSES = 5
"""Trials that follow the curve. Where it leads astray, halving what is left ends the search."""


def largest_level(
    measure: Callable[[int], float],
    shape: Costs,
    limit: float,
    margin: float,
    enough: Callable[[float], bool] = lambda cost: False,
    *,
    known: Mapping[int, float] | None = None,
    spare: int = 0,
    lead: float = 0.0,
) -> int | None:
    """The largest of the levels 0..255 whose cost is within a limit; costs grow with levels.

    Args:
        measure: the cost of a level.
        shape: cheap estimates of all, which may be far off, but with about the same slope.
        limit: of the cost.
        margin: by how much the first level that may not be missed is to be beyond the limit, by the
            curve, for a level to be taken without trying that one.
        enough: whether a cost ends the search.
        known: what ``measure`` gave of some levels before.
        spare: levels that may be missed.
        lead: levels by which trials go beyond where the curve meets the limit.

    Returns:
        The level, which was the last one within the limit that ``measure`` was called with, unless
        it was known; None if level 0, which then was measured, is beyond the limit, or ``enough``
        has ended the search before any was within it.
    """
    known = dict(known or {})
    low = max((level for level, cost in known.items() if cost <= limit), default=-1)
    high = min((level for level, cost in known.items() if cost > limit), default=len(shape))
    tried = 0
    while high - low > 1:
        level = (low + high) // 2
        if tried < GUESSES:
            meeting = _meeting(_moved(shape, known), limit)
            # Beyond the last level there is none that may be missed.
            level = math.floor(meeting + lead) if meeting < MAX_RATE else MAX_RATE
            level = min(max(level, low + 1), high - 1)
        tried += 1
        known[level] = cost = measure(level)
        if cost > limit:
            high = level
        else:
            low = level
        if enough(cost):
            break
        if cost > limit:
            continue
        missed = low + 1 + spare
        if missed <= MAX_RATE and _moved(shape, known)[missed] > limit + margin:
            break
    return low if low >= 0 else None


def curve_of(sampled: Callable[[int], float], limit: float) -> Costs:
    """Costs of all levels: a curve through three samples, of which one is taken near the limit."""
    levels = np.arange(MAX_RATE + 1)
    costs = {knot: sampled(knot) for knot in KNOTS}
    line = np.interp(levels, KNOTS, list(costs.values()))
    low, high = KNOTS
    line += (levels - levels.clip(low, high)) * (costs[high] - costs[low]) / (high - low)
    meeting = round(_meeting(np.maximum.accumulate(line), limit))
    meeting = min(max(meeting, 0), MAX_RATE)
    if min(abs(meeting - knot) for knot in KNOTS) < NEAR:
        meeting = (low + high) // 2
    costs[meeting] = sampled(meeting)
    curve = np.polynomial.Polynomial.fit(list(costs), list(costs.values()), 2)
    shape: Costs = np.maximum.accumulate(curve(levels))
    return shape


def line_of(
    rough: Callable[[int], float],
    sampled: Callable[[int], float],
    limit: float,
    slope: float,
) -> Costs:
    """Costs of all levels: a line through a sample near the limit, as steep as between rough ones
    and as usual, in the mean.

    Args:
        rough: an estimate of the cost of a level, with about the right slope.
        sampled: a better one, which takes little more where the rough one is known.
        limit: of the cost.
        slope: of one level, about.
    """
    at, cost, steepness = MIDDLE, rough(MIDDLE), slope
    for _ in range(SAMPLES - 1):
        meeting = min(max(round(at + (limit - cost) / steepness), 0), MAX_RATE)
        if abs(meeting - at) < APART:
            break
        found = rough(meeting)
        steepness = max((found - cost) / (meeting - at), slope / STEEPEST)
        at, cost = meeting, found
    # Few parts may be less steep than the whole at low rates.
    line: Costs = sampled(at) + (steepness + slope) / 2 * (np.arange(MAX_RATE + 1.0) - at)
    return line


def _moved(shape: Costs, known: dict[int, float]) -> Costs:
    """A curve that goes straight from trial to trial, and beyond them as the samples' does, or as
    much steeper as it was between them."""
    if not known:
        return shape
    levels, at = np.arange(len(shape)), sorted(known)
    costs = [known[level] for level in at]
    expected = float(shape[at[-1]] - shape[at[0]])
    steeper = (costs[-1] - costs[0]) / expected if expected > 0 else 1.0
    beyond = shape - shape[levels.clip(at[0], at[-1])]
    beyond *= min(max(steeper, 1 / STEEPEST), STEEPEST)
    curve: Costs = np.maximum.accumulate(np.interp(levels, at, costs) + beyond)
    return curve


def _meeting(curve: Costs, limit: float) -> float:
    """Where a curve that never falls meets a limit: the last level within it and the part of the
    way to the next one; -1 where there is none, the last level where all are within."""
    below = int(np.count_nonzero(curve <= limit)) - 1
    if not 0 <= below < len(curve) - 1:
        return float(below)
    return below + float((limit - curve[below]) / (curve[below + 1] - curve[below]))
