"""More work for fewer bits: never worse, repeatable, and files that every decoder reads."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data as samples

import dcncodec.pillow_plugin
from dcncodec.codec import Codec
from dcncodec.encoder import refining
from dcncodec.encoder.effort import MAX_EFFORT, passes_of
from dcncodec.encoder.encoding import Encoding
from dcncodec.errors import UsageError
from dcncodec.formats.picture import Picture, from_array
from dcncodec.oneline import encode
from dcncodec.records import replace
from dcncodec.runtime import engine

PHOTO: NDArray[np.uint8] = np.ascontiguousarray(samples.astronaut()[40:101, 180:263])
RATE = 110
PICTURES = {
    "photo": Picture(PHOTO),
    "grey": from_array(PHOTO[:40, :50, 1]),
    "noise": Picture(np.random.default_rng(1).integers(0, 256, (24, 40, 3), np.uint8)),
    "flat": Picture(np.full((20, 20, 3), 99, np.uint8)),
    "one pixel": Picture(PHOTO[:1, :1]),
}


@pytest.fixture(scope="module")
def codec(rated: Path) -> Codec:
    return Codec(rated, device="cpu", precision="fp32", threads=1)


def encoding(codec: Codec, picture: Picture, level: int, block: int = 0) -> Encoding:
    header = codec.header(picture)
    if block:
        header = replace(header, block_height=block, block_width=block)
    coders = codec.coders("auto")
    return Encoding(codec.model, codec.transforms, coders, header, picture, codec.effort(level))


def cost(codec: Codec, work: Encoding) -> float:
    """R + lambda D: the coder's bits, block by block, and the pixels that a decoder shows."""
    latents = work.worked(RATE)[0]
    effort = codec.effort(1)
    assert effort is not None
    bits = 0.0
    for number in range(work.header.block_count):
        place = (slice(None), *work.header.block(number).within(work.header.plane))
        bits += float(effort.coder.bits(latents[place], RATE).sum())
    shown = work.decoded(work.chosen(RATE, latents)).pixels.astype(float)
    return bits + effort.slope(RATE) * float(((shown - work.picture.pixels) ** 2).sum())


@pytest.mark.parametrize("name", PICTURES)
def test_never_worse(codec: Codec, name: str) -> None:
    """With more steps better, but for the rounding of pixels to whole levels."""
    costs = [cost(codec, encoding(codec, PICTURES[name], level)) for level in (0, 1, 4)]
    assert costs[1] <= costs[0] * 1.002 + 0.1
    assert costs[2] <= costs[0] * 1.002 + 0.1
    if name in {"photo", "noise"}:
        assert costs[2] < costs[1] < costs[0]


def test_several_blocks(codec: Codec) -> None:
    """A block counts what it changes in its neighbours' pixels."""
    picture = Picture(np.ascontiguousarray(samples.astronaut()[:137, 150:290]))
    plain, worked = (encoding(codec, picture, level, block=16) for level in (0, 1))
    assert worked.header.block_count == 4
    assert cost(codec, worked) < cost(codec, plain)
    assert codec.decode(worked.file(RATE)).pixels.shape == picture.pixels.shape


def test_smaller_at_the_same_quality(codec: Codec) -> None:
    """What steps save is more than what a lower rate would cost."""
    plain, worked = (cost(codec, encoding(codec, PICTURES["photo"], level)) for level in (0, 8))
    assert worked < plain * 0.99


def test_repeatable(codec: Codec) -> None:
    first = codec.encode(PHOTO, rate=RATE, effort=3)
    assert codec.encode(PHOTO, rate=RATE, effort=3) == first
    assert codec.encode(PHOTO, rate=RATE, effort=0) == codec.encode(PHOTO, rate=RATE) != first


