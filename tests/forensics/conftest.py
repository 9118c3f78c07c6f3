"""Forensic folders with random FANs, and a photo."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from skimage import data

from dcncodec.models.fan import ConvolutionalFAN
from dcncodec.models.registry import open_folder

Maker = Callable[..., Path]


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    """uint8 (160, 224, 3), its left upper corner flat."""
    pixels: NDArray[np.uint8] = data.astronaut()[0:160, 120:344].copy()
    pixels[:32, :32] = 128
    return pixels


@pytest.fixture
def forensic_folder(tmp_path: Path, tiny_model: Path) -> Maker:
    """Makes forensic folders: name, channel, and other entries of the card; patches of 32."""

    def make(name: str, channel: str = "none", **entries: Any) -> Path:
        folder = tmp_path / "forensic" / name
        folder.mkdir(parents=True)
        classes = entries.get("classes", ["native", "gaussian"])
        torch.manual_seed(3)
        state = ConvolutionalFAN(len(classes)).state_dict()
        content = save({k: v.half().contiguous() for k, v in state.items()})
        (folder / "fan.safetensors").write_bytes(content)
        model = open_folder(tiny_model)
        card = {
            "name": name,
            "classes": classes,
            "channel": channel,
            "downsample": False,
            "codec": {"name": model.name, "sha256": model.sha256} if channel == "dcn" else None,
            "nip": None,
            "trainable": [],
            "patch": 32,
            "fan_sha256": hashlib.sha256(content).hexdigest(),
        }
        (folder / "forensic.json").write_text(json.dumps(card | entries))
        return folder

    return make
