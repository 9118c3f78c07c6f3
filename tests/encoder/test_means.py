"""Means of regions: chosen where they pay, and shown by every decoder."""

from __future__ import annotations

import io
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from commands import Runner, one_line
from PIL import Image
from skimage import data as samples
from vr_models import write_vr

from dcncodec import decoding
from dcncodec.codec import Codec
from dcncodec.encoder.means import Rounding
from dcncodec.errors import FormatError, TargetError
from dcncodec.formats import container
from dcncodec.formats.container import Container, Means
from dcncodec.formats.geometry import Area
from dcncodec.formats.image import as_picture
from dcncodec.models.registry import find_model, open_folder
from dcncodec.recoding import recode

PHOTO = np.ascontiguousarray(samples.astronaut()[:200, :330])
PLANE = Area(0, 0, 20, 30)


def noted(lost: np.ndarray, hidden: np.ndarray | None = None) -> Means | None:
    """Means of a plane whose code words are all 1."""
    words = np.ones((4, 20, 30), np.int16)
    coded = words.copy()
    if hidden is not None:
        coded[:, hidden] = 5
    rounding = Rounding(PLANE)
    for block in PLANE.windows(16):
        place = block.latents_in(PLANE)
        rounding.note((words + lost)[place].astype(np.float32), words[place], block, coded[place])
    return rounding.means()


def test_a_flat_plane_gets_its_mean() -> None:
    lost = np.array([0.3, -0.5, 0.06, 0.4])[:, None, None] * np.ones((4, 20, 30))
    means = noted(lost)
    assert means is not None
    values = np.frombuffer(means.values, np.int8).reshape(3, 3, 4)
    assert [set(channel.ravel()) for channel in values] == [{2}, {-4}, {0}]


def test_what_does_not_pay_is_left_out() -> None:
    random = np.random.default_rng(0)
    assert noted(np.zeros((4, 20, 30))) is None
    assert noted(random.uniform(-0.5, 0.5, (4, 20, 30))) is None
    # One region alone is not worth a section; all of them are.
    alone = np.zeros((4, 20, 30))
    alone[0, :8, :8] = 0.25
    assert noted(alone) is None
    assert noted(np.full((4, 20, 30), 0.25)) is not None


def test_what_exact_tiles_hide_has_no_part_in_it() -> None:
    lost = np.full((4, 20, 30), 0.25)
    hidden = np.zeros((20, 30), bool)
    hidden[:8, 8:] = hidden[8:12, :4] = True
    lost[:, hidden] = -0.5
    means = noted(lost, hidden)
    assert means is not None
    values = np.frombuffer(means.values, np.int8).reshape(3, 3, 4)
    assert (values[:, 0, 1:] == 0).all()
    assert (values[:, 1:] == 2).all()


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec("dcn-vr", device="cpu", precision="fp32", threads=1, notify=lambda notice: None)


def without_means(data: bytes) -> bytes:
    """The same file without them."""
    file = container.read(data)
    return container.write(Container(file.header, blocks=file.blocks, coding=file.coding))


@pytest.mark.parametrize("rate", [0, 36])
def test_flat_colours_are_nearer(codec: Codec, rate: int) -> None:
    errors = []
    for colour in [*product((64, 191), repeat=3), (200, 30, 77), (128, 128, 128)]:
        data = codec.encode(np.full((128, 128, 3), colour, np.uint8), rate=rate, palette=False)
        shown = (codec.decode(file).pixels for file in (data, without_means(data)))
        errors.append(
            [np.abs(pixels[32:96, 32:96].mean((0, 1)) - colour).max() for pixels in shown]
        )
    with_means, without = np.mean(errors, 0)
    assert with_means < 0.7 * without


def test_a_file_with_means_is_nearer_for_few_bytes(codec: Codec) -> None:
    sky = np.linspace(120, 128, 256)[:, None, None] + np.zeros((1, 256, 3))
    sky = (sky + np.random.default_rng(0).normal(0, 1, sky.shape)).astype(np.uint8)
    data = codec.encode(sky, rate=0)
    without = without_means(data)
    assert len(without) < len(data) <= len(without) + 40
    errors = [
        np.square(codec.decode(file).pixels.astype(float) - sky).mean() for file in (data, without)
    ]
    assert errors[0] < 0.7 * errors[1]


def test_effort_goes_on_from_means(codec: Codec) -> None:
    """It is never worse by them, and words that it moves do not take back what means correct."""
    noise = np.random.default_rng(0).normal(0, 1, (256, 256, 3))
    sky = (np.linspace(120, 128, 256)[:, None, None] + noise).astype(np.uint8)
    plain, worked = (codec.encode(sky, rate=0, effort=effort) for effort in (0, 2))
    assert container.read(worked).means == container.read(plain).means
    errors = [
        np.square(codec.decode(data).pixels.astype(float) - sky).mean() for data in (plain, worked)
    ]
    assert errors[1] < 1.1 * errors[0]
    assert len(worked) <= 1.02 * len(plain)
    target = len(worked) + 20
    sized = codec.encode(sky, target_size=target, effort=1)
    assert container.read(sized).means is not None
    assert len(sized) <= target


