"""Training of ManTra-Net: batches, stages, export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as samples

from dcncodec.cli.train_trace import command
from dcncodec.errors import ModelError, TrainingError, UsageError
from dcncodec.models.load import load_codec
from dcncodec.models.registry import find_model, open_folder
from dcncodec.models.roles import Role
from dcncodec.models.trace import SIZES, Trace
from dcncodec.train.engine.ahead import Ahead
from dcncodec.train.engine.checkpoint import Header, read_average
from dcncodec.train.engine.data import Dataset, load_images
from dcncodec.train.engine.presets import TRACE_RECIPES
from dcncodec.train.engine.recipes import TraceRecipe
from dcncodec.train.engine.run import Budget
from dcncodec.train.engine.session import unseen
from dcncodec.train.tasks import trace as task
from dcncodec.train.tasks.trace import (
    FeaturesTrainer,
    Forgeries,
    MapTrainer,
    Patches,
)
from dcncodec.train.tasks.trace_loss import prepared
from dcncodec.train.tasks.trace_setup import (
    CODECS,
    TraceSettings,
    choose,
    export_trace,
    prepare,
    train_trace,
)

TINY = replace(TRACE_RECIPES["fast"], batch=2, warmup_steps=1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i, photo in enumerate((samples.astronaut(), samples.chelsea(), samples.coffee())):
        Image.fromarray(photo[40:200, 100:260]).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def images(photos: Path) -> Dataset:
    return load_images([photos], 96)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("VALIDATION_PATCHES", 2),
        ("VALIDATION_BATCH", 2),
        ("FORGERIES", 2),
        ("FORGERY_BATCH", 2),
    ):
        monkeypatch.setattr(task, name, value)


def network() -> Trace:
    torch.manual_seed(0)
    return Trace(SIZES["8"], 25)


def quiet(_: str) -> None:
    pass


def test_batches_are_functions_of_their_step(images: Dataset) -> None:
    source = Patches(images.training, 3, 64, 7, 0)
    pixels, leaves = source(4)
    assert pixels.shape == (3, 64, 64, 3)
    assert all(torch.equal(a, b) for a, b in zip(source(4), (pixels, leaves), strict=True))
    assert not torch.equal(source(5)[0], pixels)
    assert not torch.equal(replace(source, rank=1)(4)[0], pixels)


def test_other_processes_make_the_same_batches(images: Dataset) -> None:
    source = Patches(images.training, 2, 64, 7, 0)
    ahead = Ahead(source, 1)
    try:
        ahead.begin(3)
        for step in (3, 4, 9):
            for mine, theirs in zip(source(step), ahead.take(step), strict=True):
                assert torch.equal(mine, theirs)
    finally:
        ahead.close()


def test_flat_images_are_refused(tmp_path: Path) -> None:
    for i in range(2):
        Image.new("RGB", (100, 100), (9, 9, 9)).save(tmp_path / f"{i}.png")
    flat = load_images([tmp_path], 96)
    with pytest.raises(TrainingError, match="hardly any part of 96 pixels"):
        Patches(flat.training, 2, 64, 0, 0)(0)


def test_features_learn_and_a_run_is_resumed(tmp_path: Path, images: Dataset) -> None:
    steady = replace(TINY, schedule="constant")

    def run(folder: Path) -> FeaturesTrainer:
        folder.mkdir(exist_ok=True)
        return FeaturesTrainer(network(), steady, images, folder, 5, torch.float32)

    whole = run(tmp_path / "whole")
    anomaly = whole.trace.anomaly.adapt.weight.clone()
    assert whole.run(Budget(2), unseen)
    run(tmp_path / "parts").run(Budget(1), unseen)
    parts = run(tmp_path / "parts")
    assert parts.progress.step == 1
    parts.run(Budget(2), unseen)
    for one, other in zip(whole.trace.parameters(), parts.trace.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(whole.trace.decision.weight, network().decision.weight)
    assert torch.equal(whole.trace.anomaly.adapt.weight, anomaly)
    average, header = read_average(tmp_path / "whole" / "checkpoint.safetensors", TraceRecipe)
    assert header.progress.step == 2
    assert {"features.plain.weight", "decision.weight", "anomaly.floor"} <= average.keys()
    # The constraint holds after every step.
    assert float(whole.trace.features.bayar.weight.detach().sum(1).abs().max()) < 1e-4


@pytest.mark.parametrize("stage", ["anomaly", "joint"])
def test_maps_learn_with_features_that_stay_or_not(
    tmp_path: Path, images: Dataset, stage: str
) -> None:
    recipe = replace(TINY, stage=stage)
    trainer = MapTrainer(network(), recipe, images, tmp_path, 5, torch.float32)
    trainer.run(Budget(2), unseen)
    fresh = network()
    assert not torch.equal(trainer.trace.anomaly.enter.weight, fresh.anomaly.enter.weight)
    stayed = torch.equal(trainer.trace.features.layers[0].weight, fresh.features.layers[0].weight)
    assert stayed == (stage == "anomaly")
    assert torch.equal(trainer.trace.decision.weight, fresh.decision.weight)
    text = (tmp_path / "log.csv").read_text()
    assert "validation_auc" in text


def test_a_codec_changes_its_patches_alone(tmp_path: Path, images: Dataset) -> None:
    folder = find_model("dcn-16c")
    channel = (load_codec(folder), folder.geometry)
    recipe = replace(TINY, stage="anomaly")
    trainer = MapTrainer(network(), recipe, images, tmp_path, codecs=[channel])
    pixels, _, _ = Forgeries(images.training, 2, 64, 0, 0, 0)(0)
    sent = trainer.sent(pixels, torch.tensor([-1, 0]), torch.Generator())
    assert torch.equal(sent[0], prepared(pixels)[0])
    error = (sent[1] - prepared(pixels)[1]).abs()
    assert 0 < float(error.mean()) < 0.1
    assert torch.equal((sent * 255).round() / 255, sent)


def settings(photos: Path, folder: Path, **more: object) -> TraceSettings:
    stage = more.pop("stage", None)
    overrides = {"batch": 2, "codecs": ()} | ({"stage": stage, "patch": 64} if stage else {})
    return TraceSettings(
        (photos,), folder, overrides=overrides, max_steps=1, device="cpu", precision="fp32", **more
    )  # type: ignore[arg-type]


def test_stage_after_stage(tmp_path: Path, photos: Path) -> None:
    first = tmp_path / "trace-features"
    assert train_trace(settings(photos, tmp_path / "f", export=first), quiet, unseen) == 0
    card = open_folder(first, Role.LOCALISER).card
    assert card["stage"] == "features"
    assert card["results"]["validation"].keys() == {"accuracy", "families"}
    last = tmp_path / "my-trace"
    later = settings(photos, tmp_path / "a", stage="anomaly", init=str(first), export=last)
    assert train_trace(later, quiet, unseen) == 0
    card = open_folder(last, Role.LOCALISER).card
    assert (card["stage"], card["init"]) == ("anomaly", "trace-features")
    assert card["threshold"] is None
    assert export_trace(tmp_path / "a", tmp_path / "again") == card["sha256"]


def test_filters_from_a_file_outlive_the_first_step(tmp_path: Path, photos: Path) -> None:
    chosen = settings(photos, tmp_path, stage="anomaly", init="trace-8")
    trainer, _ = prepare(chosen, torch.device("cpu"), quiet)
    filters = trainer.trace.features.bayar.weight.detach()
    before = filters.clone()
    trainer.trace.constrain()
    assert float(((filters - before).norm(dim=1) / before.norm(dim=1)).max()) < 0.01


def test_choices_that_make_no_sense(tmp_path: Path, photos: Path) -> None:
    def refused(**overrides: object) -> None:
        choose(TraceSettings((photos,), tmp_path, overrides=overrides), None, None)

    with pytest.raises(UsageError, match="--stage anomaly goes on with what an earlier stage"):
        refused(stage="anomaly")
    with pytest.raises(UsageError, match="--patch 60: choose a multiple of 8 of at least 64"):
        refused(patch=60)
    with pytest.raises(UsageError, match="--classes 26: choose 7, 25, 49"):
        refused(classes=26)
    with pytest.raises(UsageError, match="--size huge: choose paper, 12, 8"):
        refused(size="huge")


def test_a_run_keeps_its_stage_and_size(tmp_path: Path, photos: Path) -> None:
    folder, exported = tmp_path / "f", tmp_path / "my-trace"
    train_trace(settings(photos, folder, export=exported), quiet, unseen)
    other = replace(settings(photos, folder), overrides={"size": "12"})
    with pytest.raises(TrainingError, match="trains size 8, not 12"):
        train_trace(other, quiet, unseen)
    start = open_folder(exported, Role.LOCALISER)
    wanted = TraceSettings((photos,), tmp_path, overrides={"stage": "joint", "classes": 49})
    with pytest.raises(ModelError, match="has classes 25; add --classes 25"):
        choose(wanted, None, start)


def test_a_resumed_run_keeps_the_shape_that_it_began_with(tmp_path: Path) -> None:
    """The same command goes on, whatever the preset's shape is."""
    for preset in (None, "fast", "paper"):
        begun = replace(TRACE_RECIPES[preset or "fast"], size="12", classes=49)
        found, _ = choose(TraceSettings((), tmp_path, preset=preset), Header(0, begun), None)
        assert found == begun


def test_the_papers_recipe() -> None:
    recipe, _ = choose(TraceSettings((), Path("run"), preset="paper"), None, None)
    assert (recipe.size, recipe.classes, recipe.batch, recipe.patch) == ("paper", 385, 64, 128)
    assert recipe.learning_rate == 1e-4
    assert np.isclose(recipe.rate_at(0, 0.0, 100), 1e-4)


def test_help_names_the_codecs_that_it_takes_by_default() -> None:
    (option,) = (p for p in command.params if p.name == "codecs")
    assert f"[default: {', '.join(CODECS[:-1])} and {CODECS[-1]}]" in str(
        option.to_info_dict()["help"]
    )
