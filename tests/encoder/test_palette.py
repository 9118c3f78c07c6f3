"""Drawings are stored exactly where that is worth its bytes; photos stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Runner, one_line
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage import data as samples

from dcncodec import oneline
from dcncodec.codec import Codec
from dcncodec.encoder import effort, palette
from dcncodec.errors import FormatError, ModelError, TargetError
from dcncodec.formats import bitstream, container
from dcncodec.formats.container import Container, Header
from dcncodec.formats.palette import Palette, Tiling, pack_area, to_colours
from dcncodec.formats.picture import Picture, from_array
from dcncodec.recoding import recode

Array = NDArray[np.uint8]

PHOTO: Array = np.ascontiguousarray(samples.astronaut()[:200, 150:381])


def drawing(height: int, width: int) -> Array:
    """Lines and words in a few colours."""
    image = Image.new("RGB", (width, height), "#fdf6e3")
    draw = ImageDraw.Draw(image)
    for number in range(0, height + width, 13):
        colour = ("#073642", "#b58900", "#268bd2")[number % 3]
        draw.line((number, 0, number // 2, height), colour, 2)
        draw.text((number // 3, number), "palette and indices", colour)
    return np.array(image)


def mixed() -> Array:
    """A photo in a drawing, which begins and ends inside of tiles."""
    pixels = drawing(251, 330)
    pixels[45 : 45 + 150, 77 : 77 + 200] = PHOTO[:150, :200]
    return pixels


def share(data: bytes) -> float:
    """Of the pixels, those that are exact."""
    file = container.read(data)
    pixels = sum(map(file.exact_pixels, range(file.header.block_count)))
    return pixels / (file.header.width * file.header.height)


def squared(pixels: Array, original: Array) -> NDArray[np.float64]:
    return np.square(pixels - original.astype(np.float64))


def cost(codec: Codec, data: bytes, original: Picture) -> float:
    """R + lambda D in bits."""
    rate = container.read(data).rate
    weight = effort.slope(codec.model, rate)
    assert weight is not None
    error = squared(codec.decode(data).pixels, original.pixels).sum()
    return 8 * len(data) + weight * float(error)


ALPHA = np.random.default_rng(0).integers(0, 256, (61, 83), np.uint8)
DRAWINGS = {
    "whole": Picture(drawing(128, 192)),
    "odd": Picture(drawing(93, 61)),
    "grey": from_array(drawing(70, 90)[..., 1]),
    "alpha": Picture(drawing(61, 83), ALPHA),
    "narrow": Picture(drawing(1, 300)),
    "pixel": Picture(drawing(1, 1)),
    "flat": Picture(np.full((65, 65, 3), 200, np.uint8)),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings_are_exact(codec: Codec, name: str) -> None:
    picture = DRAWINGS[name]
    for rate in (0, 128, 255):
        lossy = codec.encode(picture, rate=rate, palette=False)
        data = codec.encode(picture, rate=rate)
        assert container.read(lossy).palette is None
        assert cost(codec, data, picture) <= cost(codec, lossy, picture)
        assert (share(data) > 0) == (data != lossy)
        if rate == 255 and name != "pixel":
            assert share(data) == 1
        decoded = codec.decode(data)
        if share(data) == 1:
            np.testing.assert_array_equal(decoded.pixels, picture.pixels)
        assert decoded.grey == picture.grey
        if picture.alpha is not None:
            np.testing.assert_array_equal(decoded.alpha, picture.alpha)


def test_exactness_is_worth_bytes(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = DRAWINGS["grey"]
    lossy = codec.encode(picture, rate=24, palette=False)
    data = codec.encode(picture, rate=24)
    assert share(data) == 1
    assert len(data) > len(lossy)
    # Of a model whose card does not say how many, the smallest file is taken.
    monkeypatch.setattr("dcncodec.encoder.encoding.slope", lambda model, rate: None)
    assert codec.encode(picture, rate=24) == lossy


def test_other_families_and_several_blocks() -> None:
    """Tiles begin at each block, and end with the picture."""
    codec = Codec("dcn-16c", device="cpu")
    pixels = drawing(2100, 130)
    pixels[:50] = np.random.default_rng(0).integers(0, 256, (50, 130, 3), np.uint8)
    data = codec.encode(pixels)
    file = container.read(data)
    assert file.header.block_count == 2
    assert 0.8 < share(data) < 1
    # The second block begins inside of what would be a tile of the first one's.
    assert file.header.block(1).top % palette.SIDES[0]
    _, exact = file.exact(1)
    assert exact.all()
    decoded = codec.decode(data).pixels
    below = 8 * file.header.block(1).top
    np.testing.assert_array_equal(decoded[below:], pixels[below:])
    assert len(data) < len(codec.encode(pixels, palette=False))


def test_mixed_pictures(codec: Codec) -> None:
    pixels = mixed()
    for rate in (60, 200):
        lossy = codec.encode(pixels, rate=rate, palette=False)
        data = codec.encode(pixels, rate=rate)
        assert cost(codec, data, Picture(pixels)) < 0.9 * cost(codec, lossy, Picture(pixels))
        assert 0.3 < share(data) < 1
        _, exact = container.read(data).exact(0)
        ours, plain = codec.decode(data).pixels, codec.decode(lossy).pixels
        np.testing.assert_array_equal(ours[exact], pixels[exact])
        # What is left of the drawing, and the photo, is as good as without.
        rest = squared(ours, pixels)[~exact].mean() / squared(plain, pixels)[~exact].mean()
        assert rest < 1.02
        # Where nothing is near that is exact, it is the same.
        far = (slice(104, 140), slice(136, 200))
        np.testing.assert_array_equal(ours[far], plain[far])


@pytest.mark.parametrize("level", [0, 1])
def test_progress_counts_what_is_announced(
    codec: Codec, monkeypatch: pytest.MonkeyPatch, level: int
) -> None:
    """Looking at candidates is not announced."""
    counts: list[int] = []
    monkeypatch.setattr(codec.transforms, "progress", counts.append)
    pixels = mixed()[:150, :250]
    assert share(codec.encode(pixels, rate=60, effort=level)) > 0
    assert sum(counts) == (1 + effort.passes_of(level)) * 19 * 32


def test_regions(codec: Codec) -> None:
    pixels = mixed()
    data = codec.encode(pixels, rate=120)
    whole = codec.decode(data)
    for region in ((0, 0, 330, 251), (70, 40, 80, 50), (3, 5, 4, 6), (301, 200, 330, 251)):
        left, top, right, bottom = region
        part = codec.decode(data, region=region)
        expected = whole.pixels[top:bottom, left:right]
        # Windows may round otherwise.
        assert np.abs(part.pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("grey", [False, True])
def test_photos_stay_as_they_are(codec: Codec, grey: bool) -> None:
    picture = from_array(PHOTO[..., 1]) if grey else Picture(PHOTO)
    for rate in (0, 90, 255):
        lossy = codec.encode(picture, rate=rate, palette=False)
        assert codec.encode(picture, rate=rate) == lossy


def test_too_many_colours(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcncodec.formats.palette.MAX_COLOURS", 2)
    data = codec.encode(DRAWINGS["whole"], rate=255)
    assert data == codec.encode(DRAWINGS["whole"], rate=255, palette=False)


def test_targets(codec: Codec) -> None:
    """Sizes from below what the drawings take to beyond what is exact."""
    picture = Picture(mixed()[:150, :250])
    least, most = (len(codec.encode(picture, rate=rate)) for rate in (0, 255))
    for part in (0.2, 0.8):
        wanted = round(least + part * (most - least))
        data = codec.encode(picture, target_size=wanted)
        assert 0.99 * wanted <= len(data) <= wanted
    exact = codec.encode(DRAWINGS["whole"], rate=255)
    assert share(codec.encode(DRAWINGS["whole"], target_size=len(exact))) == 1
    assert len(codec.encode(DRAWINGS["whole"], min_psnr=99)) <= len(exact)
    least = min(len(codec.encode(DRAWINGS["whole"], rate=rate)) for rate in range(0, 256, 5))
    for wanted in range(least - 8, len(exact), 3):
        if wanted >= least:
            assert 0 < len(codec.encode(DRAWINGS["whole"], target_size=wanted)) <= wanted
        else:
            with pytest.raises(TargetError, match="out of reach"):
                codec.encode(DRAWINGS["whole"], target_size=wanted)

    def psnr(data: bytes) -> float:
        error = squared(codec.decode(data).pixels, picture.pixels).mean()
        return float(-10 * np.log10(error / 255**2))

    wanted = psnr(codec.encode(picture, rate=100)) - 0.01
    data = codec.encode(picture, min_psnr=wanted)
    assert share(data) > 0
    assert psnr(data) >= wanted - 1e-3
    assert container.read(data).rate <= 100


def test_sizes_and_qualities_are_monotone(codec: Codec) -> None:
    picture = Picture(mixed()[:100, :200])
    files = [codec.encode(picture, rate=rate) for rate in range(0, 256, 15)]
    sizes = np.array([len(data) for data in files])
    errors = [squared(codec.decode(data).pixels, picture.pixels).mean() for data in files]
    assert (sizes[1:] >= 0.995 * sizes[:-1]).all()
    assert (np.diff(errors) <= 0.01 * np.array(errors[:-1])).all()


def exact_file(pixels: Array) -> bytes:
    """A file of a model that nobody has, all of whose pixels are exact."""
    height, width = pixels.shape[:2]
    head = Header(width, height, "nobody-has-it", bytes(8))
    tiling = Tiling.of(head, 0, 8)
    area = pack_area(to_colours(pixels, False), np.ones(tiling.shape, bool), tiling)
    block = np.full((4, head.latent_height, head.latent_width), 15, np.uint8)
    blocks = [bitstream.encode_block(block)]
    return container.write(Container(head, blocks=blocks, palette=Palette([area])))


def test_exact_pictures_need_no_model(tmp_path: Path, dcn: Runner) -> None:
    pixels = drawing(93, 61)
    data = exact_file(pixels)
    np.testing.assert_array_equal(oneline.decode(data), pixels)
    part = oneline.decode(data, region=(3, 5, 50, 90))
    np.testing.assert_array_equal(part, pixels[5:90, 3:50])
    (tmp_path / "a.dcn").write_bytes(data)
    dcn("decode", tmp_path / "a.dcn", tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)
    assert "100.0% of the picture is exact" in dcn("info", tmp_path / "a.dcn").out


def test_exact_pictures_of_another_model(tmp_path: Path, dcn: Runner) -> None:
    """A model that is named has to be the file's, needed or not."""
    data = exact_file(drawing(9, 9))
    with pytest.raises(ModelError, match="encoded with model nobody-has-it"):
        oneline.decode(data, model="dcn-16c")
    (tmp_path / "a.dcn").write_bytes(data)
    done = dcn("decode", "--model", "dcn-16c", tmp_path / "a.dcn", tmp_path / "a.png")
    one_line(done, "encoded with model nobody-has-it")


def test_no_palette_option(rated: Path, tmp_path: Path, dcn: Runner) -> None:
    Image.fromarray(drawing(93, 61)).save(tmp_path / "a.png")
    for option, expected in (("--palette", True), ("--no-palette", False)):
        target = tmp_path / f"a{option}.dcn"
        dcn("encode", option, "--quality", 90, "--model", rated, tmp_path / "a.png", target)
        assert (container.read(target.read_bytes()).palette is not None) == expected


@pytest.mark.parametrize("entropy", ["channel", "global"])
def test_recoding_keeps_exact_tiles(entropy: Any) -> None:
    pixels = drawing(93, 61)
    data = exact_file(pixels)
    coded = recode(data, entropy=entropy)
    np.testing.assert_array_equal(oneline.decode(coded), pixels)
    file = container.read(data)
    assert file.palette is not None
    area = bytearray(file.palette.areas[0])
    area[-1] ^= 1
    block = file.blocks[0]
    damaged = Container(file.header, blocks=[block], palette=Palette([area]))
    with pytest.raises(FormatError, match="block 0: "):
        recode(container.write(damaged), entropy=entropy)
