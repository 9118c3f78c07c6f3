"""What parts of a picture tell about the whole."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from skimage import data as samples

from dcncodec.codec import Codec
from dcncodec.encoder.encoding import Encoding, Words
from dcncodec.encoder.sample import FEWEST, Sample, _features, in_decibel
from dcncodec.encoder.target import Target
from dcncodec.formats.picture import Picture
from dcncodec.likeness import measure_likeness

PHOTO = np.ascontiguousarray(samples.astronaut()[:400])


STRIP = np.concatenate([PHOTO[top : top + 28] for top in range(0, 392, 28)], 1)


def encoding(codec: Codec, picture: Picture, palette: bool = True) -> Encoding:
    header, coders = codec.header(picture), codec.coders("auto")
    return Encoding(codec.model, codec.transforms, coders, header, picture, palette=palette)


@pytest.fixture(scope="module")
def work(codec: Codec) -> Encoding:
    return encoding(codec, Picture(PHOTO))


def test_bits(work: Encoding) -> None:
    sample = Sample(work)
    assert not sample.whole
    for rate in (60, 180):
        assert sample.bits(rate) == pytest.approx(work.bits(work.chosen(rate)).sum(), rel=0.1)


@pytest.mark.parametrize(("name", "off"), [("min_psnr", 1), ("min_ssim", 1), ("min_msssim", 1)])
def test_likeness(work: Encoding, name: str, off: float) -> None:
    target = Target(name, 0.9)
    sample = Sample(work, target)
    assert not sample.whole
    words = work.chosen(120)
    found = measure_likeness(target.metric, work.picture, work.decoded(words))
    assert sample.likeness(120) == pytest.approx(in_decibel(target, found), abs=off)
    assert sample.rough_likeness(120) == pytest.approx(in_decibel(target, found), abs=2 * off)


def test_no_part_is_tried_twice(work: Encoding, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    chosen = Encoding.chosen

    def counted(self: Encoding, rate: int) -> Words:
        tried.append(rate)
        return chosen(self, rate)

    monkeypatch.setattr(Encoding, "chosen", counted)
    sample = Sample(work, Target("min_psnr", 30))
    rough = sample.rough_likeness(90)
    assert len(tried) == FEWEST // 2
    fine = sample.likeness(90)
    assert len(tried) == FEWEST
    assert rough != fine
    assert (sample.rough_likeness(90), sample.likeness(90)) == (rough, fine)
    assert len(tried) == FEWEST


def test_parts_are_few_and_apart(work: Encoding) -> None:
    plane = work.header.plane
    seen = np.zeros((plane.rows, plane.columns), int)
    areas = Sample(work).areas
    for area in areas:
        seen[area.within(plane)] += 1
    assert seen.max() == 1
    assert len(areas) == FEWEST
    # From the calmest to the busiest.
    parts = [PHOTO[area.within(plane, 8)].astype(int) for area in areas]
    slopes = [np.abs(np.diff(part, axis=0)).mean() for part in parts]
    assert slopes[-1] > 1.5 * slopes[0]


def test_small_pictures_are_their_own_part(codec: Codec) -> None:
    small = encoding(codec, Picture(PHOTO[:93, :61]))
    sample = Sample(small)
    assert sample.whole
    assert sample.bits(77) == small.bits(small.chosen(77)).sum()


def test_features(work: Encoding) -> None:
    features = _features(work.picture.pixels)
    place = PHOTO[16:24, 40:48].astype(float)
    slopes = [np.abs(np.diff(place, axis=axis)).mean() for axis in (0, 1)]
    expected = [1, np.log1p(place.var((0, 1)).sum()), np.log1p(sum(slopes))]
    assert features[2, 5, :3] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("strip", [STRIP, STRIP.swapaxes(0, 1), STRIP[:7]])
def test_strips_have_parts_as_high(codec: Codec, strip: np.ndarray) -> None:
    work = encoding(codec, Picture(np.ascontiguousarray(strip)))
    plane, target = work.header.plane, Target("min_ssim", 0.9)
    sample = Sample(work, target)
    assert sum(area.rows * area.columns for area in sample.areas) < 0.2 * plane.rows * plane.columns
    assert all(
        min(area.rows, area.columns) == -(-min(strip.shape[:2]) // 8) for area in sample.areas
    )
    words = work.chosen(120)
    assert sample.bits(120) == pytest.approx(work.bits(words).sum(), rel=0.15)
    found = measure_likeness("ssim", work.picture, work.decoded(words))
    assert sample.likeness(120) == pytest.approx(in_decibel(target, found), abs=1)


def test_large_pictures_take_little_memory(codec: Codec) -> None:
    large = encoding(codec, Picture(np.tile(PHOTO, (64, 1, 1))), palette=False)
    tracemalloc.start()
    sample = Sample(large)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not sample.whole
    assert most < 0.4 * large.picture.pixels.nbytes
