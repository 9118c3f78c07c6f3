"""BPG on a training's validation crops: what its BD-rates are measured against, in three metrics.

The curves are made once and kept in the run's folder, for they take a while.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import MissingLibraryError
from dcncodec.formats.files import atomic_write
from dcncodec.formats.peers import bpg
from dcncodec.likeness import MS_SSIM_SIDE, decibel, ms_ssim, ssim
from dcncodec.rate_curves import RATES, Curve, bd_rate

FILE = "bpg.json"
QPS = range(14, 50, 3)
RANGES = {"all": RATES, "low": (0.1, 0.5), "middle": (0.5, 1.2), "high": (1.2, 2.5)}
"""Bits per pixel of BPG between which curves are compared."""

METRICS = ("psnr", "ssim", "ms_ssim")

Points = NDArray[np.float64]
"""Rows of bits per pixel and the likenesses of ``METRICS`` in dB, rising."""


def likenesses(picture: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> tuple[float, ...]:
    """PSNR, SSIM and MS-SSIM of pictures (H, W, 3), all in dB, see ``decibel``; MS-SSIM is NaN
    where a side is below 161 pixels."""
    x, y = picture / 255, decoded / 255
    coarse = ms_ssim(x, y) if min(x.shape[:2]) >= MS_SSIM_SIDE else math.nan
    return tuple(decibel(value) for value in (1 - float(((x - y) ** 2).mean()), ssim(x, y), coarse))


@dataclass(frozen=True)
class BpgCurves:
    """BPG's curve of each crop."""

    curves: list[Points]

    def bd_rates(self, measured: Points) -> dict[str, float]:
        """Mean BD-rates in percent: of PSNR by the names of ``RANGES``, then of the other
        ``METRICS`` over the whole range. NaN where no curves overlap.

        Args:
            measured: (crops, rates, 4), rows as those of ``Points`` at each rate.
        """
        asked = [(name, 0, limits) for name, limits in RANGES.items()]
        asked += [(name, index, RANGES["all"]) for index, name in enumerate(METRICS) if index]
        result = {}
        for name, metric, limits in asked:
            columns = [0, 1 + metric]
            found = (
                _bd_rate(anchor[:, columns], own[:, columns], limits)
                for anchor, own in zip(self.curves, measured, strict=True)
            )
            rates = [rate for rate in found if rate is not None]
            ratio = math.exp(float(np.log1p(rates).mean())) if rates else math.nan
            result[name] = 100 * (ratio - 1)
        return result


def _bd_rate(anchor: Points, test: Points, rates: tuple[float, float]) -> float | None:
    """Between two rates of the anchor; None where the curves do not overlap or are not known."""
    if np.isnan(anchor).any() or np.isnan(test).any():
        return None
    curves = [Curve.of((float(bpp), float(level)) for bpp, level in row) for row in (anchor, test)]
    if curves[0] is None or curves[1] is None:
        return None
    return bd_rate(curves[0], curves[1], rates=rates, test_rates=(0, math.inf))


def bpg_curves(crops: NDArray[np.uint8], folder: Path) -> BpgCurves | None:
    """The curves of crops (n, H, W, 3), from the folder where it has them.

    Returns:
        None where there can be none, because PyAV or scipy is not installed.

    Raises:
        OutputError: the folder cannot be written.
    """
    if importlib.util.find_spec("scipy") is None:
        return None
    path, digest = folder / FILE, hashlib.sha256(crops.tobytes()).hexdigest()
    try:
        known = json.loads(path.read_text())
        if known["crops"] == digest:
            curves = [np.array(curve, np.float64) for curve in known["curves"]]
            if all(curve.shape[1] == 1 + len(METRICS) for curve in curves):
                return BpgCurves(curves)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        pass  # none yet, or of other data
    try:
        curves = [_curve(crop) for crop in crops]
    except MissingLibraryError:
        return None
    content = {"crops": digest, "curves": [curve.tolist() for curve in curves]}
    with atomic_write(path, overwrite=True) as file:
        file.write(json.dumps(content).encode())
    return BpgCurves(curves)


def _curve(crop: NDArray[np.uint8]) -> Points:
    points = []
    for qp in QPS:
        data = bpg.encode(crop, qp)
        bpp = 8 * bpg.picture_data_size(data) / (crop.shape[0] * crop.shape[1])
        points.append((bpp, *likenesses(crop, bpg.decode(data))))
    return np.array(points)
