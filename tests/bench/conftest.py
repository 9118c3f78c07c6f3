"""Images and points for the benchmark's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from dcncodec.bench.points import Point
from dcncodec.bench.results import Results

ANCHORS = Path(__file__).parents[3] / "shared" / "anchors"


@pytest.fixture(scope="session")
def anchors() -> dict[str, dict[str, list[list[float]]]]:
    """Published curves on Kodak: by codec and image, rows of the columns in the file."""
    path = ANCHORS / "rd_kodak.json"
    if not path.exists():
        pytest.skip("needs ../shared/anchors")
    rows: dict[str, Any] = json.loads(path.read_text())["rows"]
    return rows


@pytest.fixture(scope="session")
def anchor_points(anchors: dict[str, dict[str, list[list[float]]]]) -> list[Point]:
    """The published curves as points of a run."""
    # A size at which the rates of the file are whole numbers of bytes.
    side = 80_000
    return [
        Point(
            codec,
            f"{row[0]:g}",
            image,
            side,
            side,
            round(row[1] * side * side / 8),
            round(row[2] * side * side / 8),
            *row[3:6],
        )
        for codec, images in anchors.items()
        for image, rows in images.items()
        for row in rows
    ]


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three photographs of 192 x 176 pixels."""
    folder: Path = tmp_path_factory.mktemp("photos")
    for name, pixels in (("cat", data.chelsea()), ("rocket", data.rocket())):
        Image.fromarray(pixels[60:236, 150:342]).save(folder / f"{name}.png")
    Image.fromarray(data.astronaut()[:176, 130:322]).save(folder / "woman.png")
    return folder


def point(codec: str, setting: str, image: str, bpp: float, quality: float) -> Point:
    """A point of an image of 1,000 x 800 pixels; the quality is PSNR in dB."""
    size = round(bpp * 100_000)
    ssim = 1 - 10 ** (-quality / 30)
    return Point(codec, setting, image, 1000, 800, size + 20, size, quality, ssim, ssim)


@pytest.fixture
def results() -> Results:
    """A run of two codecs and a dcn model, with times."""
    points = [
        point(codec, f"{i}", image, factor * 0.2 * 2**i, 26.0 + 3 * i + shift)
        for codec, factor in (("bpg", 1.0), ("jpeg", 2.0))
        for image, shift in (("a", 0.0), ("b", 1.5))
        for i in range(5)
    ]
    points += [point("dcn", "dcn-32c", image, 0.8, 31.0) for image in ("a", "b")]
    row: dict[str, Any] = {
        "size": "512x512",
        "bpp_payload": 0.5,
        "encode_s": 0.1,
        "decode_s": 0.2,
        "encode_mp_s": 2.6,
        "decode_mp_s": 1.3,
        "encode_cores": 1.0,
        "decode_cores": 1.0,
    }
    own = {"analysis_s": 0.09, "synthesis_s": 0.19}
    own |= {"entropy_encode_s": 0.002, "entropy_decode_s": 0.001, "encode_memory": 1 << 28}
    return Results(
        "kodak",
        512,
        {"dcn": "dcn", "jpeg": "JPEG 4:4:4", "bpg": "BPG 4:4:4"},
        "bpg",
        points,
        speed=[
            {"codec": "dcn", "title": "dcn", "setting": "dcn-32c", **row, **own},
            {"codec": "jpeg", "title": "JPEG 4:4:4", "setting": "20", **row},
        ],
        ratios=[
            {"codec": "dcn-32c", "peer": "jpeg", "size": "512x512", "encode": 0.5, "decode": 0.25}
        ],
        threads=2,
        machine={"cores": "2"},
    )


@pytest.fixture
def noise() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Random pixels, 168 x 200."""
    return np.random.default_rng(1).integers(0, 256, (168, 200, 3), np.uint8)
