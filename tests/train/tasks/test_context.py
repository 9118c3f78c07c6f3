"""Context models for codecs that stay as they are: latents, learning, resuming, export."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from skimage import data as samples
from vr_models import write_vr

import dcncodec
from dcncodec.codec import Codec
from dcncodec.errors import ModelError, TrainingError, UsageError
from dcncodec.models.dcn import DCN
from dcncodec.models.registry import open_folder
from dcncodec.train.engine.checkpoint import FILE, Header
from dcncodec.train.engine.export import write_codec
from dcncodec.train.engine.presets import RECIPES
from dcncodec.train.engine.session import unseen
from dcncodec.train.tasks import context_setup
from dcncodec.train.tasks.context_setup import (
    LATENTS_FILE,
    ContextSettings,
    export_context,
    read_latents,
    train_context,
)

PHOTO = np.ascontiguousarray(samples.astronaut()[:256, 128:384])


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained codec whose latents spread over many code words."""
    folder: Path = tmp_path_factory.mktemp("models") / "plain"
    torch.manual_seed(0)
    network = DCN(4)
    with torch.no_grad():
        network.latent_scale.mul_(6)
    write_codec(folder, network.state_dict(), Header(4, RECIPES["fast"]), [])
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("photos")
    Image.fromarray(PHOTO).save(folder / "a.png")
    Image.fromarray(samples.coffee()[:256, :256]).save(folder / "b.png")
    return folder


def settings(run: Path, pictures: Path, codec: Path | None, **more: object) -> ContextSettings:
    size = {"hidden": 16, "crops": 12, "patch": 32}
    given: dict[str, object] = {"overrides": size, "max_steps": 6, "precision": "fp32"}
    given |= {"model": None if codec is None else str(codec)}
    return ContextSettings((pictures,), run, device="cpu", **(given | more))  # type: ignore[arg-type]


def test_files_get_smaller_and_pictures_stay(tmp_path: Path, photos: Path) -> None:
    """Of a photo that was trained on, in the seconds that a test has."""
    size = {"hidden": 48, "crops": 40, "patch": 128, "batch": 2}
    choice = settings(tmp_path / "run", photos, None, model="dcn-16c", overrides=size)
    choice = replace(choice, max_steps=200, export=tmp_path / "smaller")
    assert not train_context(choice, print, unseen)
    before, after = Codec("dcn-16c"), Codec(tmp_path / "smaller")
    plain = before.encode(PHOTO, entropy="channel")
    small = after.encode(PHOTO, entropy="context")
    assert len(small) < 0.97 * len(plain)
    assert np.array_equal(after.decode(small).pixels, before.decode(plain).pixels)
    # The weights are the same, so that files of before can be read with either.
    assert np.array_equal(after.decode(plain).pixels, before.decode(plain).pixels)
    card = open_folder(tmp_path / "smaller").card
    assert card["results"]["context model, validation"]["steps"] == 200
    assert "context model, validation" in (tmp_path / "smaller" / "card.md").read_text()


def test_the_codecs_own_folder(tmp_path: Path, pictures: Path, codec: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(codec, own)
    (own / "forensic.json").write_text("{}")
    train_context(settings(tmp_path / "run", pictures, own, export=own), print, unseen)
    assert open_folder(own).own_coder is not None
    assert (own / "forensic.json").read_text() == "{}"


def test_resume_gives_the_same_weights(tmp_path: Path, pictures: Path, codec: Path) -> None:
    train_context(settings(tmp_path / "whole", pictures, codec), print, unseen)
    part = settings(tmp_path / "parts", pictures, codec, max_steps=3)
    # The learning rate depends on the budget's share, so the whole budget is stated all along.
    stopped = replace(part, max_steps=6)

    def stop(run: context_setup.ContextTrainer) -> None:
        if run.progress.step == 3:
            run.stop()

    original = context_setup.ContextTrainer.finish_step
    with pytest.MonkeyPatch.context() as monkey:

        def finish(run: context_setup.ContextTrainer) -> None:
            original(run)
            stop(run)

        monkey.setattr(context_setup.ContextTrainer, "finish_step", finish)
        train_context(stopped, print, unseen)
    monkeyed = settings(tmp_path / "parts", pictures, None)
    with pytest.MonkeyPatch.context() as monkey:
        # The latents are still there, and the run knows its codec.
        monkey.setattr(context_setup, "analyse", None)
        train_context(monkeyed, print, unseen)
    weights = [load_file(tmp_path / name / FILE) for name in ("whole", "parts")]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_a_codec_with_rates(tmp_path: Path, pictures: Path) -> None:
    own = write_vr(tmp_path / "all-rates", 6)
    train_context(settings(tmp_path / "run", pictures, own, export=tmp_path / "new"), print, unseen)
    latents = read_latents(tmp_path / "run")
    assert latents is not None
    assert len(set(latents.training.rates.tolist())) > 3
    codec = Codec(tmp_path / "new")
    assert len(codec.encode(PHOTO, rate=0)) < len(codec.encode(PHOTO, rate=255))
    assert dcncodec.decode(codec.encode(PHOTO), model=tmp_path / "new").shape == PHOTO.shape


def test_latents_that_are_cut_short_are_made_anew(
    tmp_path: Path, pictures: Path, codec: Path
) -> None:
    train_context(settings(tmp_path / "run", pictures, codec), print, unseen)
    path = tmp_path / "run" / LATENTS_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert read_latents(tmp_path / "run") is None
    train_context(settings(tmp_path / "run", pictures, codec, max_steps=7), print, unseen)
    assert path.read_bytes() == whole


def test_choices_that_make_no_sense(tmp_path: Path, pictures: Path, codec: Path) -> None:
    with pytest.raises(UsageError, match="--model: name the codec"):
        train_context(settings(tmp_path / "run", pictures, None), print, unseen)
    with pytest.raises(ModelError, match="no such model"):
        train_context(settings(tmp_path / "run", pictures, Path("nothing")), print, unseen)
    with pytest.raises(UsageError, match="--patch 20: choose a multiple of 8"):
        train_context(
            settings(tmp_path / "run", pictures, codec, overrides={"patch": 20}), print, unseen
        )
    train_context(settings(tmp_path / "run", pictures, codec), print, unseen)
    with pytest.raises(TrainingError, match="has 16 hidden units, not 17"):
        train_context(
            settings(tmp_path / "run", pictures, codec, overrides={"hidden": 17}), print, unseen
        )
    other = write_vr(tmp_path / "other", 6)
    with pytest.raises(TrainingError, match="codes the latents of plain, not of this other"):
        train_context(settings(tmp_path / "run", pictures, other), print, unseen)


def test_an_export_without_its_codec(tmp_path: Path, pictures: Path, codec: Path) -> None:
    shutil.copytree(codec, tmp_path / "gone")
    train_context(settings(tmp_path / "run", pictures, tmp_path / "gone"), print, unseen)
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(ModelError, match="needs model plain"):
        export_context(tmp_path / "run", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_card_stays_json(tmp_path: Path, pictures: Path, codec: Path) -> None:
    choice = settings(tmp_path / "run", pictures, codec, export=tmp_path / "new")
    train_context(choice, print, unseen)
    card = json.loads((tmp_path / "new" / "card.json").read_text())
    assert card["name"] == "new"
    assert card["parts"]["context"]["name"] == "context.safetensors"
