"""Training of the family vr: gradients, learning, resuming, workers, finished copies, export."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from skimage import data as samples
from torch import Tensor

from dcncodec.errors import TrainingError, UsageError
from dcncodec.models.context import bits
from dcncodec.models.load import load_vr
from dcncodec.models.registry import open_folder
from dcncodec.models.vr import VR
from dcncodec.train.engine.checkpoint import FILE, read_header
from dcncodec.train.engine.data import Dataset, load_images
from dcncodec.train.engine.log import read_log
from dcncodec.train.engine.presets import VR_RECIPES
from dcncodec.train.engine.recipes import VRRecipe
from dcncodec.train.engine.run import LOG_FILE, Budget
from dcncodec.train.engine.session import unseen
from dcncodec.train.engine.similarity import similarities
from dcncodec.train.tasks import vr
from dcncodec.train.tasks.vr import VRLoss, VRTrainer, klt_patches, rounded_bits
from dcncodec.train.tasks.vr_setup import (
    VRSettings,
    export_vr,
    finishing,
    grown,
    shape_of,
    train_vr,
)

TINY = replace(
    VR_RECIPES["fast"],
    batch=2,
    patch=16,
    warmup_steps=2,
    latent_channels=6,
    blocks=1,
    hidden=12,
    analysis_blocks=1,
    analysis_fine_blocks=1,
)

STEP = 1e-3
"""Of finite differences."""


@pytest.fixture(autouse=True)
def few_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vr, "VALIDATION_CROPS", 2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("photos")
    Image.fromarray(samples.astronaut()[:256, :256]).save(folder / "a.png")
    Image.fromarray(samples.coffee()[:256, :256]).save(folder / "b.png")
    return folder


def trainer(folder: Path, dataset: Dataset, recipe: VRRecipe = TINY) -> VRTrainer:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    network = VR(**shape_of(recipe))
    network.start_from_klt(klt_patches(dataset.training, 0), (TINY.lambda_low, TINY.lambda_high))
    return VRTrainer(network, recipe, dataset, folder, 3, torch.float32)


def settings(folder: Path, pictures: Path, **more: object) -> VRSettings:
    chosen = shape_of(TINY) | {"batch": 2, "patch": 16}
    given: dict[str, object] = {"overrides": chosen, "max_steps": 4, "precision": "fp32"}
    return VRSettings((pictures,), folder, device="cpu", **(given | more))  # type: ignore[arg-type]


def test_the_loss_is_rate_and_distortion() -> None:
    torch.manual_seed(0)
    objective = VRLoss(VR(**shape_of(TINY)), replace(TINY, balance=0.0), torch.float32)
    objective.requires_grad_(False)
    pixels, noise = torch.rand(2, 3, 16, 16), torch.rand(2, 6, 2, 2) - 0.5
    low, high = TINY.lambda_low, TINY.lambda_high
    for rate, weight in ((0.0, low), (255.0, high), (127.5, math.sqrt(low * high))):
        loss, mse, bpp = objective(pixels, torch.full((2,), rate), noise)
        assert float(loss) == pytest.approx(float(bpp + weight * 255**2 * mse), rel=1e-4)


def test_likeness_is_a_share_of_the_distortion() -> None:
    torch.manual_seed(0)
    recipe = replace(TINY, ssim_share=0.2, ms_ssim_share=0.3)
    network = VR(**shape_of(TINY)).requires_grad_(False)
    pixels, restored = torch.rand(2, 3, 168, 168), torch.rand(2, 3, 168, 168)
    mse = (pixels - restored).square().mean((1, 2, 3))
    ssim, ms_ssim = similarities(pixels, restored)
    assert ms_ssim is not None
    expected = 0.5 * 255**2 * mse + 0.2 * 400 * (1 - ssim) + 0.3 * 1300 * (1 - ms_ssim)
    found = VRLoss(network, recipe, torch.float32).distortion(pixels, restored, mse)
    torch.testing.assert_close(found, expected)
    plain = VRLoss(network, TINY, torch.float32).distortion(pixels, restored, mse)
    torch.testing.assert_close(plain, 255**2 * mse)


def test_the_rate_is_that_of_rounded_latents_or_of_noisy_ones(
    tmp_path: Path, dataset: Dataset
) -> None:
    """What is counted without noise is what validations count."""
    run = trainer(tmp_path / "rounded", dataset)
    assert isinstance(run.objective, VRLoss)
    pixels, rate = run.inputs(torch.Generator().manual_seed(0))
    bpp = run.objective(pixels, rate)[2]
    sent = run.objective.transmit(pixels, rate, None)[1].mean()
    torch.testing.assert_close(bpp, sent.detach())
    noisy = trainer(tmp_path / "noisy", dataset, replace(TINY, noise=True))
    _, _, noise = noisy.inputs(torch.Generator().manual_seed(0))
    assert noise.shape == (2, 6, 2, 2)
    assert float(noise.abs().max()) <= 0.5


def test_the_slope_of_rounded_bits_is_that_of_noisy_ones() -> None:
    """The value is that of the code words; half way between them the slope is their difference."""
    latent = torch.tensor([0.5, -0.3, 1.7], requires_grad=True)
    mean, log_scale = torch.tensor([0.1, 0.0, 2.0]), torch.tensor([-1.0, 0.2, -0.5])
    spent = rounded_bits(latent, mean, log_scale)
    with torch.no_grad():
        torch.testing.assert_close(spent, bits(latent.round(), mean, log_scale))
    spent.sum().backward()
    assert latent.grad is not None
    zero, one = (bits(torch.tensor(word), mean[0], log_scale[0]) for word in (0.0, 1.0))
    assert float(latent.grad[0]) == pytest.approx(float(one - zero))
    even = torch.linspace(-0.5, 0.5, 10_001)
    steps = [
        bits(latent.detach()[:, None] + d + even, mean[:, None], log_scale[:, None]).mean(1)
        for d in (-0.001, 0.001)
    ]
    torch.testing.assert_close(latent.grad, (steps[1] - steps[0]) / 0.002, rtol=0.01, atol=0.01)


def test_distortion_pulls_at_latents_where_they_are(dataset: Dataset) -> None:
    """With the error of rounding, at the start, the slope is that of the picture without it."""
    network = VR(**shape_of(TINY)).requires_grad_(False)
    network.start_from_klt(klt_patches(dataset.training, 0), (TINY.lambda_low, TINY.lambda_high))
    objective = VRLoss(network, TINY, torch.float32)
    pixels, rate = torch.rand(2, 3, 16, 16), torch.tensor([40.0, 200.0])
    latent = network.analysis(pixels, rate).requires_grad_()
    sent = latent + (latent.round() - latent).detach()

    def error(words: Tensor) -> Tensor:
        return (network.synthesis(words, rate) - pixels).square().sum((1, 2, 3))

    total = error(sent) + objective.rounding_error(latent, rate)
    (found,) = torch.autograd.grad(total.sum(), latent)
    (smooth,) = torch.autograd.grad(error(latent).sum(), latent)
    torch.testing.assert_close(found, smooth, rtol=1e-3, atol=1e-4)
    (rounded,) = torch.autograd.grad(error(sent).sum(), latent)
    assert not torch.allclose(rounded, smooth, rtol=0.1)


def test_parts_learn_at_their_own_rates(tmp_path: Path, dataset: Dataset) -> None:
    """A share of zero leaves a part as it was."""
    recipe = replace(TINY, network_share=0.0, linear_share=0.0)
    run = trainer(tmp_path / "run", dataset, recipe)
    before = {k: v.clone() for k, v in run.trained.state_dict().items()}
    run.run(Budget(2), unseen)
    changed = {
        k.split(".")[0] for k, v in run.trained.state_dict().items() if (v != before[k]).any()
    }
    assert changed == {"gain", "degain", "context_model"}


def test_gradients_against_finite_differences() -> None:
    """Where rounding does not come between: of the context model and of the synthesis.

    Steps are wide and the tolerance is too, because parts of the network are always float32.
    """
    torch.manual_seed(0)
    network = VR(4, 1, 8, 1, 1).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    objective = VRLoss(network, replace(TINY, latent_channels=4, hidden=8), torch.float32)
    pixels = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    rate, noise = torch.tensor([99.0]), torch.rand(1, 4, 2, 2, dtype=torch.float64) - 0.5
    for parameter in (
        network.context_model.mean.weight,
        network.context_model.rate_scale,
        network.context_model.hidden.bias,
        network.synthesis_net.tail[-1].weight,
        network.degain,
        network.linear_synthesis.weight,
    ):
        assert isinstance(parameter, torch.nn.Parameter)
        network.zero_grad()
        objective(pixels, rate, noise)[0].backward()
        gradient = parameter.grad
        assert gradient is not None
        index = int(gradient.abs().argmax())
        values = []
        for step in (-STEP, STEP):
            with torch.no_grad():
                parameter.view(-1)[index] += step
                values.append(float(objective(pixels, rate, noise)[0]))
                parameter.view(-1)[index] -= step
        slope = (values[1] - values[0]) / (2 * STEP)
        assert slope == pytest.approx(float(gradient.flatten()[index]), rel=0.02, abs=1e-5)


def test_it_learns_two_photos(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A narrow network: the loss at the same crops, rates and noise, before and after."""
    monkeypatch.setattr("dcncodec.models.vr.WIDTH", 32)
    monkeypatch.setattr("dcncodec.models.vr.FINE_WIDTH", 16)
    dataset = load_images([photos], 32)
    recipe = replace(TINY, batch=4, patch=32, latent_channels=24, hidden=48, synthetic=0.0)
    run = trainer(tmp_path / "run", dataset, recipe)

    def loss() -> float:
        with torch.no_grad():
            draws = (torch.Generator().manual_seed(seed) for seed in range(8))
            return float(np.mean([float(run.losses(run.objective, draw)[0]) for draw in draws]))

    before = loss()
    run.run(Budget(100), unseen)
    assert loss() < 0.95 * before


