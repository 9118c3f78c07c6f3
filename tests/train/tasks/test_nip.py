"""Training of camera pipelines: frames, the loss, resuming, export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skimage import data as samples

from dcncodec.camera.acquisition import MEAN_CAMERA, acquire
from dcncodec.errors import TrainingError
from dcncodec.formats.dng import write_dng
from dcncodec.models.load import load_nip
from dcncodec.models.nip import DNet, INet
from dcncodec.models.registry import open_folder
from dcncodec.models.roles import Role
from dcncodec.train.engine.checkpoint import FILE
from dcncodec.train.engine.presets import NIP_RECIPES
from dcncodec.train.engine.raw_data import RawDataset, RawSet, load_frames
from dcncodec.train.engine.recipes import NipRecipe
from dcncodec.train.engine.run import Budget
from dcncodec.train.engine.session import unseen
from dcncodec.train.tasks import nip
from dcncodec.train.tasks.nip import NipLoss, NipTrainer, validate
from dcncodec.train.tasks.nip_setup import export_nip

pytest.importorskip("colour_demosaicing")

COLOURS = tuple(map(tuple, MEAN_CAMERA.round(6).tolist()))
TINY = replace(NIP_RECIPES["fast"], batch=2, patch=32, warmup_steps=2, to_srgb=COLOURS)


@pytest.fixture(scope="module")
def frames(pictures: Path) -> RawDataset:
    return load_frames([pictures], 32, 0)


@pytest.fixture(autouse=True)
def few_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nip, "VALIDATION_PARTS", 2)


def trainer(folder: Path, data: RawDataset, network: str = "dnet") -> NipTrainer:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    matrix = torch.tensor(MEAN_CAMERA).float()
    pipeline = DNet(matrix) if network == "dnet" else INet(matrix)
    recipe = replace(TINY, network=network)
    return NipTrainer(pipeline, recipe, data, folder, 5, torch.float32)


def test_simulated_frames(frames: RawDataset) -> None:
    assert (len(frames.training), len(frames.validation)) == (4, 1)
    assert frames.training.stacks[0].shape == (4, 20, 24)
    assert frames.training.pictures[0].shape == (40, 48, 3)
    assert np.array_equal(frames.to_srgb, MEAN_CAMERA)
    assert frames.sources[0].images == 5


def test_crops_of_both_show_the_same_place() -> None:
    """Stack and picture number their pixels here."""
    rows, columns = np.mgrid[:10, :12]
    picture = torch.from_numpy(np.stack([rows, columns, rows], -1).astype(np.uint8))
    stack = torch.stack([picture[y::2, x::2, 1] for y in (0, 1) for x in (0, 1)]) / 255
    both = RawSet([stack], [picture])
    stacks, pictures = both.crops(20, 4, torch.Generator().manual_seed(0))
    assert stacks.shape == (20, 4, 2, 2)
    assert pictures.shape == (20, 3, 4, 4)
    assert torch.allclose(stacks[:, 3], pictures[:, 1, 1::2, 1::2])
    assert len(pictures[:, 1, 0, 0].unique()) > 1


def test_crops_that_do_not_vary() -> None:
    flat = RawSet([torch.zeros(4, 16, 16)], [torch.zeros(32, 32, 3, dtype=torch.uint8)])
    with pytest.raises(TrainingError, match="only 0 of 8 random patches"):
        flat.crops(2, 16, torch.Generator(), varied=True)


def test_frames_of_raw_files(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    photo = np.ascontiguousarray(samples.astronaut()[:64, :80])
    for i in range(3):
        write_dng(acquire(photo, i, MEAN_CAMERA), tmp_path / f"{i}.dng")
    data = load_frames([tmp_path], 32, 0)
    assert (len(data.training), len(data.validation)) == (2, 1)
    assert data.training.pictures[0].shape == (64, 80, 3)
    assert np.allclose(data.to_srgb, MEAN_CAMERA, atol=2e-3)
    with pytest.raises(TrainingError, match="fewer than 2 RAW files of at least 64 x 64"):
        load_frames([tmp_path], 64, 0)
    write_dng(acquire(photo, 0, np.eye(3)), tmp_path / "other.dng")
    with pytest.raises(TrainingError, match="RAW files of several cameras"):
        load_frames([tmp_path], 32, 0)


def test_the_loss_is_the_mean_squared_error(frames: RawDataset) -> None:
    pipeline = INet(torch.tensor(MEAN_CAMERA).float())
    stacks, pictures = frames.training.crops(2, 16, torch.Generator())
    error, developed = NipLoss(pipeline, torch.float32)(stacks, pictures)
    assert torch.allclose(error, (pipeline(stacks) - pictures).square().mean())
    assert developed.shape == pictures.shape


def test_training_improves(tmp_path: Path, frames: RawDataset) -> None:
    run = trainer(tmp_path / "run", frames, "inet")
    before = validate(run.objective, frames.training)["validation_psnr"]
    run.run(Budget(40), unseen)
    assert validate(run.objective, frames.training)["validation_psnr"] > before + 0.5


def test_validation_leaves_batch_statistics_alone(tmp_path: Path, frames: RawDataset) -> None:
    run = trainer(tmp_path / "run", frames)
    before = {name: tensor.clone() for name, tensor in run.objective.state_dict().items()}
    first, second = run.validate(), run.validate()
    assert first == second
    after = run.objective.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert run.objective.training


def test_resume_gives_the_same_weights(tmp_path: Path, frames: RawDataset) -> None:
    """Batch normalisation's running statistics included."""
    trainer(tmp_path / "whole", frames).run(Budget(4), unseen)
    parts = trainer(tmp_path / "parts", frames)

    def stop(figures: dict[str, float]) -> None:
        if figures["step"] == 2:
            parts.stop()

    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr("dcncodec.train.engine.run.REPORT_SECONDS", 0.0)
        assert not parts.run(Budget(4), stop)
    assert trainer(tmp_path / "parts", frames).run(Budget(4), unseen)
    weights = [load_file(tmp_path / name / FILE) for name in ("whole", "parts")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


@pytest.mark.parametrize("network", ["inet", "dnet"])
def test_export(tmp_path: Path, frames: RawDataset, network: str) -> None:
    run = trainer(tmp_path / "run", frames, network)
    run.run(Budget(3), unseen)
    export_nip(tmp_path / "run", tmp_path / f"my-{network}")
    folder = open_folder(tmp_path / f"my-{network}", Role.PIPELINE)
    assert folder.card["architecture"] == {"family": "nip", "network": network}
    assert folder.card["steps"] == 3
    assert np.allclose(folder.to_srgb, MEAN_CAMERA, atol=1e-5)
    pipeline = load_nip(folder)
    assert not pipeline.training
    weights = pipeline.state_dict()
    assert all(torch.equal(weights[k], run.average[k].half().float()) for k in weights)
    text = (folder.path / "card.md").read_text()
    assert f"Camera pipeline {network}" in text
    assert "bpp" not in text
    assert NipRecipe.CHECKPOINT not in text
