"""Frames of sensors: samples, black and white, white balance, patterns, and bad files."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dcncodec.camera.camera import develop_frame
from dcncodec.errors import (
    FormatError,
    ImageError,
    LimitError,
    MissingLibraryError,
    OutputError,
    UsageError,
)
from dcncodec.formats.dng import dng_bytes, write_dng
from dcncodec.formats.raw import (
    PATTERNS,
    SRGB_TO_XYZ,
    Frame,
    camera_to_srgb,
    develop_with_libraw,
    frame_from_bytes,
    read_raw,
)

GAINS = (2.0, 1.0, 1.5)
XYZ_TO_CAMERA = np.array(
    [[0.66, -0.208, -0.056], [-0.478, 1.302, 0.193], [-0.097, 0.158, 0.518]]
)  # fmt: skip


def frame(pattern: str = "RGGB", height: int = 32, width: int = 40, turns: int = 0) -> Frame:
    """Random samples."""
    mosaic = np.random.default_rng(0).integers(256, 4096, (height, width), np.uint16)
    to_srgb = camera_to_srgb(XYZ_TO_CAMERA)
    return Frame(mosaic, pattern, (256.0, 250.0, 260.0, 256.0), 4095.0, GAINS, to_srgb, turns)


def test_stack_is_balanced_and_normalised() -> None:
    stack = frame().stack()
    assert stack.dtype == np.float32
    assert stack.shape == (16, 20, 4)
    mosaic = frame().mosaic.astype(float)
    expected = [
        (mosaic[::2, ::2] - 256) / (4095 - 256) * 2,
        (mosaic[::2, 1::2] - 250) / (4095 - 250),
        (mosaic[1::2, ::2] - 260) / (4095 - 260),
        (mosaic[1::2, 1::2] - 256) / (4095 - 256) * 1.5,
    ]
    assert np.allclose(stack, np.stack(expected, -1).clip(0, 1), atol=1e-6)


def test_smallest_gain_is_one() -> None:
    """Else a saturated sample of that colour would be less than white."""
    white = replace(frame(), mosaic=np.full((4, 4), 4095, np.uint16), gains=(0.8, 1.0, 1.6))
    assert white.stack().min() == 1


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_becomes_rggb(pattern: str) -> None:
    """The value of a sample tells its colour; the two greens lie on the rows of R and of B."""
    values = {"R": 1000, "G": 2000, "B": 3000}
    tile = np.array([values[colour] for colour in pattern], np.uint16).reshape(2, 2)
    flat = Frame(np.tile(tile, (4, 5)), pattern, (0.0,) * 4, 4000.0, (1, 1, 1), np.eye(3))
    stack = flat.stack()
    assert stack.shape[0] in {3, 4}
    assert stack.shape[1] in {4, 5}
    assert np.allclose(stack, [0.25, 0.5, 0.5, 0.75])


def test_colour_matrix_keeps_white() -> None:
    matrix = camera_to_srgb(XYZ_TO_CAMERA)
    assert np.allclose(matrix.sum(1), 1)
    white = XYZ_TO_CAMERA @ SRGB_TO_XYZ @ np.ones(3)
    red = (XYZ_TO_CAMERA @ SRGB_TO_XYZ @ [1, 0, 0]) / white
    assert np.allclose(matrix @ red, [1, 0, 0])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_dng_comes_back(tmp_path: Path, pattern: str) -> None:
    pytest.importorskip("rawpy")
    written = frame(pattern, turns=1)
    write_dng(written, tmp_path / "a.dng")
    read = read_raw(tmp_path / "a.dng")
    assert np.array_equal(read.mosaic, written.mosaic)
    assert (read.pattern, read.white, read.turns) == (pattern, 4095, 1)
    assert read.black == written.black
    assert np.allclose(read.gains, GAINS, atol=1e-3)
    assert np.allclose(read.to_srgb, written.to_srgb, atol=2e-3)
    assert np.abs(read.stack() - written.stack()).max() < 2e-3


def test_libraw_develops_our_dng(tmp_path: Path) -> None:
    """A frame of one colour: white balance and matrix are those that were written."""
    pytest.importorskip("rawpy")
    linear = np.array([0.6, 0.3, 0.1])
    camera = np.linalg.inv(camera_to_srgb(XYZ_TO_CAMERA)) @ linear / np.array(GAINS)
    samples = np.tile(camera[[0, 1, 1, 2]].reshape(2, 2), (32, 32)) * 16_000
    flat = replace(frame(), mosaic=samples.astype(np.uint16), black=(0.0,) * 4, white=16_000.0)
    (tmp_path / "a.dng").write_bytes(dng_bytes(flat))
    picture = develop_with_libraw(tmp_path / "a.dng")
    assert picture.shape == (64, 64, 3)
    # LibRaw's transfer curve is that of BT.709.
    expected = 255 * (1.099 * linear**0.45 - 0.099)
    assert np.abs(picture[16:48, 16:48].mean((0, 1)) - expected).max() < 3


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_every_pipeline_puts_pictures_upright(tmp_path: Path, turns: int, mirrored: bool) -> None:
    """A red corner, which all eight orientations put somewhere else."""
    pytest.importorskip("rawpy")
    pytest.importorskip("colour_demosaicing")
    samples = np.full((64, 96), 2000, np.uint16)
    samples[:32:2, :48:2] = 12_000
    made = replace(
        frame(),
        mosaic=samples,
        black=(0.0,) * 4,
        white=16_000.0,
        gains=(1.0, 1.0, 1.0),
        turns=turns,
        mirrored=mirrored,
    )
    (tmp_path / "a.dng").write_bytes(dng_bytes(made))
    read = read_raw(tmp_path / "a.dng")
    assert (read.turns, read.mirrored) == (turns, mirrored)
    ours = develop_frame(read)
    theirs = develop_with_libraw(tmp_path / "a.dng") / 255
    assert ours.shape == theirs.shape == ((64, 96, 3) if turns % 2 == 0 else (96, 64, 3))
    redness = [p[..., 0] - p[..., 1] for p in (ours, theirs)]
    corners = [
        [r[:8, :8].mean(), r[:8, -8:].mean(), r[-8:, :8].mean(), r[-8:, -8:].mean()]
        for r in redness
    ]
    marker = np.array([[1, 0], [0, 0]], np.float32)[..., None]
    expected = np.argmax(made.upright(marker))
    for found in corners:
        assert np.argmax(found) == expected
        assert max(found) > sorted(found)[2] + 0.2


def test_numbers_that_make_no_sense(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    path = tmp_path / "a.dng"
    path.write_bytes(dng_bytes(replace(frame(), black=(65535.0,) * 4, white=65535.0)))
    for read in (read_raw, develop_with_libraw):
        with pytest.raises(ImageError, match=r"a\.dng: black at 65535 and white at 65535"):
            read(path)
    odd = np.array([[1, 0, 0], [0, 1, 0], [30, 30, -59.0]])
    path.write_bytes(dng_bytes(replace(frame(), to_srgb=odd)))
    for read in (read_raw, develop_with_libraw):
        with pytest.raises(ImageError, match=r"a\.dng: its colour matrix makes no sense"):
            read(path)


def test_linear_raw_is_no_mosaic(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    tifffile = pytest.importorskip("tifffile")
    tags = [(50706, 1, 4, bytes((1, 4, 0, 0)), True), (50708, 2, 0, "a camera", True)]
    tifffile.imwrite(
        tmp_path / "a.dng", np.full((64, 64, 3), 1000, np.uint16), photometric=34892,
        metadata=None, extratags=tags,
    )  # fmt: skip
    with pytest.raises(ImageError, match="holds no mosaic of a sensor; try --pipeline libraw"):
        read_raw(tmp_path / "a.dng")
    assert develop_with_libraw(tmp_path / "a.dng").shape == (64, 64, 3)


def test_dng_is_not_overwritten(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    (tmp_path / "a.dng").write_text("precious")
    with pytest.raises((UsageError, OutputError)):
        write_dng(frame(), tmp_path / "a.dng")
    assert (tmp_path / "a.dng").read_text() == "precious"
    write_dng(frame(), tmp_path / "a.dng", overwrite=True)
    assert (tmp_path / "a.dng").stat().st_size > 32 * 40 * 2


def test_bad_files(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    with pytest.raises(UsageError):
        read_raw(tmp_path / "missing.nef")
    (tmp_path / "text.nef").write_text("not a photo")
    with pytest.raises(ImageError, match="no RAW file, or damaged: Input/output error"):
        read_raw(tmp_path / "text.nef")
    (tmp_path / "photo.nef").write_bytes(bytes(range(256)) * 64)
    with pytest.raises(ImageError, match=r"LibRaw .* supports; convert it to DNG"):
        read_raw(tmp_path / "photo.nef")
    content = dng_bytes(frame(height=200, width=200))
    (tmp_path / "cut.dng").write_bytes(content[: len(content) // 4])
    with pytest.raises(ImageError, match="no RAW file, or damaged"):
        read_raw(tmp_path / "cut.dng")
    (tmp_path / "good.dng").write_bytes(content)
    with pytest.raises(LimitError, match="200 x 200 pixels are more than the limit of 39999"):
        read_raw(tmp_path / "good.dng", max_pixels=39_999)


def test_without_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    (tmp_path / "a.nef").write_bytes(b"any")
    with pytest.raises(MissingLibraryError, match="rawpy"):
        read_raw(tmp_path / "a.nef")
    with pytest.raises(MissingLibraryError, match="tifffile"):
        dng_bytes(frame())


def test_frames_without_header() -> None:
    samples = np.arange(48, dtype="<u2").reshape(6, 8)
    read = frame_from_bytes(samples.tobytes(), 8, 6, 2, 20, (2, 1, 1), "BGGR")
    assert np.array_equal(read.mosaic, samples)
    assert (read.pattern, read.black, read.white) == ("BGGR", (2.0,) * 4, 20.0)
    assert np.array_equal(read.to_srgb, np.eye(3))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"width": 7}, FormatError),
        ({"black": 20.0}, UsageError),
        ({"white": 70_000.0}, UsageError),
        ({"gains": (1.0, 0.0, 1.0)}, UsageError),
        ({"gains": (1.0, 1.0)}, UsageError),
        ({"gains": (1.0, float("nan"), 1.0)}, UsageError),
        ({"gains": (1.0, 1.0, 101.0)}, UsageError),
        ({"width": 4, "height": 12}, ImageError),
    ],
)
def test_frames_that_make_no_sense(change: dict[str, object], error: type[Exception]) -> None:
    values = {"width": 8, "height": 6, "black": 0.0, "white": 20.0}
    with pytest.raises(error):
        frame_from_bytes(bytes(96), **(values | change))  # type: ignore[arg-type]


def test_shared_frame(shared_data: Path) -> None:
    content = (shared_data / "raw" / "nikon_768x512_rggb_u16.raw").read_bytes()
    stack = frame_from_bytes(content, 768, 512, 0, 65_535).stack()
    assert stack.shape == (256, 384, 4)
    assert 0 < stack.mean() < 1