def test_resume_gives_the_same_weights(tmp_path: Path, dataset: Dataset) -> None:
    trainer(tmp_path / "whole", dataset).run(Budget(4), unseen)
    assert trainer(tmp_path / "parts", dataset).run(Budget(2), unseen)
    assert trainer(tmp_path / "parts", dataset).run(Budget(4), unseen)
    weights = [load_file(tmp_path / name / FILE) for name in ("whole", "parts")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_two_workers_are_one_with_their_batch(tmp_path: Path, pictures: Path) -> None:
    weights = []
    for workers in (1, 2):
        folder = tmp_path / f"run{workers}"
        # Adam makes whole steps of gradients that are next to nothing, whatever their rounding.
        chosen = shape_of(TINY) | {"batch": 2, "patch": 16, "learning_rate": 1e-4}
        few = settings(folder, pictures, workers=workers, overrides=chosen)
        assert not train_vr(few, print, unseen)
        weights.append(load_file(folder / FILE))
    for name, tensor in weights[0].items():
        if name.startswith("model."):
            torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-4)


def test_a_worker_that_fails_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        train_vr(settings(tmp_path / "run", tmp_path / "nothing", workers=2), print, unseen)


def test_a_copy_is_finished_and_the_run_stays(tmp_path: Path, pictures: Path) -> None:
    run = tmp_path / "run"
    train_vr(settings(run, pictures), print, unseen)
    before = (run / FILE).read_bytes()
    finish = settings(run, pictures, max_steps=None, decay_minutes=0.02, export=tmp_path / "my-vr")
    reports: list[dict[str, float]] = []
    assert not train_vr(finish, print, reports.append)
    assert all(figures["left"] <= 1.2 for figures in reports)
    assert (run / FILE).read_bytes() == before
    header = read_header(run / "decay" / FILE, VRRecipe)
    assert isinstance(header.recipe, VRRecipe)
    assert header.recipe.schedule == "linear"
    assert header.recipe.decay_from == (4, read_header(run / FILE, VRRecipe).progress.seconds)
    assert header.progress.step > 4
    rows = read_log(run / "decay" / LOG_FILE, VRTrainer.COLUMNS)
    assert rows[0]["step"] == 4
    assert rows[-1]["learning_rate"] < 0.5 * rows[0]["learning_rate"]
    assert open_folder(tmp_path / "my-vr").card["steps"] == header.progress.step
    # One that is finished makes room for a new one; one that is not goes on.
    assert finishing(finish).folder == run / "decay"
    assert read_header(run / "decay" / FILE, VRRecipe).progress.step == 4
    assert finishing(replace(finish, decay_minutes=9.0)).folder == run / "decay"


