"""``transfer`` and ``survive`` on a few small pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from dcncodec.camera.acquisition import acquire, sensor
from dcncodec.errors import ImageError, UsageError
from dcncodec.forensics.prnu.simulate import Camera, exposed, split_pictures
from dcncodec.forensics.prnu.survive import (
    RATES,
    Channel,
    Row,
    Survival,
    parse_codecs,
    survive,
)
from dcncodec.forensics.prnu.transfer import Case, flip, rate, steps, transfer

pytest.importorskip("rawpy")
pytest.importorskip("colour_demosaicing")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven for training, two for evaluation."""
    folder: Path = tmp_path_factory.mktemp("pictures")
    astronaut, coffee = data.astronaut(), data.coffee()
    for i in range(13):
        source = astronaut if i % 2 else coffee
        top, left = 17 * i % 200, 23 * i % 300
        part = folder / ("train" if i < 11 else "val")
        part.mkdir(exist_ok=True)
        Image.fromarray(source[top : top + 160, left : left + 160]).save(part / f"{i:02}.png")
    return folder


def test_sensors() -> None:
    found = sensor(7, 100, 120)
    assert found.std() == pytest.approx(0.01, rel=0.02)
    assert found.mean() == pytest.approx(1, abs=1e-3)
    assert np.array_equal(found, sensor(7, 100, 120))
    assert abs(np.corrcoef(found.ravel(), sensor(8, 100, 120).ravel())[0, 1]) < 0.05
    # Other noise with the same seed.
    noise = np.random.default_rng(7).standard_normal((100, 120))
    assert abs(np.corrcoef(found.ravel(), noise.ravel())[0, 1]) < 0.05
    bright = np.full((100, 120, 3), 150, np.uint8)
    frames = [acquire(bright, 1, gains=gains).mosaic.astype(float) for gains in (found, None)]
    ratio = (frames[0] - 512) / (frames[1] - 512)
    assert np.corrcoef(ratio.ravel(), found.ravel())[0, 1] > 0.99


def test_short_exposures(pictures: Path) -> None:
    """As bright and noisier, with other noise than the long one's; names say how short."""
    grey = np.full((64, 64, 3), 120, np.uint8)
    frames = [acquire(grey, 1, exposure=share) for share in (1.0, 0.01)]
    long, short = (frame.stack()[..., 1] for frame in frames)
    assert short.mean() == pytest.approx(long.mean(), rel=0.03)
    assert short.std() > 5 * long.std()
    assert exposed("dnet") == ("dnet", 1)
    assert exposed("libraw@0.01") == ("libraw", 0.01)
    for name in ("dnet@", "dnet@0", "dnet@1", "dnet@nan", "dnet@x"):
        with pytest.raises(UsageError, match=f"--pipelines {name}: choose a share"):
            exposed(name)
    picture = split_pictures(pictures).evaluation[0]
    taken = Camera(7, 0.01).take(picture, ("standard", "standard@0.01", "standard@0.02"))
    plain, dark, other = (photo.astype(float) for photo in taken.values())
    assert 0.9 < dark.mean() / plain.mean() < 1.2
    noise = [(photo - plain).ravel() for photo in (dark, other)]
    assert abs(np.corrcoef(*noise)[0, 1]) < 0.3


