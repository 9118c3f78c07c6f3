"""Exported folders load as models, and their cards say how they came about."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from dcncodec.errors import ModelError, OutputError, TrainingError, UsageError
from dcncodec.models.card import update_card
from dcncodec.models.dcn import DCN
from dcncodec.models.families import dcn
from dcncodec.models.load import load_dcn
from dcncodec.models.registry import open_folder
from dcncodec.train.engine.checkpoint import FILE, Header, Progress, read_average, save_checkpoint
from dcncodec.train.engine.data import Source
from dcncodec.train.engine.export import export_model, shortened
from dcncodec.train.engine.log import Log
from dcncodec.train.engine.optimiser import Optimiser
from dcncodec.train.engine.presets import RECIPES


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a checkpoint of a DCN with four channels and a log of 25 lines."""
    folder: Path = tmp_path_factory.mktemp("run")
    torch.manual_seed(1)
    codec = DCN(4)
    average = {k: v.detach() * 1.01 for k, v in codec.state_dict().items()}
    sources = [Source("photos", 40, 12.5)]
    header = Header(4, RECIPES["paper"], 3, sources, "dcn-64c", Progress(2500, 360.0))
    save_checkpoint(folder / FILE, codec, average, _stepped(codec), header)
    log = Log(folder / "log.csv", 0)
    for i in range(25):
        row = dict.fromkeys(("learning_rate", "loss", "bpp", "psnr"), 1.0)
        row |= {"validation_bpp": 1.0, "validation_psnr": 20 + i / 10, "validation_ssim": 0.9}
        log.write(row | {"step": 100.0 * (i + 1), "seconds": 14.4 * (i + 1)})
    return folder


def _stepped(codec: DCN) -> Optimiser:
    optimiser = Optimiser(codec, muon=False)
    for parameter in codec.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.set_rate(0.0)
    optimiser.update()
    return optimiser


def test_the_averaged_weights_in_half_precision(tmp_path: Path, run_folder: Path) -> None:
    sha256 = export_model(run_folder, tmp_path / "new" / "my-model")
    folder = open_folder(tmp_path / "new" / "my-model")
    assert (folder.name, folder.geometry.channels) == ("my-model", 4)
    assert folder.sha256 == sha256 == hashlib.sha256(folder.weights.read_bytes()).hexdigest()
    weights = load_dcn(folder).state_dict()
    average, _ = read_average(run_folder / FILE)
    assert weights.keys() == average.keys()
    assert all(torch.equal(weights[k], average[k].half().float()) for k in weights)
    with safe_open(folder.weights, framework="pt") as file:
        assert file.metadata() == {"format": "dcn-weights-1: dcn 4"}


def test_the_card(tmp_path: Path, run_folder: Path) -> None:
    export_model(run_folder, tmp_path / "m")
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    assert card["architecture"] == {"family": "dcn", "latent_channels": 4}
    assert card["data"] == [{"name": "photos", "images": 40, "megapixels": 12.5}]
    assert (card["steps"], card["seconds"], card["seed"]) == (2500, 360.0, 3)
    assert card["recipe"]["learning_rate"] == 1e-4
    assert card["results"] == {"validation": {"bpp": 1.0, "psnr": 22.4, "ssim": 0.9}}
    steps = [row["step"] for row in card["curve"]]
    assert len(steps) == 10
    assert (steps[0], steps[-1]) == (100, 2500)
    assert steps == sorted(set(steps))
    text = (tmp_path / "m" / "card.md").read_text()
    assert text == dcn.text(card)
    for fact in ("| photos | 40 | 12.5 |", "2,500 steps in 6.0 minutes", card["sha256"]):
        assert fact in text


def test_results_are_added(tmp_path: Path, run_folder: Path) -> None:
    export_model(run_folder, tmp_path / "m")
    update_card(open_folder(tmp_path / "m"), {"kodak512": {"bpp": 0.8, "psnr": 31.0, "ssim": 0.92}})
    update_card(open_folder(tmp_path / "m"), {"kodak512": {"bpp": 0.7, "psnr": 32.0, "ssim": 0.93}})
    folder = open_folder(tmp_path / "m")
    assert folder.card["results"]["kodak512"] == {"bpp": 0.7, "psnr": 32.0, "ssim": 0.93}
    assert "validation" in folder.card["results"]
    assert "- kodak512: bpp 0.7, psnr 32, ssim 0.93" in (tmp_path / "m" / "card.md").read_text()
    assert folder.content  # the hash still fits


def test_without_a_log(tmp_path: Path, run_folder: Path) -> None:
    (tmp_path / FILE).write_bytes((run_folder / FILE).read_bytes())
    export_model(tmp_path, tmp_path / "m")
    card = open_folder(tmp_path / "m").card
    assert (card["results"], card["curve"]) == ({}, [])


def test_weights_replaced_without_their_card_are_noticed(tmp_path: Path, run_folder: Path) -> None:
    export_model(run_folder, tmp_path / "m")
    card = (tmp_path / "m" / "card.json").read_bytes()
    again = tmp_path / "again"
    again.mkdir()
    codec = DCN(4)
    average = {k: v.detach().clone() for k, v in codec.state_dict().items()}
    header = Header(4, RECIPES["paper"], progress=Progress(1, 1.0))
    save_checkpoint(again / FILE, codec, average, _stepped(codec), header)
    export_model(again, tmp_path / "m")
    (tmp_path / "m" / "card.json").write_bytes(card)
    with pytest.raises(ModelError, match="damaged or replaced"):
        _ = open_folder(tmp_path / "m").content


@pytest.mark.parametrize("name", ["My Model", "-x", "ü", "a" * 33])
def test_names_that_a_file_cannot_carry(tmp_path: Path, run_folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="the folder's name is the model's"):
        export_model(run_folder, tmp_path / name)


def test_bad_folders(tmp_path: Path, run_folder: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(UsageError, match="is a file; name a folder"):
        export_model(run_folder, tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be made"):
        export_model(run_folder, tmp_path / "file" / "model")
    with pytest.raises(TrainingError, match="there is no checkpoint"):
        export_model(tmp_path, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_fewer_significant_bits() -> None:
    weights = {"net.a": torch.randn(1000), "net.zero": torch.zeros(3), "linear": torch.randn(1000)}
    left = shortened(weights, 8, "net")
    assert torch.equal(left["linear"], weights["linear"])
    assert torch.equal(left["net.zero"], weights["net.zero"])
    assert torch.equal(left["net.a"], weights["net.a"].bfloat16().float())
    coarse = shortened(weights, 5)["net.a"]
    error = (coarse / weights["net.a"] - 1).abs().max()
    assert 2**-7 < error <= 2**-5


def test_weights_beyond_half_precision(tmp_path: Path) -> None:
    codec = DCN(4)
    average = {k: v.detach() + 1e5 for k, v in codec.state_dict().items()}
    header = Header(4, RECIPES["paper"], progress=Progress(1, 1.0))
    save_checkpoint(tmp_path / FILE, codec, average, _stepped(codec), header)
    with pytest.raises(TrainingError, match="do not fit into float16"):
        export_model(tmp_path, tmp_path / "model")


def test_a_card_that_says_too_little(tiny_model: Path) -> None:
    before = (tiny_model / "card.json").read_bytes()
    with pytest.raises(ModelError, match="damaged card"):
        update_card(open_folder(tiny_model), {"kodak512": {"bpp": 1.0}})
    assert (tiny_model / "card.json").read_bytes() == before
