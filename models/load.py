"""Builds networks from weight folders, and refuses weights that are not what they claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from dcncodec.errors import ModelError
from dcncodec.models.arrays import damaged, misfit, not_finite
from dcncodec.models.card import ModelFolder
from dcncodec.models.dcn import DCN
from dcncodec.models.families import find_codec, find_family
from dcncodec.models.fan import FAN
from dcncodec.models.network import Network
from dcncodec.models.nip import Pipeline
from dcncodec.models.trace import Trace
from dcncodec.models.vr import VR

N = TypeVar("N", bound=nn.Module)


def load_codec(folder: ModelFolder) -> Network:
    """A codec's networks with their weights, in float32, ready for inference.

    Raises:
        ModelError: the weight file is missing, damaged, or of another architecture than the
            card says.
    """
    return find_codec(folder.family).network(folder)


def load_dcn(folder: ModelFolder) -> DCN:
    """The networks of a codec of the family dcn; see ``load_codec``.

    Raises:
        ModelError: it is of another family, or as ``load_codec``.
    """
    return _expect(load_codec(folder), DCN, folder)


def load_vr(folder: ModelFolder) -> VR:
    """The networks of a codec of the family vr; see ``load_codec``.

    Raises:
        ModelError: it is of another family, or as ``load_codec``.
    """
    return _expect(load_codec(folder), VR, folder)


def load_nip(folder: ModelFolder) -> Pipeline:
    """A camera pipeline with its weights, in float32, ready for inference.

    Raises:
        ModelError: as ``load_codec``.
    """
    return _expect(find_family(folder.family).network(folder), Pipeline, folder)


def load_fan(folder: ModelFolder) -> FAN:
    """A forensic network with its weights, in float32, ready for inference.

    Raises:
        ModelError: as ``load_codec``.
    """
    return _expect(find_family(folder.family).network(folder), FAN, folder)


def load_trace(folder: ModelFolder) -> Trace:
    """A localising network with its weights, in float32, ready for inference.

    Raises:
        ModelError: as ``load_codec``.
    """
    return _expect(find_family(folder.family).network(folder), Trace, folder)


def _expect(network: nn.Module, kind: type[N], folder: ModelFolder) -> N:
    if not isinstance(network, kind):
        raise ModelError(
            f"is of the family {folder.family}, which cannot be used for this", folder.path
        )
    return network


def read_weights(folder: ModelFolder) -> dict[str, Tensor]:
    """The tensors of a model's weight file.

    Raises:
        ModelError: it is missing, damaged or replaced.
    """
    try:
        return load(folder.content)
    except SafetensorError:
        raise damaged(folder) from None


def fill(
    network: nn.Module, folder: ModelFolder, weights: Mapping[str, Tensor] | None = None
) -> None:
    """Give a network its weights, as float32, and make it ready for inference.

    Args:
        network: of the architecture in the card; it may be on the device "meta".
        folder: where the weights come from.
        weights: those of them that are the network's; by default all.

    Raises:
        ModelError: they have other names or shapes than the network's, are not floating-point
            numbers, or not all finite.
    """
    weights = read_weights(folder) if weights is None else weights
    for name, tensor in weights.items():
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise not_finite(folder, name)
    try:
        floats = {name: tensor.float() for name, tensor in weights.items()}
        network.load_state_dict(floats, assign=True)
    except RuntimeError:
        raise misfit(folder) from None
    network.eval().requires_grad_(False)
