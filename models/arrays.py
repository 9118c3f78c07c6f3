"""Weights as NumPy arrays, for what runs networks without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from dcncodec.errors import ModelError

if TYPE_CHECKING:
    from dcncodec.models.card import ModelFolder

Array = NDArray[np.float32]

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
"""Types of safetensors that are NumPy's, too."""


class Weights:
    """The weights of a model, taken one by one by who builds a graph of a part of them.

    Args:
        folder: where they come from.
        parts: the network's parts that are wanted, prefixes of names; those of the others are left
            alone.
        others: the prefixes of all others.

    Raises:
        ModelError: the file is missing, damaged or replaced, or has what the architecture has not.
    """

    def __init__(
        self, folder: ModelFolder, parts: tuple[str, ...], others: tuple[str, ...]
    ) -> None:
        self._folder = folder
        try:
            found = dict(deserialize(folder.content))  # type: ignore[no-untyped-call]
        except SafetensorError:
            raise ModelError(
                f"{folder.weights}: damaged weights; install the model again"
            ) from None
        self._left = {name: tensor for name, tensor in found.items() if name.startswith(parts)}
        if any(not name.startswith(parts + others) for name in found):
            raise self._misfit()

    def take(self, name: str, *shape: int) -> Array:
        """An array of a shape, as float32.

        Raises:
            ModelError: there is none, or it is not of finite numbers of floating point.
        """
        tensor = self._left.pop(name, None)
        if tensor is None or tuple(tensor["shape"]) != shape:
            raise self._misfit()
        array = _floats(tensor)
        if array is None or not np.isfinite(array).all():
            raise ModelError(
                f"{self._folder.weights}: weights {name} are not all finite numbers of floating "
                "point; train it anew"
            )
        return array.reshape(shape)

    def check_all_taken(self) -> None:
        """Tell whether something is left.

        Raises:
            ModelError: it is, so the network is another one than the graph.
        """
        if self._left:
            raise self._misfit()

    def _misfit(self) -> ModelError:
        return ModelError(
            f"{self._folder.weights}: does not fit the architecture in its card; install it again"
        )


def _floats(tensor: dict[str, Any]) -> Array | None:
    """The numbers of a tensor; None if they are not of floating point."""
    kind, content = tensor["dtype"], tensor["data"]
    if kind == "BF16":
        # The upper half of a float32.
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
    if kind not in FLOATS:
        return None
    return np.asarray(np.frombuffer(content, FLOATS[kind]), np.float32)
