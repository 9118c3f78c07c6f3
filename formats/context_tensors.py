"""The tensors of a context model: what a weight file has of them, and their hash.

    tensors = checked(parse(weight_file))              # a safetensors file, names `context.*`
    sha256 = digest(tensors)

``formats.context`` codes with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dcncodec.errors import ModelError
from dcncodec.formats.tensors import Tensor, read_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREFIX = "context."
"""Of the tensors' names in a weight file, beside those of the networks."""
FRACTIONS = 16
"""A mean is given in 1/16 code words."""
PRECISION = 15
"""The frequencies of a table add up to 1 << 15."""

TENSORS: dict[str, tuple[type[np.generic], str]] = {
    "offsets": (np.int8, "K2"),
    "squash": (np.int16, "T"),
    "neighbours.weight": (np.int16, "HI"),
    "before.weight": (np.int16, "HN"),
    "first.bias": (np.int32, "QH"),
    "first.shift": (np.uint8, "H"),
    "hidden.weight": (np.int16, "HH"),
    "hidden.bias": (np.int32, "H"),
    "hidden.shift": (np.uint8, "H"),
    "mean.weight": (np.int16, "NH"),
    "mean.bias": (np.int32, "N"),
    "mean.shift": (np.uint8, "N"),
    "scale.weight": (np.int16, "NH"),
    "scale.bias": (np.int32, "QN"),
    "scale.shift": (np.uint8, "N"),
    "linear_neighbours.weight": (np.int16, "NI"),
    "linear_before.weight": (np.int16, "NN"),
    "linear.shift": (np.uint8, "N"),
    "radius": (np.uint8, "S"),
    "low_bits": (np.uint8, "S"),
    "frequencies": (np.uint16, "F"),
}
"""Type and shape of every tensor, in the order of the hash. N channels, H hidden units, K
neighbours, I = K N inputs, Q knots of the rate, S scales, T entries of the squash table, F
frequencies."""

_INTEGERS: dict[str, type[np.generic]] = {
    np.dtype(kind).kind.upper() + str(8 * np.dtype(kind).itemsize): kind
    for kind, _ in TENSORS.values()
}
"""Types of these tensors by their names in weight files."""


def parse(content: bytes) -> dict[str, NDArray[Any]]:
    """The tensors of the context model in a weight file, by their names without prefix.

    Args:
        content: a safetensors file; whatever else it holds is left alone.

    Raises:
        ModelError: the file is damaged, or has no context model or one of unknown tensors.
    """
    try:
        stored = read_tensors(content)
    except ValueError as error:
        raise ModelError(f"context model: not a weight file ({error})") from None
    own = {
        name.removeprefix(PREFIX): _array(tensor)
        for name, tensor in stored.items()
        if name.startswith(PREFIX)
    }
    if not own:
        raise ModelError("the weight file has no context model")
    unknown = sorted(own.keys() - TENSORS.keys())
    if unknown:
        raise ModelError(f"context model: unknown tensor {unknown[0]}")
    return own


def checked(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """All tensors of ``TENSORS`` as read-only copies.

    Raises:
        ModelError: one is missing, or has another type or number of dimensions.
    """
    return {name: _checked(tensors, name) for name in TENSORS}


def sizes_of(tensors: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """What the letters of ``TENSORS`` stand for, the same in all tensors.

    Raises:
        ModelError: they are not the same.
    """
    sizes = {"2": 2}
    sizes["N"], sizes["H"] = tensors["mean.weight"].shape
    sizes["K"] = tensors["offsets"].shape[0]
    sizes["I"] = sizes["K"] * sizes["N"]
    for name, (_, shape) in TENSORS.items():
        for letter, size in zip(shape, tensors[name].shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ModelError(
                    f"context model: tensor {name} has shape {tensors[name].shape}, which does "
                    f"not fit the others"
                )
    return sizes


def digest(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """The SHA-256 of a model: for each tensor of ``TENSORS`` in order its sizes, uint32, and its
    elements, all little-endian (SPEC.md, section 16)."""
    total = hashlib.sha256()
    for name in TENSORS:
        tensor = np.ascontiguousarray(tensors[name])
        total.update(np.array(tensor.shape, "<u4").tobytes())
        total.update(tensor.astype(tensor.dtype.newbyteorder("<")).tobytes())
    return total.digest()


def _array(tensor: Tensor) -> NDArray[Any]:
    """A tensor of integers as an array; of other types as bytes, which no tensor here may be."""
    kind = _INTEGERS.get(tensor.kind)
    if kind is None:
        return np.frombuffer(tensor.data, "S1")
    array = np.frombuffer(tensor.data, np.dtype(kind).newbyteorder("<")).astype(kind)
    return array.reshape(tensor.shape)


def _checked(tensors: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """A tensor of the right type and number of dimensions, as a read-only copy."""
    kind, shape = TENSORS[name]
    if name not in tensors:
        raise ModelError(f"context model: tensor {name} is missing")
    tensor = tensors[name]
    if tensor.dtype != kind or tensor.ndim != len(shape) or not tensor.size:
        raise ModelError(
            f"context model: tensor {name} is {tensor.dtype} {tensor.shape}, not "
            f"{np.dtype(kind).name} with {len(shape)} dimensions"
        )
    copy = np.array(tensor, order="C")
    copy.setflags(write=False)
    return copy
