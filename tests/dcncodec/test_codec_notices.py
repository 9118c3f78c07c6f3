"""What encoding and decoding say, and what they accept."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from picture_samples import XMP, exif_block, orientation_of, saved
from PIL import Image
from skimage import data as samples

import dcncodec
from dcncodec.codec import Codec
from dcncodec.errors import DcnError, ImageError, LimitError, UsageError
from dcncodec.formats import container
from dcncodec.formats.exif import with_size
from dcncodec.formats.image import Picture, read_image
from dcncodec.formats.profiles import Colorimetry
from dcncodec.notices import DcnWarning, Notice
from dcncodec.oneline import decode, encode

SMALL = b"P4\n8 8\n" + bytes(8)
PHOTO = samples.astronaut()[:64, :80]
P3 = Colorimetry.of_cicp(12, 13)
assert P3 is not None


class Told(Codec):
    """A codec that keeps its notices."""

    def __init__(self, model: Path) -> None:
        self.notices: list[Notice] = []
        super().__init__(model, notify=self.notices.append)


@pytest.fixture
def codec(tiny_model: Path) -> Told:
    return Told(tiny_model)


def test_passes_on_what_reading_found(codec: Told, tmp_path: Path) -> None:
    frames = [Image.new("L", (64, 64), value) for value in (0, 100, 200)]
    path = tmp_path / "a.gif"
    path.write_bytes(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    codec.encode(path)
    assert ("frames", f"{path}: holds 3 frames; only the first is kept") in {
        (notice.kind, str(notice)) for notice in codec.notices
    }


def test_says_that_a_result_is_larger(codec: Told) -> None:
    size = len(codec.encode(SMALL))
    assert size > len(SMALL)
    assert [(n.kind, n.text) for n in codec.notices] == [
        ("quality", f"became larger: {size:,} bytes of {len(SMALL)}")
    ]
    codec.notices.clear()
    codec.encode(read_image(SMALL).pixels)
    assert not codec.notices


def test_the_default_is_a_python_warning(tiny_model: Path) -> None:
    with pytest.warns(DcnWarning, match="became larger"):
        encode(SMALL, model=tiny_model)


def test_without_its_profile_a_picture_is_srgb(codec: Told, tiny_model: Path) -> None:
    given = Picture(np.full((64, 64, 3), [200, 40, 40], np.uint8), icc=P3.profile())
    stripped = codec.encode(given, keep_metadata=False)
    converted = np.full((64, 64, 3), [218, 0, 26], np.uint8)
    assert stripped == codec.encode(converted)
    assert codec.encode_bare(given) == codec.encode_bare(converted)
    assert container.read(codec.encode(given)).metadata.icc == P3.profile()


def test_sizes_in_exif_follow_a_region(codec: Told) -> None:
    exif = Image.Exif()
    exif[0x0100], exif[0x0101] = 80, 64
    exif.get_ifd(0x8769).update({0xA002: 80, 0xA003: 64})
    picture = Picture(PHOTO, exif=exif.tobytes()[6:], xmp=b"<x exif:PixelXDimension='80'/>")
    part = codec.decode(codec.encode(picture), region=(8, 8, 40, 24))
    parsed = Image.Exif()
    parsed.load(part.exif or b"")
    assert (parsed[0x0100], parsed[0x0101]) == (32, 16)
    assert dict(parsed.get_ifd(0x8769)) == {0xA002: 32, 0xA003: 16}
    assert part.xmp == b"<x exif:PixelXDimension='32'/>"
    assert part.exif == with_size(picture.exif or b"", 32, 16)


@pytest.mark.parametrize("where", ["exif", "xmp"])
def test_a_wrong_orientation_is_reset(codec: Told, where: str) -> None:
    blocks = {"exif": exif_block(6)} if where == "exif" else {"xmp": XMP % 6}
    data = codec.encode(Picture(PHOTO, **blocks))  # type: ignore[arg-type]
    codec.notices.clear()
    decoded = codec.decode(data)
    assert decoded.pixels.shape == PHOTO.shape
    assert orientation_of(decoded.exif) in {1, None}
    assert decoded.xmp in {XMP % 1, None}
    assert [n.text for n in codec.notices] == [
        "orientation 6 in its metadata is reset: pixels are stored upright"
    ]
    with pytest.raises(DcnError, match="orientation 6 in metadata"):
        container.read(data).verify()


def test_accepts_what_holds_pixels(codec: Told) -> None:
    expected = codec.encode(PHOTO)
    chw = torch.from_numpy(PHOTO.copy()).permute(2, 0, 1)
    for same in (PHOTO.tolist(), chw, chw.permute(1, 2, 0), chw.float() / 255, Holder()):
        assert codec.encode(same) == expected
    content = saved(Image.fromarray(PHOTO), "PNG")
    for file in (content, bytearray(content), memoryview(content), io.BytesIO(content)):
        assert codec.encode(file) == expected
    assert not codec.notices


class Holder:
    """Whatever NumPy can make an array of."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return PHOTO


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (None, "NoneType is no image: give a path, bytes"),
        (7, "int is no image: give a path, bytes"),
        ([[1, 2], [3]], "list is no array of pixels"),
        ([[300, 0], [0, 0]], "give uint8, uint16 or floating point"),
        ([], "array is .* give"),
        (torch.zeros(5, 5, 5), "array is float32 of 5 x 5 x 5: give H x W"),
    ],
)
def test_one_clear_reason(codec: Told, image: Any, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        codec.encode(image)


def test_the_limit_holds_for_everything(codec: Told) -> None:
    for image in (PHOTO, PHOTO.tolist(), torch.from_numpy(PHOTO.copy()), Image.fromarray(PHOTO)):
        with pytest.raises(LimitError, match=r"80 x 64 pixels are more than the limit of 5119"):
            codec.encode(image, max_pixels=5119)


def test_decodes_streams(codec: Told, tiny_model: Path) -> None:
    data = codec.encode(PHOTO)
    expected = decode(data, model=tiny_model)
    for source in (io.BytesIO(data), bytearray(data), memoryview(data)):
        assert np.array_equal(decode(source, model=tiny_model), expected)
        channels = dcncodec.decode_channels(io.BytesIO(data), [1])
        assert channels.shape == (1, 8, 10)
    with pytest.raises(UsageError, match=r"^int: give a path, bytes or a binary stream"):
        decode(5)  # type: ignore[arg-type]
