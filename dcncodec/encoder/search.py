"""Finds the rate that reaches a size or a likeness.

The whole picture is tried at the rates that ``levels`` names. Rates are 1% to 2% of the size apart;
from a rate whose file is a little too large, code words with less bits for their distance (see
``formats.coder.ModelCoder.quantise``) lead down to a size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from dcncodec.encoder.encoding import Analysed, Encoding, Words
from dcncodec.encoder.levels import curve_of, largest_level, line_of
from dcncodec.encoder.means import framed
from dcncodec.encoder.sample import Sample, in_decibel
from dcncodec.encoder.target import SIZES, Metric, Target
from dcncodec.formats import container
from dcncodec.formats.geometry import MAX_RATE
from dcncodec.likeness import measure_likeness
from dcncodec.records import replace

SLOPES: dict[Metric, float] = {"psnr": 0.064, "ssim": 0.051, "msssim": 0.060}
"""dB that a rate adds, of photos (means of 16 training photos)."""
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


def reach(target: Target, encoding: Encoding) -> bytes:
    """The file of a picture that reaches a target.

    Of a size: the best file that is not larger. Of a likeness: a file at the lowest rate that has
    it, or at the one after.

    Raises:
        TargetError: no rate does.
    """
    picture = encoding.picture
    target.check(picture.width, picture.height)
    encoding.expect_rates()
    if target.name in SIZES:
        return _of_size(target, encoding)
    return _of_likeness(target, encoding)


@dataclass(frozen=True)
class _Larger:
    """A rate whose file is too large, what its code words are rounded from, and the bytes.

    Where the file has no means, they are not told either: code words with less bits would have
    others, which may take more than is saved.
    """

    rate: int
    analysed: Analysed
    size: int


class _Sizes:
    """The search for a size.

    Args:
        target: the size.
        encoding: of the picture.

    Attributes:
        fitting: the largest file so far that is not larger; b"" without any.
        smallest: the bytes of the last file that was, without means.
    """

    def __init__(self, target: Target, encoding: Encoding) -> None:
        self._encoding = encoding
        picture = encoding.picture
        self._most = target.size(picture.width, picture.height)
        sample = Sample(encoding)
        # Below what is there before the blocks, no payload fits.
        fits = self._most >= encoding.fixed_bytes
        self._limit = self._cost(self._most) if fits else -math.inf
        self._margin = math.inf if sample.whole else CLOSE

        def sampled(rate: int) -> float:
            return self._cost(encoding.fixed_bytes + sample.bits(rate) / 8)

        self._shape = curve_of(sampled, self._limit)
        self._above: _Larger | None
        self._known: dict[int, float]
        self._begin(True)
        self._last = 0
        self.fitting = b""
        self.smallest = 0
        self._with_means = False

    @property
    def close(self) -> bool:
        """Whether a file is little smaller than it may be."""
        return len(self.fitting) >= self._most * (1 - TIGHT)

    @property
    def in_the_way(self) -> bool:
        """Whether means, which the best file lacks, may be why none is."""
        if not self.fitting:
            return self._with_means and self.smallest <= self._most
        return self._with_means and container.read(self.fitting, max_pixels=None).means is None

    def search(self, told: bool = True) -> None:
        """Look for files.

        Args:
            told: whether they may have means, whose section is a step in the size of small ones.
        """
        self._begin(told)
        encoding, limit = self._encoding, self._limit

        def enough(found: float) -> bool:
            return limit - TIGHT <= found <= limit + THINNED

        rate = largest_level(self._measure, self._shape, limit, self._margin, enough, lead=LEAD)
        if self.close or rate == MAX_RATE:
            return
        if (
            rate is not None
            and rate + 1 not in self._known
            and (self._above is None or self._cost(self._last) < limit)
        ):
            # The next one, which the curve says to be too large.
            self._measure(rate + 1)
        if self._above is not None and (self._above.rate > 0 or self.fitting):
            thinned = _thinned(encoding, self._above, self._most, self._excess)
            self._keep(thinned)
            if not self.fitting:
                # What is stored exactly is not thinned: the search goes on.
                known = self._known
                largest_level(
                    self._measure, self._shape, limit, self._margin, known=known, lead=LEAD
                )

    def _begin(self, told: bool) -> None:
        self._told, self._above, self._known = told, None, {}

    def _measure(self, rate: int) -> float:
        self._known[rate] = cost = self._cost(self._made(rate))
        return cost

    def _made(self, rate: int) -> int:
        """Make the file of a rate, and return its size."""
        encoding = self._encoding
        analysed = encoding.unrounded(rate)
        if not self._told:
            analysed = replace(analysed, told=None)
        rounded = encoding.transforms.rounded(analysed.exact)
        words = encoding.chosen(rate, rounded, analysed.told)
        data = encoding.packed(words)
        self._last = len(data)
        if self._last <= self._most:
            self._keep(data)
            return self._last
        self.smallest = self._last
        if words.means is None:
            analysed = replace(analysed, told=None)
        else:
            self._with_means = True
            self.smallest -= framed(words.means)
        self._above = _Larger(rate, analysed, self._last)
        return self._last

    def _keep(self, data: bytes) -> None:
        self.fitting = max(self.fitting, data, key=len)

    def _cost(self, size: float) -> float:
        return math.log(max(0.0, size - self._encoding.fixed_bytes) + SMALL_PAYLOAD)

    def _excess(self, size: int) -> float:
        return self._cost(size) - self._limit


def _of_size(target: Target, encoding: Encoding) -> bytes:
    sizes = _Sizes(target, encoding)
    sizes.search()
    if not sizes.close and sizes.in_the_way:
        sizes.search(told=False)
    if not sizes.fitting:
        picture = encoding.picture
        raise target.too_small(sizes.smallest, picture.width, picture.height)
    return sizes.fitting


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
    limit = -in_decibel(target, target.value)
    found: tuple[int, Words] | None = None
    most: float | None = 0.0
    known: dict[int, float] = {}

    # The higher the level, the lower the rate.
    def measure(level: int) -> float:
        nonlocal found, most
        words = encoding.chosen(MAX_RATE - level)
        most = measure_likeness(target.metric, encoding.picture, encoding.decoded(words))
        cost = known[level] = -in_decibel(target, most)
        if cost <= limit and (found is None or level > found[0]):
            found = level, words
        return cost

    def rough(level: int) -> float:
        return -sample.rough_likeness(MAX_RATE - level)

    def sampled(level: int) -> float:
        return -sample.likeness(MAX_RATE - level)

    slope = SLOPES[target.metric]
    if sample.whole:
        shape = line_of(measure, lambda level: known[level], limit, slope)
        largest_level(measure, shape, limit, math.inf, known=known)
    else:
        shape = line_of(rough, sampled, limit, slope)
        largest_level(measure, shape, limit, 0, spare=1, lead=-0.5)
    if found is None:
        assert most is not None
        raise target.too_alike(most)
    return encoding.packed(found[1])
