"""Did this camera take that photo? Peak-to-correlation energy (Goljan, Fridrich, Filler 2009)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcncodec.errors import ImageError
from dcncodec.forensics.prnu.fingerprint import SATURATED, Fingerprint, ncc
from dcncodec.forensics.prnu.residual import (
    GREY,
    Floats,
    Pixels,
    inner,
    residual_blocks,
    to_grey,
    wiener,
    zero_mean,
)

THRESHOLD = 60.0
"""PCE from which a photo matches: about one in 100,000 photos of other cameras does (Goljan et al.
2009, without a search for shifts)."""
NEIGHBOURHOOD = 5
"""Pixels around the peak, in each direction, that are no part of the correlation's energy."""


@dataclass(frozen=True)
class Match:
    """How a photo correlates with a fingerprint.

    Attributes:
        pce: peak-to-correlation energy, with the peak's sign.
        ncc: normalised correlation of the photo's residual with what the fingerprint predicts.
        shift: row and column of the sensor where the photo's first pixel lay.
        p_value: probability of such a peak by chance, were the correlation white noise.
    """

    pce: float
    ncc: float
    shift: tuple[int, int]
    p_value: float

    @property
    def verdict(self) -> str:
        """``match`` or ``no match``; the latter does not prove that another camera took it."""
        return "match" if self.pce >= THRESHOLD else "no match"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "verdict": self.verdict,
            "pce": round(self.pce, 2),
            "ncc": round(self.ncc, 5),
            "shift": list(self.shift),
            "p_value": self.p_value,
        }


def match(pixels: Pixels, fingerprint: Fingerprint, search: bool = False) -> Match:
    """Compare a photo with a fingerprint.

    Args:
        pixels: uint8 (h, w, 3); not scaled, and turned as the sensor was.
        fingerprint: (H, W).
        search: whether the photo may be a part of what the sensor saw: then the best of all
            shifts counts.

    Raises:
        ImageError: the sizes do not go together, or the photo is too small.
    """
    return match_signals(*photo_signals(pixels), fingerprint, search)


def photo_signals(pixels: Pixels) -> tuple[Floats, Floats]:
    """What is compared of a photo, uint8 (H, W, 3): its filtered residual, and its light.

    Returns:
        Two planes, float32 (H, W). The light is in grey, and 0 where a colour is saturated.

    Raises:
        ImageError: the photo is too small.
    """
    noise = np.empty(pixels.shape[:2], np.float32)
    light = np.empty(pixels.shape[:2], np.float32)
    for place, part in residual_blocks(pixels):
        noise[place] = to_grey(part)
        block = pixels[place]
        light[place] = (block * (block < SATURATED)) @ np.array(GREY, np.float32)
    return wiener(zero_mean(noise)), light


def match_signals(
    noise: Floats, light: Floats, fingerprint: Fingerprint, search: bool = False
) -> Match:
    """``match`` for what ``photo_signals`` gave."""
    check_sizes(noise.shape, fingerprint.values.shape, search)
    if noise.shape == fingerprint.values.shape:
        expected = light * fingerprint.values
        pce = _energy_ratio(_correlation(noise, expected), (0, 0))
        return Match(pce, ncc(noise, expected), (0, 0), _chance(pce, 1))
    # Where the photo lay is unknown, and with it which part of K its light multiplied:
    # sum(W I K) is the correlation of W I with K.
    padded = np.zeros_like(fingerprint.values)
    padded[: noise.shape[0], : noise.shape[1]] = noise * light
    surface = _correlation(padded, fingerprint.values)
    height, width = (
        whole - part + 1 for whole, part in zip(padded.shape, noise.shape, strict=True)
    )
    row, column = divmod(int(surface[:height, :width].argmax()), width)
    pce = _energy_ratio(surface, (row, column))
    there = fingerprint.values[row : row + noise.shape[0], column : column + noise.shape[1]]
    return Match(pce, ncc(noise, light * there), (row, column), _chance(pce, height * width))


def check_sizes(photo: tuple[int, ...], sensor: tuple[int, ...], search: bool) -> None:
    """Tell whether a photo can have come from a sensor, by their heights and widths.

    Raises:
        ImageError: it cannot, or only as a part, and no search is wanted.
    """
    if photo == sensor:
        return
    has = f"has {photo[1]} x {photo[0]} pixels, the fingerprint {sensor[1]} x {sensor[0]}"
    if photo == sensor[::-1]:
        raise ImageError(f"{has}: a turned photo; turn it back as the sensor was")
    if photo[0] > sensor[0] or photo[1] > sensor[1]:
        raise ImageError(f"{has}: scaled, turned, or of another camera; these cannot be matched")
    if not search:
        raise ImageError(
            f"{has}: if it was cropped, add --search; scaled or turned photos cannot be matched"
        )


def _correlation(first: Floats, second: Floats) -> Floats:
    """Circular cross-correlation, float32 (H, W): at s the sum of first(x) second(x + s)."""
    from scipy.fft import irfft2, rfft2

    product = np.conj(rfft2(first))
    product *= rfft2(second)
    surface: Floats = irfft2(product, first.shape, overwrite_x=True)
    return surface


def _energy_ratio(surface: Floats, peak: tuple[int, int]) -> float:
    """PCE of a correlation's peak."""
    value = float(surface[peak])
    near = np.ix_(
        *(
            np.arange(place - NEIGHBOURHOOD, place + NEIGHBOURHOOD + 1) % side
            for place, side in zip(peak, surface.shape, strict=True)
        )
    )
    total = inner(surface, surface) - float(np.square(surface[near]).sum())
    energy = total / (surface.size - (2 * NEIGHBOURHOOD + 1) ** 2)
    return math.copysign(value**2 / energy, value) if energy > 0 else 0.0


def _chance(pce: float, shifts: int) -> float:
    """Probability that the best of so many correlations of white noise reaches a PCE."""
    single = math.erfc(math.copysign(math.sqrt(abs(pce) / 2), pce)) / 2
    return -math.expm1(shifts * math.log1p(-single)) if single < 1 else 1.0
