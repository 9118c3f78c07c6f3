"""ManTra-Net's networks: the paper's sizes, what they compute, their weight folders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional
from trace_models import RUN

from dcncodec.errors import ModelError
from dcncodec.models.exact import EXACT, LATTICES, exact_traces
from dcncodec.models.load import load_trace
from dcncodec.models.registry import open_folder
from dcncodec.models.roles import Role
from dcncodec.models.trace import SIZES, Anomaly, Trace, box_means
from dcncodec.train.engine.export import write_model

TINY = "8"


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture
def trace() -> Trace:
    torch.manual_seed(0)
    return Trace(SIZES[TINY], 25).eval().requires_grad_(False)


def test_the_papers_size_has_the_papers_parameters() -> None:
    paper = Trace(SIZES["paper"], 385)
    assert parameters(paper.features) == 3_680_989
    assert parameters(paper.decision) == 887_425
    assert parameters(paper.anomaly) == 129_769
    convolutions = 1 + len(paper.features.layers) + 1
    assert convolutions == 14
    assert 2 * paper.margin + 1 == 29
    assert SIZES["paper"].windows == (7, 15, 31)
    assert SIZES["paper"].averaged == ()
    assert not SIZES["paper"].exact


@pytest.mark.parametrize(
    ("name", "features", "anomaly"), [("8", 120_367, 26_881), ("12", 269_355, 27_393)]
)
def test_the_reduced_sizes(name: str, features: int, anomaly: int) -> None:
    network = Trace(SIZES[name], 25)
    assert (parameters(network.features), parameters(network.anomaly)) == (features, anomaly)
    assert 2 * network.margin + 1 == 23


@pytest.mark.parametrize("window", [7, 31, 63])
def test_means_over_windows_count_what_lies_inside(window: int) -> None:
    maps = torch.randn(2, 3, 40, 50)
    (found,) = box_means(maps, [window])
    plain = functional.avg_pool2d(maps, window, 1, window // 2, count_include_pad=False)
    torch.testing.assert_close(found, plain, atol=2e-6, rtol=0)


def test_features_have_unit_norm_and_see_no_further_than_their_margin(trace: Trace) -> None:
    pixels = torch.rand(1, 3, 50, 50)
    found = trace.features(pixels)
    assert found.shape == (1, 64, 50 - 2 * trace.margin, 50 - 2 * trace.margin)
    torch.testing.assert_close(found.square().mean(1), torch.ones(1, *found.shape[2:]))
    pixels[..., 25, 25] = 1 - pixels[..., 25, 25]
    changed = (trace.features(pixels) != found).any(1)[0].nonzero() + trace.margin
    assert changed.min() >= 25 - trace.margin
    assert changed.max() <= 25 + trace.margin
    assert len(changed) > trace.margin**2


def test_the_fixed_filters_see_no_smooth_content(trace: Trace) -> None:
    ramp = torch.linspace(0, 1, 60).expand(1, 3, 60, 60)
    trace.features.plain.weight.zero_()
    found = trace.features(ramp)
    torch.testing.assert_close(found, found[..., :1, :1].expand_as(found), atol=1e-2, rtol=0)


def test_constrain_keeps_residuals(trace: Trace) -> None:
    bayar = trace.features.bayar
    bayar.weight.add_(0.1)
    trace.constrain()
    assert bayar.kernel[0, 0, 2, 2] == -1
    assert float(bayar.weight[0].sum()) == pytest.approx(0, abs=1e-5)


def test_a_part_of_a_photo_gives_what_the_whole_does(trace: Trace) -> None:
    """With a photo's statistics, beyond the halo nothing matters."""
    cell, halo = trace.anomaly.cell, trace.halo
    pixels = torch.rand(1, 3, (halo + 6) * cell - 1, (halo + 8) * cell)
    adapted = trace.adapted(pixels)
    statistics = Anomaly.statistics(adapted)
    whole = trace.anomaly(adapted, statistics)
    torch.testing.assert_close(trace.anomaly.of_pixels(whole, *pixels.shape[2:]), trace(pixels))
    part = trace.anomaly(trace.adapted(pixels[..., 2 * cell :, 5 * cell :]), statistics)
    torch.testing.assert_close(
        part[:, halo:, halo:], whole[:, 2 + halo :, 5 + halo :], atol=1e-4, rtol=1e-4
    )
    assert (part[:, 0, 0] - whole[:, 2, 5]).abs() > 0


