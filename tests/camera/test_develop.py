"""Frames through pipelines, window by window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from dcncodec.camera import develop as module
from dcncodec.camera.acquisition import CAMERAS, MEAN_CAMERA, acquire
from dcncodec.camera.develop import Developer, run_windows
from dcncodec.errors import ModelError
from dcncodec.formats.raw import camera_to_srgb
from dcncodec.models.nip import NETWORKS, INet, make_nip
from dcncodec.train.engine.export import write_model

PHOTO = np.ascontiguousarray(data.astronaut()[:120, 200:330])


@pytest.fixture(scope="module")
def inet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight folder of INet as it begins, for the mean camera."""
    folder: Path = tmp_path_factory.mktemp("models") / "my-inet"
    weights = INet(torch.tensor(MEAN_CAMERA).float()).state_dict()
    description = {
        "to_srgb": MEAN_CAMERA.tolist(),
        "recipe": {},
        "seed": 0,
        "init": "",
        "data": [],
        "steps": 0,
        "seconds": 0.0,
        "results": {},
        "curve": [],
    }
    write_model(folder, weights, {"family": "nip", "network": "inet"}, description)
    return folder


@pytest.mark.parametrize("network", NETWORKS)
def test_windows_are_as_the_whole(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    pipeline = make_nip(network).eval()
    monkeypatch.setattr(module, "WINDOW", 32)
    stack = np.random.default_rng(0).random((70, 53, 4), np.float32)
    picture = run_windows(pipeline, stack, torch.device("cpu"), torch.float32)
    whole = pipeline.develop(torch.from_numpy(stack).permute(2, 0, 1).unsqueeze(0))
    assert picture.shape == (140, 106, 3)
    assert np.allclose(picture, whole[0].permute(1, 2, 0).numpy(), atol=1e-5)


def test_standard_and_neural_agree_roughly(inet: Path) -> None:
    pytest.importorskip("colour_demosaicing")
    frame = acquire(PHOTO, 1, MEAN_CAMERA)
    pictures = [Developer(name).develop(frame).astype(float) for name in ("standard", inet)]
    assert pictures[0].shape == (120, 130, 3)
    mse = np.square(pictures[0] - pictures[1]).mean()
    assert 10 * np.log10(255**2 / mse) > 25


def test_colours_of_another_camera_are_corrected(inet: Path) -> None:
    frame = acquire(PHOTO, 1, camera_to_srgb(CAMERAS[0]))
    mean = Developer(inet).develop(frame).mean((0, 1))
    assert np.abs(mean - PHOTO.mean((0, 1))).max() < 3


def test_pictures_are_upright(inet: Path) -> None:
    frame = acquire(PHOTO, 1, MEAN_CAMERA)
    for pipeline in ("standard", inet):
        if pipeline == "standard":
            pytest.importorskip("colour_demosaicing")
        flat = Developer(pipeline).develop(frame)
        turned = Developer(pipeline).develop(replace(frame, turns=1))
        assert np.array_equal(turned, np.rot90(flat))


def test_codecs_are_no_pipelines(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="is a codec, not a camera pipeline"):
        Developer(tiny_model)
    with pytest.raises(ModelError):
        Developer("no-such-pipeline")
