"""The benchmark programs measure what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dcncodec.bench import datasets, rd, runner
from dcncodec.bench.codecs import specs
from dcncodec.bench.paper import fse_speed


def test_entropy_of_blocks() -> None:
    blocks = np.array([[0, 1, 0, 1], [3, 3, 3, 3]], np.uint8)
    assert fse_speed.entropy_bytes(blocks) == pytest.approx(0.5)


def test_the_bundled_models_take_fewer_bits_than_jpeg(shared_data: Path) -> None:
    items = datasets.find("kodak", shared_data, crop=512)[3:24:8]
    points = runner.run(specs(["dcn", "jpeg"]), items).points
    ratios = rd.equal_quality(points, "dcn", "jpeg")
    assert set(ratios) == {"dcn-16c", "dcn-32c", "dcn-64c"}
    for found in ratios.values():
        assert np.median(list(found.values())) < 0.9
