"""Pillow opens and saves .dcn files."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from picture_samples import SRGB
from PIL import Image, UnidentifiedImageError
from skimage import data as samples

import dcncodec
import dcncodec.pillow_plugin
from dcncodec.formats.profiles import ADOBE_CURVE, ADOBE_PRIMARIES, Colorimetry

ADOBE = Colorimetry(ADOBE_PRIMARIES, ADOBE_CURVE).profile()


@pytest.fixture
def photo() -> Image.Image:
    return Image.fromarray(samples.astronaut()[:64, :80])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_saved_images_open_again(photo: Image.Image, tmp_path: Path, mode: str) -> None:
    image = photo.convert(mode)
    if "A" in mode:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "x.dcn")
    with Image.open(tmp_path / "x.dcn") as opened:
        assert (opened.format, opened.mode, opened.size) == ("DCN", mode, (80, 64))
        expected = np.asarray(dcncodec.decode(tmp_path / "x.dcn", kind="pil"))
        assert (np.asarray(opened) == expected).all()


def test_options_reach_the_encoder(photo: Image.Image, tiny_model: Path) -> None:
    buffer = io.BytesIO()
    photo.save(buffer, "DCN", model=tiny_model, entropy="global")
    facts = dcncodec.info(buffer.getvalue())
    assert facts["model"] == "tiny"
    assert facts["blocks"][0]["mode"] == "global"
    with pytest.raises(OSError, match="choose low, medium, high"):
        photo.save(io.BytesIO(), "DCN", quality="best")


def described(photo: Image.Image) -> Image.Image:
    exif = Image.Exif()
    exif[271] = "A camera"
    photo.info |= {"icc_profile": SRGB, "exif": exif.tobytes(), "xmp": b"<x/>"}
    return photo


def test_metadata_survives(photo: Image.Image, tmp_path: Path, tiny_model: Path) -> None:
    described(photo).save(tmp_path / "x.dcn", model=tiny_model)
    with Image.open(tmp_path / "x.dcn") as opened:
        assert opened.info["icc_profile"] == SRGB
        assert opened.getexif()[271] == "A camera"
        assert opened.info["xmp"] == b"<x/>"


def test_metadata_can_be_given(photo: Image.Image, tmp_path: Path, tiny_model: Path) -> None:
    other = Image.Exif()
    other[271] = "Another"
    given = {"exif": other, "icc_profile": ADOBE, "xmp": b"<y/>"}
    described(photo).save(tmp_path / "x.dcn", model=tiny_model, **given)
    with Image.open(tmp_path / "x.dcn") as opened:
        assert opened.getexif()[271] == "Another"
        assert (opened.info["icc_profile"], opened.info["xmp"]) == (ADOBE, b"<y/>")
    assert photo.info["icc_profile"] == SRGB


@pytest.mark.parametrize("nothing", [None, b""])
def test_metadata_can_be_left_out(
    photo: Image.Image, tmp_path: Path, tiny_model: Path, nothing: bytes | None
) -> None:
    for name in ("exif", "icc_profile", "xmp"):
        described(photo).save(tmp_path / "x.dcn", model=tiny_model, **{name: nothing})
        with Image.open(tmp_path / "x.dcn") as opened:
            assert set(opened.info) == {"exif", "icc_profile", "xmp"} - {name}


def test_exif_orientation_that_is_given_turns_the_picture(
    photo: Image.Image, tiny_model: Path
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    buffer = io.BytesIO()
    photo.save(buffer, "DCN", model=tiny_model, exif=turned)
    facts = dcncodec.info(buffer.getvalue())
    assert (facts["width"], facts["height"]) == (64, 80)


def test_loading_closes_the_file(photo: Image.Image, tmp_path: Path, tiny_model: Path) -> None:
    models = tiny_model.parent
    photo.save(tmp_path / "x.dcn", model=tiny_model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCN_MODELS", str(models))
        opened = Image.open(tmp_path / "x.dcn")
        handle = opened.fp
        assert handle is not None
        opened.load()
        assert handle.closed
        again = pickle.loads(pickle.dumps(opened))
        assert again.size == (80, 64)
        assert (np.asarray(again) == np.asarray(opened)).all()
        copied = pickle.loads(pickle.dumps(Image.open(tmp_path / "x.dcn")))
        assert (np.asarray(copied) == np.asarray(opened)).all()


def test_verify_finds_damage(photo: Image.Image, tmp_path: Path, tiny_model: Path) -> None:
    photo.save(tmp_path / "x.dcn", model=tiny_model)
    with Image.open(tmp_path / "x.dcn") as opened:
        opened.verify()
    content = bytearray((tmp_path / "x.dcn").read_bytes())
    content[-20] ^= 1
    with (
        Image.open(io.BytesIO(bytes(content))) as opened,
        pytest.raises(OSError, match="damaged block 0"),
    ):
        opened.verify()


def test_verify_reads_what_context_models_coded(photo: Image.Image) -> None:
    buffer = io.BytesIO()
    photo.save(buffer, "DCN")
    assert dcncodec.info(buffer.getvalue())["blocks"][0]["mode"] == "context"
    Image.open(buffer).verify()
    content = bytearray(buffer.getvalue())
    content[-20] ^= 1
    with pytest.raises(OSError, match="damaged block 0"):
        Image.open(io.BytesIO(content)).verify()


def test_opening_does_not_need_torch(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "x.dcn")
    program = (
        "import sys\nfrom PIL import Image\nimport dcncodec.pillow_plugin\n"
        f"assert Image.open({str(tmp_path / 'x.dcn')!r}).size == (80, 64)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_damaged_files(photo: Image.Image, tmp_path: Path, tiny_model: Path) -> None:
    photo.save(tmp_path / "x.dcn", model=tiny_model)
    with Image.open(tmp_path / "x.dcn") as opened, pytest.raises(OSError, match="needs model tiny"):
        opened.load()
    content = (tmp_path / "x.dcn").read_bytes()
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(content[:40]))