def test_a_finished_copy_has_one_budget(tmp_path: Path, pictures: Path) -> None:
    with pytest.raises(UsageError, match="--decay-minutes is a budget of its own"):
        train_vr(settings(tmp_path, pictures, decay_minutes=1.0), print, unseen)


def test_export_and_load(tmp_path: Path, dataset: Dataset) -> None:
    run = trainer(tmp_path / "run", dataset)
    run.run(Budget(2), unseen)
    export_vr(tmp_path / "run", tmp_path / "my-vr")
    folder = open_folder(tmp_path / "my-vr")
    assert folder.card["architecture"] == {
        "family": "vr",
        "latent_channels": 6,
        "blocks": 1,
        "hidden": 12,
        "analysis_blocks": 1,
        "analysis_fine_blocks": 1,
    }
    network = load_vr(folder)
    weights = network.state_dict()
    assert all(torch.equal(weights[k], run.average[k].half().float()) for k in weights)
    assert "Codec for all rates" in (tmp_path / "my-vr" / "card.md").read_text()


def test_starting_from_a_model(tmp_path: Path, pictures: Path, dataset: Dataset) -> None:
    trainer(tmp_path / "run", dataset).run(Budget(2), unseen)
    export_vr(tmp_path / "run", tmp_path / "my-vr")
    again = settings(tmp_path / "again", pictures, init=str(tmp_path / "my-vr"), overrides={})
    train_vr(replace(again, overrides={"batch": 2, "patch": 16}, max_steps=1), print, unseen)
    header = read_header(tmp_path / "again" / FILE, VRRecipe)
    assert isinstance(header.recipe, VRRecipe)
    assert (header.init, header.recipe.latent_channels, header.recipe.hidden) == ("my-vr", 6, 12)


