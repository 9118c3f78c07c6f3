"""The other codecs: published points, effective payloads, damaged files, missing libraries."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from skimage import data

from dcncodec.errors import DcnError, FormatError, ImageError, MissingLibraryError
from dcncodec.formats.peers.baselines import BASELINES, jpeg2000_payload, jpeg_payload

ANCHORS = Path(__file__).parents[4] / "shared" / "anchors" / "rd_kodak512.json"
BUILT_IN = [name for name in BASELINES if name != "bpgenc"]
PHOTO = np.ascontiguousarray(data.astronaut()[:96, 150:278])


def installed(name: str) -> None:
    try:
        BASELINES[name].version()
    except MissingLibraryError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ["jpeg", "jpeg2000", "webp", "avif"])
@pytest.mark.parametrize("image", ["kodim05", "kodim20"])
def test_published_points(name: str, image: str, shared_data: Path) -> None:
    """Rates and PSNR of the same settings on the same centre crops."""
    if not ANCHORS.exists():
        pytest.skip("needs ../shared/anchors")
    installed(name)
    rows = json.loads(ANCHORS.read_text())["rows"][name][image]
    with Image.open(shared_data / "kodak" / f"{image}.png") as file:
        pixels = np.asarray(file)
    top, left = (pixels.shape[0] - 512) // 2, (pixels.shape[1] - 512) // 2
    pixels = np.ascontiguousarray(pixels[top : top + 512, left : left + 512])
    codec = BASELINES[name]
    for setting, bpp_file, bpp_payload, psnr, *_ in (rows[2], rows[5]):
        coded = codec.compress(pixels, setting, 1)
        error = np.square(pixels.astype(float) - codec.decompress(coded, 1)).mean()
        # The encoders of AVIF and WebP differ by a few bytes between builds.
        tolerance = {"rel": 5e-3} if name in {"avif", "webp"} else {"abs": 2e-5, "rel": 3e-5}
        assert len(coded) * 8 / 512**2 == pytest.approx(bpp_file, **tolerance)
        assert codec.payload(coded) * 8 / 512**2 == pytest.approx(bpp_payload, **tolerance)
        assert 10 * np.log10(255**2 / error) == pytest.approx(psnr, abs=0.02)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_codec_round_trips_and_gains_with_its_settings(name: str) -> None:
    installed(name)
    codec = BASELINES[name]
    sizes, errors = [], []
    for setting in (codec.settings[2], codec.settings[-2]):
        coded = codec.compress(PHOTO, setting, 1)
        decoded = codec.decompress(coded, 1)
        assert decoded.shape == PHOTO.shape
        assert decoded.dtype == np.uint8
        assert 0 < codec.payload(coded) <= len(coded)
        sizes.append(len(coded))
        errors.append(float(np.square(PHOTO.astype(float) - decoded).mean()))
    assert sizes[0] < sizes[1]
    assert errors[0] > errors[1]
    assert errors[1] < 40


@pytest.mark.parametrize("name", BUILT_IN)
def test_damaged_files_are_format_errors(name: str) -> None:
    installed(name)
    codec = BASELINES[name]
    for damaged in (b"", b"nothing of the kind"):
        with pytest.raises(FormatError):
            codec.decompress(damaged, 1)


@pytest.mark.parametrize("name", BUILT_IN)
def test_settings_rise_between_the_ends_of_the_span(name: str) -> None:
    codec = BASELINES[name]
    worst, best = codec.span
    settings = list(codec.settings)
    assert settings == sorted(settings, reverse=worst > best)
    assert all(min(worst, best) <= setting <= max(worst, best) for setting in settings)


def test_jpeg_payload_counts_tables_and_scans() -> None:
    """Against the sizes of the other segments, for baseline and progressive files."""
    for options in ({"optimize": True}, {"progressive": True}):
        file = io.BytesIO()
        Image.fromarray(PHOTO).save(file, "JPEG", quality=80, **options)
        content = file.getvalue()
        position, headers, scans = 2, 4, 0
        while (marker := content[position + 1]) != 0xDA:
            length = 2 + int.from_bytes(content[position + 2 : position + 4], "big")
            headers += 0 if marker == 0xC4 else length
            position += length
        scans = content.count(b"\xff\xda")
        if scans == 1:
            headers += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
            assert jpeg_payload(content) == len(content) - headers
        else:
            assert 0 < jpeg_payload(content) < len(content) - headers


def test_jpeg_payload_with_restarts() -> None:
    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, "JPEG", quality=80, restart_marker_blocks=2)
    content = file.getvalue()
    assert b"\xff\xd3" in content
    scan = content.index(b"\xff\xda")
    assert jpeg_payload(content) > len(content) - scan - 16


def test_payloads_of_damaged_files() -> None:
    jpeg = BASELINES["jpeg"].compress(PHOTO, 50, 1)
    with pytest.raises(FormatError, match="without an end"):
        jpeg_payload(jpeg[: len(jpeg) // 2])
    with pytest.raises(FormatError, match="without an end"):
        jpeg_payload(b"\xff\xd8")
    with pytest.raises(FormatError, match="without an end"):
        jpeg_payload(jpeg[:2] + b"\x00" + jpeg[3:])
    stream = BASELINES["jpeg2000"].compress(PHOTO, 1.0, 1)
    assert jpeg2000_payload(stream) < len(stream)
    with pytest.raises(FormatError, match="without tile-parts"):
        jpeg2000_payload(stream[:-2])
    with pytest.raises(FormatError, match="without tile-parts"):
        jpeg2000_payload(stream[:60])


def test_pictures_that_a_codec_cannot_hold() -> None:
    wide = np.zeros((1, 70_000, 3), np.uint8)
    for name in ("jpeg", "webp"):
        with pytest.raises(ImageError, match="70000 x 1 pixels"):
            BASELINES[name].compress(wide, 50, 1)


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("jxl", "pillow_jxl", "pillow-jxl-plugin"),
        ("bpg", "av", "'dcncodec[bench]'"),
        ("x265", "av", "'dcncodec[bench]'"),
    ],
)
def test_a_missing_library_names_what_brings_it(
    name: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    codec = BASELINES[name]
    for action in (
        codec.version,
        lambda: codec.compress(PHOTO, codec.settings[0], 1),
    ):
        with pytest.raises(MissingLibraryError, match=re.escape(f"pip install {package}")):
            action()


def test_a_pillow_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(MissingLibraryError, match="lacks OpenJPEG"):
        BASELINES["jpeg2000"].version()


def test_bpgenc_needs_its_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingLibraryError, match="bpgenc is not on PATH"):
        BASELINES["bpgenc"].version()
    with pytest.raises(DcnError):
        BASELINES["bpgenc"].compress(PHOTO, 30, 1)


def test_x265_colours() -> None:
    """Full-range BT.601 both ways: flat colours come back."""
    installed("x265")
    codec = BASELINES["x265"]
    for colour in ((255, 0, 0), (0, 255, 255), (255, 255, 255), (12, 200, 90)):
        pixels = np.full((32, 48, 3), colour, np.uint8)
        decoded = codec.decompress(codec.compress(pixels, 4, 1), 1)
        assert np.abs(decoded.astype(int) - pixels).max() <= 3
