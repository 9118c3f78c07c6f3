"""Finds the rate that reaches a size or a likeness.

What a file costs grows smoothly with the rate. A few small parts of the picture give the shape of
that curve, at four rates; then the whole picture is tried where the curve, moved onto what was
measured before, meets the target. One to three trials do. Rates are 1% to 2% of the size apart;
from a rate whose file is a little too large, code words with less bits for their distance (see
``formats.coder.ModelCoder.quantise``) lead down to a size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcncodec.encoder.encoding import Encoding, Latents
from dcncodec.encoder.target import SIZES, Target
from dcncodec.formats.geometry import MAX_RATE, Area
from dcncodec.likeness import decibel, measure_likeness

Exact = NDArray[np.float32]

KNOTS = np.array([0, 85, 170, 255])
"""Levels at which the parts are tried: a cubic goes through them."""
GUESSES = 5
"""Trials that follow the curve. Where it leads astray, halving what is left ends the search."""
PART_SIDE = 24
"""Latents of a part's side: MS-SSIM needs 161 pixels."""
PART_SHARE = 1 / 16
MOST_PARTS = 8
GOLDEN = (math.sqrt(5) - 1) / 2
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
TRIALS = 8
SMALL_PAYLOAD = 32
"""Bytes that are added to payloads before their logarithm, which else falls for ever."""
LIKEST = 100.0
"""dB that stand for pictures without any difference."""


def largest_level(
    measure: Callable[[int], float],
    sampled: Callable[[int], float],
    limit: float,
    margin: float,
    enough: Callable[[float], bool] = lambda cost: False,
) -> int | None:
    """The largest of the levels 0..255 whose cost is within a limit; costs grow with levels.

    Args:
        measure: the cost of a level.
        sampled: a cheap estimate of it, which may be far off, but with about the same slope.
        limit: of the cost.
        margin: by how much the next level is to be beyond the limit, by the curve, for a level to
            be taken without trying that one.
        enough: whether a cost ends the search.

    Returns:
        The level, which was the last one within the limit that ``measure`` was called with; None
        if level 0, which then was measured, is beyond the limit, or ``enough`` has ended the
        search before any was within it.
    """
    levels = np.arange(MAX_RATE + 1)
    cubic = np.polynomial.Polynomial.fit(KNOTS, [sampled(int(knot)) for knot in KNOTS], 3)
    shape = np.maximum.accumulate(cubic(levels))
    known: dict[int, float] = {}
    low, high = -1, len(levels)
    while high - low > 1:
        level = (low + high) // 2
        if len(known) < GUESSES:
            at = sorted(known)
            # Between two trials the curve goes through both, beyond them it keeps its slope.
            off = np.interp(levels, at, [known[i] - shape[i] for i in at]) if at else 0
            below = int(np.count_nonzero(np.maximum.accumulate(shape + off) <= limit)) - 1
            level = min(max(below, low + 1), high - 1)
        known[level] = cost = measure(level)
        if cost > limit:
            high = level
        else:
            low = level
        if enough(cost):
            break
        if cost > limit:
            continue
        if low < MAX_RATE and cost + shape[low + 1] - shape[low] > limit + margin:
            break
    return low if low >= 0 else None


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
    exact: Exact
    size: int


def _of_size(target: Target, encoding: Encoding) -> bytes:
    picture = encoding.picture
    most = target.size(picture.width, picture.height)
    parts = list(_parts(encoding))
    share = _share(parts, encoding)
    fitting: bytes = b""
    least = 0
    above: _Larger | None = None

    def cost(size: float) -> float:
        return math.log(max(0.0, size - encoding.fixed_bytes) + SMALL_PAYLOAD)

    def measure(rate: int) -> float:
        nonlocal fitting, least, above
        exact = encoding.unrounded(rate)
        data = encoding.file(rate, encoding.transforms.rounded(exact))
        least = len(data)
        if least <= most:
            fitting = data
        else:
            above = _Larger(rate, exact, least)
        return cost(least)

    def sampled(rate: int) -> float:
        bits = sum(part.bits(part.latents(rate), rate) for part in parts)
        return cost(encoding.fixed_bytes + bits / 8 / share)

    # Below what is there before the blocks, no payload fits.
    limit = cost(most) if most >= encoding.fixed_bytes else -math.inf
    margin = CLOSE if share < 1 else math.inf

    def enough(found: float) -> bool:
        return limit - TIGHT <= found <= limit + THINNED

    rate = largest_level(measure, sampled, limit, margin, enough)
    if len(fitting) >= most * (1 - TIGHT) or rate == MAX_RATE:
        return fitting
    if rate is not None and (above is None or cost(least) < limit):
        # The next one, which the curve says to be too large.
        measure(rate + 1)
    if above is None or (above.rate == 0 and not fitting):
        raise target.too_small(least, picture.width, picture.height)
    return max(fitting, _thinned(encoding, above, most, lambda size: cost(size) - limit), key=len)


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
        words = encoding.thinned(above.exact, above.rate, curvature)
        data = encoding.file(above.rate, words)
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
    parts = list(_parts(encoding))
    wanted = _scaled(target, target.value)
    found: tuple[int, Latents] | None = None
    most = 0.0

    def likeness(part: Encoding, rate: int, latents: Latents) -> float:
        value = measure_likeness(target.metric, part.picture, part.decoded(latents, rate))
        return math.inf if value is None else value

    # The higher the level, the lower the rate.
    def measure(level: int) -> float:
        nonlocal found, most
        rate = MAX_RATE - level
        latents = encoding.latents(rate)
        most = likeness(encoding, rate, latents)
        if (value := _scaled(target, most)) >= wanted:
            found = rate, latents
        return -value

    def sampled(level: int) -> float:
        rate = MAX_RATE - level
        values = [_scaled(target, likeness(p, rate, p.latents(rate))) for p in parts]
        return -sum(values) / len(values)

    margin = 0 if _share(parts, encoding) < 1 else math.inf
    largest_level(measure, sampled, -wanted, margin)
    if found is None:
        raise target.too_alike(most)
    return encoding.file(*found)


def _scaled(target: Target, likeness: float) -> float:
    """A likeness in dB, in which it is smooth in the rate."""
    return min(likeness, LIKEST) if target.name == "min_psnr" else decibel(likeness)


def _share(parts: Sequence[Encoding], encoding: Encoding) -> float:
    """Of a picture's latents, those in some of its parts; 1 where a small picture is its only part,
    in which single steps are uneven and trials are cheap: then all are tried that decide."""
    counts = (e.header.latent_height * e.header.latent_width for e in (*parts, encoding))
    *of_parts, whole = counts
    return sum(of_parts) / whole


def _parts(encoding: Encoding) -> Iterator[Encoding]:
    """Small parts of a picture, spread over it."""
    plane = encoding.header.plane
    rows, columns = min(plane.rows, PART_SIDE), min(plane.columns, PART_SIDE)
    count = round(plane.rows * plane.columns * PART_SHARE / (rows * columns))
    count = min(max(count, 1), MOST_PARTS)
    for number in range(count):
        # The fractions of the golden ratio's multiples lie evenly, however many there are.
        top = round((0.5 + number * GOLDEN) % 1 * (plane.rows - rows))
        left = round((number + 0.5) / count * (plane.columns - columns))
        yield encoding.part(Area(top, left, top + rows, left + columns))
