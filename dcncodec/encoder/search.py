"""Finds the rate that reaches a size or a likeness.

What a file costs grows smoothly with the rate. A few small parts of the picture (``sample``) tell
where about that curve lies, at three rates; then the whole picture is tried where the curve, moved
onto what was measured before, meets the target. One or two trials do. Rates are 1% to 2% of the
size apart; from a rate whose file is a little too large, code words with less bits for their
distance (see ``formats.coder.ModelCoder.quantise``) lead down to a size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcncodec.encoder.encoding import Analysed, Encoding, Words
from dcncodec.encoder.sample import Sample, in_decibel
from dcncodec.encoder.target import SIZES, Target
from dcncodec.formats.geometry import MAX_RATE
from dcncodec.likeness import measure_likeness
from dcncodec.records import replace

KNOTS = 48, 208
"""Levels at which the parts are tried first."""
NEAR = 24
"""Levels from a knot within which the parts are not tried again."""
GUESSES = 5
"""Trials that follow the curve. Where it leads astray, halving what is left ends the search."""
CLOSE = 0.005
"""Of a size, as a logarithm: a next step that the curve puts nearer to the target is tried."""
TIGHT = 0.01
"""Of a size, how much a file may be smaller."""
THINNED = 0.03
"""Of a size, as a logarithm: a file that is larger by no more is brought down to it at its rate."""
THINNEST, FULLEST = 2.0, 200.0
"""Bits for a squared distance of one code word, between which such files lie."""
THINNING = 0.45
"""What is saved falls with their power of minus one over this, about."""
LEAD = 1.0
"""Rates by which trials for a size go beyond it, in the middle of what ends the search."""
TRIALS = 8
SMALL_PAYLOAD = 32
"""Bytes that are added to payloads before their logarithm, which else falls for ever."""


def largest_level(
    measure: Callable[[int], float],
    sampled: Callable[[int], float],
    limit: float,
    margin: float,
    enough: Callable[[float], bool] = lambda cost: False,
    *,
    spare: int = 0,
    lead: float = 0.0,
) -> int | None:
    """The largest of the levels 0..255 whose cost is within a limit; costs grow with levels.

    Args:
        measure: the cost of a level.
        sampled: a cheap estimate of it, which may be far off, but with about the same slope.
        limit: of the cost.
        margin: by how much the first level that may not be missed is to be beyond the limit, by the
            curve, for a level to be taken without trying that one.
        enough: whether a cost ends the search.
        spare: levels that may be missed.
        lead: levels by which trials go beyond where the curve meets the limit.

    Returns:
        The level, which was the last one within the limit that ``measure`` was called with; None
        if level 0, which then was measured, is beyond the limit, or ``enough`` has ended the
        search before any was within it.
    """
    levels = np.arange(MAX_RATE + 1)
    shape = _shape(sampled, limit)
    known: dict[int, float] = {}
    low, high = -1, len(levels)
    while high - low > 1:
        level = (low + high) // 2
        if len(known) < GUESSES:
            level = math.floor(_meeting(_moved(shape, known), limit) + lead)
            level = min(max(level, low + 1), high - 1)
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
        if missed <= MAX_RATE and cost + shape[missed] - shape[low] > limit + margin:
            break
    return low if low >= 0 else None


def _shape(sampled: Callable[[int], float], limit: float) -> NDArray[np.float64]:
    """A curve through three samples, of which one is taken near the limit."""
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
    shape: NDArray[np.float64] = np.maximum.accumulate(curve(levels))
    return shape


def _moved(shape: NDArray[np.float64], known: dict[int, float]) -> NDArray[np.float64]:
    """A curve that goes straight from trial to trial, and beyond them as the samples' does."""
    if not known:
        return shape
    levels, at = np.arange(len(shape)), sorted(known)
    costs = [known[level] for level in at]
    beyond = shape - shape[levels.clip(at[0], at[-1])]
    curve: NDArray[np.float64] = np.maximum.accumulate(np.interp(levels, at, costs) + beyond)
    return curve


def _meeting(curve: NDArray[np.float64], limit: float) -> float:
    """Where a curve that never falls meets a limit: the last level within it and the part of the
    way to the next one; -1 where there is none, the last level where all are within."""
    below = int(np.count_nonzero(curve <= limit)) - 1
    if not 0 <= below < len(curve) - 1:
        return float(below)
    return below + float((limit - curve[below]) / (curve[below + 1] - curve[below]))


