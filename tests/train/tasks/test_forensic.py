"""Joint training of codec and forensic network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from skimage import data
from unused_weights import unused_weights

from dcncodec.camera.acquisition import MEAN_CAMERA
from dcncodec.errors import TrainingError
from dcncodec.forensics.channel import Channel
from dcncodec.forensics.manipulations import CLASSES as PAPER_CLASSES
from dcncodec.metrics import ssim, to_unit
from dcncodec.models.dcn import DCN
from dcncodec.models.families.fan import NETWORKS
from dcncodec.models.fan import ConvolutionalFAN
from dcncodec.models.nip import INet
from dcncodec.models.spectral_fan import SpectralFAN
from dcncodec.train.engine.checkpoint import FILE, Header, read_header
from dcncodec.train.engine.data import Dataset, pack
from dcncodec.train.engine.log import read_log
from dcncodec.train.engine.presets import FORENSIC_RECIPES
from dcncodec.train.engine.raw_data import RawDataset, load_frames
from dcncodec.train.engine.recipes import ForensicRecipe, Recipe
from dcncodec.train.engine.run import Budget
from dcncodec.train.engine.session import unseen
from dcncodec.train.tasks import forensic
from dcncodec.train.tasks.forensic import CameraTrainer, ForensicTrainer
from dcncodec.train.tasks.forensic_choices import choose
from dcncodec.train.tasks.forensic_fans import ForensicSettings
from dcncodec.train.tasks.forensic_loss import ForensicLoss

CLASSES = ("native", "gaussian", "jpeg")
TINY = replace(
    FORENSIC_RECIPES["fast"],
    batch=2,
    patch=16,
    classes=CLASSES,
    warmup_steps=2,
    implementations="paper",
    grid="aligned",
    history="none",
    retake=False,
    vary_strengths=False,
    resave=False,
)
ORIGINS = {"dcn": {"name": "tiny", "sha256": "ab" * 32}}
JOINT = replace(TINY, trainable=("dcn",))


@pytest.fixture(autouse=True)
def small_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forensic, "PAPER_PATCH", 32)
    monkeypatch.setattr(forensic, "VALIDATION_PATCHES", 2)


def trainer(folder: Path, data: Dataset, recipe: ForensicRecipe = JOINT) -> ForensicTrainer:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    codec = DCN(4) if recipe.channel == "dcn" else None
    channel = Channel(recipe.channel, codec)
    if (folder / FILE).exists():
        recipe = read_header(folder / FILE, ForensicRecipe).recipe  # type: ignore[assignment]
    return ForensicTrainer(
        channel, ConvolutionalFAN(3), recipe, data, folder, 5, torch.float32, ORIGINS
    )


def test_the_loss(dataset: Dataset) -> None:
    """Equation 9: cross-entropy plus lambda_c times the codec's own loss."""
    torch.manual_seed(0)
    codec, fan = DCN(4), ConvolutionalFAN(3)
    recipe = replace(JOINT, lambda_c=0.25)
    objective = ForensicLoss(Channel("dcn", codec), fan, recipe, torch.float32)
    photos = to_unit(dataset.training.crops(2, 16, torch.Generator()))
    figures, sent, received = objective(photos, torch.Generator())
    assert sent.shape == received.shape == (6, 3, 16, 16)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    expected = torch.nn.functional.cross_entropy(fan(received), labels)
    mse = (received - sent).square().mean()
    entropy = figures["bpp"] * 64 / 4
    codec_loss = mse * (50 * 128 * 128 * 3 / 2) + recipe.lambda_h * entropy
    codec_loss = codec_loss + recipe.lambda_ssim * (1 - ssim(sent, received).mean())
    assert torch.allclose(figures["cross_entropy"], expected)
    assert torch.allclose(figures["loss"], expected + 0.25 * codec_loss)


