"""Qualities: which model they take, which rate, and what they give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data as samples

from dcncodec.codec import Codec
from dcncodec.encoder.quality import NAMED, only, parse_quality, rate_for
from dcncodec.errors import UsageError
from dcncodec.formats import container
from dcncodec.formats.picture import from_array
from dcncodec.likeness import measure_likeness
from dcncodec.models.registry import DEFAULT_MODEL, find_model
from dcncodec.oneline import encode


def part(pixels: NDArray[np.uint8], top: int, left: int) -> NDArray[np.uint8]:
    """Of an odd size."""
    return np.ascontiguousarray(pixels[top : top + 61, left : left + 83])


PICTURES = {
    "face": part(samples.astronaut(), 40, 180),
    "rocket": part(samples.rocket(), 150, 250),
    "cup": part(samples.coffee(), 90, 200),
    "fur": part(samples.chelsea(), 100, 150),
    "grey": part(samples.camera(), 60, 200),
    "text": np.repeat(part(samples.page(), 20, 20)[..., None], 3, 2),
}


@pytest.mark.parametrize("model", ["rated", DEFAULT_MODEL])
@pytest.mark.parametrize("name", PICTURES)
def test_monotone(rated: Path, name: str, model: str) -> None:
    """In steps of 5: single ones of the default model may lose 0.12 dB at qualities below 30, where
    these pictures have 120 to 400 bytes, and a code word more or less counts for as much."""
    folder = rated if model == "rated" else model
    codec, picture = Codec(folder, precision="fp32", threads=1), from_array(PICTURES[name])
    files = [codec.encode(picture, quality=quality) for quality in range(0, 101, 5)]
    assert np.diff([len(file) for file in files]).min() > 0
    likeness = [measure_likeness("psnr", picture, codec.decode(file)) or 0 for file in files]
    assert np.diff(likeness).min() > 0
    assert len(files[-1]) > 3 * len(files[0])


def test_the_mapping(rated: Path, tiny_model: Path) -> None:
    folder = find_model(rated)
    rates = [rate_for(parse_quality(quality), folder) for quality in range(101)]
    assert rates[0] == 0
    assert rates[100] == 255
    assert set(np.diff(rates)) == {2, 3}
    names = {name: rate_for(name, folder) for name in NAMED}
    assert names == {"low": rates[35], "medium": rates[50], "high": rates[70]}
    image = np.zeros((9, 9, 3), np.uint8)
    # What a file says of its quality is the name that was asked for.
    asked = (("55", 140, ""), (55, 140, ""), (None, 128, ""), ("high", 178, "high"))
    for quality, rate, name in asked:
        file = container.read(encode(image, quality=quality, model=rated))
        assert (file.rate, file.header.quality) == (rate, name)
    with pytest.raises(UsageError, match="quality 55: model tiny has one rate; leave it out, or"):
        encode(image, quality=55, model=tiny_model)
    with pytest.raises(UsageError, match="quality high: model tiny has one rate; leave it out"):
        encode(image, quality="high", model=tiny_model)


def test_the_default_model_has_rates() -> None:
    assert find_model(DEFAULT_MODEL).geometry.rates
    header = container.read_header(encode(np.zeros((9, 9, 3), np.uint8), quality="low"))
    assert (header.model, header.quality) == (DEFAULT_MODEL, "low")


@pytest.mark.parametrize("value", ["best", "", -1, 101, "nan", float("inf")])
def test_qualities_that_there_are_not(value: float | str) -> None:
    with pytest.raises(UsageError, match="choose low, medium, high or a number from 0 to 100"):
        parse_quality(value)


def test_one_thing_at_a_time() -> None:
    assert only({"a": None, "b": 0}) == ("b", 0)
    assert only({"a": None}) is None
    with pytest.raises(UsageError, match="a and c contradict each other; give one of them"):
        only({"a": 1, "b": None, "c": 2})
