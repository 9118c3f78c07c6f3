"""The reader of weight files takes what safetensors writes, and refuses what is damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save

from dcncodec.formats.tensors import read_tensors

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array(7, np.int8),
    "c": np.zeros((0, 4), np.float16),
}


def test_what_safetensors_writes() -> None:
    tensors = read_tensors(save(ARRAYS, {"about": "nothing"}))
    assert tensors.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (tensors[name].name, tensors[name].shape) == (name, array.shape)
        assert bytes(tensors[name].data) == array.tobytes()
    assert [tensors[name].kind for name in "abc"] == ["F32", "I8", "F16"]
    assert tensors["a"].count == 6


def written(header: object, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(first: object, last: object, shape: object = (2,), kind: object = "I8") -> object:
    return {"dtype": kind, "shape": shape, "data_offsets": [first, last]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cut off"),
        (b"\xff" * 9, "cut off"),
        (written({"a": entry(0, 2)}, b"12")[:-1], "cut off"),
        (written({"a": entry(0, 2)}, b"123"), "too long"),
        (written({"a": entry(1, 3)}, b"123"), "where it should be"),
        (written({"a": entry(0, 2), "b": entry(1, 3)}, b"123"), "where it should be"),
        (written({"a": entry(0, 3)}, b"123"), "where it should be"),
        (written({"a": entry(0, 2, kind="I9")}, b"12"), "no table of tensors"),
        (written({"a": entry(0, 2, shape=[-2])}, b"12"), "side"),
        (written({"a": entry(0, 2, shape=7)}, b"12"), "no table of tensors"),
        (written({"a": entry("0", 2)}, b"12"), "offset"),
        (written({"a": {"dtype": "I8"}}, b""), "no table of tensors"),
        (written([1], b""), "no table of tensors"),
        ((5).to_bytes(8, "little") + b"{nope", "Expecting"),
    ],
)
def test_damaged_files(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_tensors(content)


def test_every_byte_that_is_cut_off_is_missed() -> None:
    content = save(ARRAYS)
    for length in range(len(content)):
        with pytest.raises(ValueError, match=r"."):
            read_tensors(content[:length])
