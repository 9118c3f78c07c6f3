"""``dcn encode`` with qualities, sizes and likenesses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import Runner, one_line
from PIL import Image
from skimage import data as samples


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.ascontiguousarray(samples.astronaut()[:64, 200:280])).save(path)
    return path


def test_what_is_asked_for_is_there(dcn: Runner, photo: Path, rated: Path) -> None:
    coded = photo.with_suffix(".dcn")

    def encode(*options: object) -> dict[str, float]:
        result = dcn("encode", "-f", "--json", "--metrics", "--model", rated, *options, photo)
        assert result.code == 0, result.err
        facts: dict[str, float] = json.loads(result.out)
        return facts

    sizes = [encode("--quality", value)["bytes"] for value in (12, "low", "62.5", "high", 100)]
    assert sizes == sorted(set(sizes))
    assert 860 < encode("--target-size", 900)["bytes"] <= 900
    assert encode("--target-bpp", 1)["bytes"] <= 640
    assert coded.stat().st_size <= 640
    assert 27 <= encode("--min-psnr", 27)["psnr"] < 27.3
    assert 0.85 <= encode("--min-ssim", 0.85)["ssim"] < 0.86


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        (("--target-size", 100), ("target size 100 is out of reach", "the least is"), 1),
        (("--min-psnr", 90), ("photo.png", "min psnr 90 is out of reach: the most is"), 1),
        (("--min-msssim", 0.9), ("MS-SSIM needs pictures of at least 161 x 161 pixels",), 1),
        (("--min-ssim", 2), ("min ssim 2: choose above 0, at most 1",), 2),
        (("--target-bpp", 0), ("target bpp 0: give a number of bits per pixel above 0",), 2),
        (
            ("--target-bpp", 1, "--min-ssim", 0.9),
            ("--target-bpp and --min-ssim contradict each other; give one of them",),
            2,
        ),
        (("--quality", 50, "--target-size", 9), ("--quality and --target-size",), 2),
        (("--bare", "--target-size", 9), ("--bare has no rates; leave out --target-size",), 2),
        (("--bare", "--quality", 9), ("leave out --quality",), 2),
        (("--bare", "--quality", "high"), ("leave out --quality",), 2),
        (("--quality", "101"), ("choose low, medium, high or a number from 0 to 100",), 2),
    ],
)
def test_what_cannot_be(
    dcn: Runner,
    photo: Path,
    rated: Path,
    options: tuple[object, ...],
    words: tuple[str, ...],
    code: int,
) -> None:
    one_line(dcn("encode", "--model", rated, *options, photo), *words, code=code)
    assert not photo.with_suffix(".dcn").exists()


def test_models_of_one_rate(dcn: Runner, photo: Path, tiny_model: Path) -> None:
    for options, asked in ((("--quality", 55), "quality 55"), (("--min-psnr", 30), "min psnr")):
        result = dcn("encode", "--model", tiny_model, *options, photo)
        one_line(result, f"{asked}: model tiny has one rate; leave it out, or take", code=2)


def test_effort(dcn: Runner, photo: Path, rated: Path, tiny_model: Path) -> None:
    coded = photo.with_suffix(".dcn")
    files = []
    for effort in (0, 2):
        options = ("--model", rated, "--quality", 47, "--threads", 1, "--effort", effort)
        result = dcn("encode", "-f", *options, photo)
        assert result.code == 0, result.err
        files.append(coded.read_bytes())
    assert files[0] != files[1]
    coded.unlink()
    one_line(dcn("encode", "--effort", 2, "--bare", photo), "--bare has no effort", code=2)
    one_line(dcn("encode", "--effort", 2, "--model", tiny_model, photo), "effort 2", code=2)
    assert dcn("encode", "--effort", 10, photo).code == 2
    assert not coded.exists()
