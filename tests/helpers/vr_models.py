"""Weight folders of the family vr for tests: the linear start alone, in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from skimage import data as samples

from dcncodec.metrics import to_unit
from dcncodec.models.coders import CONTEXT
from dcncodec.models.vr import VR, to_patches
from dcncodec.train.engine.context_part import CONTEXT_FILE, context_part
from dcncodec.train.engine.export import write_model

LAMBDAS = (0.0005, 0.16)


def write_vr(folder: Path, channels: int = 24) -> Path:
    """A model that codes photos as their KLT does."""
    torch.manual_seed(0)
    shape = {"latent_channels": channels, "blocks": 1, "hidden": 2 * channels}
    shape |= {"analysis_blocks": 2, "analysis_fine_blocks": 1}
    network = VR(**shape)
    photo = to_unit(torch.from_numpy(np.ascontiguousarray(samples.astronaut()[:256, :256])))
    patches = to_patches(photo[None] * 2 - 1).movedim(1, -1).flatten(0, 2)
    network.start_from_klt(patches, LAMBDAS)
    description = {
        "recipe": {"lambda_low": LAMBDAS[0], "lambda_high": LAMBDAS[1]},
        "seed": 0,
        "init": "",
        "data": [],
        "steps": 0,
        "seconds": 0.0,
        "results": {},
        "curve": [],
    }
    part = (CONTEXT_FILE, context_part(network.context_model))
    weights = network.state_dict()
    write_model(folder, weights, {"family": "vr"} | shape, description, parts={CONTEXT: part})
    return folder