def test_a_critic_shows_the_codec_what_it_loses(dataset: Dataset) -> None:
    """Its weights stay; its gradient reaches the codec and not the FAN."""
    torch.manual_seed(0)
    codec, fan, critic = DCN(4), ConvolutionalFAN(3), ConvolutionalFAN(3).requires_grad_(False)
    recipe = replace(JOINT, lambda_c=0.0, critic_weight=2.0)
    photos = to_unit(dataset.training.crops(2, 16, torch.Generator()))
    plain = ForensicLoss(Channel("dcn", codec), fan, recipe, torch.float32)
    judged = ForensicLoss(Channel("dcn", codec), fan, recipe, torch.float32, None, [critic])
    before, _, received = plain(photos, torch.Generator())
    after, _, _ = judged(photos, torch.Generator())
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    expected = torch.nn.functional.cross_entropy(critic(received), labels)
    assert torch.allclose((after["loss"] - before["loss"]).float(), 2 * expected, atol=1e-4)
    (after["loss"] - before["loss"]).backward()
    assert all(p.grad is None or float(p.grad.abs().max()) < 1e-6 for p in fan.parameters())
    assert all(p.grad is None for p in critic.parameters())
    gradient = codec.synthesis_net[9].weight.grad
    assert gradient is not None
    assert float(gradient.abs().max()) > 0


def test_of_several_critics_the_mean_counts(dataset: Dataset) -> None:
    torch.manual_seed(0)
    codec, fan = DCN(4), ConvolutionalFAN(3)
    critics = [ConvolutionalFAN(3).requires_grad_(False), SpectralFAN(3).requires_grad_(False)]
    recipe = replace(JOINT, lambda_c=0.0, critic_weight=2.0, distil_weight=3.0)
    photos = to_unit(dataset.training.crops(2, 16, torch.Generator()))
    losses = []
    for chosen in ([], critics[:1], critics[1:], critics):
        objective = ForensicLoss(Channel("dcn", codec), fan, recipe, torch.float32, None, chosen)
        losses.append(float(objective(photos, torch.Generator())[0]["loss"].detach()))
    none, first, second, both = losses
    assert first != pytest.approx(second, rel=1e-3)
    assert both == pytest.approx((first + second) / 2, rel=1e-5)
    assert none < min(first, second)


def test_a_critic_s_features_are_distilled(dataset: Dataset) -> None:
    """Their distance is weighed, and only the codec learns from it: pictures before stay."""
    torch.manual_seed(0)
    codec, fan, critic = DCN(4), ConvolutionalFAN(3), ConvolutionalFAN(3).requires_grad_(False)
    recipe = replace(JOINT, lambda_c=0.0, critic_weight=0.0)
    channel = Channel("dcn", codec)
    photos = to_unit(dataset.training.crops(2, 16, torch.Generator()))
    losses = []
    for weight in (0.0, 2.0):
        weighed = replace(recipe, distil_weight=weight)
        objective = ForensicLoss(channel, fan, weighed, torch.float32, None, [critic])
        figures, sent, received = objective(photos, torch.Generator())
        losses.append(figures["loss"])
    aim, found = critic.describe(sent), critic.describe(received)
    lacking = (found - aim).square().mean() / aim.var(0, correction=0).mean()
    assert torch.allclose((losses[1] - losses[0]).float(), 2 * lacking, atol=1e-4)
    assert float(lacking.detach()) > 0.01
    (losses[1] - losses[0]).backward()
    assert all(p.grad is None for p in critic.parameters())
    gradient = codec.analysis_net[0].weight.grad
    assert gradient is not None
    assert float(gradient.abs().max()) > 0


def test_another_preset_does_not_change_the_network(tmp_path: Path) -> None:
    for network in NETWORKS:
        begun = replace(FORENSIC_RECIPES["fast"], network=network, muon=True)
        begun = replace(begun, classes=("native", "jpeg"), trainable=("dcn",))
        header = Header(4, begun, origins=ORIGINS)
        for preset in (None, "fast"):
            settings = ForensicSettings((), tmp_path, preset=preset)
            recipe, _ = choose(settings, header, None)
            assert recipe.network == network


def test_what_is_not_trainable_stays(tmp_path: Path, dataset: Dataset) -> None:
    for recipe, moves in ((JOINT, True), (TINY, False)):
        run = trainer(tmp_path / str(moves), dataset, recipe)
        codec, fan = run.objective.channel.codec, run.fan
        before = [t.detach().clone() for t in (*codec.parameters(), *fan.parameters())]
        run.run(Budget(2), unseen)
        after = [*codec.parameters(), *fan.parameters()]
        count = len(list(codec.parameters()))
        changed = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert any(changed[:count]) == moves
        assert any(changed[count:])


