"""One picture in many encodings: seen with colour management, they are all the same picture."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from odd_images import bmp, plain_tiff
from picture_samples import chunk, png, saved
from PIL import Image, ImageCms

from dcncodec.errors import ImageError
from dcncodec.formats.image import Picture, read_image, to_srgb, write_image
from dcncodec.formats.profiles import ADOBE_CURVE, ADOBE_PRIMARIES, Colorimetry

Array = npt.NDArray[Any]

SRGB = ImageCms.createProfile("sRGB")
P3 = Colorimetry.of_cicp(12, 13)
P3_GAMMA = Colorimetry(P3.primaries if P3 else (), (2.2,))  # type: ignore[arg-type]
ADOBE = Colorimetry(ADOBE_PRIMARIES, ADOBE_CURVE)
assert P3 is not None


def shown() -> Array:
    """The picture in sRGB: patches of colours that all the spaces below hold."""
    levels = np.array([40, 100, 160, 220])
    patches = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(8, 8, 3)
    return np.kron(patches, np.ones((8, 8, 1))).astype(np.uint8)


def managed(pixels: Array, source: bytes | None, target: bytes | None) -> Array:
    """Pixels of one profile in another (None: sRGB), by LittleCMS."""
    profiles = [ImageCms.ImageCmsProfile(io.BytesIO(p)) if p else SRGB for p in (source, target)]
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    transform = ImageCms.buildTransform(*profiles, "RGB", "RGB", intent)
    return np.asarray(transform.apply(Image.fromarray(pixels)))


def as_encoded(colours: Colorimetry) -> Image.Image:
    return Image.fromarray(managed(shown(), None, colours.profile()))


def with_chunks(colours: Colorimetry, *chunks: tuple[bytes, bytes]) -> bytes:
    extra = b"".join(chunk(kind, content) for kind, content in chunks)
    return png(np.asarray(as_encoded(colours)), 2, 8, extra)


def chromaticities(colours: Colorimetry) -> bytes:
    return b"".join(struct.pack(">I", round(v * 100_000)) for p in colours.primaries for v in p)


def iccp(colours: Colorimetry) -> bytes:
    return b"p3\0\0" + zlib.compress(colours.profile() or b"")


def avif_nclx() -> bytes:
    data = saved(as_encoded(P3), "AVIF", quality=100, subsampling="4:4:4")  # type: ignore[arg-type]
    place = data.index(b"colrnclx")
    return data[: place + 8] + struct.pack(">HH", 12, 13) + data[place + 12 :]


def adobe_by_exif() -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65535
    exif.get_ifd(0x8769)[0xA005] = {1: "R03", 2: b"0100"}
    exif = bytes(exif.tobytes())  # type: ignore[assignment]
    return saved(as_encoded(ADOBE), "JPEG", quality=100, subsampling=0, exif=exif)


def bmp_calibrated() -> bytes:
    pixels = np.ascontiguousarray(np.asarray(as_encoded(P3_GAMMA))[::-1, :, ::-1])
    data = bytearray(bmp(pixels.tobytes(), 64, 64, 24, header=108))
    white, *primaries = ((x, y) for x, y in P3_GAMMA.primaries)
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    weights = np.linalg.solve(columns, [white[0] / white[1], 1, (1 - sum(white)) / white[1]])
    ends = (columns * weights).T.ravel()
    struct.pack_into("<I9I3I", data, 70, 0, *(round(v * 2**30) for v in ends), *[144179] * 3)
    return bytes(data)


def bmp_embedded() -> bytes:
    pixels = np.ascontiguousarray(np.asarray(as_encoded(P3))[::-1, :, ::-1])  # type: ignore[arg-type]
    data = bytearray(bmp(pixels.tobytes(), 64, 64, 24, header=124))
    profile = P3.profile() or b""  # type: ignore[union-attr]
    data[70:74] = b"DEBM"
    struct.pack_into("<II", data, 14 + 112, len(data) - 14, len(profile))
    return bytes(data) + profile


def tiff_primaries() -> bytes:
    """Rationals are of type 5, which the maker of odd files lacks."""
    import tifffile

    values = [v for point in P3.primaries for v in point]  # type: ignore[union-attr]
    ratios = [part for v in values for part in (round(v * 10_000), 10_000)]
    out = io.BytesIO()
    tifffile.imwrite(
        out, np.asarray(as_encoded(P3)), photometric="rgb", metadata=None,  # type: ignore[arg-type]
        extratags=[(318, 5, 2, ratios[:4], True), (319, 5, 6, ratios[4:], True)],
    )  # fmt: skip
    return out.getvalue()


def gif_profile() -> bytes:
    data = saved(as_encoded(P3).quantize(256), "GIF")  # type: ignore[arg-type]
    profile = P3.profile() or b""  # type: ignore[union-attr]
    parts = [profile[i : i + 255] for i in range(0, len(profile), 255)]
    blocks = b"".join(bytes([len(part)]) + part for part in parts)
    place = data.index(b",\0\0\0\0")
    return data[:place] + b"!\xff\x0bICCRGBG1012" + blocks + b"\0" + data[place:]


def jp2_profile() -> bytes:
    """A restricted profile in place of the number of sRGB."""
    data = saved(as_encoded(P3), "JPEG2000", irreversible=False)  # type: ignore[arg-type]
    place = data.index(b"colr") - 4
    length = int.from_bytes(data[place : place + 4], "big")
    content = b"\2\0\0" + (P3.profile() or b"")  # type: ignore[union-attr]
    box = struct.pack(">I4s", 8 + len(content), b"colr") + content
    outer = data.index(b"jp2h") - 4
    size = int.from_bytes(data[outer : outer + 4], "big") + len(box) - length
    head = data[:outer] + struct.pack(">I", size) + data[outer + 4 : place]
    return head + box + data[place + length :]


def with_profile(kind: str, **options: Any) -> Callable[[], bytes]:
    profile = P3.profile()  # type: ignore[union-attr]
    return lambda: saved(as_encoded(P3), kind, icc_profile=profile, **options)  # type: ignore[arg-type]


ENCODINGS: dict[str, Callable[[], bytes]] = {
    "untagged": lambda: saved(Image.fromarray(shown()), "PNG"),
    "png sRGB": lambda: png(shown(), 2, 8, chunk(b"sRGB", b"\0")),
    "png sRGB by numbers": lambda: with_chunks(
        Colorimetry(), (b"gAMA", struct.pack(">I", 45455)), (b"cHRM", chromaticities(Colorimetry()))
    ),
    "png cICP": lambda: with_chunks(P3, (b"cICP", bytes([12, 13, 0, 1]))),
    "png iCCP": lambda: with_chunks(P3, (b"iCCP", iccp(P3))),
    "png gAMA and cHRM": lambda: with_chunks(
        P3_GAMMA, (b"gAMA", struct.pack(">I", 45455)), (b"cHRM", chromaticities(P3_GAMMA))
    ),
    "png gAMA 1": lambda: with_chunks(
        Colorimetry(curve=(1.0,)), (b"gAMA", struct.pack(">I", 100_000))
    ),
    "png cICP before iCCP": lambda: with_chunks(
        P3, (b"cICP", bytes([12, 13, 0, 1])), (b"iCCP", iccp(ADOBE))
    ),
    "png iCCP before sRGB": lambda: with_chunks(P3, (b"sRGB", b"\0"), (b"iCCP", iccp(P3))),
    "png sRGB before gAMA": lambda: png(
        shown(), 2, 8, chunk(b"gAMA", struct.pack(">I", 100_000)) + chunk(b"sRGB", b"\0")
    ),
    "jpeg": with_profile("JPEG", quality=100, subsampling=0),
    "jpeg, Adobe RGB by Exif": adobe_by_exif,
    "tiff": with_profile("TIFF"),
    "tiff of 16 bits": lambda: plain_tiff(
        np.asarray(as_encoded(P3)).astype(np.uint16) * 257, 16, 2, t34675=P3.profile()
    ),
    "tiff primaries": tiff_primaries,
    "webp": with_profile("WEBP", lossless=True),
    "avif": with_profile("AVIF", quality=100, subsampling="4:4:4"),
    "avif nclx": avif_nclx,
    "bmp 4": bmp_calibrated,
    "bmp 5": bmp_embedded,
    "gif": gif_profile,
    "jpeg 2000": jp2_profile,
}
COARSE = {"png gAMA 1": 6, "jpeg": 6, "jpeg, Adobe RGB by Exif": 10, "avif": 14, "avif nclx": 14}
"""Largest differences where dark colours of 8 bits are coarse, or the encoding is lossy."""


@pytest.mark.parametrize("name", ENCODINGS)
def test_all_encodings_are_the_same_picture(name: str) -> None:
    picture = read_image(ENCODINGS[name]())
    found = managed(picture.pixels, picture.icc, None)
    difference = np.abs(found.astype(int) - shown())
    assert difference.mean() < 1.5
    assert difference.max() <= COARSE.get(name, 3)
    untagged = {"untagged", "png sRGB", "png sRGB by numbers", "png sRGB before gAMA"}
    assert (picture.icc is None) == (name in untagged)


def test_the_encodings_are_different() -> None:
    """Without their profile most are another picture, or the test above would say nothing."""
    wrong = {
        name
        for name, make in ENCODINGS.items()
        if np.abs(read_image(make()).pixels.astype(int) - shown()).max() > 15
    }
    assert len(wrong) == len(ENCODINGS) - 4 >= 12


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif", ".bmp", ".ppm"])
def test_written_files_are_the_same_picture(suffix: str, tmp_path: Path) -> None:
    picture = read_image(ENCODINGS["png cICP"]())
    notices: list[Any] = []
    write_image(picture, tmp_path / f"a{suffix}", notify=notices.append)
    back = read_image(tmp_path / f"a{suffix}")
    found = managed(back.pixels, back.icc, None)
    assert np.abs(found.astype(int) - shown()).max() <= {".avif": 14, ".jpg": 6}.get(suffix, 3)
    without = suffix in {".bmp", ".ppm"}
    assert back.icc == (None if without else picture.icc)
    assert [n.kind for n in notices] == (["colour"] if without else [])
    with Image.open(tmp_path / f"a{suffix}") as opened:
        assert opened.info.get("icc_profile") == back.icc


def test_grey_by_numbers(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    picture = read_image(png(grey, 0, 8, chunk(b"gAMA", struct.pack(">I", 100_000))))
    assert picture.grey
    seen = to_srgb(picture)
    light = grey[..., 0] / 255
    expected = np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
    assert np.abs(seen.pixels[..., 0] - 255 * expected).max() <= 1
    assert (seen.pixels[..., :1] == seen.pixels).all()
    write_image(picture, tmp_path / "a.webp", notify=lambda _: None)
    assert np.abs(read_image(tmp_path / "a.webp").pixels.astype(int) - seen.pixels).max() <= 1


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_refused(transfer: int) -> None:
    data = with_chunks(Colorimetry(), (b"cICP", bytes([9, transfer, 0, 1])))
    with pytest.raises(ImageError, match=r"^x: HDR pictures \((PQ|HLG)\) are not supported"):
        read_image(data, name="x")
    data = avif_nclx()
    place = data.index(b"colrnclx") + 8
    data = data[:place] + struct.pack(">HH", 9, transfer) + data[place + 4 :]
    with pytest.raises(ImageError, match="HDR pictures"):
        read_image(data)


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ([(b"cICP", bytes([200, 13, 0, 1]))], "code points 200/13 are not known"),
        ([(b"iCCP", b"p\0\0nothing")], "its colour profile is damaged"),
        ([(b"cHRM", bytes(32))], "states colours that cannot be"),
    ],
)
def test_colours_that_cannot_be_known(chunks: list[tuple[bytes, bytes]], said: str) -> None:
    picture = read_image(with_chunks(Colorimetry(), *chunks))
    assert picture.icc is None
    assert [n.kind for n in picture.notices] == ["colour"]
    assert said in picture.notices[0].text


def test_colours_that_are_called_uncalibrated() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65535
    picture = read_image(saved(Image.fromarray(shown()), "JPEG", exif=exif))
    assert [n.text for n in picture.notices] == [
        "its colours are uncalibrated (EXIF), without a profile; taken as sRGB"
    ]
    profile = P3.profile()  # type: ignore[union-attr]
    with_profile = saved(Image.fromarray(shown()), "JPEG", exif=exif, icc_profile=profile)
    assert not read_image(with_profile).notices


def test_a_transfer_function_in_tiff_is_said() -> None:
    tifffile = pytest.importorskip("tifffile")
    out = io.BytesIO()
    curve = (301, 3, 768, [i * 257 for i in range(256)] * 3, True)
    tifffile.imwrite(out, shown(), photometric="rgb", metadata=None, extratags=[curve])
    (notice,) = read_image(out.getvalue()).notices
    assert notice.text == "states a transfer function; taken with that of sRGB"


def test_a_profile_for_other_samples_is_said() -> None:
    data = saved(Image.fromarray(shown()), "PNG", icc_profile=ImageCms.ImageCmsProfile(
        ImageCms.createProfile("LAB")).tobytes())  # fmt: skip
    assert "is one for Lab" in read_image(data).notices[0].text


def test_profiles_are_small_and_the_same_each_time() -> None:
    for code in (1, 4, 5, 6, 7, 8, 9, 11, 12, 22):
        for curve in (1, 4, 5, 7, 8, 13, 17):
            colours = Colorimetry.of_cicp(code, curve)
            assert colours is not None
            profile = colours.profile()
            if (code, curve) == (1, 13):
                assert profile is None
                continue
            assert profile == colours.profile()
            assert len(profile or b"") < 700
            white = managed(np.full((1, 1, 3), 255, np.uint8), profile, None)
            assert white.min() >= 254


def test_pictures_without_a_usable_profile_stay(tmp_path: Path) -> None:
    picture = Picture(shown(), icc=b"nonsense")
    seen = to_srgb(picture)
    assert np.array_equal(seen.pixels, shown())
    assert [n.kind for n in seen.notices] == ["colour"]
