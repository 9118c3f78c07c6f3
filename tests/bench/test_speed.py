"""Times and memory: what is measured, not how fast it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcncodec.bench import datasets, memory, speed, tables
from dcncodec.bench.codecs import specs
from dcncodec.bench.results import Results
from dcncodec.bench.speed import Outcome, Timing
from dcncodec.errors import DcnError, ImageError, LimitError, UsageError


def test_a_run(photos: Path, tiny_model: Path) -> None:
    steps: list[str] = []
    threads, processors = torch.get_num_threads(), os.sched_getaffinity(0)
    outcome = speed.run(
        specs([str(tiny_model), "jpeg", "jpeg2000"]),
        datasets.find(str(photos))[:2],
        threads=1,
        bpp=1.0,
        sizes=("96x64", "300x200"),
        rounds=2,
        memory=False,
        progress=steps.append,
    )
    assert (torch.get_num_threads(), os.sched_getaffinity(0)) == (threads, processors)
    assert (outcome.threads, outcome.images, outcome.rounds) == (1, 2, 2)
    assert not outcome.failures
    assert [(t.size, t.codec) for t in outcome.timings] == [
        (size, codec) for size in ("96x64", "300x200") for codec in ("tiny", "jpeg", "jpeg2000")
    ]
    for timing in outcome.timings:
        assert len(timing.encode) == len(timing.decode) == 4
        row = timing.as_row()
        assert row["encode_mp_s"] == pytest.approx(timing.megapixels / row["encode_s"])
        assert ("analysis_s" in row) == (timing.codec == "tiny")
    assert outcome.timings[2].setting == outcome.timings[5].setting
    assert outcome.timings[5].as_row()["bpp_payload"] == pytest.approx(1, rel=0.35)
    assert {(r.codec, r.peer, r.size) for r in outcome.ratios()} == {
        ("tiny", peer, size) for peer in ("jpeg", "jpeg2000") for size in ("96x64", "300x200")
    }
    assert "timing at 96x64" in steps


def test_ratios_are_of_the_same_turn() -> None:
    """A slow moment that hits both codecs of a turn leaves the ratio alone."""
    own = Timing("dcn", "dcn", "dcn-32c", "8x8", [1.0], [1.0, 9.0, 1.0], [2.0, 18.0, 2.0])
    own.parts = {part: [1.0] for part in speed.PARTS}
    peer = Timing("jpeg", "JPEG", "50", "8x8", [1.0], [3.0, 27.0, 3.0], [1.0, 9.0, 1.0])
    (ratio,) = Outcome(1, 3, 1, [own, peer]).ratios()
    assert (ratio.codec, ratio.peer) == ("dcn-32c", "jpeg")
    assert ratio.encode == pytest.approx(3)
    assert ratio.decode == pytest.approx(0.5)


def test_a_missing_library_is_skipped(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    items = datasets.find(str(photos))[:1]
    chosen = specs(["bpg", "jpeg"])
    outcome = speed.run(chosen, items, threads=1, bpp=1, sizes=("64x64",), rounds=1, memory=False)
    assert [timing.codec for timing in outcome.timings] == ["jpeg"]
    assert "dcncodec[bench]" in str(outcome.failures[0])


def test_an_image_that_fails_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    options = {"threads": 1, "bpp": 1.0, "sizes": ("64x64",), "rounds": 1, "memory": False}
    items = datasets.find(str(tmp_path))
    with pytest.raises(DcnError, match="nothing was timed"):
        speed.run(specs(["jpeg"]), items, **options)
    Image.fromarray(memory.pattern(64, 64)).save(tmp_path / "b.png")
    outcome = speed.run(specs(["jpeg"]), datasets.find(str(tmp_path)), **options)
    assert (outcome.images, len(outcome.timings)) == (1, 1)
    assert [failure.image for failure in outcome.failures] == ["a"]


def test_a_codec_that_fails_at_one_size_is_left_out_there(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = specs(["jpeg", "webp"])
    webp = chosen[1].open()
    encode = webp.encode

    def fails(pixels: speed.Pixels, setting: str) -> bytes:
        if pixels.shape == (80, 70, 3):
            raise ImageError("too odd")
        return encode(pixels, setting)

    monkeypatch.setattr(webp, "encode", fails)
    items = datasets.find(str(photos))[:1]
    sizes = ("64x64", "70x80")
    outcome = speed.run(chosen, items, threads=1, bpp=1, sizes=sizes, rounds=1, memory=False)
    assert [(timing.codec, timing.size) for timing in outcome.timings] == [
        ("jpeg", "64x64"),
        ("webp", "64x64"),
        ("jpeg", "70x80"),
    ]
    assert [str(failure) for failure in outcome.failures] == ["webp: timing at 70x80: too odd"]


def test_pictures_of_any_size() -> None:
    small = [np.full((40, 50, 3), value, np.uint8) for value in (1, 2, 3)]
    assert speed.picture(small, 1, 50, 40).mean() == 2
    assert speed.picture(small, 1, 20, 10).shape == (10, 20, 3)
    large = speed.picture(small, 2, 120, 90)
    assert large.shape == (90, 120, 3)
    assert [int(value) for value in large[0, ::50, 0]] == [3, 1, 2]
    assert [int(value) for value in large[40, ::50, 0]] == [3, 1, 2]
    assert set(np.unique(large)) == {1, 2, 3}


@pytest.mark.parametrize("size", ["", "12", "12x", "0x5", "-1x5", "axb", "1x2x3"])
def test_sizes_that_make_no_sense(size: str) -> None:
    with pytest.raises(UsageError, match="give WIDTHxHEIGHT"):
        speed.parse_size(size)


def test_memory_stays_bounded(tiny_model: Path) -> None:
    """2.25 megapixels: libraries and windows alone, far below the bound for 100 megapixels."""
    usages = memory.both(str(tiny_model), "", 1500, 1500)
    for usage in usages.values():
        assert usage.image == 1500 * 1500 * 3
        assert usage.image < usage.above < memory.BOUND / 2


def test_memory_from_the_command_line() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dcncodec.bench.memory", "--codec", "jpeg"),
            *("--setting", "50", "--width", "300", "--height", "200"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    first, encode, decode = done.stdout.splitlines()
    assert first == "jpeg, 300 x 200 pixels, MiB"
    assert encode.startswith("encode: peak ")
    assert decode.startswith("decode: peak ")
    assert "bound 4,096" in decode


def test_memory_of_an_unknown_model_is_one_line() -> None:
    with pytest.raises(DcnError, match=r"nothing: encode failed .*no such model"):
        memory.both("nothing", "", 100, 100)


def test_memory_of_codecs(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each codec's own setting and size are asked for; one that fails is counted."""

    def both(
        codec: str, setting: str, width: int, height: int, effort: int
    ) -> dict[str, memory.Usage]:
        assert (width, height, effort) == (64, 48, 0)
        if codec == "webp":
            raise DcnError("webp: encode failed")
        return {"encode": memory.Usage(5000, 64 * 48 * 3), "decode": memory.Usage(1 << 20, 9216)}

    monkeypatch.setattr(speed, "both", both)
    outcome = speed.run(
        specs(["jpeg", "webp"]),
        datasets.find(str(photos))[:1],
        threads=1,
        bpp=1,
        sizes=("64x48",),
        rounds=1,
    )
    assert outcome.timings[0].as_row()["decode_memory"] == (1 << 20) - 9216
    assert str(outcome.failures[0]) == "webp: webp: encode failed"


