"""Parametric curves: the equation's parameters come back, means hold where all curves do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dcncodec.bench.fits import PARAMETERS, Fit, fit, fits, mean_curve
from dcncodec.bench.points import Point

TRUTH = Fit(3.0, 0.5, 0.8, 0.02, 0.1, 2.0, 0.0)
AREA = 100_000_000


def points(curve: Fit, codec: str = "x", image: str = "a", count: int = 8) -> list[Point]:
    """Points on a curve, without rounding that would matter."""
    rates = np.geomspace(curve.low, curve.high, count)
    return [
        Point(codec, f"{r}", image, 10_000, 10_000, 0, round(r * AREA / 8), None, float(s), None)
        for r, s in zip(rates, curve(rates), strict=True)
    ]


def test_the_equation() -> None:
    value = float(TRUTH(np.array([0.25]))[0])
    assert value == pytest.approx(1 / (1 + math.exp(-3.0 * 0.5 + 0.8)) - 0.02)


@pytest.mark.parametrize(
    "truth", [TRUTH, Fit(6.0, 0.3, 2.5, 0.0, 0.05, 4.0, 0.0), Fit(2.0, 0.8, 0.0, 0.01, 0.1, 2, 0)]
)
def test_curves_come_back(truth: Fit) -> None:
    found = fit(points(truth)[::-1])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((truth.low, truth.high))
    assert found.error < 1e-4
    rates = np.geomspace(truth.low, truth.high, 50)
    assert np.abs(found(rates) - truth(rates)).max() < 1e-3


def test_the_error_is_that_of_the_points() -> None:
    noisy = [
        replace(point, ssim=(point.ssim or 0) + (0.01 if i % 2 else -0.01))
        for i, point in enumerate(points(TRUTH, count=40))
    ]
    found = fit(noisy)
    assert found is not None
    assert found.error == pytest.approx(0.01, rel=0.1)


def test_too_few_points() -> None:
    assert fit(points(TRUTH)[: PARAMETERS - 1]) is None
    unknown = [replace(point, ssim=None) for point in points(TRUTH)]
    assert fit(unknown) is None
    assert fits(unknown + points(TRUTH, "y")[:2]) == {}


def test_every_codec_and_image_has_its_own() -> None:
    other = replace(TRUTH, a=4.0)
    found = fits(points(TRUTH) + points(other, image="b") + points(other, "y"))
    assert list(found) == [("x", "a"), ("x", "b"), ("y", "a")]
    assert found["x", "b"] == found["y", "a"] != found["x", "a"]


def test_the_mean_of_curves() -> None:
    other = replace(TRUTH, a=4.0, low=0.2, high=1.5)
    rates = np.array([0.15, 0.2, 1.0, 1.5, 1.8])
    mean = mean_curve([TRUTH, other], rates)
    # Only where both were fitted.
    assert list(np.isnan(mean)) == [True, False, False, False, True]
    assert mean[1:4] == pytest.approx((TRUTH(rates)[1:4] + other(rates)[1:4]) / 2)
