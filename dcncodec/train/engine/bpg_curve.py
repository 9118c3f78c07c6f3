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

FILE = "bpg.json"
QPS = range(14, 50, 3)
RANGES = {"all": (0.1, 2.5), "low": (0.1, 0.5), "middle": (0.5, 1.2), "high": (1.2, 2.5)}
"""Bits per pixel of BPG between which curves are compared."""

METRICS = ("psnr", "ssim", "ms_ssim")

Curve = NDArray[np.float64]
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

    curves: list[Curve]

    def bd_rates(self, measured: Curve) -> dict[str, float]:
        """Mean BD-rates in percent: of PSNR by the names of ``RANGES``, then of the other
        ``METRICS`` over the whole range. NaN where no curves overlap.

        Args:
            measured: (crops, rates, 4), rows as those of ``Curve`` at each rate.
        """
        asked = [(name, 0, limits) for name, limits in RANGES.items()]
        asked += [(name, index, RANGES["all"]) for index, name in enumerate(METRICS) if index]
        result = {}
        for name, metric, limits in asked:
            columns = [0, 1 + metric]
            found = (
                _log_ratio(anchor[:, columns], own[:, columns], limits)
                for anchor, own in zip(self.curves, measured, strict=True)
            )
            ratios = [ratio for ratio in found if ratio is not None]
            result[name] = 100 * math.expm1(float(np.mean(ratios))) if ratios else math.nan
        return result


def _log_ratio(anchor: Curve, test: Curve, limits: tuple[float, float]) -> float | None:
    """Mean over dB of the logarithm of the rates' ratio; None where the curves do not overlap."""
    # Not at the top: training alone must not need scipy.
    from scipy.interpolate import PchipInterpolator

    if np.isnan(anchor).any() or np.isnan(test).any():
        return None
    anchor, test = _rising(anchor), _rising(test)
    within = np.clip(np.log(limits), *np.log(anchor[[0, -1], 0]))
    ends = PchipInterpolator(np.log(anchor[:, 0]), anchor[:, 1])(within)
    if len(test) < 2:
        return None
    low, high = max(ends[0], test[0, 1]), min(ends[1], test[-1, 1])
    if low >= high:
        return None
    areas = [
        PchipInterpolator(curve[:, 1], np.log(curve[:, 0])).integrate(low, high)
        for curve in (test, anchor)
    ]
    return float((areas[0] - areas[1]) / (high - low))


def _rising(curve: Curve) -> Curve:
    """Pairs of bits and dB, without those that cost more for less."""
    kept: list[Curve] = []
    for point in curve[np.argsort(curve[:, 0])]:
        if not kept or (point > kept[-1]).all():
            kept.append(point)
    return np.array(kept)


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


def _curve(crop: NDArray[np.uint8]) -> Curve:
    points = []
    for qp in QPS:
        data = bpg.encode(crop, qp)
        bpp = 8 * bpg.picture_data_size(data) / (crop.shape[0] * crop.shape[1])
        points.append((bpp, *likenesses(crop, bpg.decode(data))))
    return np.array(points)
