"""A codec that learns to keep the fingerprints of sensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from unused_weights import unused_weights

from dcncodec.errors import UsageError
from dcncodec.forensics.channel import Channel
from dcncodec.forensics.prnu.learning import NoiseResidual, correlation
from dcncodec.models.dcn import DCN
from dcncodec.models.families.fan import LEARNS_CODEC
from dcncodec.models.fan import ConvolutionalFAN
from dcncodec.models.registry import open_folder
from dcncodec.models.vr import VR
from dcncodec.train.engine.data import Dataset, pack
from dcncodec.train.engine.presets import FORENSIC_RECIPES
from dcncodec.train.engine.recipes import ForensicRecipe
from dcncodec.train.engine.run import Budget
from dcncodec.train.tasks import forensic
from dcncodec.train.tasks.forensic import CameraTrainer, ForensicTrainer
from dcncodec.train.tasks.forensic_choices import choose
from dcncodec.train.tasks.forensic_export import export_forensic
from dcncodec.train.tasks.forensic_fans import ForensicSettings
from dcncodec.train.tasks.forensic_loss import ForensicLoss
from dcncodec.train.tasks.forensic_sensor import KeepingTrainer, SensorTrainer, taken, trainer_of

pytest.importorskip("colour_demosaicing")

SIZES = {"latent_channels": 8, "blocks": 1, "hidden": 8}
ANALYSIS = {"analysis_blocks": 1, "analysis_fine_blocks": 0}
ALONE = replace(
    FORENSIC_RECIPES["fast"],
    batch=1,
    patch=64,
    classes=(),
    keep=("prnu",),
    trainable=("dcn",),
    warmup_steps=1,
    tuning_rate=1.0,
)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    photo = data.astronaut()
    photos = pack([photo[i : i + 128, i : i + 128].copy() for i in (50, 90, 130)])
    return Dataset(photos, photos, [])


def vr() -> VR:
    torch.manual_seed(0)
    codec = VR(**SIZES, **ANALYSIS)
    patches = torch.randn(600, 192) * torch.linspace(1, 0.1, 192)
    codec.start_from_klt(patches, (ALONE.lambda_low, ALONE.lambda_high))
    return codec


def test_photos_of_sensors(dataset: Dataset) -> None:
    """The residuals of photos as they were taken correlate with the patterns of their own."""
    generator = torch.Generator().manual_seed(0)
    crops = dataset.training.crops(3, 128, generator)
    photos, patterns = taken(crops, generator)
    assert photos.shape == (3, 3, 128, 128)
    assert patterns.shape == (3, 128, 128)
    assert torch.equal((photos * 255).round() / 255, photos)
    assert 0.2 < float(patterns.std()) < 4
    noise = NoiseResidual()(photos)
    assert float(correlation(noise, patterns).min()) > 0.1
    assert float(correlation(noise, patterns.roll(1, 0)).abs().max()) < 0.05
    again = taken(crops, torch.Generator().manual_seed(1))[0]
    assert not torch.equal(photos, again)


def test_what_a_fingerprint_adds_to_the_loss(dataset: Dataset) -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    photos, patterns = taken(dataset.training.crops(2, 64, generator), generator)
    codec = DCN(4)
    losses = []
    for weight in (0.0, 7.0):
        recipe = replace(ALONE, keep_weight=weight)
        objective = ForensicLoss(Channel("dcn", codec), None, recipe, torch.float32)
        with torch.no_grad():
            figures, sent, received = objective(None, generator, None, None, photos, patterns)
        losses.append(float(figures["loss"]))
    assert torch.equal(sent, photos)
    kept = float(correlation(NoiseResidual()(received), patterns).mean())
    assert float(figures["prnu"]) == pytest.approx(kept, abs=1e-5)
    # 7 bits per pixel, each of 16 features of 4 channels.
    bit = ALONE.lambda_c * ALONE.lambda_h * 64 / 4
    assert losses[1] - losses[0] == pytest.approx(7 * bit * (1 - kept), rel=1e-3)
    assert "accuracy" not in figures


def test_a_fingerprint_is_worth_the_same_bits_at_every_rate(dataset: Dataset) -> None:
    generator = torch.Generator().manual_seed(0)
    photos, patterns = taken(dataset.training.crops(1, 64, generator), generator)
    codec = vr()
    for rate in (20, 200):
        recipe = replace(ALONE, rate_low=rate, rate_high=rate, lambda_c=1.0)
        losses = []
        for weight in (0.0, 7.0):
            loss = ForensicLoss(
                Channel("dcn", codec), None, replace(recipe, keep_weight=weight), torch.float32
            )
            with torch.no_grad():
                figures = loss(None, generator, None, None, photos, patterns)[0]
            losses.append(float(figures["loss"]))
        assert loss.rated is not None
        price = float(loss.rated.price(torch.tensor([float(rate)]))[0])
        bits = (losses[1] - losses[0]) / price
        assert bits == pytest.approx(7 * (1 - float(figures["prnu"])), rel=1e-2)


def test_a_fan_sees_no_photos_of_sensors(dataset: Dataset) -> None:
    """But all pictures cost bits and are distorted."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    recipe = replace(ALONE, classes=("native", "median"), vary_strengths=False, resave=False)
    photos, patterns = taken(dataset.training.crops(1, 64, generator), generator)
    codec, fan = vr(), ConvolutionalFAN(2)
    objective = ForensicLoss(Channel("dcn", codec), fan, recipe, torch.float32)
    with torch.no_grad():
        figures, sent, received = objective(photos, generator, None, None, photos, patterns)
        expected = torch.nn.functional.cross_entropy(fan(received[:2]), torch.tensor([0, 1]))
    assert len(sent) == 3
    assert float(figures["cross_entropy"]) == pytest.approx(float(expected), abs=1e-5)
    assert float(figures["mse"]) == pytest.approx(float((received - sent).square().mean()))


