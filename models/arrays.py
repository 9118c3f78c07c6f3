"""The weights of a model, for what runs networks without torch."""

from __future__ import annotations

import math
import struct

from dcncodec.errors import ModelError
from dcncodec.formats.tensors import Tensor, read_tensors
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dcncodec.models.card import ModelFolder

FLOATS = ("F32", "F16", "BF16")
"""Types that weights may have."""


class Weights:
    """The weights of a model, taken one by one by who describes a part of its networks.

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
            found = read_tensors(folder.content)
        except ValueError:
            raise damaged(folder) from None
        self._left = {name: tensor for name, tensor in found.items() if name.startswith(parts)}
        if any(not name.startswith(parts + others) for name in found):
            raise misfit(self._folder)

    def take(self, name: str, *shape: int) -> Tensor:
        """A tensor of floating point.

        Raises:
            ModelError: there is none, of that shape and such a type.
        """
        tensor = self._left.pop(name, None)
        if tensor is None or tensor.shape != shape:
            raise misfit(self._folder)
        if tensor.kind not in FLOATS:
            raise not_finite(self._folder, name)
        return tensor

    def take_number(self, name: str) -> float:
        """A number by itself.

        Raises:
            ModelError: as ``take``, or it is not finite.
        """
        tensor = self.take(name)
        value = _number(tensor)
        if not math.isfinite(value):
            raise not_finite(self._folder, name)
        return value

    def check_all_taken(self) -> None:
        """Tell whether something is left.

        Raises:
            ModelError: it is, so the network is another one than it was taken for.
        """
        if self._left:
            raise misfit(self._folder)


def damaged(folder: ModelFolder) -> ModelError:
    """What is raised for a file that holds no tensors."""
    return ModelError("damaged weights; install the model again", folder.weights)


def misfit(folder: ModelFolder) -> ModelError:
    """What is raised for weights of another network."""
    return ModelError("does not fit the architecture in its card; install it again", folder.weights)


def not_finite(folder: ModelFolder, name: str) -> ModelError:
    """What is raised for weights that cannot be calculated with."""
    return ModelError(
        f"weights {name} are not all finite numbers of floating point; train it anew",
        folder.weights,
    )


def _number(tensor: Tensor) -> float:
    content = bytes(tensor.data)
    if tensor.kind == "BF16":
        # The upper half of a float32.
        content = b"\0\0" + content
    value: float
    (value,) = struct.unpack("<e" if tensor.kind == "F16" else "<f", content)
    return value


def as_floats(tensor: Tensor) -> NDArray[np.float32]:
    """A tensor of floating point as an array."""
    import numpy as np

    if tensor.kind == "BF16":
        # The upper half of a float32.
        array = (np.frombuffer(tensor.data, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        array = np.frombuffer(tensor.data, {"F32": "<f4", "F16": "<f2"}[tensor.kind])
    return array.astype(np.float32).reshape(tensor.shape)