def reach(target: Target, encoding: Encoding) -> bytes:
    """The file of a picture that reaches a target.

    Of a size: the best file that is not larger. Of a likeness: a file at the lowest rate that has
    it, or at the one after.

    Raises:
        TargetError: no rate does.
    """
    picture = encoding.picture
    target.check(picture.width, picture.height)
    if target.name in SIZES:
        return _of_size(target, encoding)
    return _of_likeness(target, encoding)


@dataclass(frozen=True)
class _Larger:
    """A rate whose file is too large, what its code words are rounded from, and the bytes."""

    rate: int
    analysed: Analysed
    size: int


def _of_size(target: Target, encoding: Encoding) -> bytes:
    picture = encoding.picture
    most = target.size(picture.width, picture.height)
    sample = Sample(encoding)
    fitting: bytes = b""
    least = 0
    above: _Larger | None = None

    def cost(size: float) -> float:
        return math.log(max(0.0, size - encoding.fixed_bytes) + SMALL_PAYLOAD)

    def measure(rate: int) -> float:
        nonlocal fitting, least, above
        analysed = encoding.unrounded(rate)
        rounded = encoding.transforms.rounded(analysed.exact)
        data = encoding.packed(encoding.chosen(rate, rounded, analysed.told))
        least = len(data)
        if least <= most:
            fitting = data
        else:
            above = _Larger(rate, analysed, least)
        return cost(least)

    def sampled(rate: int) -> float:
        return cost(encoding.fixed_bytes + sample.bits(rate) / 8)

    # Below what is there before the blocks, no payload fits.
    limit = cost(most) if most >= encoding.fixed_bytes else -math.inf
    margin = math.inf if sample.whole else CLOSE

    def enough(found: float) -> bool:
        return limit - TIGHT <= found <= limit + THINNED

    rate = largest_level(measure, sampled, limit, margin, enough, lead=LEAD)
    if len(fitting) >= most * (1 - TIGHT) or rate == MAX_RATE:
        return fitting
    if rate is not None and (above is None or cost(least) < limit):
        # The next one, which the curve says to be too large.
        measure(rate + 1)
    if above is None:
        return fitting
    if above.rate > 0 or fitting:
        thinned = _thinned(encoding, above, most, lambda size: cost(size) - limit)
        fitting = max(fitting, thinned, key=len)
        if not fitting:
            # What is stored exactly is not thinned: the search goes on.
            largest_level(measure, sampled, limit, margin, lead=LEAD)
    if not fitting:
        # Without what is not needed.
        smallest = encoding.packed(replace(encoding.chosen(0), means=None))
        if len(smallest) > most:
            raise target.too_small(len(smallest), picture.width, picture.height)
        fitting = smallest
    return fitting


def _thinned(
    encoding: Encoding, above: _Larger, most: int, excess: Callable[[int], float]
) -> bytes:
    """The largest file of at most so many bytes, of a few; b"" where none is.

    Args:
        above: what is larger with rounded code words.
        excess: of a number of bytes, as a logarithm.
    """
    best = b""
    whole = excess(above.size)
    low, high = THINNEST, FULLEST
    # Words that were refined already change less easily.
    curvature = 8.0 if encoding.effort else 25.0
    for _ in range(TRIALS):
        words = encoding.thinned(above.analysed.exact, above.rate, curvature)
        data = encoding.packed(encoding.chosen(above.rate, words, above.analysed.told))
        if len(data) <= most:
            best, low = max(best, data, key=len), curvature
        else:
            high = curvature
        if len(best) >= most * (1 - TIGHT):
            break
        saved = max(whole - excess(len(data)), TIGHT / 10)
        curvature *= (saved / (whole + TIGHT / 2)) ** THINNING
        between = low > THINNEST and high < FULLEST
        if between or not low < curvature < high:
            curvature = math.sqrt(low * high)
    return best


def _of_likeness(target: Target, encoding: Encoding) -> bytes:
    sample = Sample(encoding, target)
    wanted = in_decibel(target, target.value)
    found: Words | None = None
    most: float | None = 0.0

    # The higher the level, the lower the rate.
    def measure(level: int) -> float:
        nonlocal found, most
        words = encoding.chosen(MAX_RATE - level)
        most = measure_likeness(target.metric, encoding.picture, encoding.decoded(words))
        if (value := in_decibel(target, most)) >= wanted:
            found = words
        return -value

    def sampled(level: int) -> float:
        return -sample.likeness(MAX_RATE - level)

    if sample.whole:
        largest_level(measure, sampled, -wanted, math.inf)
    else:
        largest_level(measure, sampled, -wanted, 0, spare=1, lead=-0.5)
    if found is None:
        assert most is not None
        raise target.too_alike(most)
    return encoding.packed(found)