def test_splits(pictures: Path, tmp_path: Path) -> None:
    split = split_pictures(pictures)
    assert [len(part) for part in (split.fingerprint, split.predictor, split.evaluation)] == [
        8, 3, 2,
    ]  # fmt: skip
    numbers = [seed for part in vars(split).values() for seed, _ in part]
    assert numbers == list(range(13))
    paper = split_pictures(pictures / "train")
    assert [len(part) for part in vars(paper).values()] == [7, 2, 2]
    with pytest.raises(UsageError, match="too few pictures"):
        split_pictures(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        split_pictures(tmp_path / "missing")


def test_survive(pictures: Path, tiny_model: Path) -> None:
    channels = parse_codecs([str(tiny_model), "jpeg:95", "jpeg:30", "jpeg2000:1"])
    split = split_pictures(pictures)
    done: list[int] = []
    found = survive(split, Camera(7, 0.03), channels, progress=lambda: done.append(1))
    assert len(done) == 10
    assert [(row.codec, row.setting) for row in found.rows] == [
        ("png", ""), ("tiny", ""), ("jpeg", "30"), ("jpeg", "95"), ("jpeg2000", "1"),
    ]  # fmt: skip
    png, tiny, low, high, _ = found.rows
    assert png.bpp is None
    assert not png.peers
    assert png.matched == 1
    assert png.pce > high.pce > low.pce
    assert high.bpp > low.bpp
    assert tiny.bpp is not None
    assert abs(tiny.pce) < 30
    facts = found.as_dict()
    assert high.peers == {"jpeg": pytest.approx(high.pce)}
    assert facts["rows"][3]["pce_of_peers"]["jpeg"] == facts["rows"][3]["pce"]
    assert facts["fingerprint_photos"] == 8


def test_rates_are_interpolated() -> None:
    rows = [
        Row("dcn-16c", "", 0.4, 20.0, 0.1, 0.0),
        Row("dcn-32c", "", 0.6, 100.0, 0.1, 0.8),
        Row("dcn-64c", "", 0.8, 100.0, 0.1, 1.0),
        Row("jpeg", "50", 0.5, 10.0, 0.1, 0.2),
    ]
    found = Survival(rows, 10, 80, 0.01)
    assert found.rate_needed("dcn") == pytest.approx(0.7)
    assert found.rate_needed("jpeg") is None


def test_codecs_are_known() -> None:
    assert parse_codecs(["jpeg:50"]) == [Channel("png"), Channel("jpeg", "50")]
    assert len(parse_codecs(["avif"])) > 5
    for name in ("jpeg:0", "jpeg:x", "jpeg2000:99"):
        with pytest.raises(UsageError, match=f"--codec {name}: choose a setting from"):
            parse_codecs([name])
    with pytest.raises(UsageError, match="--codec mp3: choose jpeg"):
        parse_codecs(["mp3"])
    found = parse_codecs(["dcn-vr:73"])[1]
    assert (found.codec, found.setting) == ("dcn-vr", "73")
    assert [channel.setting for channel in parse_codecs(["dcn-vr"])[1:]] == list(map(str, RATES))
    with pytest.raises(UsageError, match="--codec dcn-vr:256: choose a rate from 0 to 255"):
        parse_codecs(["dcn-vr:256"])
    with pytest.raises(UsageError, match="--codec dcn-32c:5: dcn-32c has one rate only"):
        parse_codecs(["dcn-32c:5"])


def test_a_model_for_all_rates_is_a_curve_of_its_own(pictures: Path) -> None:
    split = split_pictures(pictures)
    split = replace(split, evaluation=split.evaluation[:1])
    found = survive(split, Camera(7, 0.03), parse_codecs(["dcn-vr:20", "dcn-vr:255"]))
    low, high = found.rows[1:]
    assert low.curve == high.curve == "dcn-vr"
    assert low.bpp is not None
    assert high.bpp is not None
    assert low.bpp < high.bpp
    assert low.pce < high.pce


def test_transfer(pictures: Path) -> None:
    split, camera = split_pictures(pictures), Camera(7, 0.03)
    done: list[int] = []
    case = Case(64, 33)
    found = transfer(split, camera, ("standard", "libraw"), [case], progress=lambda: done.append(1))
    assert len(done) == steps(split, camera) == 8 + 3 + 2 + 10
    assert found.fingerprint_ncc["standard", "standard"] == pytest.approx(1)
    assert 0.5 < found.fingerprint_ncc["standard", "libraw"] < 0.99
    assert found.truth_ncc["standard"] > 0.5
    assert all(min(values) > 60 for values in found.pce.values())
    assert len(found.others) == 10
    assert max(found.others) < 60
    assert found.baseline[case] == pytest.approx(2 * 0.16 / 1.16)
    assert found.mean_f1(case, ("standard", "standard")) > 0.6
    assert found.maps["libraw", "standard"].shape == (160, 160)
    facts = found.as_dict()
    assert facts["matched"]["libraw"]["standard"] == 1
    assert facts["other_sensors"]["matched"] == 0
    assert facts["localisation"][0]["window"] == 33
    with pytest.raises(UsageError, match="name each once"):
        transfer(split, camera, ("standard", "standard"), [case])


def test_flip_and_rate() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (130, 150, 3), np.uint8)
    changed, mask = flip(pixels, 64)
    assert mask.sum() == 64**2
    assert np.array_equal(changed[~mask], pixels[~mask])
    assert np.array_equal(changed[33:97, 43:107], pixels[33:97, 43:107][:, ::-1])
    with pytest.raises(ImageError, match="hold no part of 131"):
        flip(pixels, 131)
    perfect = rate(mask.astype(np.float32), mask)
    assert (perfect.f1, perfect.auc) == (1, 1)
    worst = rate((~mask).astype(np.float32), mask)
    assert worst.auc == 0
    share = mask.mean()
    assert worst.f1 == pytest.approx(2 * share / (1 + share))
    blind = rate(np.random.default_rng(0).random(mask.shape, np.float32), mask)
    assert blind.auc == pytest.approx(0.5, abs=0.03)
