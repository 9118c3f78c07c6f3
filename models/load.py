"""Builds a network from a weight folder."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from dcncodec.errors import ModelError
from dcncodec.models.dcn import DCN
from dcncodec.models.registry import ModelFolder


def load_dcn(folder: ModelFolder) -> DCN:
    """The codec's networks with their weights, in float32, ready for inference.

    Raises:
        ModelError: the weight file is missing, damaged, or of another architecture than the
            card says.
    """
    with torch.device("meta"):
        codec = DCN(folder.latent_channels)
    try:
        weights = {name: tensor.float() for name, tensor in load(folder.content).items()}
        codec.load_state_dict(weights, assign=True)
    except (SafetensorError, RuntimeError):
        raise ModelError(
            f"{folder.weights}: does not fit the architecture in its card; install it again"
        ) from None
    return codec.eval().requires_grad_(False)
