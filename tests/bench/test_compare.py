"""``compare``: every kind of difference between two runs, and none where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dcncodec.bench.compare import compare
from dcncodec.bench.points import Failure
from dcncodec.bench.results import Results
from dcncodec.errors import UsageError

BD = "BD-rate of the second run against the first"
TIMES = "Times over those of the first run"
RATIOS = "Speed as a multiple of a peer's"
ALONE = "Measurements in one run only"


def tables(before: Results, after: Results) -> dict[str, Sequence[tuple[str, ...]]]:
    """Rows by title."""
    return {table.title: table.rows for table in compare(before, after)}


def test_the_same_run_twice(results: Results) -> None:
    found = tables(results, results)
    assert set(found) == {BD, TIMES, RATIOS}
    # The model has one setting, and is compared with nothing but itself.
    assert found[BD] == [(codec, *["+0.00 %"] * 3) for codec in ("bpg", "jpeg")]
    assert found[TIMES][0] == ("512x512", "dcn", "dcn-32c", "1.00", "1.00")
    assert found[RATIOS] == [("512x512", "dcn-32c", "jpeg", "0.5 → 0.5", "0.25 → 0.25")]


def test_fewer_bits(results: Results) -> None:
    points = [
        replace(point, bytes_payload=point.bytes_payload * 9 // 10)
        if point.codec == "bpg"
        else point
        for point in results.points
        if point.codec != "dcn"
    ]
    found = tables(results, replace(results, points=points))
    assert {row[0]: row[1] for row in found[BD]} == {"bpg": "-10.00 %", "jpeg": "+0.00 %"}
    changed = found["Settings that changed"]
    assert {row[0] for row in changed} == {"bpg"}
    assert changed[0] == ("bpg", "0", "-10.00 %", "=", "=", "=")
    assert found[ALONE] == [("first", "dcn", "2")]
    assert tables(replace(results, points=points), results)[ALONE] == [("second", "dcn", "2")]


def test_other_qualities(results: Results) -> None:
    points = [
        replace(p, psnr=(p.psnr or 0) + 0.25, ssim=(p.ssim or 0) - 0.001, msssim=None)
        if p.codec == "dcn"
        else p
        for p in results.points
    ]
    (row,) = tables(results, replace(results, points=points))["Settings that changed"]
    assert row == ("dcn", "dcn-32c", "=", "+0.250", "-0.00100", "–")


def test_only_what_both_runs_measured_counts(results: Results) -> None:
    """A run without one image differs in nothing but that image."""
    points = [p for p in results.points if (p.image, p.codec) != ("b", "jpeg")]
    found = tables(results, replace(results, points=points))
    assert found[ALONE] == [("first", "jpeg", "5")]
    assert "Settings that changed" not in found
    assert found[BD] == tables(results, results)[BD]


def test_times_and_ratios(results: Results) -> None:
    after = replace(
        results,
        speed=[{**row, "encode_s": row["encode_s"] * 2} for row in results.speed[:1]],
        ratios=[{**row, "decode": 0.75} for row in results.ratios],
    )
    found = tables(results, after)
    assert found[TIMES] == [("512x512", "dcn", "dcn-32c", "2.00", "1.00")]
    assert found[RATIOS][0][3:] == ("0.5 → 0.5", "0.25 → 0.75")


def test_setup_and_failures(results: Results) -> None:
    after = replace(
        results,
        threads=4,
        machine={"cores": "8"},
        failures=[Failure("jxl", "", "missing")],
    )
    found = tables(results, after)
    assert found["The runs differ in"] == [("cores", "2", "8"), ("threads", "2", "4")]
    assert found["Skipped in one run only"] == [("second", "jxl: missing")]
    untimed = replace(results, speed=[], ratios=[], threads=0)
    assert set(tables(results, untimed)) == {BD}


def test_runs_of_other_images(results: Results) -> None:
    points = [replace(point, width=512, height=512) for point in results.points]
    with pytest.raises(UsageError, match="share no image"):
        compare(results, replace(results, points=points))


def test_runs_of_times_alone(results: Results) -> None:
    timed = replace(results, points=[])
    assert set(tables(timed, timed)) == {TIMES, RATIOS}
    assert set(tables(results, timed)) == {TIMES, RATIOS, ALONE}
