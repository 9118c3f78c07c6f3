"""The benchmark programs measure what they say."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data as samples

from dcncodec.bench import fse_speed, kodak, large_images
from dcncodec.codec import Codec


def test_entropy_of_blocks() -> None:
    blocks = np.array([[0, 1, 0, 1], [3, 3, 3, 3]], np.uint8)
    assert fse_speed.entropy_bytes(blocks) == pytest.approx(0.5)


def test_jpeg_payload_is_tables_and_scan() -> None:
    buffer = io.BytesIO()
    Image.fromarray(samples.astronaut()[:64, :64]).save(buffer, "JPEG", subsampling=0)
    data = buffer.getvalue()
    scan = len(data) - data.index(b"\xff\xda") - 2
    payload = kodak.jpeg_payload(data)
    assert scan < payload < len(data)
    with_comment = data[:2] + b"\xff\xfe\x00\x06text" + data[2:]
    assert kodak.jpeg_payload(with_comment) == payload


def test_curves_rise_and_interpolate() -> None:
    pixels = np.ascontiguousarray(samples.astronaut()[:128, :128])
    curve = kodak.jpeg_curve(pixels)
    assert [p.ssim for p in curve] == sorted(p.ssim for p in curve)
    middle = curve[5]
    assert kodak.ssim_at(curve, middle.bpp) == pytest.approx(middle.ssim)
    assert kodak.bpp_at(curve, middle.ssim) == pytest.approx(middle.bpp)


def test_the_bundled_model_takes_fewer_bits_than_jpeg(shared_data: Path) -> None:
    codec = Codec("dcn-32c")
    ratios = []
    for _, pixels in list(kodak.images(shared_data / "kodak", 512))[3:24:8]:
        point = kodak.model_point(codec, pixels)
        ratios.append(point.bpp / kodak.bpp_at(kodak.jpeg_curve(pixels), point.ssim))
    assert np.median(ratios) < 0.9


def test_memory_of_large_images_stays_bounded(tiny_model: Path, tmp_path: Path) -> None:
    over = large_images.run("encode", 1200, str(tiny_model), tmp_path / "x.dcn")
    assert over < 1 << 30
    assert large_images.run("decode", 1200, str(tiny_model), tmp_path / "x.dcn") < 1 << 30