def test_reduced_sizes_count_in_cells(trace: Trace) -> None:
    """Means over squares, at the end over what there is of them; all pixels get a logit."""
    features = torch.randn(2, 64, 41, 50)
    photo = torch.rand(2, 3, 45, 54)
    cells = trace.anomaly.adapted(features, photo)
    assert cells.shape == (2, 16 + EXACT, 11, 13)
    trace.anomaly.cell = 1
    pixels = trace.anomaly.adapted(features, photo)
    exact = pixels[:, 16:]
    torch.testing.assert_close(exact, exact_traces(photo[..., 2:44, 2:53], 1))
    cells, pixels = cells[:, :-LATTICES], pixels[:, :-LATTICES]
    torch.testing.assert_close(cells[..., 2, 3], pixels[..., 8:12, 12:16].mean((2, 3)))
    torch.testing.assert_close(cells[..., 10, 12], pixels[..., 40:, 48:].mean((2, 3)))
    trace.anomaly.cell = 4
    logits = torch.zeros(2, 11, 13)
    logits[:, 5] = 1
    found = trace.anomaly.of_pixels(logits, 41, 50)
    assert found.shape == (2, 41, 50)
    assert (found[:, 20:24] > 0.5).all()
    assert found[:, :18].eq(0).all()
    assert found[:, 26:].eq(0).all()
    assert SIZES["paper"].cell == 1


def test_reduced_sizes_average_their_maps(trace: Trace) -> None:
    """The mean of the map's means over all windows; what lies outside does not count."""
    adapted = trace.adapted(torch.rand(1, 3, 64, 64))
    statistics = Anomaly.statistics(adapted)
    found = trace.anomaly(adapted, statistics)
    trace.anomaly.averaged = ()
    plain = trace.anomaly(adapted, statistics)
    means = [
        functional.avg_pool2d(plain, window, 1, window // 2, count_include_pad=False)
        for window in SIZES[TINY].averaged
    ]
    torch.testing.assert_close(found, sum(means) / len(means), atol=1e-5, rtol=0)
    assert float(found.std()) < float(plain.std())


def test_a_map_begins_with_a_small_share_everywhere() -> None:
    """Otherwise the first steps of a training would be spent on a bias."""
    torch.manual_seed(1)
    with torch.no_grad():
        found = Trace(SIZES[TINY], 25)(torch.rand(1, 3, 70, 70)).sigmoid()
    assert 0.05 < float(found.mean()) < 0.2


def test_anomalies_do_not_depend_on_the_scale_of_the_projection(trace: Trace) -> None:
    pixels = torch.rand(1, 3, 64, 64)
    before = trace(pixels)
    trace.anomaly.adapt.weight.mul_(4)
    torch.testing.assert_close(trace(pixels), before, atol=1e-4, rtol=1e-4)


def card_of(size: str) -> tuple[dict[str, object], dict[str, object]]:
    own = {"stage": "joint", "threshold": 0.25, "false_alarm": 0.05}
    return {"family": "trace", "size": size, "classes": 25}, own | RUN


def test_a_weight_folder(tmp_path: Path, trace: Trace) -> None:
    write_model(tmp_path / "my-trace", trace.state_dict(), *card_of(TINY))
    folder = open_folder(tmp_path / "my-trace", Role.LOCALISER)
    loaded = load_trace(folder)
    pixels = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(loaded(pixels), trace(pixels), atol=0.05, rtol=0.05)
    assert (
        "above 0.2500, which 5% of the clean photos"
        in (tmp_path / "my-trace" / "card.md").read_text()
    )
    with pytest.raises(ModelError, match="is a localising network, not a codec"):
        open_folder(tmp_path / "my-trace")


def test_an_unknown_size_is_refused(tmp_path: Path, trace: Trace) -> None:
    write_model(tmp_path / "my-trace", trace.state_dict(), *card_of("huge"))
    with pytest.raises(ModelError, match="names no known size; use one of paper, 12, 8"):
        load_trace(open_folder(tmp_path / "my-trace", Role.LOCALISER))
