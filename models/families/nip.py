"""Neural camera pipelines (Korus & Memon, CVPR 2019), networks in ``models.nip``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dcncodec.models.card import card_text
from dcncodec.models.roles import Role

if TYPE_CHECKING:
    from dcncodec.models.card import ModelFolder
    from dcncodec.models.nip import Pipeline

ROLE = Role.PIPELINE
TITLE = "camera pipeline"
MAKER = "dcn train nip"

STANDARD = "standard"
"""The name of the pipeline without weights (``camera.develop``)."""


def check(card: Mapping[str, Any]) -> bool:
    """See ``Family``."""
    rows = card["to_srgb"]
    return (
        isinstance(card["architecture"]["network"], str)
        and [len(row) for row in rows] == [3] * 3
        and all(isinstance(value, int | float) for row in rows for value in row)
    )


def text(card: Mapping[str, Any]) -> str:
    """See ``Family``."""
    network = card["architecture"]["network"]
    return card_text(
        card, f"Camera pipeline {network} (Korus & Memon, CVPR 2019): RGGB stack to sRGB."
    )


def network(folder: ModelFolder) -> Pipeline:
    """See ``Family``."""
    from dcncodec.errors import ModelError
    from dcncodec.models.load import fill
    from dcncodec.models.nip import NETWORKS, make_nip

    name = folder.card["architecture"]["network"]
    if name not in NETWORKS:
        raise ModelError(
            f"its card names no known network; use one of {', '.join(NETWORKS)}", folder.path
        )
    pipeline = make_nip(name)
    fill(pipeline, folder)
    return pipeline
