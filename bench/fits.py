"""Parametric rate-distortion curves (DCN paper, section 3.5 and Fig. 5).

SSIM over bits per pixel as f(x) = 1 / (1 + exp(-a x^b + g)) - d, fitted to every image of a codec;
a codec's mean curve is the mean of its images' curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcncodec.bench.points import Point
from dcncodec.errors import MissingLibraryError

try:
    from scipy.optimize import least_squares
except ImportError:
    raise MissingLibraryError("curves need scipy", extras=("bench",)) from None

Array = NDArray[np.float64]

PARAMETERS = 4
_START = (4.0, 0.4, 1.5, 0.01)
_BOUNDS = ((1e-3, 0.02, -20.0, -0.5), (50.0, 3.0, 20.0, 0.5))
EVALUATIONS = 20_000


@dataclass(frozen=True)
class Fit:
    """A fitted curve and the rates between which it was fitted.

    Attributes:
        a, b, g, d: of the equation above.
        low, high: bits per pixel of the first and last point.
        error: root mean square of the residuals, in SSIM.
    """

    a: float
    b: float
    g: float
    d: float
    low: float
    high: float
    error: float

    def __call__(self, bpp: Array) -> Array:
        """SSIM at rates in bits per pixel."""
        return _curve(bpp, self.a, self.b, self.g, self.d)


def _curve(x: Array, a: float, b: float, g: float, d: float) -> Array:
    curve: Array = 1 / (1 + np.exp(-a * x**b + g)) - d
    return curve


def fit(points: Sequence[Point]) -> Fit | None:
    """The curve through points of one codec and image.

    Returns:
        None with fewer points than parameters, or where no parameters are found.
    """
    pairs = sorted((point.bpp, point.ssim) for point in points if point.ssim is not None)
    if len(pairs) < PARAMETERS:
        return None
    x, y = np.array(pairs, np.float64).T
    found = least_squares(
        lambda parameters: _curve(x, *parameters) - y, _START, bounds=_BOUNDS, max_nfev=EVALUATIONS
    )
    if not found.success:
        # It does not converge on points that are no such curve.
        return None
    a, b, g, d = map(float, found.x)
    return Fit(a, b, g, d, float(x[0]), float(x[-1]), float(np.sqrt(np.mean(found.fun**2))))


def fits(points: Sequence[Point]) -> dict[tuple[str, str], Fit]:
    """The fit of every codec and image that has enough points."""
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.codec, point.image), []).append(point)
    return {key: found for key, group in groups.items() if (found := fit(group)) is not None}


def mean_curve(found: Sequence[Fit], bpp: Array) -> Array:
    """Mean SSIM of several fits at rates; NaN where not all of them were fitted."""
    values = np.mean([curve(bpp) for curve in found], axis=0)
    low, high = max(curve.low for curve in found), min(curve.high for curve in found)
    averaged: Array = np.where((bpp >= low) & (bpp <= high), values, np.nan)
    return averaged
