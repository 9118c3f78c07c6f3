"""Qualities from 0 to 100: which rate of a model with rates they stand for.

The mapping is linear, because rates are even steps already: the logarithm of lambda is linear in
the rate, and so, nearly, are PSNR and MS-SSIM in dB. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import TYPE_CHECKING, Any, TypeVar

from dcncodec.encoder.target import Target
from dcncodec.errors import UsageError
from dcncodec.formats.geometry import MAX_RATE, SINGLE_RATE
from dcncodec.models.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from dcncodec.models.card import ModelFolder

T = TypeVar("T")
Quality = float | str
"""0 to 100, or one of ``NAMED``."""

MAX_QUALITY = 100
NAMED = {"low": 35, "medium": 50, "high": 70}
"""Names of qualities: with ``dcn-vr`` about the bits of the paper's three models."""
DEFAULT_NAME = "medium"
CHOICES = f"{', '.join(NAMED)} or a number from 0 to {MAX_QUALITY}"


def only(given: Mapping[str, T | None]) -> tuple[str, T] | None:
    """The one thing that is asked for, of some that exclude each other; None for nothing.

    Args:
        given: what is asked for by its name; None stands for nothing.

    Raises:
        UsageError: there are two or more.
    """
    asked = [(name, value) for name, value in given.items() if value is not None]
    if len(asked) > 1:
        names = " and ".join(name for name, _ in asked)
        raise UsageError(f"{names} contradict each other; give one of them")
    return asked[0] if asked else None


def parse_quality(value: Quality) -> Quality:
    """A quality, with numbers as numbers.

    Raises:
        UsageError: there is no such quality.
    """
    if value in NAMED:
        return value
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= MAX_QUALITY:
        raise UsageError(f"quality {value}: choose {CHOICES}")
    return number


def rate_for(quality: Quality, folder: ModelFolder) -> int:
    """The rate that stands for a quality, 0..255.

    Args:
        quality: from ``parse_quality``.
        folder: of the model that encodes.

    Raises:
        UsageError: the model has one rate.
    """
    number = NAMED[quality] if isinstance(quality, str) else quality
    check_rates(folder, f"quality {quality if isinstance(quality, str) else format(quality, 'g')}")
    return round(number * MAX_RATE / MAX_QUALITY)


def check_rates(folder: ModelFolder, asked: str) -> None:
    """Tell whether a model has rates.

    Args:
        folder: of the model.
        asked: what takes them.

    Raises:
        UsageError: it has one rate.
    """
    if not folder.geometry.rates:
        raise UsageError(
            f"{asked}: model {folder.name} has one rate; leave it out, or take a model with rates "
            f"such as {DEFAULT_MODEL}"
        )


def aim_of(
    folder: ModelFolder,
    quality: Quality | None,
    rate: int | None,
    targets: Mapping[str, float | None],
) -> int | Target:
    """The rate that is asked for, or the target that is to be reached.

    Args:
        folder: of the model that encodes.
        quality: 0 to 100, or a name; the default where nothing is asked for.
        rate: 0 to 255; models of one rate ignore it.
        targets: of ``target.TARGETS``; None stands for nothing.

    Raises:
        UsageError: two things are asked for, or one that there is not, or that takes a model with
            rates.
    """
    asked: tuple[str, Any] | None = only({"quality": quality, "rate": rate, **targets})
    if quality is not None:
        return rate_for(parse_quality(quality), folder)
    if rate is not None:
        try:
            whole = index(rate)
        except TypeError:
            whole = -1
        if not 0 <= whole <= MAX_RATE:
            raise UsageError(f"rate {rate!r}: choose a whole number from 0 to {MAX_RATE}")
        return whole
    if asked is None:
        return rate_for(DEFAULT_NAME, folder) if folder.geometry.rates else SINGLE_RATE
    name, value = asked
    target = Target(name, value)
    check_rates(folder, target.label)
    return target
