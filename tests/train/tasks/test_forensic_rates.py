"""A codec for all rates that is tuned with a FAN."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from unused_weights import unused_weights
from vr_models import LAMBDAS, write_vr

from dcncodec.forensics.channel import Channel
from dcncodec.models.fan import ConvolutionalFAN
from dcncodec.models.registry import find_model, open_folder
from dcncodec.models.vr import VR
from dcncodec.train.engine.ahead import Ahead
from dcncodec.train.engine.checkpoint import Header
from dcncodec.train.engine.data import Dataset, pack
from dcncodec.train.engine.presets import FORENSIC_RECIPES, VR_RECIPES
from dcncodec.train.engine.run import Budget
from dcncodec.train.tasks import forensic
from dcncodec.train.tasks.codec import LOSS_PIXELS
from dcncodec.train.tasks.forensic import ForensicTrainer
from dcncodec.train.tasks.forensic_choices import choose
from dcncodec.train.tasks.forensic_fans import ForensicSettings
from dcncodec.train.tasks.forensic_field import FieldPhotos
from dcncodec.train.tasks.forensic_loss import ForensicLoss
from dcncodec.train.tasks.forensic_rates import Compressed, RatedCodec, draw_rates, lowest_rate
from dcncodec.train.tasks.forensic_setup import with_objective
from dcncodec.train.tasks.vr import VRLoss

RECIPE = replace(
    FORENSIC_RECIPES["fast"],
    batch=1,
    patch=32,
    classes=("native", "median"),
    trainable=("dcn",),
    rate_low=50,
    rate_high=250,
    rate_fall=0.5,
)


def network() -> VR:
    torch.manual_seed(0)
    codec = VR(8, 1, 8, 1, 0)
    patches = torch.randn(600, 192) * torch.linspace(1, 0.1, 192)
    codec.start_from_klt(patches, (RECIPE.lambda_low, RECIPE.lambda_high))
    return codec


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    photo = data.astronaut()
    photos = pack([photo[i : i + 96, i : i + 96].copy() for i in (50, 90, 130)])
    return Dataset(photos, photos, [])


def test_the_lowest_rate_falls() -> None:
    found = [lowest_rate(RECIPE, share) for share in (0.0, 0.25, 0.5, 1.0)]
    assert found == [250, 150, 50, 50]
    assert lowest_rate(replace(RECIPE, rate_fall=0.0), 0.0) == 50
    generator = torch.Generator().manual_seed(0)
    rates = draw_rates(RECIPE, 0.25, 1000, generator)
    assert 150 <= float(rates.min()) < 152
    assert 248 < float(rates.max()) <= 250


def test_the_cost_is_a_multiple_of_the_family_s_loss() -> None:
    """With the weight on distortion of the paper's loss, at every rate."""
    rated = RatedCodec(network(), RECIPE, torch.float32)
    rates = torch.tensor([0.0, 255.0])
    pictures = torch.rand(2, 3, 16, 16)
    received = pictures + 0.1
    made = Compressed(received, torch.tensor([0.5, 2.0]), torch.tensor([3.0, 4.0]))
    expected = [
        LOSS_PIXELS / 2 * (0.01 + bits / (value * 255**2))
        for bits, value in ((0.5, RECIPE.lambda_low), (2.0, RECIPE.lambda_high))
    ]
    cost = rated.cost(pictures, received, rates, made)
    assert float(cost) == pytest.approx(np.mean(expected), rel=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_gradient_is_that_of_the_family_s_training(share: float) -> None:
    """Of what is sent: exact bits and the rounding's slope, at one rate up to a factor; likeness
    counts as much as it does there."""
    codec = network()
    photo = torch.from_numpy(data.astronaut()[60:92, 60:92].copy()).permute(2, 0, 1)[None] / 255
    rates = torch.tensor([100.0])
    rated = RatedCodec(codec, replace(RECIPE, ssim_share=share), torch.float32)
    compressed = rated.compress(photo, rates)
    rated.cost(photo, compressed.pictures, rates, compressed).backward()
    found = {name: p.grad.clone() for name, p in codec.named_parameters() if p.grad is not None}
    codec.zero_grad()
    lambdas = {"lambda_low": RECIPE.lambda_low, "lambda_high": RECIPE.lambda_high}
    recipe = replace(VR_RECIPES["fast"], ssim_share=share, **lambdas)
    VRLoss(codec, recipe, torch.float32)(photo, rates)[0].backward()
    expected = {name: p.grad for name, p in codec.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    factor = float(found["gain"].norm() / expected["gain"].norm())
    assert factor > 1
    for name, gradient in found.items():
        assert torch.allclose(gradient, factor * expected[name], rtol=1e-3, atol=1e-4), name


def test_a_tuning_begins_with_the_codec_s_own_objective(tmp_path: Path) -> None:
    plain = with_objective(RECIPE, open_folder(write_vr(tmp_path / "plain", 8)), {})
    assert (plain.lambda_low, plain.lambda_high, plain.ssim_share) == (*LAMBDAS, 0.0)
    bundled = find_model("dcn-vr")
    own = bundled.card["recipe"]
    assert own["ssim_share"] > 0
    found = with_objective(RECIPE, bundled, {})
    assert found.ssim_share == own["ssim_share"] + own["ms_ssim_share"]
    assert with_objective(RECIPE, bundled, {"ssim_share": 0.0}).ssim_share == 0


def test_a_resumed_run_keeps_the_codec_s_own_objective(tmp_path: Path) -> None:
    """The same command goes on with it, with a preset, too."""
    for preset in (None, "fast"):
        settings = ForensicSettings((), tmp_path, preset=preset, model="dcn-vr")
        begun = with_objective(choose(settings, None, None)[0], find_model("dcn-vr"), {})
        assert begun.ssim_share > 0
        assert choose(settings, Header(0, begun, init="dcn-vr"), None)[0] == begun


def test_what_a_codec_at_rest_costs_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    fan, pictures = ConvolutionalFAN(2), torch.rand(2, 3, 32, 32)
    asked: list[RatedCodec] = []
    monkeypatch.setattr(RatedCodec, "cost", lambda self, *_: asked.append(self) or torch.ones(()))
    for trainable, times in (((), 0), (("dcn",), 1)):
        recipe = replace(RECIPE, trainable=trainable)
        objective = ForensicLoss(Channel("dcn", network()), fan, recipe, torch.float32)
        figures, _, _ = objective(pictures, torch.Generator().manual_seed(0))
        assert len(asked) == times
        assert float(figures["bpp"]) > 0
    assert float(figures["loss"].detach()) > float(figures["cross_entropy"])


def test_versions_of_a_photo_share_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = ForensicLoss(Channel("dcn", network()), ConvolutionalFAN(2), RECIPE, torch.float32)
    seen: list[torch.Tensor] = []
    assert objective.rated is not None
    compress = objective.rated.compress

    def spy(pixels: torch.Tensor, rates: torch.Tensor) -> Compressed:
        seen.append(rates)
        return compress(pixels, rates)

    monkeypatch.setattr(objective.rated, "compress", spy)
    figures, _, received = objective(torch.rand(3, 3, 32, 32), torch.Generator().manual_seed(0))
    assert received.shape == (6, 3, 32, 32)
    assert torch.equal(seen[0][:3], seen[0][3:])
    assert len(set(seen[0].tolist())) == 3
    assert float(figures["bpp"]) > 0


def test_codec_context_model_and_fan_learn_together(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forensic, "PAPER_PATCH", 32)
    monkeypatch.setattr(forensic, "VALIDATION_PATCHES", 1)
    codec, fan = network(), ConvolutionalFAN(2)
    parts = {"codec": codec.analysis_net, "context": codec.context_model, "fan": fan}
    before = {n: [p.detach().clone() for p in part.parameters()] for n, part in parts.items()}
    run = ForensicTrainer(Channel("dcn", codec), fan, RECIPE, dataset, tmp_path, 0, torch.float32)
    run.run(Budget(2), lambda _: None)
    for name, part in parts.items():
        pairs = zip(part.parameters(), before[name], strict=True)
        assert any(not torch.equal(a, b) for a, b in pairs), name
    (tmp_path / "still").mkdir()
    fixed = replace(RECIPE, trainable=())
    still = ForensicTrainer(
        Channel("dcn", network()),
        ConvolutionalFAN(2),
        fixed,
        dataset,
        tmp_path / "still",
        0,
        torch.float32,
    )
    assert all(name.startswith("fan.") for name in still.average)


def drawn_run(
    folder: Path, dataset: Dataset, loaders: int = 0, resave: bool = False
) -> ForensicTrainer:
    folder.mkdir(exist_ok=True)
    recipe = replace(RECIPE, resave=resave, implementations="both", batch=2)
    codec, fan = network(), ConvolutionalFAN(2)
    return ForensicTrainer(
        Channel("dcn", codec), fan, recipe, dataset, folder, 3, torch.float32, loaders=loaders
    )


@pytest.mark.parametrize("resave", [False, True])
def test_steps_from_tensors_alone(tmp_path: Path, dataset: Dataset, resave: bool) -> None:
    """What a GPU records of a step is what the step does without."""
    run = drawn_run(tmp_path, dataset, resave=resave)
    assert run.inputs is not None
    inputs = run.inputs(torch.Generator().manual_seed(4))
    recorded = run.captured_figures(run.objective, inputs)
    plain = run.losses(run.objective, torch.Generator().manual_seed(4))
    assert torch.equal(recorded, plain)
    assert unused_weights(run) == []
    versions, labels, rates, *passing = inputs
    shapes = [(4,), (4, 2), (4, 3), (1, 2, 18, 24), (1, 2, 64), (0, 2, 64)]
    assert [tuple(part.shape) for part in passing] == (shapes if resave else [])
    assert versions.shape == (4, 3, 32, 32)
    assert labels.tolist() == [0, 0, 1, 1]
    assert len(set(rates.tolist())) == 2
    assert run.photos is not None


def test_loaders_draw_the_same_photos() -> None:
    """However many threads torch has: the last bit of a scaled photo depends on them."""
    photo = data.astronaut()
    photos = pack([photo[i : i + 250, i : i + 250].copy() for i in (50, 150)])
    recipe = replace(RECIPE, patch=128, classes=("native", "resample"), implementations="both")
    source = FieldPhotos(photos, recipe, 2, 3, 0)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    others = Ahead(source, 1)
    try:
        for step in range(3):
            for alone, helped in zip(Ahead(source, 0).take(step), others.take(step), strict=True):
                assert torch.equal(alone, helped)
        assert torch.get_num_threads() == 3
    finally:
        others.close()
        torch.set_num_threads(threads)


def test_loaders_do_not_change_the_weights(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forensic, "PAPER_PATCH", 32)
    monkeypatch.setattr(forensic, "VALIDATION_PATCHES", 1)
    runs = [drawn_run(tmp_path / str(loaders), dataset, loaders) for loaders in (0, 2)]
    for run in runs:
        run.run(Budget(3), lambda _: None)
    for alone, helped in zip(runs[0].weights, runs[1].weights, strict=True):
        assert torch.equal(alone, helped)
