"""The comparison of integers with float32, on small pictures."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data as samples

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from dcncodec.bench import int8
from dcncodec.models.registry import find_model


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_integers_lose_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "RUNS", 1)
    astronaut = samples.astronaut()
    # Of a few pixels integers gain by chance on some processors.
    crops = [astronaut[:250, :250], astronaut[200:456, 100:356]]
    (found,) = int8.compare(find_model("dcn-16c"), crops)
    assert found.rate == 0
    assert found.speed > 0
    assert 20 < found.int8_psnr < found.float_psnr < 60
    rated = int8.compare(find_model("dcn-vr"), [astronaut[:64, :64]] * 2)
    assert [one.rate for one in rated] == [0, 128, 255]
    assert np.all(np.diff([one.float_psnr for one in rated]) > 0)
