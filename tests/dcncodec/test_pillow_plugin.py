"""Pillow opens and saves .dcn files."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError
from skimage import data as samples

import dcncodec
import dcncodec.pillow_plugin


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


def test_metadata_survives(photo: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271] = "A camera"
    photo.info["icc_profile"] = b"a profile"
    photo.info["exif"] = exif.tobytes()
    photo.save(tmp_path / "x.dcn")
    with Image.open(tmp_path / "x.dcn") as opened:
        assert opened.info["icc_profile"] == b"a profile"
        assert opened.getexif()[271] == "A camera"


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
