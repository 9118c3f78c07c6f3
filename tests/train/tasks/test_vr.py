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

from dcncodec.errors import TrainingError, UsageError
from dcncodec.models.load import load_vr
from dcncodec.models.registry import open_folder
from dcncodec.models.vr import VR
from dcncodec.train.engine.checkpoint import FILE, read_header
from dcncodec.train.engine.data import Dataset, load_images
from dcncodec.train.engine.log import read_log
from dcncodec.train.engine.recipes import VR_RECIPES, VRRecipe
from dcncodec.train.engine.run import LOG_FILE, Budget
from dcncodec.train.tasks import vr
from dcncodec.train.tasks.vr import VRLoss, VRTrainer, klt_patches
from dcncodec.train.tasks.vr_setup import VRSettings, export_vr, finishing, train_vr

TINY = replace(
    VR_RECIPES["fast"], batch=2, patch=16, warmup_steps=2, latent_channels=6, blocks=1, hidden=12
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
    network = VR(recipe.latent_channels, recipe.blocks, recipe.hidden)
    network.start_from_klt(klt_patches(dataset.training, 0), (0.0005, 0.16))
    return VRTrainer(network, recipe, dataset, folder, 3, torch.float32)


def ignore(_: dict[str, float]) -> None:
    pass


def settings(folder: Path, pictures: Path, **more: object) -> VRSettings:
    shape = {"latent_channels": 6, "blocks": 1, "hidden": 12, "batch": 2, "patch": 16}
    given: dict[str, object] = {"overrides": shape, "max_steps": 4, "precision": "fp32"}
    return VRSettings((pictures,), folder, device="cpu", **(given | more))  # type: ignore[arg-type]


def test_the_loss_is_rate_and_distortion() -> None:
    torch.manual_seed(0)
    objective = VRLoss(VR(6, 1, 12), replace(TINY, balance=0.0), torch.float32)
    objective.requires_grad_(False)
    pixels, noise = torch.rand(2, 3, 16, 16), torch.rand(2, 6, 2, 2) - 0.5
    for rate, weight in ((0.0, 0.0005), (255.0, 0.16), (127.5, math.sqrt(0.0005 * 0.16))):
        loss, mse, bpp = objective(pixels, torch.full((2,), rate), noise)
        assert float(loss) == pytest.approx(float(bpp + weight * 255**2 * mse), rel=1e-4)


def test_gradients_against_finite_differences() -> None:
    """Where rounding does not come between: of the context model and of the synthesis.

    Steps are wide and the tolerance is too, because parts of the network are always float32.
    """
    torch.manual_seed(0)
    network = VR(4, 1, 8).double()
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
    run.run(Budget(100), ignore)
    assert loss() < 0.95 * before


def test_resume_gives_the_same_weights(tmp_path: Path, dataset: Dataset) -> None:
    trainer(tmp_path / "whole", dataset).run(Budget(4), ignore)
    assert trainer(tmp_path / "parts", dataset).run(Budget(2), ignore)
    assert trainer(tmp_path / "parts", dataset).run(Budget(4), ignore)
    weights = [load_file(tmp_path / name / FILE) for name in ("whole", "parts")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_two_workers_are_one_with_their_batch(tmp_path: Path, pictures: Path) -> None:
    weights = []
    for workers in (1, 2):
        folder = tmp_path / f"run{workers}"
        assert not train_vr(settings(folder, pictures, workers=workers), print, ignore)
        weights.append(load_file(folder / FILE))
    for name, tensor in weights[0].items():
        if name.startswith("model."):
            torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-4)


def test_a_worker_that_fails_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        train_vr(settings(tmp_path / "run", tmp_path / "nothing", workers=2), print, ignore)


def test_a_copy_is_finished_and_the_run_stays(tmp_path: Path, pictures: Path) -> None:
    run = tmp_path / "run"
    train_vr(settings(run, pictures), print, ignore)
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
        train_vr(settings(tmp_path, pictures, decay_minutes=1.0), print, ignore)


def test_export_and_load(tmp_path: Path, dataset: Dataset) -> None:
    run = trainer(tmp_path / "run", dataset)
    run.run(Budget(2), ignore)
    export_vr(tmp_path / "run", tmp_path / "my-vr")
    folder = open_folder(tmp_path / "my-vr")
    assert folder.card["architecture"] == {
        "family": "vr",
        "latent_channels": 6,
        "blocks": 1,
        "hidden": 12,
    }
    network = load_vr(folder)
    weights = network.state_dict()
    assert all(torch.equal(weights[k], run.average[k].half().float()) for k in weights)
    assert "Codec for all rates" in (tmp_path / "my-vr" / "card.md").read_text()


def test_starting_from_a_model(tmp_path: Path, pictures: Path, dataset: Dataset) -> None:
    trainer(tmp_path / "run", dataset).run(Budget(2), ignore)
    export_vr(tmp_path / "run", tmp_path / "my-vr")
    again = settings(tmp_path / "again", pictures, init=str(tmp_path / "my-vr"), overrides={})
    train_vr(replace(again, overrides={"batch": 2, "patch": 16}, max_steps=1), print, ignore)
    header = read_header(tmp_path / "again" / FILE, VRRecipe)
    assert isinstance(header.recipe, VRRecipe)
    assert (header.init, header.recipe.latent_channels, header.recipe.hidden) == ("my-vr", 6, 12)


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
        train_vr(settings(tmp_path, pictures, overrides=overrides), print, ignore)


def test_another_network_is_not_resumed(tmp_path: Path, pictures: Path) -> None:
    train_vr(settings(tmp_path / "run", pictures, max_steps=1), print, ignore)
    other = settings(tmp_path / "run", pictures, overrides={"latent_channels": 7})
    with pytest.raises(TrainingError, match="its network has latent_channels 6, not 7"):
        train_vr(other, print, ignore)


def test_rates_of_the_validation(tmp_path: Path, dataset: Dataset) -> None:
    """More bits and a better picture at every higher rate, from the start."""
    run = trainer(tmp_path / "run", dataset)
    points: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = vr.measure(run.objective, run.crops)  # type: ignore[arg-type]
    assert points.shape == (2, 6, 2)
    assert bool((np.diff(points.mean(0), axis=0) > 0).all())
