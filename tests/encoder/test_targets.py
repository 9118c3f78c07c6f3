"""Files of a size or a likeness that is asked for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data as samples

import dcncodec.pillow_plugin
from dcncodec.codec import Codec
from dcncodec.encoder import encoding
from dcncodec.encoder.encoding import Analysed, Encoding
from dcncodec.errors import TargetError, UsageError
from dcncodec.formats import container
from dcncodec.formats.header import Header
from dcncodec.formats.picture import Picture, from_array
from dcncodec.likeness import measure_likeness
from dcncodec.oneline import encode
from dcncodec.runtime.engine import Memo

Array = NDArray[np.uint8]

PHOTO: Array = np.ascontiguousarray(samples.astronaut()[:200, 150:381])

LARGER: Array = np.ascontiguousarray(samples.astronaut()[:248, :480])
"""Of which parts are sampled."""


def described() -> Picture:
    """With alpha and metadata that take more bytes than the pixels."""
    alpha = np.random.default_rng(0).integers(0, 256, (61, 83), np.uint8)
    return Picture(PHOTO[:61, :83], alpha, exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0" + bytes(range(250)))


PICTURES = {
    "photo": Picture(PHOTO),
    "odd": Picture(PHOTO[:93, :61]),
    "grey": from_array(PHOTO[:70, :90, 1]),
    "alpha": described(),
    "narrow": Picture(PHOTO[:1]),
    "noise": Picture(np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_sizes(codec: Codec, name: str) -> None:
    """Within 1% below: between two rates, too."""
    picture = PICTURES[name]
    least, most = (len(codec.encode(picture, rate=rate)) for rate in (0, 255))
    for share in (0.1, 0.45, 0.8):
        wanted = round(least + share * (most - least))
        data = codec.encode(picture, target_size=wanted)
        # Of a row of pixels, single words are more than that.
        assert wanted * (0.8 if name == "narrow" else 0.99) - 16 <= len(data) <= wanted
        assert codec.decode(data).pixels.shape == picture.pixels.shape
    assert len(codec.encode(picture, target_size=least)) <= least
    assert codec.encode(picture, target_size=10 * most) == codec.encode(picture, rate=255)
    with pytest.raises(TargetError, match=rf"the least is {least:,} bytes"):
        codec.encode(picture, target_size=least // 2)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rates at which pictures are analysed for a size."""
    rates: list[int] = []
    unrounded = Encoding.unrounded

    def counted(self: Encoding, rate: int) -> Analysed:
        rates.append(rate)
        return unrounded(self, rate)

    monkeypatch.setattr(Encoding, "unrounded", counted)
    return rates


def test_no_rate_is_tried_twice_before_a_size_is_out_of_reach(
    codec: Codec, tried: list[int]
) -> None:
    for picture in (PICTURES["photo"], Picture(LARGER)):
        tried.clear()
        with pytest.raises(TargetError, match="out of reach"):
            codec.encode(picture, target_size=100)
        assert tried == [0]


def test_no_rate_is_tried_twice_for_small_files(codec: Codec, tried: list[int]) -> None:
    """Whose sizes grow by more than a few per cent from rate to rate. (Grey ones have no means.)"""
    small = from_array(PHOTO[:48, :48, 1])
    least, most = (len(codec.encode(small, rate=rate)) for rate in (0, 255))
    for size in range(least, most, 3):
        tried.clear()
        assert len(codec.encode(small, target_size=size)) <= size
        assert len(set(tried)) == len(tried)


def test_bits_per_pixel(codec: Codec) -> None:
    data = codec.encode(PHOTO, target_bpp=1.0)
    assert data == codec.encode(PHOTO, target_size=PHOTO.shape[0] * PHOTO.shape[1] // 8)
    with pytest.raises(TargetError, match=r"target bpp 0.001 is out of reach: the least is 0\.\d"):
        codec.encode(PHOTO, target_bpp=0.001)


def test_one_pixel(codec: Codec) -> None:
    pixel = np.full((1, 1, 3), 77, np.uint8)
    assert codec.decode(codec.encode(pixel, target_size=500)).pixels.shape == (1, 1, 3)
    with pytest.raises(TargetError, match="out of reach"):
        codec.encode(pixel, target_size=20)
    with pytest.raises(TargetError, match="SSIM needs pictures of at least 7 x 7 pixels"):
        codec.encode(pixel, min_ssim=0.5)
    assert len(codec.encode(pixel, min_psnr=10.0)) > 0


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("photo", {"min_psnr": 30}),
        ("photo", {"min_ssim": 0.9}),
        ("photo", {"min_msssim": 0.96}),
        ("odd", {"min_psnr": 27.3}),
        ("grey", {"min_ssim": 0.85}),
        ("alpha", {"min_psnr": 28}),
        ("narrow", {"min_psnr": 27}),
    ],
)
def test_likeness(codec: Codec, name: str, target: dict[str, Any]) -> None:
    """Met, and not met one or two rates below."""
    picture = PICTURES[name]
    ((option, wanted),) = target.items()
    metric: Any = option.removeprefix("min_")

    def reached(data: bytes) -> float:
        return measure_likeness(metric, picture, codec.decode(data)) or 0

    data = codec.encode(picture, **target)
    rate = container.read(data).rate
    assert data == codec.encode(picture, rate=rate)
    # A decoder's windows may round otherwise.
    assert reached(data) >= wanted - 1e-5
    # In small pictures a rate may be better than the next.
    below = [codec.encode(picture, rate=max(0, rate - step)) for step in (1, 2)]
    assert rate == 0 or min(map(reached, below)) < wanted


