"""One codec for all rates, networks in ``models.vr``, latents coded by a context model.

The architecture in its cards has "latent_channels", "blocks" (of the synthesis), "hidden" (units of
the context model), "analysis_blocks" and "analysis_fine_blocks", all int; the part "context" has
the integers of the coder.
"""

from __future__ import annotations

from collections.abc import Mapping

from dcncodec.formats.geometry import MAX_RATE, Geometry
from dcncodec.formats.means import CHANNELS as MEAN_CHANNELS
from dcncodec.models.card import card_text, is_positive, is_whole
from dcncodec.models.coders import load_context
from dcncodec.models.roles import Role
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from dcncodec.formats.coder import ModelCoder
    from dcncodec.models.card import ModelFolder
    from dcncodec.models.program import Program, Transform
    from dcncodec.models.vr import VR

ROLE = Role.CODEC
TITLE = "codec for all rates"
MAKER = "dcn train vr --export"

SHAPE = ("latent_channels", "blocks", "hidden", "analysis_blocks", "analysis_fine_blocks")
"""What makes the networks' shape."""
FINE_HALO = 2
"""Latents beyond the blocks at stride 8 that the synthesis sees: three places of stride 4 (two
blocks and one 3x3), rounded up."""
LARGEST = 2047
"""Code words are -2047..2047: eleven bits are more than the finest quantiser gives."""
MAX_CHANNELS, MAX_BLOCKS, MAX_HIDDEN = 192, 16, 512


def check(card: Mapping[str, Any]) -> bool:
    """See ``Family``."""
    shape = card["architecture"]
    return (
        is_whole(shape["latent_channels"], 1, MAX_CHANNELS)
        and is_whole(shape["blocks"], 1, MAX_BLOCKS)
        and is_whole(shape["hidden"], 1, MAX_HIDDEN)
        and is_whole(shape["analysis_blocks"], 1, MAX_BLOCKS)
        and is_whole(shape["analysis_fine_blocks"], 0, MAX_BLOCKS)
    )


def text(card: Mapping[str, Any]) -> str:
    """See ``Family``."""
    channels = card["architecture"]["latent_channels"]
    return card_text(card, f"Codec for all rates (family vr) with {channels} latent channels.")


def geometry(card: Mapping[str, Any]) -> Geometry:
    """See ``CodecFamily``. Each block sees one place further at its stride, each 3x3 as well."""
    shape = card["architecture"]
    fine = shape["analysis_fine_blocks"]
    analysis = shape["analysis_blocks"] + ((fine + 2) // 2 if fine else 0)
    return Geometry(
        channels=shape["latent_channels"],
        halo=max(analysis, shape["blocks"] + FINE_HALO),
        first=-LARGEST,
        words=2 * LARGEST + 1,
        rates=True,
        means=shape["latent_channels"] >= MEAN_CHANNELS,
    )


def slope(card: Mapping[str, Any], rate: int) -> float | None:
    """See ``CodecFamily``: lambda, which the recipe has at both ends."""
    low, high = (card["recipe"].get(name) for name in ("lambda_low", "lambda_high"))
    if not (is_positive(low) and is_positive(high)):
        return None
    weight: float = low * (high / low) ** (rate / MAX_RATE)
    return weight


def network(folder: ModelFolder) -> VR:
    """See ``Family``."""
    from dcncodec.models.load import fill
    from dcncodec.models.vr import VR

    codec = VR(**{name: folder.card["architecture"][name] for name in SHAPE})
    fill(codec, folder)
    return codec


def coder(folder: ModelFolder) -> ModelCoder | None:
    """See ``CodecFamily``."""
    return load_context(folder)


def program(folder: ModelFolder, transform: Transform) -> Program:
    """See ``CodecFamily``."""
    from dcncodec.models.vr_layers import build

    return build(folder, transform)
