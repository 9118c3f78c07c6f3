"""Finds a bundled codec without looking at any other model; ``models.registry`` finds them all."""

from __future__ import annotations

import os

from dcncodec.errors import ModelError
from dcncodec.formats.geometry import NAME
from dcncodec.models.card import CARD_FILE, ModelFolder, read_model
from dcncodec.models.roles import Role

# Resolved: in an editable installation the package's files may be links.
FOLDER = os.path.join(os.path.dirname(os.path.realpath(__file__)), "weights")
"""Holds the weight folders that come with the package."""


def bundled_codec(name: str) -> ModelFolder | None:
    """The bundled codec in the folder of a name; None if there is none, or its card is damaged."""
    if not NAME.fullmatch(name):
        return None
    try:
        model = read_model(os.path.join(FOLDER, name, CARD_FILE))
    except (FileNotFoundError, ModelError):
        return None
    return model if model.role is Role.CODEC else None