def test_all_decoders_show_the_same(codec: Codec) -> None:
    data = codec.encode(PHOTO, rate=20)
    rows, columns = -(-25 // 8), -(-42 // 8)
    values = np.random.default_rng(0).integers(-8, 9, 3 * rows * columns).astype(np.int8)
    file = container.read(data)
    means = Means(values.tobytes(), rows, columns)
    content = Container(file.header, blocks=file.blocks, coding=file.coding, means=means)
    changed = container.read(container.write(content))
    whole = codec.decode(changed).pixels
    assert np.abs(whole.astype(int) - codec.decode(data).pixels).max() > 10
    # Without NumPy, in bfloat16 where there is any.
    quick = decoding.decode(changed, codec.model, 1)
    pixels = np.frombuffer(quick.content, np.uint8).reshape(-1, quick.pitch)
    pixels = pixels[:, : 3 * quick.width].reshape(-1, quick.width, 3)[: quick.height]
    assert np.abs(pixels.astype(int) - whole).max() <= 4
    # Part by part: windows and regions begin elsewhere.
    region = (131, 70, 290, 151)
    part = codec.decode(changed, region=region).pixels
    assert np.abs(part.astype(int) - whole[70:151, 131:290]).max() <= 1
    codec.transforms.window = 16
    try:
        windows = codec.decode(changed).pixels
    finally:
        codec.transforms.window = 128
    assert np.abs(windows.astype(int) - whole).max() <= 1


def test_a_size_may_be_had_without_means(codec: Codec) -> None:
    sky = np.linspace(120, 128, 256)[:, None, None] + np.zeros((1, 256, 3))
    sky = (sky + np.random.default_rng(0).normal(0, 1, sky.shape)).astype(np.uint8)
    data = codec.encode(sky, rate=0)
    without = without_means(data)
    assert len(without) < len(data)
    for size in (len(data), len(data) - 1, len(without)):
        found = codec.encode(sky, target_size=size)
        assert len(without) <= len(found) <= size
        codec.decode(found)
    with pytest.raises(TargetError, match=f"{len(without):,} bytes"):
        codec.encode(sky, target_size=len(without) - 1)


@pytest.mark.parametrize("size", [140, 146, 158, 176])
def test_sizes_between_files_with_means_and_without(codec: Codec, size: int) -> None:
    """They are a tenth of such files."""
    y, x = np.mgrid[:128, :192] / 128
    sky = np.stack([90 + 30 * y, 140 + 25 * y + 8 * x, 200 + 20 * y], -1)
    sky += np.random.default_rng(0).normal(0, 1.5, sky.shape)
    data = codec.encode(sky.clip(0, 255).astype(np.uint8), target_size=size)
    assert size - 2 <= len(data) <= size


@pytest.mark.parametrize("rate", [0, 120])
def test_grey_pictures_have_none(codec: Codec, rate: int) -> None:
    """What their latents lose in colour is no error that is seen."""
    grey = as_picture(np.ascontiguousarray(samples.moon()[:256, :400]), None)
    assert container.read(codec.encode(grey, rate=rate)).means is None


def test_recoding_keeps_means(codec: Codec) -> None:
    flat = np.full((300, 200, 3), (120, 60, 90), np.uint8)
    data = codec.encode(flat, rate=0, palette=False)
    assert container.read(data).means is not None
    assert recode(data) == data


def test_a_model_without_means_refuses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    model = find_model("dcn-16c")
    coder = model.own_coder
    assert coder is not None
    codec = Codec(model, device="cpu", threads=1)
    file = container.read(codec.encode(PHOTO, entropy="context"))
    means = Means(bytes(3 * 4 * 6), 4, 6)
    content = Container(file.header, blocks=file.blocks, coding=file.coding, means=means)
    data = container.write(content)
    told = "holds means, which model dcn-16c does not have"
    with pytest.raises(FormatError, match=told):
        codec.decode(data)
    for entropy in ("auto", "context", "channel"):
        with pytest.raises(FormatError, match=told):
            recode(data, entropy=entropy)
    path = tmp_path / "means.dcn"
    path.write_bytes(data)
    one_line(Runner(monkeypatch, capfd)("info", "--verify", path), told)


def test_models_of_two_channels_have_none(tmp_path: Path) -> None:
    folder = open_folder(write_vr(tmp_path, 2))
    codec = Codec(folder, device="cpu", threads=1, notify=lambda notice: None)
    assert not codec.geometry.means
    flat = io.BytesIO()
    Image.new("RGB", (200, 200), (90, 20, 150)).save(flat, "png")
    data = codec.encode(flat.getvalue(), rate=100, palette=False)
    assert container.read(data).means is None
    codec.decode(data)
