"""A run's figures for the cards of dcn models."""

from __future__ import annotations

from collections.abc import Sequence

from dcncodec.bench.codecs import DcnCodec, RatedCodec
from dcncodec.bench.points import Point
from dcncodec.bench.rd import Summary, equal_rate, summaries
from dcncodec.bench.results import Results
from dcncodec.errors import UsageError
from dcncodec.models.card import update_card

OTHERS = ("jpeg", "jpeg2000", "bpg")
"""Codecs whose SSIM at the model's rate a card states, where the run has them."""


def figures(summary: Summary, points: Sequence[Point]) -> dict[str, float]:
    """What a card says about one model: means over the images.

    ``bits_over_jpeg`` is the median image's payload over that of JPEG 4:4:4 at the same SSIM;
    ``jpeg_ssim`` and so on are what other codecs reach at the model's rate.
    """
    values: dict[str, float | None] = {
        "images": summary.images,
        "bpp": summary.bpp,
        "psnr": summary.psnr,
        "ssim": summary.ssim,
        "msssim": summary.msssim,
        "bits_over_jpeg": summary.jpeg_ratio,
    }
    for other in OTHERS:
        values[f"{other}_ssim"] = equal_rate(points, summary.codec, other).get(summary.setting)
    return {name: round(value, 5) for name, value in values.items() if value is not None}


def update(codec: DcnCodec, results: Results) -> None:
    """Write a run's figures into the cards of a codec's models, such as ``kodak512``.

    Raises:
        UsageError: the run knows no JPEG to compare with.
        DcnError: a card cannot be written.
    """
    if not any(point.codec == "jpeg" for point in results.points):
        raise UsageError("--update-card: the cards compare with JPEG; add --codec jpeg")
    name = f"{results.dataset}{results.crop or ''}"
    for summary in summaries(results.points):
        if summary.codec != codec.name:
            continue
        found = figures(summary, results.points)
        if isinstance(codec, RatedCodec):
            effort = f", effort {codec.effort}" if codec.effort else ""
            update_card(codec.model, {f"{name}, rate {summary.setting}{effort}": found})
        else:
            update_card(codec.models[summary.setting], {name: found})