def test_every_decoder_reads_it(codec: Codec, rated: Path) -> None:
    """In ONNX Runtime and in torch, as a whole and in regions, and as Pillow opens it."""
    picture = Picture(np.ascontiguousarray(samples.astronaut()[:137, 150:290]))
    header = replace(codec.header(picture), block_height=16, block_width=16)
    work = Encoding(
        codec.model, codec.transforms, codec.coders("auto"), header, picture, codec.effort(2)
    )
    data = work.file(RATE)
    whole = codec.decode(data).pixels.astype(int)
    other = Codec(rated, device="cpu", precision="bf16", threads=1).decode(data).pixels
    assert np.abs(other - whole).mean() < 2
    part = codec.decode(data, region=(100, 90, 140, 137)).pixels
    assert np.abs(part - whole[90:137, 100:140]).max() <= 1
    error = ((whole - picture.pixels) ** 2).mean()
    assert 10 * np.log10(255**2 / error) > 25


def test_windows_change_nothing_but_rounding(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encoding(codec, PICTURES["photo"], 2).worked(RATE)[0]
    monkeypatch.setattr(codec.transforms, "window", 3)
    parts = encoding(codec, PICTURES["photo"], 2).worked(RATE)[0]
    assert (parts != whole).mean() < 0.002


def test_what_is_exact_stays(codec: Codec) -> None:
    """Words under exact tiles are not refined, as no pixel shows them; those beside are."""
    pixels = np.ascontiguousarray(samples.astronaut()[:128, 150:342])
    bars = np.random.default_rng(1).integers(0, 3, (128, 16))
    pixels[:, :128] = np.array([[0, 0, 0], [250, 250, 240], [30, 60, 200]], np.uint8)[
        bars.repeat(8, 1)
    ]
    plain, worked = (encoding(codec, Picture(pixels), level) for level in (0, 2))
    before, after = plain.worked(RATE)[0], worked.worked(RATE)[0]
    assert (before[..., :16] == after[..., :16]).all()
    assert (before[..., 16:] != after[..., 16:]).any()
    shown = codec.decode(worked.file(RATE)).pixels
    assert (shown[:, :128] == pixels[:, :128]).all()


def test_nothing_to_refine(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawing that is exact takes no steps."""
    bars = np.random.default_rng(1).integers(0, 3, (64, 16)).repeat(8, 1) * 100
    picture = from_array(bars.astype(np.uint8))
    monkeypatch.delattr(refining, "squared_errors")
    assert codec.encode(picture, rate=RATE, effort=6) == codec.encode(picture, rate=RATE)


def test_progress(rated: Path) -> None:
    """As the bar expects it."""
    seen: list[int] = []
    codec = Codec(rated, device="cpu", precision="fp32", threads=1, progress=seen.append)
    codec.encode(PHOTO, rate=RATE, effort=3)
    plane = codec.header(Picture(PHOTO)).plane
    assert sum(seen) == (1 + passes_of(3)) * plane.rows * plane.columns * 64


def test_targets(codec: Codec) -> None:
    """Sizes and likenesses are met with an effort, too."""
    data = codec.encode(PHOTO, target_size=1000, effort=2)
    assert 984 <= len(data) <= 1000
    alike = codec.encode(PHOTO, min_psnr=28, effort=2)
    error = (codec.decode(alike).pixels.astype(float) - PHOTO) ** 2
    assert 10 * np.log10(255**2 / error.mean()) >= 28 - 1e-3


def test_pillow(rated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of a busy machine, where torch's threads wait for each other.
    monkeypatch.setattr(engine, "choose_threads", lambda threads: 1)
    file = io.BytesIO()
    image = Image.fromarray(PHOTO)
    image.save(file, dcncodec.pillow_plugin.FORMAT, model=rated, quality=47, effort=2)
    assert file.getvalue() == encode(PHOTO, model=rated, quality=47, effort=2)


def test_what_cannot_be(codec: Codec, tiny_model: Path) -> None:
    for level in (-1, MAX_EFFORT + 1):
        with pytest.raises(UsageError, match=f"effort {level}: choose 0 to {MAX_EFFORT}"):
            codec.encode(PHOTO, effort=level)
    with pytest.raises(UsageError, match="effort 3: the card of model tiny does not say"):
        encode(PHOTO, effort=3, model=tiny_model)
