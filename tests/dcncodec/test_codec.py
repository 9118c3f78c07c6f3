"""The library: images in, files out, and back; regions, channels, metadata, limits."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data as samples

import dcncodec
from dcncodec import Codec
from dcncodec.errors import FormatError, LimitError, ModelError, UsageError
from dcncodec.formats import bitstream, container
from dcncodec.formats.channels import decode_channels
from dcncodec.formats.image import Picture
from dcncodec.notices import DcnWarning
from dcncodec.oneline import decode, encode

Array = NDArray[np.uint8]


@pytest.fixture(scope="module")
def codec(tiny_model: Path) -> Codec:
    return Codec(tiny_model, precision="fp32")


@pytest.fixture(scope="module")
def pixels() -> Array:
    return np.ascontiguousarray(samples.astronaut()[:93, :150])


def test_the_bundled_model_gives_a_good_picture(pixels: Array) -> None:
    data = encode(pixels)
    restored = decode(data)
    assert isinstance(restored, np.ndarray)
    assert restored.shape == pixels.shape
    mse = ((restored.astype(float) - pixels) ** 2).mean()
    assert 10 * np.log10(255**2 / mse) > 27
    assert len(data) < pixels.size / 10


def test_precision_changes_pixels_by_rounding_only(pixels: Array) -> None:
    data = encode(pixels, precision="fp32")
    exact = decode(data, precision="fp32")
    rounded = decode(data, precision="bf16")
    assert isinstance(exact, np.ndarray)
    difference = np.abs(exact.astype(int) - rounded)
    assert difference.mean() < 0.5
    assert difference.max() <= 12


def test_array_pillow_path_and_picture_give_the_same_file(
    codec: Codec, pixels: Array, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    from_array = codec.encode(pixels)
    assert codec.encode(Image.fromarray(pixels)) == from_array
    assert codec.encode(path) == from_array
    assert codec.encode(str(path)) == from_array
    assert codec.encode(Picture(pixels)) == from_array


def test_written_file_and_returned_bytes_agree(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.dcn"
    image = np.zeros((16, 16, 3), np.uint8)
    data = encode(image, path, model=tiny_model)
    assert path.read_bytes() == data
    with pytest.raises(UsageError, match="exists"):
        encode(image, path, model=tiny_model)
    encode(image, path, model=tiny_model, overwrite=True)
    pillow = decode(path, kind="pil", model=tiny_model)
    assert isinstance(pillow, Image.Image)
    assert pillow.size == (16, 16)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 3), (8, 8), (65, 17)])
def test_every_size_comes_back(codec: Codec, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert codec.decode(codec.encode(image)).pixels.shape == image.shape


def test_images_of_several_blocks(codec: Codec) -> None:
    image = np.zeros((40, 8 * 255 + 9, 3), np.uint8)
    image[:, ::7] = 200
    data = codec.encode(image)
    assert len(dcncodec.info(data)["blocks"]) == 2
    whole = codec.decode(data).pixels
    part = codec.decode(data, region=(1000, 3, 1050, 40)).pixels
    assert np.abs(whole[3:40, 1000:1050].astype(int) - part).max() <= 1


def test_a_region_reads_only_the_blocks_that_it_touches(codec: Codec) -> None:
    image = np.zeros((8, 8 * 255 * 3, 3), np.uint8)
    data = bytearray(codec.encode(image))
    last = container.read(bytes(data)).block_section(2)
    data[last.payload_start + 7] ^= 255
    codec.decode(bytes(data), region=(0, 0, 100, 8))
    with pytest.raises(FormatError, match="block 2"):
        codec.decode(bytes(data))


@pytest.mark.parametrize("region", [(0, 0, 0, 5), (-1, 0, 5, 5), (0, 0, 151, 5), (5, 5, 3, 9)])
def test_regions_outside_the_picture(
    codec: Codec, pixels: Array, region: tuple[int, int, int, int]
) -> None:
    with pytest.raises(UsageError, match="does not lie inside"):
        codec.decode(codec.encode(pixels), region=region)


@pytest.mark.parametrize("region", [(), (0, 0, 5), (0, 0, 0.5, 5), "0,0,5,5", 5])
def test_what_is_no_region(codec: Codec, pixels: Array, region: Any) -> None:
    with pytest.raises(UsageError, match="give left, top, right and bottom in whole pixels"):
        codec.decode(codec.encode(pixels), region=region)


def test_a_region_of_any_whole_numbers(codec: Codec, pixels: Array) -> None:
    data = codec.encode(pixels)
    given: Any = np.array([3, 2, 20, 9], np.uint8)
    found = codec.decode(data, region=given).pixels
    assert (found == codec.decode(data, region=(3, 2, 20, 9)).pixels).all()


def test_kinds_of_results_are_checked(codec: Codec, pixels: Array) -> None:
    kind: Any = "numpy"
    with pytest.raises(UsageError, match="kind 'numpy': choose array or pil"):
        dcncodec.decode(codec.encode(pixels), kind=kind)


def test_info_of_paths_and_streams(codec: Codec, pixels: Array, tmp_path: Path) -> None:
    data = codec.encode(pixels)
    (tmp_path / "x.dcn").write_bytes(data)
    for source in (data, memoryview(data), tmp_path / "x.dcn", io.BytesIO(data)):
        assert dcncodec.info(source)["bytes"] == len(data)
    with pytest.raises(UsageError, match="no such file"):
        dcncodec.info(tmp_path / "y.dcn")


@pytest.mark.parametrize("threads", [0, -1])
def test_numbers_of_threads_are_checked(tiny_model: Path, threads: int) -> None:
    with pytest.raises(UsageError, match=f"threads {threads}: choose 1 or more"):
        Codec(tiny_model, threads=threads)


def test_latents_are_those_of_the_channels(codec: Codec, pixels: Array) -> None:
    data = codec.encode(pixels)
    block = container.read(data).decode_block(0)
    channels = decode_channels(data, [3, 0])
    assert channels.dtype == np.int8
    assert (channels == block[[3, 0]].astype(int) - 15).all()
    with pytest.raises(UsageError, match="4"):
        decode_channels(data, [4])


@pytest.mark.parametrize("entropy", ["channel", "global", "auto"])
def test_entropy_modes_give_the_same_picture(codec: Codec, pixels: Array, entropy: str) -> None:
    data = codec.encode(pixels, entropy=entropy)  # type: ignore[arg-type]
    expected = codec.decode(codec.encode(pixels)).pixels
    assert (codec.decode(data).pixels == expected).all()


def test_auto_is_the_smaller_mode(codec: Codec, pixels: Array) -> None:
    small = pixels[:16, :16]
    for image in (pixels, small):
        sizes = [len(codec.encode(image, entropy=mode)) for mode in ("channel", "global")]  # type: ignore[arg-type]
        assert len(codec.encode(image, entropy="auto")) == min(sizes)


def test_grey_stays_grey(codec: Codec, pixels: Array) -> None:
    picture = codec.decode(codec.encode(pixels[:, :, 0]))
    assert picture.grey
    assert (picture.pixels[..., 0] == picture.pixels[..., 2]).all()


def test_alpha_is_lossless(codec: Codec, pixels: Array) -> None:
    alpha = np.random.default_rng(1).integers(0, 256, pixels.shape[:2], np.uint8)
    data = codec.encode(np.dstack([pixels, alpha]))
    restored = codec.decode(data).alpha
    assert restored is not None
    assert (restored == alpha).all()
    part = codec.decode(data, region=(10, 20, 50, 60)).alpha
    assert part is not None
    assert (part == alpha[20:60, 10:50]).all()


def test_metadata_is_kept_unless_unwanted(codec: Codec, pixels: Array) -> None:
    picture = Picture(pixels, icc=b"profile", exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0", xmp=b"<x/>")
    kept = codec.decode(codec.encode(picture))
    assert (kept.icc, kept.exif, kept.xmp) == (picture.icc, picture.exif, picture.xmp)
    with pytest.warns(DcnWarning, match="its colour profile cannot be used"):
        dropped = codec.decode(codec.encode(picture, keep_metadata=False))
    assert (dropped.icc, dropped.exif, dropped.xmp) == (None, None, None)


def test_bare_stream_is_the_block(codec: Codec, pixels: Array) -> None:
    bare = codec.encode_bare(pixels)
    full = codec.encode(pixels, entropy="channel")
    assert bytes(container.read(full).block(0)) == bare
    assert len(full) - len(bare) <= 48
    padded = codec.decode_bare(bare).pixels
    assert padded.shape == (96, 152, 3)
    assert (padded[:93, :150] == codec.decode(full).pixels).all()


def test_what_a_bare_stream_cannot_hold(codec: Codec, pixels: Array) -> None:
    with pytest.raises(UsageError, match="2040 x 2040"):
        codec.encode_bare(np.zeros((1, 2041, 3), np.uint8))
    with pytest.raises(UsageError, match="alpha"):
        codec.encode_bare(np.dstack([pixels, pixels[..., 0]]))


def test_streams_of_other_channels(codec: Codec) -> None:
    indices = np.zeros((5, 2, 2), np.uint8)
    with pytest.raises(FormatError, match="5 latent channels"):
        codec.decode_bare(bitstream.encode_block(indices))


def test_another_model_is_named(codec: Codec, pixels: Array) -> None:
    data = encode(pixels)
    with pytest.raises(ModelError, match="encoded with model dcn-vr"):
        codec.decode(data)
    with pytest.raises(ModelError, match="needs model tiny"):
        decode(codec.encode(pixels))


def test_size_limits(codec: Codec, pixels: Array) -> None:
    data = codec.encode(pixels)
    with pytest.raises(LimitError, match="--max-pixels"):
        codec.decode(data, max_pixels=100)
    assert codec.decode(data, max_pixels=100, region=(0, 0, 10, 10)).pixels.shape == (10, 10, 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    with pytest.raises(LimitError, match="--max-pixels"):
        codec.encode(buffer.getvalue(), max_pixels=100)


def test_unknown_quality(pixels: Array) -> None:
    with pytest.raises(UsageError, match="choose low, medium, high"):
        encode(pixels, quality="best")


def test_torch_is_not_needed_to_look_at_a_file(codec: Codec, pixels: Array, tmp_path: Path) -> None:
    path = tmp_path / "x.dcn"
    path.write_bytes(codec.encode(pixels))
    program = (
        "import sys, dcncodec\n"
        f"facts = dcncodec.info(open({str(path)!r}, 'rb').read())\n"
        "assert facts['width'] == 150\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_unknown_attributes_are_reported() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = dcncodec.nonsense


def test_files_do_not_depend_on_the_number_of_threads(codec: Codec, pixels: Array) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = codec.encode(pixels)
        torch.set_num_threads(2)
        assert codec.encode(pixels) == one
    finally:
        torch.set_num_threads(threads)
