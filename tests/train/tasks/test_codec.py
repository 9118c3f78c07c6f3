"""A run is a function of its seed and budget, whatever happens to its process in between."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dcncodec.errors import OutputError, TrainingError
from dcncodec.metrics import ssim, to_unit
from dcncodec.models.dcn import DCN
from dcncodec.train.engine import run as base
from dcncodec.train.engine.checkpoint import read_average, read_header
from dcncodec.train.engine.data import Dataset
from dcncodec.train.engine.log import Log, read_log
from dcncodec.train.engine.presets import RECIPES
from dcncodec.train.engine.recipes import Recipe
from dcncodec.train.engine.run import Budget
from dcncodec.train.engine.session import unseen
from dcncodec.train.tasks.codec import CodecLoss, Trainer, validate

TINY = replace(RECIPES["fast"], batch=2, patch=16, warmup_steps=2)
PAPER = replace(RECIPES["paper"], batch=2, patch=16)


def trainer(
    folder: Path,
    dataset: Dataset,
    recipe: Recipe = TINY,
    seed: int = 0,
    precision: torch.dtype = torch.float32,
) -> Trainer:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    return Trainer(DCN(4), recipe, dataset, folder, seed, precision)


def weights(run: Trainer) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in run.codec.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("recipe", [TINY, PAPER])
def test_a_resumed_run_ends_with_the_same_weights(
    tmp_path: Path, dataset: Dataset, recipe: Recipe, precision: torch.dtype
) -> None:
    whole = trainer(tmp_path / "a", dataset, recipe, precision=precision)
    assert whole.run(Budget(5), unseen)
    part = trainer(tmp_path / "b", dataset, recipe, precision=precision)
    part.progress.step = 0
    original = part._step

    def stop_after_two(*args: object) -> Tensor:
        figures = original(*args)  # type: ignore[arg-type]
        if part.progress.step == 2:
            part.stop()
        return figures

    part._step = stop_after_two  # type: ignore[method-assign]
    assert not part.run(Budget(5), unseen)
    assert read_header(tmp_path / "b" / "checkpoint.safetensors").progress.step == 2
    rest = trainer(tmp_path / "b", dataset, recipe, precision=precision)
    assert rest.progress.step == 2
    assert rest.run(Budget(5), unseen)
    assert equal(weights(whole), weights(rest))
    assert equal(whole.average, rest.average)


def test_the_seed_decides_everything(tmp_path: Path, dataset: Dataset) -> None:
    runs = [
        trainer(tmp_path / name, dataset, seed=seed)
        for name, seed in zip("abc", (1, 1, 2), strict=True)
    ]
    assert not equal(weights(runs[0]), weights(runs[2]))
    for run in runs:
        run.run(Budget(3), unseen)
    assert equal(weights(runs[0]), weights(runs[1]))
    assert not equal(weights(runs[0]), weights(runs[2]))


def test_training_learns(tmp_path: Path, dataset: Dataset) -> None:
    run = trainer(tmp_path / "run", dataset, replace(TINY, batch=4, learning_rate=1e-2))
    before = validate(run.objective, dataset.validation)
    reports: list[dict[str, float]] = []
    run.run(Budget(60), reports.append)
    assert reports[-1]["validation_loss"] < 0.9 * before["validation_loss"]
    assert reports[-1]["step"] == 60
    assert reports[-1]["share"] == 1


def test_the_paper_loss(dataset: Dataset) -> None:
    """L2 is half the summed squares over 50 crops of 128 x 128, whatever the batch here."""
    torch.manual_seed(0)
    objective = CodecLoss(DCN(4), PAPER, torch.float32)
    pixels = to_unit(dataset.training.crops(2, 16, torch.Generator()))
    loss, mse, bpp, restored = objective(pixels)
    assert torch.allclose(mse, (restored - pixels).square().mean())
    entropy = float(bpp) * 64 / 4
    assert float(loss.detach()) == pytest.approx(
        float(mse) * 50 * 128 * 128 * 3 / 2 + 250 * entropy, rel=1e-5
    )


def test_ssim_in_the_loss(dataset: Dataset) -> None:
    losses = []
    for weight in (0.0, 1000.0):
        torch.manual_seed(0)
        objective = CodecLoss(DCN(4), replace(PAPER, lambda_ssim=weight), torch.float32)
        pixels = to_unit(dataset.training.crops(2, 16, torch.Generator()))
        loss, _, _, restored = objective(pixels)
        losses.append(float(loss.detach()))
    expected = 1000 * (1 - float(ssim(pixels, restored.detach()).mean()))
    assert expected > 100
    assert losses[1] - losses[0] == pytest.approx(expected, rel=1e-3)


def test_every_line_of_the_log_has_figures(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(base, "VALIDATION_PAUSE", 0.0)
    trainer(tmp_path, dataset).run(Budget(3), unseen)
    rows = read_log(tmp_path / "log.csv")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row["loss"] > 0 and math.isfinite(row["psnr"]) for row in rows)
    resumed = trainer(tmp_path, dataset)
    resumed.run(Budget(4), unseen)
    assert [row["step"] for row in read_log(tmp_path / "log.csv")] == [1, 2, 3, 4]


def test_validation_takes_a_small_share_of_the_time(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "CHECKPOINT_SECONDS", 0.0)
    clock = [0.0]
    monkeypatch.setattr(base.time, "monotonic", lambda: clock[0])
    run = trainer(tmp_path, dataset)
    step, validate, save = run._step, run.validate, base.save_checkpoint
    saves = []

    def timed_step(*args: object) -> Tensor:
        clock[0] += 1
        return step(*args)  # type: ignore[arg-type]

    def timed_validate() -> dict[str, float]:
        clock[0] += 2
        return validate()

    def counted_save(*args: object) -> None:
        saves.append(run.progress.step)
        save(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "_step", timed_step)
    monkeypatch.setattr(run, "validate", timed_validate)
    monkeypatch.setattr(base, "save_checkpoint", counted_save)
    run.run(Budget(40), unseen)
    # After the first one 18 steps' time must pass.
    assert [row["step"] for row in read_log(tmp_path / "log.csv")] == [1, 19, 37, 40]
    assert saves == [*range(1, 41), 40]


def test_lines_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = Log(path, 0)
    row = dict.fromkeys(("seconds", "learning_rate", "loss", "bpp", "psnr"), 1.0)
    row |= {f"validation_{name}": 1.0 for name in ("bpp", "psnr", "ssim")}
    for step in (10, 20, 30):
        log.write(row | {"step": step})
    with path.open("a") as file:
        file.write("40,1.0,0.")
    Log(path, 20)
    assert [row["step"] for row in read_log(path)] == [10, 20]
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TrainingError, match="damaged log"):
        Log(path, 20)


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.csv", 0)
    log.path = Path("/dev/full")
    with pytest.raises(OutputError, match="/dev/full: cannot write the log"):
        log.write(dict.fromkeys(("step", "seconds"), 1.0))


@pytest.mark.parametrize("culprit", ["loss", "weights"])
def test_what_is_not_finite_is_not_saved(tmp_path: Path, dataset: Dataset, culprit: str) -> None:
    trainer(tmp_path, dataset).run(Budget(2), unseen)
    checkpoint = tmp_path / "checkpoint.safetensors"
    good = checkpoint.read_bytes()
    run = trainer(tmp_path, dataset)
    original = run._step

    def poison(*args: object) -> Tensor:
        figures = original(*args)  # type: ignore[arg-type]
        if culprit == "loss":
            return figures * torch.nan
        with torch.no_grad():
            run.codec.latent_scale.fill_(torch.nan)
        return figures

    run._step = poison  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"no longer finite .*checkpoint\.safetensors"):
        run.run(Budget(3), unseen)
    assert checkpoint.read_bytes() == good


def test_a_spent_budget_trains_no_more(tmp_path: Path, dataset: Dataset) -> None:
    run = trainer(tmp_path, dataset)
    run.run(Budget(2), unseen)
    before = weights(run)
    again = trainer(tmp_path, dataset)
    assert again.run(Budget(2), unseen)
    assert equal(weights(again), before)
    assert len(read_log(tmp_path / "log.csv")) == 1


def test_budgets() -> None:
    assert Budget(100).used(50, 1e9) == 0.5
    assert Budget(None, 2).used(10**9, 60) == 0.5
    assert Budget(100, 2).used(10, 180) == 1.5


def test_without_average_the_last_weights_count(tmp_path: Path, dataset: Dataset) -> None:
    run = trainer(tmp_path, dataset, PAPER)
    run.run(Budget(2), unseen)
    average, header = read_average(tmp_path / "checkpoint.safetensors")
    assert equal(average, weights(run))
    assert header.sources == dataset.sources
    with run.averaged():
        assert equal(weights(run), average)
