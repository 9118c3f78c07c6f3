"""BD-rates against BPG on validation crops: known ratios, ranges, and curves that are kept."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from skimage import data as samples

from dcncodec.train.engine import bpg_curve
from dcncodec.train.engine.bpg_curve import FILE, BpgCurves, bpg_curves, likenesses

RATES = np.geomspace(0.05, 4, 10)
LEVELS = 30 + 6 * np.log2(RATES)
ANCHOR = np.stack([RATES, LEVELS, LEVELS / 3, LEVELS / 2], -1)


def test_a_constant_ratio() -> None:
    test = ANCHOR * np.array([1.25, 1, 1, 1])
    found = BpgCurves([ANCHOR, ANCHOR]).bd_rates(np.stack([test, test]))
    assert list(found) == ["all", "low", "middle", "high", "ssim", "ms_ssim"]
    assert all(value == pytest.approx(25) for value in found.values())


def test_ranges_see_their_part() -> None:
    worse = ANCHOR.copy()
    worse[:, 0] *= np.where(RATES < 0.5, 2.0, 1.0)
    found = BpgCurves([ANCHOR]).bd_rates(worse[None])
    assert found["low"] > 60
    assert found["high"] == pytest.approx(0, abs=1)


def test_no_overlap() -> None:
    far = ANCHOR + np.array([0, 100, 100, 100])
    assert all(math.isnan(value) for value in BpgCurves([ANCHOR]).bd_rates(far[None]).values())


def test_points_that_cost_more_for_less_do_not_count() -> None:
    dented = np.concatenate([ANCHOR, [[1.0, 20.0, 7.0, 10.0]]])
    found = BpgCurves([ANCHOR]).bd_rates(dented[None])
    assert found["all"] == pytest.approx(0, abs=1e-6)


def test_curves_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    crops = np.ascontiguousarray(samples.astronaut()[None, :64, 160:224])
    first = bpg_curves(crops, tmp_path)
    assert first is not None
    assert bool((np.diff(first.curves[0][:, :3], axis=0) < 0).all())
    assert bool(np.isnan(first.curves[0][:, 3]).all())  # too small for MS-SSIM
    monkeypatch.setattr(bpg_curve, "_curve", None)
    second = bpg_curves(crops, tmp_path)
    assert second is not None
    assert np.array_equal(first.curves[0], second.curves[0], equal_nan=True)
    monkeypatch.setattr(bpg_curve, "_curve", lambda _: ANCHOR)
    (tmp_path / FILE).write_text(json.dumps({"crops": "of others", "curves": []}))
    third = bpg_curves(crops, tmp_path)
    assert third is not None
    assert np.array_equal(third.curves[0], ANCHOR)


def test_metrics_are_told_apart() -> None:
    other = ANCHOR.copy()
    other[:, 2] += 2 * np.log2(1.25)
    found = BpgCurves([ANCHOR]).bd_rates(other[None])
    assert found["all"] == pytest.approx(0, abs=1e-6)
    assert found["ssim"] == pytest.approx(-20)
    assert found["ms_ssim"] == pytest.approx(0, abs=1e-6)


def test_crops_too_small_for_a_metric() -> None:
    unknown = ANCHOR * np.array([1, 1, 1, math.nan])
    found = BpgCurves([unknown]).bd_rates(ANCHOR[None])
    assert found["ssim"] == pytest.approx(0, abs=1e-6)
    assert math.isnan(found["ms_ssim"])


def test_curves_of_psnr_alone_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = np.zeros((1, 8, 8, 3), np.uint8)
    monkeypatch.setattr(bpg_curve, "_curve", lambda _: ANCHOR)
    bpg_curves(crops, tmp_path)
    known = json.loads((tmp_path / FILE).read_text())
    known["curves"] = [ANCHOR[:, :2].tolist()]
    (tmp_path / FILE).write_text(json.dumps(known))
    found = bpg_curves(crops, tmp_path)
    assert found is not None
    assert found.curves[0].shape == ANCHOR.shape


def test_likenesses() -> None:
    picture = np.ascontiguousarray(samples.astronaut()[:176, :176])
    psnr, ssim, ms_ssim = likenesses(picture, picture)
    assert psnr == ssim == ms_ssim == 100
    noisy = (picture.astype(int) + 5 * (np.indices((176, 176)).sum(0) % 2)[..., None]).clip(0, 255)
    psnr, ssim, ms_ssim = likenesses(picture, noisy.astype(np.uint8))
    assert psnr == pytest.approx(37, abs=0.5)
    assert 0 < ssim < ms_ssim < 40
    assert math.isnan(likenesses(picture[:160], picture[:160])[2])