def test_other_lambdas_move_the_rates_of_a_model(tmp_path: Path, dataset: Dataset) -> None:
    """The same function at the same lambda; its own lambdas where none are asked for."""
    run = trainer(tmp_path / "run", dataset, replace(TINY, lambda_low=0.001, lambda_high=0.128))
    run.run(Budget(2), unseen)
    export_vr(tmp_path / "run", tmp_path / "my-vr")
    start = open_folder(tmp_path / "my-vr")
    same, recipe = grown(start, settings(tmp_path / "a", tmp_path, overrides={}), TINY)
    assert (recipe.lambda_low, recipe.lambda_high) == (0.001, 0.128)
    assert torch.equal(same.gain, load_vr(start).gain)
    twice = {"lambda_low": 0.002, "lambda_high": 0.256}  # one knot further
    moved, recipe = grown(start, settings(tmp_path / "b", tmp_path, overrides=twice), TINY)
    assert (recipe.lambda_low, recipe.lambda_high) == (0.002, 0.256)
    pixels, knot = torch.rand(1, 3, 32, 32), 255 / 7
    for old, new in ((2 * knot, knot), (255.0, 255 - knot)):
        before = same.analysis(pixels, torch.tensor([old]))
        assert torch.allclose(moved.analysis(pixels, torch.tensor([new])), before, atol=1e-4)
    assert torch.allclose(moved.gain[-1], 2 * same.gain[-1] - same.gain[-2], atol=1e-5)
    backwards = settings(tmp_path / "c", tmp_path, overrides={"lambda_low": 0.2})
    with pytest.raises(UsageError, match="--lambda-low: choose less than --lambda-high"):
        grown(start, backwards, TINY)


