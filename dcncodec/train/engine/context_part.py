"""From a trained context model to the integers that the coder reads, as a file of a model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from dcncodec.formats.context import ContextModel
from dcncodec.models.context import ContextModel as Twin
from dcncodec.models.context_export import quantise, refine

FORMAT = "dcn-context-1"
CONTEXT_FILE = "context.safetensors"
"""Its name in a weight folder."""

Block = tuple[NDArray[np.int16], int]
"""Latents (N, rows, columns) and their rate."""


def context_part(twin: Twin, blocks: Iterable[Block] = ()) -> bytes:
    """The file of a context model (the part ``models.coders.CONTEXT``).

    Args:
        twin: the float model.
        blocks: latents that the coder's tables are refined by; none for the tables of the
            logistic distribution alone.

    Raises:
        ModelError: weights too large for 16 bits, or not finite.
    """
    state = twin.state_dict()
    weights = {
        name: tensor.detach().float().cpu().flatten(1 if tensor.ndim > 1 else 0).numpy()
        for name, tensor in state.items()
    }
    model = ContextModel(quantise(weights, twin.offsets))
    model = ContextModel(refine(model, blocks))
    return save(model.to_tensors(), {"format": FORMAT})
