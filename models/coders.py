"""Coders that models bring along; nothing here imports torch."""

from __future__ import annotations

from dcncodec.errors import about
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from dcncodec.formats.context_coder import ContextCoder
    from dcncodec.models.card import ModelFolder

CONTEXT = "context"
"""Part of a weight folder with the tensors of a context model (``formats.context``)."""


def load_context(folder: ModelFolder) -> ContextCoder | None:
    """The context coder in a codec's folder; None without one.

    Raises:
        ModelError: it is damaged, or does not fit the codec.
    """
    if CONTEXT not in folder.parts:
        return None
    from dcncodec.formats.context import ContextModel
    from dcncodec.formats.context_coder import ContextCoder

    content = folder.part(CONTEXT)
    with about(folder.part_path(CONTEXT)):
        return ContextCoder(ContextModel.from_bytes(content), folder.geometry)
