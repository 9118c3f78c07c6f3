"""Pictures from and to arrays, Pillow images and files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from picture_samples import (
    SRGB,
    XMP,
    alpha_of,
    exif_block,
    noise,
    png,
    rounded,
    saved,
)
from PIL import Image

from dcncodec.errors import DcnError, ImageError, OutputError, UsageError
from dcncodec.formats import image, srgb
from dcncodec.formats.image import (
    Picture,
    from_array,
    from_pil,
    read_image,
    to_array,
    to_pil,
    write_image,
)
from dcncodec.notices import Notice

# Arrays and Pillow


def test_arrays() -> None:
    for shape in ((4, 6), (4, 6, 1)):
        picture = from_array(noise(4, 6, 1).reshape(shape))
        assert picture.grey
        assert np.array_equal(to_array(picture), noise(4, 6, 1)[..., 0])
    assert np.array_equal(to_array(from_array(noise(4, 6))), noise(4, 6))
    assert np.array_equal(to_array(from_array(noise(4, 6, 4))), noise(4, 6, 4))
    opaque = noise(4, 6, 4)
    opaque[..., 3] = 255
    assert from_array(opaque).alpha is None
    wide = noise(40, 60, 3, 65536)
    assert np.array_equal(from_array(wide).pixels, rounded(wide))
    assert np.array_equal(from_array(wide.astype(">u2")).pixels, rounded(wide))
    assert from_array(np.array([[0.0, 0.5, 1.0]], np.float32)).pixels[0, :, 0].tolist() == [
        0,
        128,
        255,
    ]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4,), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4), np.int32),
        np.zeros((4, 4), bool),
        np.full((4, 4), 1.01),
        np.full((4, 4), np.nan),
        np.array([["a"]]),
    ],
)
def test_arrays_that_are_no_picture(array: npt.NDArray[Any]) -> None:
    with pytest.raises(ImageError, match=r"array.*give"):
        from_array(array)


def test_pictures_check_their_arrays() -> None:
    pixels: Any
    alpha: Any
    for pixels in (np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8)):
        with pytest.raises(ImageError, match="give"):
            Picture(pixels)
    for alpha in (np.zeros((2, 3), np.uint8), np.zeros((2, 2))):
        with pytest.raises(ImageError, match=r"alpha is .* give uint8 of 2 x 2"):
            Picture(np.zeros((2, 2, 3), np.uint8), alpha)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_pillow_images(channels: int, mode: str) -> None:
    picture = from_array(noise(4, 6, channels))
    picture = Picture(picture.pixels, picture.alpha, picture.grey, SRGB, exif_block(1), XMP % 1)
    converted = to_pil(picture)
    assert converted.mode == mode
    back = from_pil(converted)
    assert np.array_equal(to_array(back), to_array(picture))
    assert (back.icc, back.exif, back.xmp) == (SRGB, exif_block(1), XMP % 1)


def test_pillow_image_is_not_changed() -> None:
    source = Image.open(io.BytesIO(png(noise(3, 5, 2, 65536), 4)))
    picture = from_pil(source)
    assert picture.pixels.shape == (3, 5, 3)
    assert source.mode == "RGBA"
    assert np.array_equal(np.asarray(source)[..., 0], noise(3, 5, 2, 65536)[..., 0] >> 8)


def test_large_pictures_are_converted_in_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srgb, "BOX_PIXELS", 5)
    for samples in (noise(3, 12, 4), noise(12, 3, 4)):
        data = saved(Image.fromarray(samples), "PNG", exif=exif_block(6))
        assert np.array_equal(to_array(read_image(data)), np.rot90(samples, -1))


# Writing


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff", ".webp", ".ppm", ".bmp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lossless_formats(suffix: str, channels: int, tmp_path: Path) -> None:
    samples = noise(5, 7, channels)
    path = tmp_path / f"a{suffix}"
    picture = from_array(samples)
    if channels == 4 and suffix in {".ppm", ".bmp"}:
        with pytest.raises(UsageError, match=r"cannot hold alpha; write \.png"):
            write_image(picture, path)
        assert not list(tmp_path.iterdir())
        return
    write_image(picture, path)
    back = read_image(path)
    assert np.array_equal(back.pixels, picture.pixels)
    assert (back.alpha is None) == (channels < 4)
    if channels == 4:
        assert np.array_equal(alpha_of(back), alpha_of(picture))
    assert back.grey == (channels == 1 and suffix not in {".webp", ".ppm"})


def test_grey_with_alpha_is_written(tmp_path: Path) -> None:
    pair = noise(5, 7, 2)
    picture = from_pil(Image.fromarray(pair, "LA"))
    for suffix in (".png", ".tif", ".webp"):
        write_image(picture, tmp_path / f"a{suffix}")
        back = read_image(tmp_path / f"a{suffix}")
        assert np.array_equal(to_array(back), to_array(picture))


def test_pgm_holds_grey_alone(tmp_path: Path) -> None:
    write_image(from_array(noise(5, 7, 1)), tmp_path / "a.pgm")
    assert (tmp_path / "a.pgm").read_bytes() == b"P5\n7 5\n255\n" + noise(5, 7, 1).tobytes()
    with pytest.raises(UsageError, match=r"cannot hold colour; write \.ppm"):
        write_image(from_array(noise(5, 7)), tmp_path / "b.pgm")


def test_jpeg_is_of_high_quality_without_subsampling(tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(noise(4, 4)).resize((64, 64), Image.Resampling.BICUBIC))
    write_image(from_array(smooth), tmp_path / "a.jpg")
    back = read_image(tmp_path / "a.jpg")
    assert np.abs(back.pixels.astype(int) - smooth).mean() < 1.5
    opened: Any
    with Image.open(tmp_path / "a.jpg") as opened:
        assert {component[1:3] for component in opened.layer} == {(1, 1)}
    with pytest.raises(UsageError, match="alpha"):
        write_image(from_array(noise(5, 7, 4)), tmp_path / "b.jpg")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_metadata_is_written(suffix: str, tmp_path: Path) -> None:
    picture = Picture(noise(16, 16), None, False, SRGB, exif_block(1), XMP % 1)
    write_image(picture, tmp_path / f"a{suffix}")
    back = read_image(tmp_path / f"a{suffix}")
    assert back.icc == SRGB
    assert back.xmp == XMP % 1
    if suffix == ".tif":
        parsed = Image.Exif()
        parsed.load(back.exif or b"")
        assert parsed[0x010F] == "Cam"
    else:
        assert back.exif == exif_block(1)


def test_exif_cannot_change_the_layout_of_a_tiff(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0100], exif[0x0103], exif[0x010F] = 9999, 6, "Cam"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    block = exif.tobytes()[6:]
    write_image(Picture(noise(6, 5), exif=block), tmp_path / "a.tif")
    back = read_image(tmp_path / "a.tif")
    assert np.array_equal(back.pixels, noise(6, 5))
    parsed = Image.Exif()
    parsed.load(back.exif or b"")
    assert dict(parsed.get_ifd(0x8769)) == {0x9003: "2020:01:02 03:04:05"}


def test_grey_profile_does_not_reach_rgb_webp() -> None:
    grey = SRGB[:16] + b"GRAY" + SRGB[20:]
    out = io.BytesIO()
    notices: list[Notice] = []
    picture = Picture(noise(4, 4), grey=True, icc=grey)
    write_image(picture, out, format="webp", notify=notices.append)
    assert read_image(out.getvalue()).icc is None
    assert [n.text for n in notices] == [
        "its colour profile cannot be used; colours are taken as sRGB"
    ]


def test_metadata_too_long_for_jpeg(tmp_path: Path) -> None:
    long = exif_block(1) + bytes(65_527 - len(exif_block(1)))
    write_image(Picture(noise(4, 4), exif=long, xmp=bytes(65_504)), tmp_path / "a.jpg")
    for picture in (
        Picture(noise(4, 4), icc=bytes(255 * 65_519 + 1)),
        Picture(noise(4, 4), exif=long + b"x"),
        Picture(noise(4, 4), xmp=bytes(65_505)),
    ):
        with pytest.raises(UsageError, match=r"b\.jpg: .* bytes of .* write \.png"):
            write_image(picture, tmp_path / "b.jpg")


def test_sides_too_long() -> None:
    wide = Picture(np.zeros((1, 70_000, 3), np.uint8))
    for name in ("jpg", "webp"):
        with pytest.raises(UsageError, match=r"70000 x 1 pixels; .* write \.png"):
            write_image(wide, io.BytesIO(), format=name)


def test_whatever_pillow_raises_while_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no\nway")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OutputError, match=r"a\.jpg: cannot be written \(no way\)"):
        write_image(from_array(noise(2, 2)), tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


def test_unknown_formats_list_the_known_ones(tmp_path: Path) -> None:
    for name in ("a.xyz", "a"):
        with pytest.raises(UsageError, match=r"choose one of \.png, \.ppm"):
            write_image(from_array(noise(2, 2)), tmp_path / name)
    with pytest.raises(UsageError, match=r"output stream: .*'\.gif'"):
        write_image(from_array(noise(2, 2)), io.BytesIO(), format="gif")
    assert not list(tmp_path.iterdir())


def test_overwriting_must_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_image(from_array(noise(2, 2)), path)
    with pytest.raises(DcnError):
        write_image(from_array(noise(3, 3)), path)
    write_image(from_array(noise(3, 3)), path, overwrite=True, format="bmp")
    assert read_image(path).height == 3
    assert path.read_bytes()[:2] == b"BM"


class Pipe(io.RawIOBase):
    """A stream that can only go forwards, and breaks if told to."""

    def __init__(self, broken: bool = False) -> None:
        self.data = b""
        self.broken = broken

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.broken:
            raise BrokenPipeError(32, "Broken pipe")
        self.data += bytes(data)
        return len(data)


@pytest.mark.parametrize("name", ["png", "tiff", "webp", ".jpeg", "BMP", "ppm"])
def test_writes_into_pipes(name: str) -> None:
    pipe: Any = Pipe()
    broken: Any = Pipe(broken=True)
    write_image(from_array(noise(16, 16)), pipe, format=name)
    assert read_image(pipe.data).width == 16
    with pytest.raises(OutputError, match="output stream: whoever read it has closed it"):
        write_image(from_array(noise(16, 16)), broken, format=name)


def test_import_is_light() -> None:
    assert "torch" not in Path(image.__file__).read_text()
