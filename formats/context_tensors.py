"""The tensors of a context model: what a weight file has of them, and their hash.

    tensors = checked(parse(weight_file))              # a safetensors file, names `context.*`
    sha256 = digest(tensors)

``formats.context`` codes with them. Tensors are anything with the buffer protocol, such as arrays
of NumPy, which is not needed: decoding is to start at once.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Mapping

from dcncodec.errors import ModelError
from dcncodec.formats.tensors import Tensor, read_tensors
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from dcncodec.formats.sections import Buffer

PREFIX = "context."
"""Of the tensors' names in a weight file, beside those of the networks."""
FRACTIONS = 16
"""A mean is given in 1/16 code words."""
PRECISION = 15
"""The frequencies of a table add up to 1 << 15."""

TENSORS: dict[str, tuple[str, str]] = {
    "offsets": ("int8", "K2"),
    "squash": ("int16", "T"),
    "neighbours.weight": ("int16", "HI"),
    "before.weight": ("int16", "HN"),
    "first.bias": ("int32", "QH"),
    "first.shift": ("uint8", "H"),
    "hidden.weight": ("int16", "HH"),
    "hidden.bias": ("int32", "H"),
    "hidden.shift": ("uint8", "H"),
    "mean.weight": ("int16", "NH"),
    "mean.bias": ("int32", "N"),
    "mean.shift": ("uint8", "N"),
    "scale.weight": ("int16", "NH"),
    "scale.bias": ("int32", "QN"),
    "scale.shift": ("uint8", "N"),
    "linear_neighbours.weight": ("int16", "NI"),
    "linear_before.weight": ("int16", "NN"),
    "linear.shift": ("uint8", "N"),
    "radius": ("uint8", "S"),
    "low_bits": ("uint8", "S"),
    "frequencies": ("uint16", "F"),
}
"""Type and shape of every tensor, in the order of the hash. N channels, H hidden units, K
neighbours, I = K N inputs, Q knots of the rate, S scales, T entries of the squash table, F
frequencies."""

_FORMATS: dict[str, Any] = {"int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i"}
"""As the buffer protocol calls types."""
_NAMES = {"I8": "int8", "U8": "uint8", "I16": "int16", "U16": "uint16", "I32": "int32"}
"""Types by their names in weight files."""


def parse(content: bytes) -> dict[str, memoryview]:
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
        name.removeprefix(PREFIX): _view(tensor)
        for name, tensor in stored.items()
        if name.startswith(PREFIX)
    }
    if not own:
        raise ModelError("the weight file has no context model")
    unknown = sorted(own.keys() - TENSORS.keys())
    if unknown:
        raise ModelError(f"context model: unknown tensor {unknown[0]}")
    return own


def checked(tensors: Mapping[str, Any]) -> dict[str, memoryview]:
    """All tensors of ``TENSORS`` as read-only copies.

    Raises:
        ModelError: one is missing, or has another type or number of dimensions.
    """
    return {name: _checked(tensors, name) for name in TENSORS}


def sizes_of(tensors: Mapping[str, memoryview]) -> dict[str, int]:
    """What the letters of ``TENSORS`` stand for, the same in all tensors.

    Raises:
        ModelError: they are not the same.
    """
    sizes = {"2": 2}
    sizes["N"], sizes["H"] = shape_of(tensors["mean.weight"])
    sizes["K"] = shape_of(tensors["offsets"])[0]
    sizes["I"] = sizes["K"] * sizes["N"]
    for name, (_, shape) in TENSORS.items():
        for letter, size in zip(shape, shape_of(tensors[name]), strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ModelError(
                    f"context model: tensor {name} has shape {tensors[name].shape}, which does "
                    f"not fit the others"
                )
    return sizes


def shape_of(view: memoryview) -> tuple[int, ...]:
    """Its sides."""
    return view.shape or ()


def digest(tensors: Mapping[str, Any]) -> bytes:
    """The SHA-256 of a model: for each tensor of ``TENSORS`` in order its sizes, uint32, and its
    elements, all little-endian (SPEC.md, section 16)."""
    total = hashlib.sha256()
    for name in TENSORS:
        tensor = memoryview(tensors[name])
        for size in shape_of(tensor):
            total.update(size.to_bytes(4, "little"))
        total.update(_little_endian(tensor.cast("B"), tensor.format))
    return total.digest()


def _little_endian(content: memoryview, kind: str) -> Buffer:
    """Elements of this machine as those of weight files, and the other way."""
    if sys.byteorder == "little":
        return content
    swapped = array(kind, content.tobytes())
    swapped.byteswap()
    return swapped.tobytes()


def _view(tensor: Tensor) -> memoryview:
    """A tensor of integers; of other types as text, which no tensor here may be."""
    kind = _FORMATS.get(_NAMES.get(tensor.kind, ""))
    if kind is None or not tensor.count:
        text: Any = memoryview(b"").cast("c")
        return text  # type: ignore[no-any-return]
    return _shaped(_little_endian(tensor.data, kind), kind, tensor.shape)


def _shaped(content: Buffer, kind: Any, shape: tuple[int, ...]) -> memoryview:
    view: memoryview = memoryview(content).cast("B").cast(kind, shape)
    return view


def _checked(tensors: Mapping[str, Any], name: str) -> memoryview:
    """A tensor of the right type and number of dimensions, as a read-only copy."""
    kind, shape = TENSORS[name]
    if name not in tensors:
        raise ModelError(f"context model: tensor {name} is missing")
    tensor = memoryview(tensors[name])
    if tensor.format != _FORMATS[kind] or tensor.ndim != len(shape) or not tensor.nbytes:
        names = {letter: known for known, letter in _FORMATS.items()} | {"l": "int64", "q": "int64"}
        raise ModelError(
            f"context model: tensor {name} is {names.get(tensor.format, 'no integers')} "
            f"{tensor.shape}, not {kind} with {len(shape)} dimensions"
        )
    return _shaped(tensor.tobytes(), tensor.format, shape_of(tensor))