def test_every_step_changes_all_that_is_trainable(tmp_path: Path, dataset: Dataset) -> None:
    for recipe in (JOINT, TINY, replace(TINY, channel="jpeg:50")):
        run = trainer(tmp_path, dataset, recipe)
        assert not run.SOME_REST
        assert unused_weights(run) == []


def test_filters_stay_residuals(tmp_path: Path, dataset: Dataset) -> None:
    run = trainer(tmp_path / "run", dataset)
    run.run(Budget(3), unseen)
    for weights in (run.fan.state_dict(), {k[4:]: v for k, v in run.average.items()}):
        kernel = weights["residual.weight"].view(3, 3, 25)
        assert torch.allclose(kernel.sum((1, 2)), torch.zeros(3), atol=1e-4)
        assert torch.allclose(kernel[torch.arange(3), torch.arange(3), 12], -torch.ones(3))


def check_resume(folder: Path, make: Callable[[Path], ForensicTrainer]) -> None:
    """A run that is stopped halfway and resumed ends with the weights of one that is not."""
    make(folder / "whole").run(Budget(4), unseen)
    parts = make(folder / "parts")

    def stop(figures: dict[str, float]) -> None:
        if figures["step"] == 2:
            parts.stop()

    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr("dcncodec.train.engine.run.REPORT_SECONDS", 0.0)
        assert not parts.run(Budget(4), stop)
    assert make(folder / "parts").run(Budget(4), unseen)
    weights = [load_file(folder / name / FILE) for name in ("whole", "parts")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_resume_gives_the_same_weights(tmp_path: Path, dataset: Dataset) -> None:
    check_resume(tmp_path, lambda folder: trainer(folder, dataset))


def test_log_and_checkpoint(tmp_path: Path, dataset: Dataset) -> None:
    trainer(tmp_path / "run", dataset).run(Budget(2), unseen)
    rows = read_log(tmp_path / "run" / "log.csv", ForensicTrainer.COLUMNS)
    assert [row["step"] for row in rows] == [2]
    assert 0 <= rows[0]["validation_accuracy"] <= 1
    assert rows[0]["validation_bpp"] > 0
    header = read_header(tmp_path / "run" / FILE, ForensicRecipe)
    assert header.recipe == JOINT
    assert (header.init, header.latent_channels, header.seed) == ("tiny", 4, 5)
    assert header.origins == ORIGINS
    with pytest.raises(TrainingError, match="of 'dcn train forensic', not of 'dcn train'"):
        read_header(tmp_path / "run" / FILE, Recipe)


def test_other_channels(tmp_path: Path, dataset: Dataset) -> None:
    for channel in ("none", "jpeg:50"):
        run = trainer(tmp_path / channel.replace(":", ""), dataset, replace(TINY, channel=channel))
        run.run(Budget(1), unseen)
        assert set(run.average) == {f"fan.{name}" for name in run.fan.state_dict()}


def test_resume_in_the_field(tmp_path: Path) -> None:
    photo = data.astronaut()
    photos = pack([photo[i : i + 96, i : i + 96].copy() for i in (50, 90, 130)])
    dataset = Dataset(photos, photos, [])
    drawn = {"implementations": "field", "grid": "random", "history": "88-100", "resave": True}
    recipe = replace(JOINT, **drawn)
    check_resume(tmp_path, lambda folder: trainer(folder, dataset, recipe))


def test_a_fan_learns(tmp_path: Path, dataset: Dataset) -> None:
    """Noise against none is an easy case: a few steps tell them apart."""
    recipe = replace(TINY, channel="none", classes=("native", "awgn"), batch=8, patch=32)
    seen: list[float] = []
    torch.manual_seed(0)
    run = ForensicTrainer(
        Channel("none"), ConvolutionalFAN(2), recipe, dataset, tmp_path, 0, torch.float32
    )
    run.run(Budget(40), lambda figures: seen.append(figures.get("validation_accuracy", 0)))
    assert seen[-1] == 1.0


def camera(folder: Path, data: RawDataset, recipe: ForensicRecipe) -> CameraTrainer:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    nip = INet(torch.tensor(MEAN_CAMERA).float()).eval()
    codec = DCN(4) if recipe.channel == "dcn" else None
    channel = Channel(recipe.channel, codec, recipe.downsample)
    return CameraTrainer(
        channel, ConvolutionalFAN(3), recipe, data, folder, 5, torch.float32, ORIGINS, nip
    )


@pytest.fixture(scope="module")
def frames(pictures: Path) -> RawDataset:
    pytest.importorskip("colour_demosaicing")
    return load_frames([pictures], 32, 0)


CAMERA = replace(TINY, patch=32, channel="jpeg:50", downsample=True, nip="inet", trainable=("nip",))


def test_the_loss_with_a_pipeline(frames: RawDataset) -> None:
    """Cross-entropy plus lambda_n times the distortion against the standard picture."""
    torch.manual_seed(0)
    nip, fan = INet(torch.tensor(MEAN_CAMERA).float()), ConvolutionalFAN(3)
    recipe = replace(CAMERA, lambda_n=0.01)
    channel = Channel("jpeg:50", None, downsample=True)
    objective = ForensicLoss(channel, fan, recipe, torch.float32, nip)
    stacks, pictures = frames.training.crops(2, 32, torch.Generator())
    figures, sent, _ = objective(pictures, torch.Generator(), stacks)
    assert sent.shape == (6, 3, 16, 16)
    mse = (nip(stacks) - pictures).square().mean()
    assert torch.allclose(figures["nip_mse"], mse)
    expected = figures["cross_entropy"] + 0.01 * mse * (50 * 128 * 128 * 3 / 2)
    assert torch.allclose(figures["loss"], expected)
    figures["loss"].backward()
    assert nip.demosaic.weight.grad is not None


def test_gradients_of_the_classification_reach_the_pipeline(frames: RawDataset) -> None:
    """Through JPEG, down-sampling and every manipulation, with no weight on distortion."""
    torch.manual_seed(0)
    nip, fan = INet(torch.tensor(MEAN_CAMERA).float()), ConvolutionalFAN(len(PAPER_CLASSES))
    recipe = replace(CAMERA, lambda_n=0.0, classes=PAPER_CLASSES)
    objective = ForensicLoss(
        Channel("jpeg:50", None, downsample=True), fan, recipe, torch.float32, nip
    )
    stacks, pictures = frames.training.crops(2, 32, torch.Generator())
    objective(pictures, torch.Generator(), stacks)[0]["loss"].backward()
    gradient = nip.demosaic.weight.grad
    assert gradient is not None
    assert float(gradient.abs().max()) > 0


def test_which_of_codec_and_pipeline_learn(tmp_path: Path, frames: RawDataset) -> None:
    both = ("dcn", "nip")
    for trainable in ((), ("nip",), ("dcn",), both):
        recipe = replace(CAMERA, channel="dcn", trainable=trainable)
        folder = tmp_path / "-".join(("run", *trainable))
        run = camera(folder, frames, recipe)
        parts = {"dcn": run.objective.channel.codec, "nip": run.objective.nip}
        before = {n: [p.detach().clone() for p in m.parameters()] for n, m in parts.items()}
        run.run(Budget(2), unseen)
        for name, module in parts.items():
            pairs = zip(module.parameters(), before[name], strict=True)
            assert any(not torch.equal(a, b) for a, b in pairs) == (name in trainable)
        rows = read_log(folder / "log.csv", CameraTrainer.COLUMNS)
        assert rows[-1]["validation_nip_psnr"] > 15
        assert unused_weights(run) == []


def test_resume_with_a_pipeline(tmp_path: Path, frames: RawDataset) -> None:
    check_resume(tmp_path, lambda folder: camera(folder, frames, CAMERA))
    rows = read_log(tmp_path / "parts" / "log.csv", CameraTrainer.COLUMNS)
    assert [row["step"] for row in rows] == [2, 4]
    assert rows[0]["validation_nip_psnr"] > 15
