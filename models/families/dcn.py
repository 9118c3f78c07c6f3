"""The paper's codec (Korus & Memon, ICLR 2020), networks in ``models.dcn``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dcncodec.errors import ModelError
from dcncodec.formats.geometry import MAX_SIDE, Geometry
from dcncodec.models.card import card_text, is_whole
from dcncodec.models.coders import load_context
from dcncodec.models.roles import Role

if TYPE_CHECKING:
    from dcncodec.formats.coder import ModelCoder
    from dcncodec.models.card import ModelFolder
    from dcncodec.models.dcn import DCN
    from dcncodec.models.program import Program, Transform

ROLE = Role.CODEC
TITLE = "codec"
MAKER = "dcn train --export"

HALO = 5
"""Latents around a window that can influence it, for either transform.

Analysis: 2 + 2*2 + 6*4 + 2*4 = 38 pixels (two 5x5/2, six 3x3 at stride 4, one 5x5/2).
Synthesis: 8 + 6*4 + 4 + 2 = 38 pixels (3x3 at stride 8, six at 4, one at 4, one at 2).
Both round up to 5 latents of 8 pixels.
"""


def check(card: Mapping[str, Any]) -> bool:
    """See ``Family``."""
    return is_whole(card["architecture"]["latent_channels"], 1, MAX_SIDE)


def text(card: Mapping[str, Any]) -> str:
    """See ``Family``."""
    channels = card["architecture"]["latent_channels"]
    about = f"DCN codec (Korus & Memon, ICLR 2020) with {channels} latent channels."
    return card_text(card, about)


def geometry(card: Mapping[str, Any]) -> Geometry:
    """See ``CodecFamily``."""
    return Geometry(card["architecture"]["latent_channels"], HALO)


def slope(card: Mapping[str, Any], rate: int) -> float | None:
    """See ``CodecFamily``; of models of one rate, whose loss counts more than that."""
    return None


def network(folder: ModelFolder) -> DCN:
    """See ``Family``."""
    import torch

    from dcncodec.models.dcn import DCN
    from dcncodec.models.load import fill

    with torch.device("meta"):
        codec = DCN(folder.geometry.channels)
    fill(codec, folder)
    if float(codec.latent_scale) <= 0:
        raise ModelError("its latent scale is not positive; train it anew", folder.weights)
    return codec


def coder(folder: ModelFolder) -> ModelCoder | None:
    """See ``CodecFamily``."""
    return load_context(folder)


def program(folder: ModelFolder, transform: Transform) -> Program:
    """See ``CodecFamily``."""
    from dcncodec.models.dcn_layers import build

    return build(folder, transform)
