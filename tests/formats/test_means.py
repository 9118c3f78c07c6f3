"""Means of regions: what is packed comes back, and what a file says of them."""

from __future__ import annotations

import numpy as np
import pytest

from dcncodec.errors import FormatError
from dcncodec.formats import container, inspect
from dcncodec.formats.container import Coding, Container, Header
from dcncodec.formats.geometry import Area
from dcncodec.formats.means import CHANNELS, MOST, Means, pack_means, parse_means, regions
from dcncodec.formats.sections import MEANS, pack_section

HEAD = Header(150, 90, "dcn-vr", bytes(8))
CODING = Coding(40, 24, bytes(8))


def some(plane: Area, spread: int = 2, seed: int = 0) -> Means:
    rows, columns = regions(plane)
    rng = np.random.default_rng(seed)
    values = rng.integers(-spread, spread + 1, (CHANNELS, rows, columns)).astype(np.int8)
    return Means(values.tobytes(), rows, columns)


@pytest.mark.parametrize("spread", [0, 1, MOST])
@pytest.mark.parametrize("shape", [(1, 1), (8, 9), (64, 96), (500, 300)])
def test_what_is_packed_comes_back(shape: tuple[int, int], spread: int) -> None:
    plane = Area(0, 0, *shape)
    means = some(plane, spread)
    packed = pack_means(means)
    assert parse_means(memoryview(packed), plane) == means
    # A value of -1..1 has 1.6 bits.
    if shape == (500, 300) and spread == 1:
        assert len(packed) < 1.7 * len(means.values) / 8


def test_means_are_added_where_their_region_is() -> None:
    plane = Area(0, 0, 20, 30)
    means = some(plane, MOST)
    latents = np.arange(4 * 600, dtype=np.int16).reshape(4, 20, 30)
    values = np.frombuffer(means.values, np.int8).reshape(CHANNELS, 3, 4)
    whole = means.added(latents)
    assert whole.dtype == np.float32
    for channel, row, column in np.ndindex(4, 20, 30):
        beside = values[channel, row // 8, column // 8] / 8 if channel < CHANNELS else 0
        assert whole[channel, row, column] == latents[channel, row, column] + beside
    window = Area(5, 9, 18, 27)
    place = window.latents_in(plane)
    np.testing.assert_array_equal(means.within(window).added(latents[place]), whole[place])


def test_a_file_has_the_means_that_were_written() -> None:
    means = some(HEAD.plane)
    data = container.write(Container(HEAD, blocks=[b"\0"], coding=CODING, means=means))
    reader = container.read(data)
    assert reader.means == means
    assert inspect.info(data)["means"] == {"bytes": len(pack_means(means))}
    without = container.write(Container(HEAD, blocks=[b"\0"], coding=CODING))
    assert container.read(without).means is None
    assert inspect.info(without)["means"] is None
    assert data.replace(pack_section(MEANS, pack_means(means)), b"") == without


@pytest.mark.parametrize("coding", [None, CODING])
def test_means_that_do_not_fit_are_not_written(coding: Coding | None) -> None:
    means = some(HEAD.plane if coding is None else Area(0, 0, 3, 4))
    with pytest.raises(ValueError, match="means of other regions"):
        container.write(Container(HEAD, blocks=[b"\0"], coding=coding, means=means))


def test_means_of_too_many_regions_are_refused_before_they_are_expanded() -> None:
    with pytest.raises(FormatError, match="symbols: between 2 and"):
        parse_means(memoryview(bytes(1000)), Area(0, 0, 10**5, 10**5))
