"""Localising networks with random weights, on disk."""

from __future__ import annotations

from pathlib import Path

import torch

from dcncodec.models.trace import SIZES, Trace
from dcncodec.train.engine.export import write_model

RUN = {
    "recipe": {},
    "seed": 0,
    "init": "",
    "data": [],
    "steps": 1,
    "seconds": 1.0,
    "results": {},
    "curve": [],
}


def write_trace(
    folder: Path, stage: str = "joint", threshold: float | None = None, size: str = "8"
) -> Path:
    """A weight folder, of the smallest size unless told; its map is far from flat."""
    torch.manual_seed(0)
    network = Trace(SIZES[size], 25)
    with torch.no_grad():
        network.anomaly.decide.weight.mul_(20)
        network.anomaly.decide.bias.zero_()
    known = {"threshold": threshold, "false_alarm": None if threshold is None else 0.05}
    architecture = {"family": "trace", "size": size, "classes": 25}
    write_model(folder, network.state_dict(), architecture, {"stage": stage, **known, **RUN})
    return folder
