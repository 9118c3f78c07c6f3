"""Rate-distortion curves, and Bjontegaard's difference between two of them.

    bd_rate(Curve.of(anchor), Curve.of(test))       # of (bits per pixel, quality)

Similarities (SSIM, MS-SSIM) enter in dB, because near their maximum equal steps mean ever more.
Only what lies between ``RATES`` counts, so that a codec's useless extremes do not decide. A codec
of a single setting has no curve; its difference is that of its rate at the quality that it has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import TOOLBOX, MissingLibraryError

RATES = (0.1, 2.5)
"""Bits per pixel between which curves are compared."""

Method = Literal["pchip", "cubic"]
"""Interpolation of log-rate over quality: piecewise cubic, or one cubic (Bjontegaard, 2001)."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Quality over rate of one codec on one image.

    Its methods raise MissingLibraryError without scipy.

    Attributes:
        log_rate: natural logarithms of bits per pixel, rising.
        quality: strictly rising; settings that cost more for less are left out.
    """

    log_rate: NDArray[np.float64]
    quality: NDArray[np.float64]

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, float]]) -> Curve | None:
        """The curve through pairs of bits per pixel and quality; None without any."""
        kept: list[tuple[float, float]] = []
        for rate, quality in sorted(pairs):
            if not kept or (rate > kept[-1][0] and quality > kept[-1][1]):
                kept.append((rate, quality))
        if not kept:
            return None
        rates, qualities = np.array(kept, np.float64).T
        return cls(np.log(rates), qualities)

    def quality_at(self, rate: float) -> float | None:
        """Quality at ``rate`` bits per pixel; None outside of the curve."""
        log_rate = math.log(rate)
        if len(self.quality) < 2 or not self.log_rate[0] <= log_rate <= self.log_rate[-1]:
            return None
        return float(_pchip(self.log_rate, self.quality)(log_rate))

    def rate_at(self, quality: float) -> float | None:
        """Bits per pixel at a quality; None outside of the curve."""
        if len(self.quality) < 2 or not self.quality[0] <= quality <= self.quality[-1]:
            return None
        return math.exp(float(_pchip(self.quality, self.log_rate)(quality)))

    def span(self, rates: tuple[float, float] = RATES) -> tuple[float, float] | None:
        """Qualities between two rates; None where the curve does not reach there."""
        if len(self.quality) < 2:
            return None
        low = max(math.exp(self.log_rate[0]), rates[0])
        high = min(math.exp(self.log_rate[-1]), rates[1])
        if low >= high:
            return None
        # exp(log(x)) may leave the curve by a rounding.
        ends = np.log([low, high]).clip(self.log_rate[0], self.log_rate[-1])
        first, last = _pchip(self.log_rate, self.quality)(ends)
        return float(first), float(last)

    def area(self, low: float, high: float, method: Method = "pchip") -> float:
        """The integral of log-rate over quality."""
        if method == "pchip":
            return float(_pchip(self.quality, self.log_rate).integrate(low, high))
        degree = min(3, len(self.quality) - 1)
        # Centred, because the powers of qualities near 40 dB would swamp each other.
        centre = (low + high) / 2
        integral = np.polynomial.Polynomial.fit(
            self.quality - centre, self.log_rate, degree
        ).integ()
        return float(integral(high - centre) - integral(low - centre))


def bd_rate(
    anchor: Curve,
    test: Curve,
    method: Method = "pchip",
    *,
    rates: tuple[float, float] = RATES,
    test_rates: tuple[float, float] = RATES,
) -> float | None:
    """How many more bits ``test`` needs than ``anchor`` at equal quality, as a fraction.

    Args:
        method: of interpolation.
        rates: bits per pixel of the anchor between which the two are compared.
        test_rates: those of ``test``.

    Returns:
        The mean over the qualities that both reach; None where there are none.
    """
    if len(test.quality) == 1:
        rate = anchor.rate_at(float(test.quality[0]))
        return None if rate is None else math.exp(float(test.log_rate[0])) / rate - 1
    spans = anchor.span(rates), test.span(test_rates)
    if spans[0] is None or spans[1] is None:
        return None
    low, high = max(spans[0][0], spans[1][0]), min(spans[0][1], spans[1][1])
    if low >= high:
        return None
    difference = test.area(low, high, method) - anchor.area(low, high, method)
    return math.exp(difference / (high - low)) - 1


def _pchip(x: NDArray[np.float64], y: NDArray[np.float64]) -> Any:
    # Not at the top: training alone must not need scipy.
    try:
        from scipy.interpolate import PchipInterpolator
    except ImportError:
        raise MissingLibraryError("curves need scipy", extras=("bench", *TOOLBOX)) from None
    return PchipInterpolator(x, y)
