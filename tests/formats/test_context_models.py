"""Context models that are refused, and those that just are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from context_samples import random_model
from numpy.typing import NDArray

from dcncodec.errors import ModelError
from dcncodec.formats.context import ContextModel
from dcncodec.formats.context_tensors import TENSORS


def changed(name: str, edit: Any) -> dict[str, NDArray[Any]]:
    tensors = random_model(4, 6, 12, wild=False)
    tensors[name] = np.array(tensors[name])
    result = edit(tensors[name])
    if result is not None:
        tensors[name] = result
    return tensors


def put(index: Any, value: int) -> Any:
    def edit(tensor: NDArray[Any]) -> None:
        tensor[index] = value

    return edit


@pytest.mark.parametrize(
    ("name", "edit", "error"),
    [
        ("offsets", put(0, (0, 0)), "not known yet"),
        ("offsets", put(0, (-3, 0)), "not known yet"),
        ("offsets", put(0, (0, 1)), "not known yet"),
        ("offsets", put(0, (-1, 3)), "not known yet"),
        ("squash", put(0, 1), "squash"),
        ("squash", put(3, -1), "squash"),
        ("squash", lambda t: t[:1], "size is out of range"),
        ("first.shift", put(0, 32), "shift"),
        ("hidden.shift", put(0, 32), "shift"),
        ("mean.shift", put(0, 32), "shift"),
        ("scale.shift", put(0, 32), "shift"),
        ("linear.shift", put(0, 32), "shift"),
        ("before.weight", put((0, 0), 1), "uses what is not known"),
        ("hidden.weight", put((0, 11), 1), "uses what is not known"),
        ("mean.weight", put((0, 11), 1), "uses what is not known"),
        ("scale.weight", put((4, 10), 1), "uses what is not known"),
        ("linear_before.weight", put((2, 2), 1), "uses what is not known"),
        ("neighbours.weight", put(0, 32767), "might not fit"),
        ("first.bias", put(0, -(2**31)), "might not fit"),
        ("hidden.weight", put((11, slice(None)), 32767), "might not fit"),
        ("hidden.bias", put(0, 2**31 - 1), "might not fit"),
        ("mean.weight", put((5, slice(None)), 32767), "might not fit"),
        ("mean.bias", put(5, -(2**31)), "might not fit"),
        ("scale.weight", put((5, slice(None)), 32767), "might not fit"),
        ("scale.bias", put((1, 5), 2**31 - 1), "might not fit"),
        ("radius", put(0, 128), "table"),
        ("radius", put(0, 127), "table"),
        ("low_bits", put(0, 16), "table"),
        ("frequencies", put(0, 0), "table"),
        ("frequencies", lambda t: t[:-1], "table"),
        ("frequencies", put(0, 65535), "table"),
        ("frequencies", lambda t: np.concatenate([t[:1] + t[:1], t[1:]]), "table"),
        ("hidden.weight", lambda t: t[:, :-1], "does not fit the others"),
        ("mean.bias", lambda t: t.astype(np.int64), "mean.bias is int64"),
        ("mean.bias", lambda t: t[:0], "mean.bias is int32"),
    ],
)
def test_models_that_are_refused(name: str, edit: Any, error: str) -> None:
    ContextModel(random_model(4, 6, 12, wild=False))
    with pytest.raises(ModelError, match=error):
        ContextModel(changed(name, edit))


@pytest.mark.parametrize("name", TENSORS)
def test_missing_tensors(name: str) -> None:
    tensors = random_model(4, 6, 12)
    del tensors[name]
    with pytest.raises(ModelError, match=f"tensor {name} is missing"):
        ContextModel(tensors)


def test_sums_of_squashed_latents_are_checked() -> None:
    tensors = changed("before.weight", put((11, slice(0, 5)), -32768))
    ContextModel(tensors)
    tensors["squash"][-1] = 32767
    with pytest.raises(ModelError, match="might not fit"):
        ContextModel(tensors)


def test_linear_sums_are_checked() -> None:
    tensors = changed("linear_neighbours.weight", put(0, 32767))
    tensors["squash"] = np.zeros(32768, np.int16)
    with pytest.raises(ModelError, match="might not fit"):
        ContextModel(tensors)


def test_sums_at_the_limit_are_allowed() -> None:
    tensors = random_model(4, 1, 1, 1, wild=False)
    tensors["mean.weight"][:] = 32767
    tensors["mean.bias"][:] = 2**31 - 1 - 32767 * 32768
    ContextModel(tensors)
    tensors["mean.bias"] += 1
    with pytest.raises(ModelError, match="might not fit"):
        ContextModel(tensors)