def test_a_run_and_its_export(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forensic, "PAPER_PATCH", 64)
    monkeypatch.setattr(forensic, "VALIDATION_PATCHES", 1)
    codec = vr()
    shape = {"family": "vr", **SIZES, **ANALYSIS}
    origins: dict[str, dict[str, Any]] = {
        LEARNS_CODEC: {"name": "tiny", "sha256": "ab" * 32, "architecture": shape}
    }
    before = codec.gain.detach().clone()
    trainer = trainer_of(ALONE)
    assert trainer is SensorTrainer
    run = trainer(Channel("dcn", codec), None, ALONE, dataset, tmp_path, 0, torch.float32, origins)
    rows: list[dict[str, float]] = []
    run.run(Budget(2), rows.append)
    assert not torch.equal(before, codec.gain)
    assert -1 < rows[-1]["validation_prnu"] < 1
    assert "accuracy" not in rows[-1]
    export_forensic(tmp_path, tmp_path / "kept")
    found = open_folder(tmp_path / "kept")
    assert found.geometry.rates
    assert found.card["recipe"]["keep"] == ["prnu"]
    assert "prnu" in found.card["results"]["validation"]
    assert not (tmp_path / "kept" / "fan.safetensors").exists()


def test_gains_learn_faster_than_maps(tmp_path: Path, dataset: Dataset) -> None:
    run = SensorTrainer(Channel("dcn", vr()), None, ALONE, dataset, tmp_path, 0, torch.float32)
    shares = run.optimiser.shares
    assert shares["codec.gain"] == 5
    assert shares["codec.linear_analysis.weight"] < shares["codec.analysis_net.head.weight"] < 1
    assert "codec.linear_analysis.weight" in run.optimiser.rest
    assert "codec.analysis_net.head.weight" in run.optimiser.kernels
    assert unused_weights(run) == []


def test_who_trains() -> None:
    keeping = replace(ALONE, classes=("native", "median"))
    assert trainer_of(keeping) is KeepingTrainer
    assert trainer_of(replace(keeping, keep=())) is ForensicTrainer
    assert trainer_of(replace(keeping, keep=(), nip="dnet")) is CameraTrainer


def choice(**overrides: Any) -> ForensicRecipe:
    settings = ForensicSettings((), Path("run"), model="tiny", overrides=overrides)
    return choose(settings, None, None)[0]


def test_choices() -> None:
    alone = choice(keep=("prnu",), classes=())
    assert alone.tuning_rate == 1
    assert choice(keep=("prnu",)).tuning_rate < 1
    for overrides, message in (
        ({"keep": ("dust",)}, "--keep dust: choose prnu"),
        ({"keep": ("prnu",), "trainable": ()}, "no codec learns"),
        ({"keep": ("prnu",), "downsample": True}, "halved photos"),
        ({"keep": ("prnu",), "patch": 72}, "multiple of 16, 64 or more"),
        ({"keep": ("prnu",), "patch": 32}, "multiple of 16, 64 or more"),
        ({"keep": ("prnu",), "classes": ("native",)}, "at least two"),
        ({"classes": ()}, "at least two"),
        ({"keep_weight": 2.0}, "nothing is kept"),
    ):
        with pytest.raises(UsageError, match=message):
            choice(**overrides)
    settings = ForensicSettings(
        (), Path("run"), model="tiny", fan=("x",), overrides={"keep": ("prnu",), "classes": ()}
    )
    with pytest.raises(UsageError, match="--fan x: without classes there is no FAN"):
        choose(settings, None, None)


def test_patterns_are_of_the_strength_of_gains() -> None:
    """On a grey wall: a gain of 1% to 2% in linear light is about half of it in sRGB."""
    crops = torch.full((2, 64, 64, 3), 150, dtype=torch.uint8)
    _, patterns = taken(crops, torch.Generator().manual_seed(0))
    for pattern in patterns.numpy():
        assert 0.2 < float(np.std(pattern)) < 150 * 0.02
