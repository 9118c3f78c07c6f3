"""The curves of a run (``dcncodec.rate_curves``): BD-rates, values at equal rate or equal quality.

Rates are those of the effective payload.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from dcncodec.bench.metrics import from_scale
from dcncodec.bench.points import Point
from dcncodec.rate_curves import Curve, Method, bd_rate


def curve_of(points: Iterable[Point], metric: str) -> Curve | None:
    """The curve through points of one codec and image; None without any that has the metric."""
    return Curve.of(
        (point.bpp, quality) for point in points if (quality := point.scale(metric)) is not None
    )


class Curves:
    """All curves of a run for one metric.

    Args:
        points: of any codecs and images.
        metric: a key of ``metrics.METRICS``.
    """

    def __init__(self, points: Sequence[Point], metric: str) -> None:
        groups: dict[tuple[str, str], list[Point]] = {}
        for point in points:
            groups.setdefault((point.codec, point.image), []).append(point)
        self.metric = metric
        self.codecs = list(dict.fromkeys(codec for codec, _ in groups))
        self.images = list(dict.fromkeys(image for _, image in groups))
        self.by_pair = {
            pair: curve
            for pair, group in groups.items()
            if (curve := curve_of(group, metric)) is not None
        }

    def bd_rates(self, anchor: str, codec: str, method: Method = "pchip") -> dict[str, float]:
        """BD-rate by image, where both codecs have curves that overlap."""
        found = {}
        for image in self.images:
            first, second = self.by_pair.get((anchor, image)), self.by_pair.get((codec, image))
            if first is not None and second is not None:
                rate = bd_rate(first, second, method)
                if rate is not None:
                    found[image] = rate
        return found

    def mean_quality(self, codec: str, rate: float) -> tuple[float, int] | None:
        """Mean quality over the images whose curves reach a rate, and how many those are.

        Similarities are averaged in dB and come back in dB.
        """
        values = [
            value
            for image in self.images
            if (curve := self.by_pair.get((codec, image))) is not None
            and (value := curve.quality_at(rate)) is not None
        ]
        return (fmean(values), len(values)) if values else None


def equal_quality(
    points: Sequence[Point], codec: str, anchor: str, metric: str = "ssim"
) -> dict[str, dict[str, float]]:
    """Rates of a codec over those of an anchor with the same quality.

    Returns:
        By setting of ``codec``, then by image: its bits per pixel over the anchor's. Images on
        which the anchor never has that quality are left out.
    """
    curves = Curves([point for point in points if point.codec == anchor], metric)
    ratios: dict[str, dict[str, float]] = {}
    for point in points:
        curve = curves.by_pair.get((anchor, point.image))
        quality = point.scale(metric)
        if point.codec == codec and curve is not None and quality is not None:
            rate = curve.rate_at(quality)
            if rate is not None:
                ratios.setdefault(point.setting, {})[point.image] = point.bpp / rate
    return ratios


def equal_rate(
    points: Sequence[Point], codec: str, other: str, metric: str = "ssim"
) -> dict[str, float]:
    """What another codec reaches at the very rates of a codec.

    Returns:
        By setting of ``codec``: the mean of the other's quality (similarities as such, not in dB)
        at the rate that each image has. Settings at whose rate it fails on an image are left out.
    """
    curves = Curves([point for point in points if point.codec == other], metric)
    reached: dict[str, list[float | None]] = {}
    for point in points:
        if point.codec == codec:
            curve = curves.by_pair.get((other, point.image))
            value = curve.quality_at(point.bpp) if curve is not None else None
            reached.setdefault(point.setting, []).append(value)
    return {
        setting: fmean(from_scale(metric, value) for value in values if value is not None)
        for setting, values in reached.items()
        if None not in values
    }


@dataclass(frozen=True)
class Summary:
    """One setting of a codec over all images: means, and the rate over JPEG's at equal SSIM.

    Attributes:
        bpp, bpp_file: bits per pixel.
        psnr, ssim, msssim: means over the images that have them.
        jpeg_ratio: the median image's bits over those of JPEG 4:4:4 at its SSIM; None without.
        images: how many there are.
    """

    codec: str
    setting: str
    images: int
    bpp: float
    bpp_file: float
    psnr: float | None
    ssim: float | None
    msssim: float | None
    ssimulacra2: float | None
    jpeg_ratio: float | None


def summaries(points: Sequence[Point]) -> list[Summary]:
    """Every codec and setting, in the order of the points."""
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.codec, point.setting), []).append(point)
    ratios = {
        codec: equal_quality(points, codec, "jpeg")
        for codec in dict.fromkeys(codec for codec, _ in groups)
    }
    return [
        Summary(
            codec,
            setting,
            len(group),
            fmean(point.bpp for point in group),
            fmean(point.bpp_file for point in group),
            _mean(group, "psnr"),
            _mean(group, "ssim"),
            _mean(group, "msssim"),
            _mean(group, "ssimulacra2"),
            median(found.values()) if (found := ratios[codec].get(setting)) else None,
        )
        for (codec, setting), group in groups.items()
    ]


def _mean(points: Sequence[Point], metric: str) -> float | None:
    values = [value for point in points if (value := point.metric(metric)) is not None]
    return fmean(values) if values else None
