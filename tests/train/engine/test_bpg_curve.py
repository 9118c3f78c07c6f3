"""BD-rates against BPG on validation crops: known ratios, ranges, and curves that are kept."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from skimage import data as samples

from dcncodec.train.engine import bpg_curve
from dcncodec.train.engine.bpg_curve import FILE, BpgCurves, bpg_curves

RATES = np.geomspace(0.05, 4, 10)
ANCHOR = np.stack([RATES, 30 + 6 * np.log2(RATES)], -1)


def test_a_constant_ratio() -> None:
    test = ANCHOR * np.array([1.25, 1])
    found = BpgCurves([ANCHOR, ANCHOR]).bd_rates(np.stack([test, test]))
    assert list(found) == ["all", "low", "middle", "high"]
    assert all(value == pytest.approx(25) for value in found.values())


def test_ranges_see_their_part() -> None:
    worse = ANCHOR * np.stack([np.where(RATES < 0.5, 2.0, 1.0), np.ones(10)], -1)
    found = BpgCurves([ANCHOR]).bd_rates(worse[None])
    assert found["low"] > 60
    assert found["high"] == pytest.approx(0, abs=1)


def test_no_overlap() -> None:
    far = ANCHOR + np.array([0, 100])
    assert all(math.isnan(value) for value in BpgCurves([ANCHOR]).bd_rates(far[None]).values())


def test_points_that_cost_more_for_less_do_not_count() -> None:
    dented = np.concatenate([ANCHOR, [[1.0, 20.0]]])
    found = BpgCurves([ANCHOR]).bd_rates(dented[None])
    assert found["all"] == pytest.approx(0, abs=1e-6)


def test_curves_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    crops = np.ascontiguousarray(samples.astronaut()[None, :64, 160:224])
    first = bpg_curves(crops, tmp_path)
    assert first is not None
    assert bool((np.diff(first.curves[0], axis=0) > 0).all())
    monkeypatch.setattr(bpg_curve, "_curve", None)
    second = bpg_curves(crops, tmp_path)
    assert second is not None
    assert np.array_equal(first.curves[0], second.curves[0])
    monkeypatch.setattr(bpg_curve, "_curve", lambda _: ANCHOR)
    (tmp_path / FILE).write_text(json.dumps({"crops": "of others", "curves": []}))
    third = bpg_curves(crops, tmp_path)
    assert third is not None
    assert np.array_equal(third.curves[0], ANCHOR)
