"""ManTra-Net's Table 6: the variants of its anomaly network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage import data
from trace_models import write_trace

from dcncodec.bench.paper import zpool
from dcncodec.bench.paper.zpool import VARIANTS, SideBySide, compare
from dcncodec.models.trace import SIZES, Anomaly
from dcncodec.train.engine.data import load_images
from dcncodec.train.engine.run import Budget
from dcncodec.train.tasks import trace as task


def test_what_the_variants_see() -> None:
    size = SIZES["8"]
    adapted = torch.randn(1, size.maps, 40, 40)
    statistics = Anomaly.statistics(adapted)
    scaled = Anomaly.statistics(3 * adapted)
    plain, deviations, windows = (VARIANTS[name](size) for name in list(VARIANTS)[:3])
    assert isinstance(windows, SideBySide)
    assert (plain.windows, windows.windows) == ((), size.windows)
    for network in (deviations, windows):
        torch.testing.assert_close(
            network(3 * adapted, scaled), network(adapted, statistics), atol=1e-4, rtol=1e-4
        )
    assert (plain(3 * adapted, scaled) - plain(adapted, statistics)).abs().max() > 0.1
    (single,) = deviations.differences(deviations.centred(adapted, statistics))
    assert float(single.detach().std()) == pytest.approx(1, abs=0.01)
    assert sum(p.numel() for p in windows.parameters()) > sum(p.numel() for p in plain.parameters())


def test_variants_are_trained_on_the_same_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(2):
        photo = data.astronaut()[40:120, 100 + i : 180 + i]
        Image.fromarray(photo).save(tmp_path / f"{i}.png")
    for name, value in (("FORGERIES", 2), ("FORGERY_BATCH", 2)):
        monkeypatch.setattr(task, name, value)
    recipe = replace(zpool.TRACE_RECIPES["fast"], warmup_steps=1)
    monkeypatch.setitem(zpool.TRACE_RECIPES, "fast", recipe)
    monkeypatch.setattr(zpool, "PAPER_PATCH", 64)
    monkeypatch.setattr(zpool, "FAST_MAP_BATCH", 2)
    init = write_trace(tmp_path / "features", "features")
    images = load_images([tmp_path], 64)
    names = ("D", "Z, windows in a sequence")
    found = dict(compare(str(init), images, Budget(1), torch.device("cpu"), 0, names))
    assert found.keys() == set(names)
    assert all(0 < figures["validation_loss"] < 10 for figures in found.values())
