"""ManTra-Net band by band, beside the network that learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dcncodec.models.trace import SIZES, Anomaly, Size, Trace
from dcncodec.runtime import bands

PLAIN = replace(SIZES["8"], averaged=())


@pytest.mark.parametrize("band", [1, 700, 2**16])
@pytest.mark.parametrize(
    "size", [SIZES["8"], PLAIN, replace(PLAIN, cell=1, windows=(7,), kernel=7)]
)
def test_bands_give_what_the_whole_does(
    monkeypatch: pytest.MonkeyPatch, size: Size, band: int
) -> None:
    """Bands of one row, of some with a rest, and one of all."""
    monkeypatch.setattr(bands, "BAND", band)
    torch.manual_seed(0)
    trace = Trace(size, 25).requires_grad_(False)
    trace.anomaly.decide.weight.mul_(20)
    pixels = torch.rand(2, 3, 67, 75)
    pixels[:, :, 20:40, 30:50] *= 0.5
    adapted = bands.adapted(trace, pixels)
    torch.testing.assert_close(adapted, trace.adapted(pixels), atol=1e-5, rtol=0)
    statistics = Anomaly.statistics(adapted)
    found = bands.logits(trace.anomaly, adapted, statistics)
    plain = trace.anomaly(adapted, statistics)
    assert plain.std() > 0.1
    torch.testing.assert_close(found, plain, atol=1e-4, rtol=0)


def test_bands_cover_every_row_once() -> None:
    found = list(bands.bands(301, 1000, 4))
    assert [row for band in found for row in range(301)[band]] == list(range(301))
    assert len(found) == 5
    assert all(band.start % 4 == 0 for band in found)