def test_the_test_image_has_every_size() -> None:
    image = memory.pattern(301, 260)
    assert image.shape == (260, 301, 3)
    assert np.array_equal(image[:10, 250:301], image[250:260, :51])
    assert image.std() > 40


def test_models_for_all_rates(
    photos: Path, rated: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their memory is that of the rate and the effort that are timed, under their own names."""
    asked = []

    def both(
        codec: str, setting: str, width: int, height: int, effort: int
    ) -> dict[str, memory.Usage]:
        asked.append((Path(codec).name, setting, effort))
        return {}

    monkeypatch.setattr(speed, "both", both)
    names = [str(rated), f"{rated}@1", str(tiny_model), "jpeg"]
    items = datasets.find(str(photos))[:1]
    outcome = speed.run(specs(names), items, threads=1, bpp=1, sizes=("64x64",), rounds=1)
    rates = [timing.setting for timing in outcome.timings]
    assert asked == [
        (rated.name, rates[0], 0),
        (rated.name, rates[1], 1),
        ("tiny", "", 0),
        ("jpeg", rates[3], 0),
    ]
    assert all(0 <= int(rate) <= 255 for rate in rates[:2])
    own = (rated.name, f"{rated.name}@1", "tiny")
    assert [ratio.codec for ratio in outcome.ratios()] == [*own]
    rows = [timing.as_row() for timing in outcome.timings]
    results = Results("photos", None, {"jpeg": "JPEG"}, "jpeg", [], speed=rows)
    cells = [row[1:3] for row in tables.speed(results).rows]
    assert cells[:3] == [(own[0], rates[0]), (own[1], rates[1]), ("tiny", "")]
    assert [row[1] for row in tables.breakdown(results).rows] == [*own]


def test_memory_of_a_rate(rated: Path) -> None:
    """A fresh process encodes at it; rates that are none are refused."""
    assert memory.both(str(rated), "0", 200, 100, 1)["encode"].above > 0
    with pytest.raises(DcnError, match="encode failed"):
        memory.both(str(rated), "256", 200, 100)


def test_peak_memory_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(self: Path) -> str:
        raise OSError

    assert memory.peak_resident() > 1 << 20
    monkeypatch.setattr(Path, "read_text", unreadable)
    with pytest.raises(LimitError, match="on Linux only"):
        memory.peak_resident()
