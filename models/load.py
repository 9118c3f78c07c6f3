"""Builds networks from weight folders."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from dcncodec.errors import ModelError
from dcncodec.models.dcn import DCN
from dcncodec.models.nip import NETWORKS, Pipeline, make_nip
from dcncodec.models.registry import ModelFolder


def load_dcn(folder: ModelFolder) -> DCN:
    """The codec's networks with their weights, in float32, ready for inference.

    Raises:
        ModelError: the weight file is missing, damaged, or of another architecture than the
            card says.
    """
    with torch.device("meta"):
        codec = DCN(folder.latent_channels)
    _fill(codec, folder)
    return codec.eval().requires_grad_(False)


def load_nip(folder: ModelFolder) -> Pipeline:
    """A camera pipeline with its weights, in float32, ready for inference.

    Raises:
        ModelError: as ``load_dcn``.
    """
    network = folder.card["architecture"].get("network")
    if network not in NETWORKS:
        raise ModelError(
            f"{folder.path}: its card names no known network; use one of {', '.join(NETWORKS)}"
        )
    pipeline = make_nip(network)
    _fill(pipeline, folder)
    return pipeline.eval().requires_grad_(False)


def _fill(network: nn.Module, folder: ModelFolder) -> None:
    """Give a network the weights of a folder."""
    try:
        weights = {name: tensor.float() for name, tensor in load(folder.content).items()}
        network.load_state_dict(weights, assign=True)
    except (SafetensorError, RuntimeError):
        raise ModelError(
            f"{folder.weights}: does not fit the architecture in its card; install it again"
        ) from None
