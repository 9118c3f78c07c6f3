"""BD-rates against published ones and against curves with known differences."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean

import bjontegaard
import numpy as np
import pytest
from numpy.typing import ArrayLike

from dcncodec.bench import fits
from dcncodec.bench.points import Point
from dcncodec.bench.rd import Curves, curve_of, equal_quality, equal_rate, summaries
from dcncodec.bench.results import Results
from dcncodec.rate_curves import Curve, Method, bd_rate

PUBLISHED = {
    "jpeg": (142.3, 93.3, 67.0),
    "webp": (50.3, 25.2, 38.7),
    "jpeg2000": (28.4, 25.8, 29.2),
    "jxl": (68.0, 33.3, 31.8),
    "avif_iq": (23.9, 0.6, -5.4),
    "avif": (11.1, 5.3, 6.9),
}
"""../shared/anchors/README.md: against BPG, percent, for PSNR, SSIM and MS-SSIM."""


@pytest.mark.parametrize("codec", PUBLISHED)
def test_published_bd_rates(codec: str, anchor_points: list[Point]) -> None:
    chosen = [point for point in anchor_points if point.codec in {codec, "bpg"}]
    for metric, expected in zip(("psnr", "ssim", "msssim"), PUBLISHED[codec], strict=True):
        found = Curves(chosen, metric).bd_rates("bpg", codec)
        assert len(found) == 24
        assert fmean(found.values()) * 100 == pytest.approx(expected, abs=0.06)


def test_published_mean_qualities(anchor_points: list[Point]) -> None:
    curves = Curves([point for point in anchor_points if point.codec == "jpeg"], "psnr")
    found = curves.mean_quality("jpeg", 0.5)
    assert found is not None
    assert found[0] == pytest.approx(29.66, abs=0.02)
    assert found[1] == 24


def curve(rates: ArrayLike, qualities: ArrayLike) -> Curve:
    return Curve(np.log(np.array(rates)), np.array(qualities))


@pytest.mark.parametrize("method", ["pchip", "cubic"])
def test_a_constant_factor(method: Method) -> None:
    rates, qualities = [0.2, 0.4, 0.8, 1.4, 2.0], [26.0, 29.0, 32.5, 35.5, 37.0]
    anchor = curve(rates, qualities)
    assert bd_rate(anchor, anchor, method) == pytest.approx(0)
    # Inside the limits at both ends, so that the same qualities are compared.
    cheaper = curve([rate * 0.8 for rate in rates], qualities)
    found = bd_rate(anchor, cheaper, method)
    assert found == pytest.approx(-0.2, abs=1e-9)


@pytest.mark.parametrize("method", ["pchip", "cubic"])
def test_bd_rate_is_that_of_the_library(method: Method) -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        anchor, test = (np.sort([0.2, *rng.uniform(0.3, 2.2, n), 2.4]) for n in (3, 4))
        qualities = [28 + rng.uniform(4, 6) * np.log2(1 + rates) for rates in (anchor, test)]
        found = bd_rate(curve(anchor, qualities[0]), curve(test, qualities[1]), method)
        expected = bjontegaard.bd_rate(
            anchor,
            qualities[0],
            test,
            qualities[1],
            method=method,
            require_matching_points=False,
            min_overlap=0,
        )
        assert found == pytest.approx(expected / 100, abs=1e-9)


def test_the_overlap_alone_counts() -> None:
    anchor = curve([0.2, 0.4, 0.8], [26.0, 30.0, 34.0])
    # Twice the rate at equal quality, from 30 dB on.
    other = curve([0.8, 1.6], [30.0, 34.0])
    assert bd_rate(anchor, other) == pytest.approx(1, abs=1e-6)
    assert bd_rate(anchor, curve([0.2, 0.4], [40.0, 44.0])) is None
    assert bd_rate(anchor, curve([3.0, 5.0], [26.0, 34.0])) is None


def test_a_single_point_is_compared_at_its_quality() -> None:
    anchor = curve([0.2, 0.4, 0.8], [26.0, 30.0, 34.0])
    assert bd_rate(anchor, curve([0.6], [30.0])) == pytest.approx(0.5)
    assert bd_rate(anchor, curve([0.6], [35.0])) is None


def test_settings_that_cost_more_for_less_are_left_out(anchor_points: list[Point]) -> None:
    first = anchor_points[0]
    points = [
        replace(first, bytes_payload=size, psnr=quality)
        for size, quality in ((100, 20.0), (200, 19.0), (300, 25.0), (300, 26.0))
    ]
    found = curve_of(points, "psnr")
    assert found is not None
    assert list(found.quality) == [20.0, 25.0]
    assert curve_of([replace(first, psnr=None)], "psnr") is None


def test_values_outside_of_a_curve() -> None:
    anchor = curve([0.2, 0.4], [26.0, 30.0])
    assert anchor.quality_at(0.1) is None
    assert anchor.quality_at(0.2 * math.sqrt(2)) == pytest.approx(28)
    assert anchor.rate_at(28.0) == pytest.approx(0.2 * math.sqrt(2))
    assert anchor.rate_at(31.0) is None


def test_rates_at_equal_quality(results: Results) -> None:
    found = equal_quality(results.points, "bpg", "jpeg", "psnr")
    ratios = [ratio for images in found.values() for ratio in images.values()]
    assert ratios == pytest.approx([0.5] * len(ratios))
    row = next(row for row in summaries(results.points) if row.codec == "dcn")
    assert row.bpp == pytest.approx(0.8)
    assert row.bpp_file == pytest.approx(0.8 + 20 * 8 / 800_000)
    assert row.jpeg_ratio is not None
    assert 0.5 < row.jpeg_ratio < 1


def test_the_fit_finds_the_parameters_of_the_equation() -> None:
    truth = fits.Fit(3.0, 0.5, 0.8, 0.02, 0.1, 2.0, 0.0)
    rates = np.geomspace(0.1, 2.0, 8)
    area = 1e8
    points = [
        Point("x", "", "a", 10_000, 10_000, 0, round(r * area / 8), None, float(s), None)
        for r, s in zip(rates, truth(rates), strict=True)
    ]
    found = fits.fit(points)
    assert found is not None
    assert (found.a, found.b, found.g, found.d) == pytest.approx((3.0, 0.5, 0.8, 0.02), rel=0.02)
    assert found.error < 1e-5
    assert fits.fit(points[:3]) is None
    mean = fits.mean_curve([truth, found], np.array([0.05, 1.0]))
    assert np.isnan(mean[0])
    assert mean[1] == pytest.approx(float(truth(np.array([1.0]))[0]), abs=1e-5)


def test_every_published_curve_can_be_fitted(anchor_points: list[Point]) -> None:
    chosen = [p for p in anchor_points if p.image in {"kodim01", "kodim13", "kodim23"}]
    found = fits.fits(chosen)
    assert len(found) == 7 * 3
    assert max(fit.error for fit in found.values()) < 0.02


def test_at_equal_rate(anchor_points: list[Point]) -> None:
    """JPEG at BPG's rates: interpolated in dB between its own points, and below BPG."""
    found = equal_rate(anchor_points, "bpg", "jpeg")
    own = {row.setting: row for row in summaries(anchor_points) if row.codec == "bpg"}
    assert found
    for setting, ssim in found.items():
        assert ssim < own[setting].ssim
    themselves = equal_rate(anchor_points, "jpeg", "jpeg")
    same = {row.setting: row.ssim for row in summaries(anchor_points) if row.codec == "jpeg"}
    assert themselves
    for setting, ssim in themselves.items():
        assert ssim == pytest.approx(same[setting], abs=2e-4)