def test_growing_from_a_model(tmp_path: Path, dataset: Dataset) -> None:
    """More blocks, and the same function to begin with."""
    run = trainer(tmp_path / "run", dataset, replace(TINY, analysis_fine_blocks=0))
    run.run(Budget(2), unseen)
    export_vr(tmp_path / "run", tmp_path / "my-vr")
    start = open_folder(tmp_path / "my-vr")
    more = {"blocks": 2, "analysis_blocks": 3, "analysis_fine_blocks": 1}
    chosen = settings(tmp_path / "again", tmp_path, overrides=more)
    network, recipe = grown(start, chosen, TINY)
    assert (recipe.blocks, recipe.analysis_blocks, recipe.analysis_fine_blocks) == (2, 3, 1)
    assert len(network.analysis_net.blocks) == 3
    pixels, rate = torch.rand(1, 3, 32, 32), torch.tensor([77.0])
    small = load_vr(start)
    with torch.no_grad():
        latent = small.analysis(pixels, rate)
        torch.testing.assert_close(network.analysis(pixels, rate), latent)
        torch.testing.assert_close(network.synthesis(latent, rate), small.synthesis(latent, rate))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"blocks": 0}, "--blocks 0: my-vr has 1"),
        ({"hidden": 24}, "--hidden 24: my-vr has 12"),
        ({"latent_channels": 7}, "--channels 7: my-vr has 6"),
    ],
)
def test_what_a_model_cannot_become(
    tmp_path: Path, dataset: Dataset, overrides: dict[str, int], message: str
) -> None:
    trainer(tmp_path / "run", dataset).run(Budget(1), unseen)
    export_vr(tmp_path / "run", tmp_path / "my-vr")
    chosen = settings(tmp_path / "again", tmp_path, overrides=overrides)
    with pytest.raises(UsageError, match=message):
        grown(open_folder(tmp_path / "my-vr"), chosen, TINY)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"patch": 20}, "--patch 20: choose a multiple of 8"),
        ({"latent_channels": 193}, "--channels 193: choose at most 192"),
        ({"lambda_low": 1.0}, "--lambda-low: choose less than --lambda-high"),
    ],
)
def test_choices_that_make_no_sense(
    tmp_path: Path, pictures: Path, overrides: dict[str, float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train_vr(settings(tmp_path, pictures, overrides=overrides), print, unseen)


def test_another_network_is_not_resumed(tmp_path: Path, pictures: Path) -> None:
    train_vr(settings(tmp_path / "run", pictures, max_steps=1), print, unseen)
    other = settings(tmp_path / "run", pictures, overrides={"latent_channels": 7})
    with pytest.raises(TrainingError, match="its network has latent_channels 6, not 7"):
        train_vr(other, print, unseen)


def test_rates_of_the_validation(tmp_path: Path, dataset: Dataset) -> None:
    """More bits and a better picture at every higher rate, from the start."""
    run = trainer(tmp_path / "run", dataset)
    points: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = vr.measure(run.objective, run.crops)  # type: ignore[arg-type]
    assert points.shape == (2, 6, 4)
    assert bool((np.diff(points[..., :2].mean(0), axis=0) > 0).all())
    assert bool(np.isnan(points[..., 3]).all())  # crops too small for MS-SSIM
