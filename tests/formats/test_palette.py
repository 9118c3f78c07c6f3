"""Palette tiles: what is packed comes back, and what a file says of them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from dcncodec.errors import FormatError, MissingLibraryError
from dcncodec.formats import bitstream, container, inspect, packed, reader
from dcncodec.formats.container import Container, Header
from dcncodec.formats.packed import MAX_WINDOW
from dcncodec.formats.palette import (
    COLUMNS,
    MAX_COLOURS,
    STORED,
    Palette,
    Tiling,
    exact_pixels,
    pack_area,
    pack_palette,
    parse_palette,
    spread,
    to_colours,
    unpack_area,
)


def picture(height: int, width: int, colours: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (colours, 3), np.uint8)[rng.integers(0, colours, (height, width))]


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("colours", [1, 2, 256, 257, 3000])
@pytest.mark.parametrize(
    ("height", "width", "side"), [(1, 1, 1), (1, 9, 1), (40, 7, 2), (130, 75, 3), (20, 30, 255)]
)
def test_tiles_come_back(height: int, width: int, side: int, colours: int, grey: bool) -> None:
    tiling = Tiling(height, width, side, grey)
    pixels = picture(height, width, colours)
    if grey:
        pixels = pixels[..., :1].repeat(3, 2)
    tiles = np.random.default_rng(1).random(tiling.shape) < 0.5
    tiles[-1, -1] = True
    area = memoryview(pack_area(to_colours(pixels, grey), tiles, tiling))
    found, exact = unpack_area(area, tiling)
    np.testing.assert_array_equal(exact, spread(tiles, tiling))
    np.testing.assert_array_equal(found[exact], pixels[exact])
    assert not found[~exact].any()
    assert exact_pixels(area, tiling) == exact.sum()


def test_indices_go_where_they_take_fewer_bytes() -> None:
    tiling = Tiling(96, 96, 8, False)
    lines = np.random.default_rng(0).integers(0, 9, 96).astype(np.uint32)[:, None].repeat(96, 1)
    across, down = (pack_area(c, np.ones((2, 2), bool), tiling) for c in (lines, lines.T))
    assert (across[1], down[1]) == (COLUMNS, 0)
    assert across[2:] == down[2:]


def test_areas_of_one_colour_have_no_indices() -> None:
    tiling = Tiling(700, 900, 255, False)
    area = pack_area(np.full((700, 900), 0x123456, np.uint32), np.ones((1, 1), bool), tiling)
    assert area == bytes((255, STORED, 1, 0, 0, 0x12, 0x34, 0x56))


def test_most_colours() -> None:
    tiling = Tiling(256, 257, 8, False)
    colours = np.arange(256 * 257, dtype=np.uint32).reshape(256, 257)
    tiles = np.ones(tiling.shape, bool)
    with pytest.raises(ValueError, match="65792 colours, a palette has at most 65536"):
        pack_area(colours, tiles, tiling)
    colours %= MAX_COLOURS
    found, exact = unpack_area(memoryview(pack_area(colours, tiles, tiling)), tiling)
    assert exact.all()
    np.testing.assert_array_equal(to_colours(found, False), colours)


def test_window_of_the_largest_area_is_readable() -> None:
    colours = np.zeros((2040, 2040), np.uint32)
    colours[0] = np.arange(2040)
    tiling = Tiling(2040, 2040, 1, False)
    area = pack_area(colours, np.ones(tiling.shape, bool), tiling)
    found, _ = unpack_area(memoryview(area), tiling)
    np.testing.assert_array_equal(to_colours(found, False), colours)
    assert 0.98 * MAX_WINDOW < 2040 * 2040 * 2


def test_section_holds_an_area_for_each_block() -> None:
    palette = Palette([b"", b"abc", b"", b"d" * 200])
    payload = memoryview(pack_palette(palette))
    assert [bytes(area) for area in parse_palette(payload, 4).areas] == palette.areas
    with pytest.raises(FormatError, match="palette areas have"):
        parse_palette(payload, 3)
    with pytest.raises(FormatError, match="PALT section without an area"):
        Palette([b"", b""])


@pytest.fixture
def head() -> Header:
    return Header(300, 200, "a", bytes(8), block_height=16, block_width=20)


def file_of(head: Header, areas: list[bytes]) -> bytes:
    shapes = [(rows, columns) for _, _, rows, columns in head.block_areas()]
    blocks = [bitstream.encode_block(np.full((2, *shape), 15, np.uint8)) for shape in shapes]
    return container.write(Container(head, blocks=blocks, palette=Palette(areas)))


def test_info_tells_the_share(head: Header) -> None:
    areas = []
    for number in range(head.block_count):
        tiling = Tiling.of(head, number, 8)
        tiles = np.ones(tiling.shape, bool)
        colours = np.zeros((tiling.height, tiling.width), np.uint32)
        areas.append(pack_area(colours, tiles, tiling) if number else b"")
    facts = inspect.info(file_of(head, areas))
    left_out = 16 * 20 * 64 / (300 * 200)
    assert facts["palette"]["share"] == pytest.approx(1 - left_out)
    assert facts["palette"]["bytes"] == sum(map(len, areas))
    assert any(section["type"] == "PALT" for section in facts["sections"])


def test_only_the_areas_that_are_asked_for_are_expanded(
    head: Header, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiling = Tiling.of(head, 0, 8)
    tiles = np.ones(tiling.shape, bool)
    area = pack_area(np.zeros((tiling.height, tiling.width), np.uint32), tiles, tiling)
    damaged = area[:-1]
    file = container.read(file_of(head, [area, damaged, area, *[b""] * (head.block_count - 3)]))
    assert file.exact(0) is not None
    assert file.exact(3) is None
    with pytest.raises(FormatError, match="block 1: "):
        file.exact(1)
    with pytest.raises(FormatError, match="block 1: "):
        file.verify()


def test_a_map_is_expanded_once(head: Header, monkeypatch: pytest.MonkeyPatch) -> None:
    tiling = Tiling.of(head, 0, 8)
    colours = np.zeros((tiling.height, tiling.width), np.uint32)
    area = pack_area(colours, np.ones(tiling.shape, bool), tiling)
    file = container.read(file_of(head, [area, *[b""] * (head.block_count - 1)]))
    assert file.exact_pixels(0) == tiling.height * tiling.width
    monkeypatch.setattr(reader, "exact_pixels", None)
    assert file.exact_pixels(0) == tiling.height * tiling.width
    assert file.exact_pixels(1) == 0


def test_areas_for_another_number_of_blocks(head: Header) -> None:
    with pytest.raises(ValueError, match="1 palette areas, not 4"):
        file_of(head, [b"abc"])


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, packed.load_zstd().__name__, None)
    tiling = Tiling(8, 8, 1, False)
    with pytest.raises(MissingLibraryError, match="alpha and palettes need the library"):
        pack_area(np.zeros((8, 8), np.uint32), np.ones((1, 1), bool), tiling)