@pytest.mark.parametrize(("metric", "wanted"), [("psnr", 30), ("ssim", 0.9), ("msssim", 0.97)])
def test_likeness_of_larger_pictures(codec: Codec, metric: Any, wanted: float) -> None:
    """Met, and met with at most one rate less, without trying that one."""
    picture = Picture(LARGER)

    def reached(rate: int) -> float:
        data = codec.encode(picture, rate=rate)
        return measure_likeness(metric, picture, codec.decode(data)) or 0

    data = codec.encode(picture, **{f"min_{metric}": wanted})
    rate = container.read(data).rate
    assert data == codec.encode(picture, rate=rate)
    assert reached(rate) >= wanted - 1e-5
    assert reached(rate - 2) < wanted


def test_unreachable_likeness_of_larger_pictures(codec: Codec) -> None:
    picture = Picture(LARGER)
    least, most = (
        measure_likeness("psnr", picture, codec.decode(codec.encode(picture, rate=rate))) or 0
        for rate in (0, 255)
    )
    with pytest.raises(TargetError, match=rf"out of reach: the most is {most:.1f}\d dB"):
        codec.encode(picture, min_psnr=most + 1)
    assert container.read(codec.encode(picture, min_psnr=least - 5)).rate == 0


def test_several_blocks(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    def header(picture: Picture, quality: str) -> Header:
        prefix = codec.model.prefix
        return Header(picture.width, picture.height, "my-vr", prefix, False, False, quality, 16, 16)

    monkeypatch.setattr(codec, "header", header)
    data = codec.encode(PHOTO, target_size=6000)
    file = container.read(data)
    assert file.header.block_count == 4
    assert 5940 <= len(data) <= 6000
    alike = codec.encode(PHOTO, min_psnr=31)
    assert alike == codec.encode(PHOTO, rate=container.read(alike).rate)
    assert (measure_likeness("psnr", Picture(PHOTO), codec.decode(alike)) or 0) >= 31 - 1e-5


def test_what_rates_share_is_kept_of_small_pictures(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = codec.transforms.engine
    analysis = engine.analysis
    memos: list[Memo | None] = []

    def noted(pixels: Array, rate: int, memo: Memo | None = None) -> NDArray[np.float32]:
        memos.append(memo)
        return analysis(pixels, rate, memo)

    monkeypatch.setattr(engine, "analysis", noted)
    codec.encode(LARGER, min_psnr=31)
    assert None not in memos
    assert len(set(memos)) < len(memos)
    memos.clear()
    codec.encode(LARGER, rate=128)
    assert memos == [None]
    # As of pictures of which the parts are small enough alone.
    monkeypatch.setattr(encoding, "MOST_KEPT", 31 * 60 - 1)
    codec.encode(LARGER, min_psnr=31)
    assert memos[1] is not None
    assert memos[-1] is None


def test_what_cannot_be(codec: Codec, tiny_model: Path) -> None:
    for target, most in (({"min_psnr": 99}, "dB"), ({"min_ssim": 1}, r"0\.\d+")):
        with pytest.raises(TargetError, match=f"is out of reach: the most is .*{most}"):
            codec.encode(PICTURES["odd"], **target)
    with pytest.raises(TargetError, match="MS-SSIM needs pictures of at least 161 x 161 pixels"):
        codec.encode(PICTURES["odd"], min_msssim=0.9)
    wrong: list[dict[str, Any]] = [
        {"target_size": 0},
        {"target_bpp": float("nan")},
        {"min_psnr": 101},
        {"min_ssim": 1.5},
        {"min_msssim": -1},
        {"min_psnr": 30, "target_size": 9},
        {"min_psnr": 30, "rate": 9},
        {"quality": 50, "rate": 9},
    ]
    for options in wrong:
        with pytest.raises(UsageError, match=r"give|choose"):
            codec.encode(PHOTO, **options)
    with pytest.raises(UsageError, match="target size: model tiny has one rate; leave it out"):
        encode(PHOTO, target_size=999, model=tiny_model)


def test_pillow(rated: Path) -> None:
    image = Image.fromarray(PHOTO)
    files = []
    for options in ({"quality": 70}, {"quality": "high"}, {"target_size": 5000}):
        file = io.BytesIO()
        image.save(file, dcncodec.pillow_plugin.FORMAT, model=rated, **options)
        files.append(file.getvalue())
    rates = [container.read(file).rate for file in files]
    assert rates[0] == rates[1] == 178
    assert 4950 <= len(files[2]) <= 5000
    with pytest.raises(OSError, match="the least is"):
        image.save(io.BytesIO(), "DCN", model=rated, target_size=50)
