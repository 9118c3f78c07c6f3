"""Forensic folders: export, opening, and what can be wrong with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dcncodec.errors import ModelError, TrainingError, UsageError
from dcncodec.forensics.folder import find_for_codec, list_forensic, open_forensic
from dcncodec.models.card import update_card
from dcncodec.models.dcn import DCN
from dcncodec.models.families.fan import NETWORKS, new_fan
from dcncodec.models.fan import ConvolutionalFAN
from dcncodec.models.registry import WEIGHTS, list_models, open_folder
from dcncodec.models.roles import Role
from dcncodec.train.engine.checkpoint import FILE, Header, Progress, save_checkpoint
from dcncodec.train.engine.optimiser import Optimiser
from dcncodec.train.engine.presets import FORENSIC_RECIPES
from dcncodec.train.tasks.forensic import ForensicTrainer
from dcncodec.train.tasks.forensic_export import export_forensic

RECIPE = replace(
    FORENSIC_RECIPES["fast"],
    classes=("native", "jpeg", "median"),
    muon=False,
    trainable=("dcn",),
)


def run_folder(folder: Path, sha256: str = "ab" * 32, **changes: Any) -> Path:
    """A run after no step at all; the codec it began with has the hash given."""
    folder.mkdir()
    recipe = replace(RECIPE, **changes)
    torch.manual_seed(0)
    trained = torch.nn.ModuleDict({"fan": new_fan(recipe.network, len(recipe.classes))})
    if "dcn" in recipe.trainable:
        trained["codec"] = DCN(4)
    optimiser = Optimiser(trained, muon=False)
    for parameter in trained.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.set_rate(0.0)
    optimiser.update()
    average = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    origins = {"dcn": {"name": "tiny", "sha256": sha256}} if recipe.channel == "dcn" else {}
    init = "tiny" if origins else ""
    header = Header(4, recipe, 1, [], init, Progress(5, 2.0), origins)
    save_checkpoint(folder / FILE, trained, average, optimiser, header)
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("forensic")
    export_forensic(run_folder(root / "run"), root / "models" / "tiny-forensic")
    return root / "models" / "tiny-forensic"


def test_both_networks_are_there(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCN_MODELS", str(exported.parent))
    folder = open_forensic("tiny-forensic")
    assert folder.path == exported
    assert folder.classes == RECIPE.classes
    assert (folder.channel, folder.downsample) == ("dcn", False)
    torch.manual_seed(0)
    expected = ConvolutionalFAN(3)
    patch = torch.rand(1, 3, 32, 32)
    assert torch.allclose(folder.load_fan()(patch), expected(patch), rtol=0.01, atol=1)
    codec = folder.codec("cpu")
    assert codec is not None
    assert codec.model.sha256 == folder.codec_sha256
    assert "tiny-forensic" in {model.name for model in list_models()}
    assert folder.codec_sha256 is not None
    assert find_for_codec(folder.codec_sha256[:16]).path == exported
    assert [f.path for f in list_forensic() if f.name == "tiny-forensic"] == [exported]


def test_bundled_folders_are_what_their_cards_say() -> None:
    bundled = [folder for folder in list_forensic() if folder.path.parent == WEIGHTS]
    expected = {"dcn-16c-fan", "dcn-32c-fan", "dcn-vr-forensic", "dcn-vr-gentle", "dnet-forensic"}
    assert expected <= {f.name for f in bundled}
    for folder in bundled:
        assert folder.path.name == folder.name
        assert (folder.path / "fan.safetensors").stat().st_size <= 16 * 2**20
        assert folder.load_fan().classes == len(folder.classes)
        assert (folder.codec("cpu") is not None) == (folder.channel == "dcn")
        assert (folder.developer("cpu") is not None) == bool(folder.card["nip"])


def test_a_codec_that_stayed(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCN_MODELS", str(tiny_model.parent))
    sha256 = open_folder(tiny_model).sha256
    export_forensic(run_folder(tmp_path / "run", sha256, trainable=()), tmp_path / "fixed")
    assert not (tmp_path / "fixed" / "model.safetensors").exists()
    codec = open_forensic(tmp_path / "fixed").codec("cpu")
    assert codec is not None
    assert codec.model.name == "tiny"
    monkeypatch.delenv("DCN_MODELS")
    with pytest.raises(ModelError, match="needs model tiny"):
        open_forensic(tmp_path / "fixed").codec("cpu")


def test_without_a_codec(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", trainable=(), channel="jpeg:30", downsample=True)
    columns = ForensicTrainer.COLUMNS
    (run / "log.csv").write_text(f"{','.join(columns)}\n{','.join(['5'] * len(columns))}\n")
    export_forensic(run, tmp_path / "jpeg")
    folder = open_forensic(tmp_path / "jpeg")
    assert (folder.channel, folder.downsample, folder.codec()) == ("jpeg:30", True, None)
    assert folder.card["results"] == {"validation": {"accuracy": 5, "psnr": 5, "ssim": 5}}


@pytest.mark.parametrize("network", NETWORKS)
def test_weights_are_shortened_part_by_part(tmp_path: Path, network: str) -> None:
    run = run_folder(tmp_path / "run", trainable=(), channel="none", network=network)
    export_forensic(run, tmp_path / "short")
    folder = open_forensic(tmp_path / "short")
    assert folder.card["network"] == network
    bits = {"convolutional": 6, "spectral": 8}
    for name, tensor in folder.load_fan().state_dict().items():
        kept = bits[name.split(".")[0] if network == "combined" else network]
        significand = torch.frexp(tensor)[0]
        assert torch.equal(significand * 2**kept, (significand * 2**kept).round()), name
        if tensor.numel() > 1000:
            fewer = significand * 2 ** (kept - 1)
            assert not torch.equal(fewer, fewer.round()), name


def test_a_network_of_a_later_version_is_not_exported(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", trainable=(), channel="none")
    path = run / FILE
    content = path.read_bytes().replace(b'"convolutional\\"', b'"combinatorial\\"')
    path.write_bytes(content)
    with pytest.raises(TrainingError, match="has a network combinatorial that is not known"):
        export_forensic(run, tmp_path / "later")


def test_results_are_added(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    update_card(open_folder(folder, Role.FAN), {"pristine": {"accuracy": 0.5}})
    update_card(
        open_folder(folder, Role.FAN), {"pristine": {"accuracy": 0.75}, "other": {"bpp": 1}}
    )
    results = open_forensic(folder).card["results"]
    assert results["pristine"] == {"accuracy": 0.75}
    assert results["other"] == {"bpp": 1}


def test_the_readable_card(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    figures = {
        "accuracy": 0.75,
        "classes": ["native", "jpeg", "median"],
        "confusion": [[4, 0, 0], [1, 3, 0], [0, 2, 2]],
    }
    update_card(open_folder(folder, Role.FAN), {"pristine": figures})
    lines = (folder / "forensic.md").read_text().splitlines()
    assert lines[0] == "# tiny-forensic"
    assert "- Learnt with the FAN: dcn" in lines
    assert any(line.startswith("- lambda_c 0.001, against squared errors summed") for line in lines)
    assert "- pristine: accuracy 0.75" in lines
    assert lines[-2:] == ["| jpeg | 25 | 75 | 0 |", "| median | 0 | 50 | 50 |"]


def change(**entries: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        card = json.loads((folder / "forensic.json").read_text())
        (folder / "forensic.json").write_text(json.dumps(card | entries))

    return apply


@pytest.mark.parametrize(
    "spoil",
    [
        change(classes=["native"]),
        change(classes=["native", "emboss"]),
        change(channel="smoke"),
        change(channel="none"),
        change(codec=None),
        change(codec={"name": "x"}),
        change(rates=[60]),
        change(rates=[200, 60]),
        change(rates=[0, 256]),
        change(downsample="no"),
        change(fan_sha256="12"),
        change(name=""),
        lambda folder: (folder / "forensic.json").write_text("{"),
        lambda folder: (folder / "forensic.json").write_text("[]"),
    ],
)
def test_damaged_cards(exported: Path, tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    spoil(folder)
    with pytest.raises(ModelError, match=r"forensic\.json: damaged card"):
        open_forensic(folder)


def test_damaged_weights(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    change(classes=["native", "jpeg"])(folder)
    with pytest.raises(ModelError, match="does not fit the architecture"):
        open_forensic(folder).load_fan()
    (folder / "fan.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="damaged or replaced"):
        open_forensic(folder).load_fan()
    (folder / "fan.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        open_forensic(folder).load_fan()


def test_a_fan_of_another_codec(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    change(codec={"name": "tiny", "sha256": "ab" * 32})(folder)
    with pytest.raises(ModelError, match="does not match its codec"):
        open_forensic(folder).codec("cpu")


def test_finished_photos_come_first(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = open_folder(tiny_model).sha256
    for name, nip in (("a-native", "standard"), ("b-plain", "")):
        run = run_folder(tmp_path / f"{name}-run", sha256, trainable=(), nip=nip)
        export_forensic(run, tmp_path / "models" / name)
    monkeypatch.setenv("DCN_MODELS", str(tmp_path / "models"))
    assert find_for_codec(sha256[:16]).name == "b-plain"
    (tmp_path / "models" / "b-plain" / "forensic.json").unlink()
    assert find_for_codec(sha256).name == "a-native"
    with pytest.raises(ModelError, match=r"there are some for .*tiny\b.*give a FAN with --fan"):
        find_for_codec("00" * 32)


def test_the_codec_s_own_folder_comes_before_others(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = open_folder(tiny_model)
    for name in ("a-shared", codec.name):
        run = run_folder(tmp_path / f"{name}-run", codec.sha256, trainable=())
        export_forensic(run, tmp_path / "models" / name)
    monkeypatch.setenv("DCN_MODELS", str(tmp_path / "models"))
    assert find_for_codec(codec.sha256).name == codec.name
    (tmp_path / "models" / codec.name / "forensic.json").unlink()
    assert find_for_codec(codec.sha256).name == "a-shared"


def test_unknown_folders(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not a model folder \(no forensic\.json\)"):
        open_forensic(tmp_path)
    with pytest.raises(ModelError, match="no installed FAN was trained on"):
        find_for_codec("00" * 32)
    with pytest.raises(UsageError, match="the folder's name is the model's"):
        export_forensic(tmp_path, tmp_path / "Not a name")
