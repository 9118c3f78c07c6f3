"""Reads safetensors files (https://github.com/huggingface/safetensors#format), without numpy.

    tensors = read_tensors(content)        # name -> Tensor, views of the content

The header is taken as strictly as the format says: little-endian, tensors that cover all of the
data without holes or overlaps, nothing else in it.
"""

from __future__ import annotations

import json
import math

from dcncodec.formats.sections import Buffer
from dcncodec.records import record
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

WIDTHS = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4} | {
    "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1
}  # fmt: skip
"""Bytes of an element by its type's name."""
MAX_HEADER_BYTES = 10**8
LENGTH_BYTES = 8


@record
class Tensor:
    """An array in a weight file.

    Attributes:
        name: in the file.
        kind: the type of its elements, a key of ``WIDTHS``.
        shape: its sides.
        data: its elements, little-endian, in row-major order.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    data: memoryview

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def read_tensors(content: Buffer) -> dict[str, Tensor]:
    """All tensors of a file.

    Args:
        content: the whole file; the tensors are views of it.

    Raises:
        ValueError: it is damaged.
    """
    view = memoryview(content).cast("B")
    size = int.from_bytes(view[:LENGTH_BYTES], "little")
    if len(view) < LENGTH_BYTES or size > min(MAX_HEADER_BYTES, len(view) - LENGTH_BYTES):
        raise ValueError("its header is cut off")
    begin = LENGTH_BYTES + size
    try:
        header = json.loads(bytes(view[LENGTH_BYTES:begin]))
        header.pop("__metadata__", None)
        found = [(_range(entry), name, entry) for name, entry in header.items()]
        tensors = {}
        end = 0
        for (first, last), name, entry in sorted(found, key=lambda item: item[0]):
            tensor = Tensor(name, entry["dtype"], _shape(entry), view[begin + first : begin + last])
            if first != end or last - first != tensor.count * WIDTHS[tensor.kind]:
                raise ValueError(f"the data of {name} is not where it should be")
            tensors[name] = tensor
            end = last
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"its header is no table of tensors ({error})") from None
    if end != len(view) - begin:
        raise ValueError("its data is cut off, or too long")
    return tensors


def _range(entry: Any) -> tuple[int, int]:
    first, last = entry["data_offsets"]
    if not (isinstance(first, int) and isinstance(last, int) and 0 <= first <= last):
        raise ValueError("an offset is not a number")
    return first, last


def _shape(entry: Any) -> tuple[int, ...]:
    shape = tuple(entry["shape"])
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError("a side is not a number")
    return shape
