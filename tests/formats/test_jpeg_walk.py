"""The walk through the data of JPEG files: silent for sound ones, each fault told."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data as samples

from dcncodec._jpeg import ffi, lib

FAULTS = {
    "code": lib.DCN_JPEG_BAD_CODE,
    "overrun": lib.DCN_JPEG_OVERRUN,
    "range": lib.DCN_JPEG_OUT_OF_RANGE,
    "short": lib.DCN_JPEG_SHORT,
    "long": lib.DCN_JPEG_LONG,
    "restart": lib.DCN_JPEG_RESTART,
    "no end": lib.DCN_JPEG_NO_END,
    "coarse": lib.DCN_JPEG_COARSE,
    "repeated": lib.DCN_JPEG_REPEATED,
}
PHOTO = samples.astronaut()[:120, :160]


def walk(data: bytes) -> tuple[int, set[str], Any]:
    report = ffi.new("dcn_jpeg_report *")
    status = lib.dcn_jpeg_walk(ffi.from_buffer(data), len(data), report)
    return status, {name for name, bit in FAULTS.items() if report.faults & bit}, report


def jpeg(pixels: Any = PHOTO, mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def patterns() -> list[Any]:
    rng = np.random.default_rng(3)
    checks = np.indices((64, 72)).sum(0) % 2 * 255
    return [
        PHOTO,
        rng.integers(0, 256, (65, 71, 3), np.uint8),
        (rng.integers(0, 2, (65, 71, 3)) * 255).astype(np.uint8),
        checks.astype(np.uint8),
        np.zeros((40, 40), np.uint8),
        samples.page()[:100, :100],
    ]


@pytest.mark.parametrize("quality", [1, 10, 50, 85, 95, 100])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"subsampling": 0},
        {"subsampling": 1},
        {"progressive": True},
        {"optimize": True},
        {"restart_marker_blocks": 7},
        {"restart_marker_rows": 1, "progressive": True},
    ],
    ids=str,
)
def test_sound_files_have_no_fault(quality: int, options: dict[str, Any]) -> None:
    for pixels in patterns():
        for mode in ("RGB", "L", "CMYK"):
            if mode != "RGB" and "subsampling" in options:
                continue
            data = jpeg(pixels, mode, quality=quality, **options)
            status, faults, report = walk(data)
            assert (status, faults) == (lib.DCN_JPEG_OK, set())
            assert (report.missing, report.end) == (0, len(data))


def test_counts_blocks() -> None:
    _, _, report = walk(jpeg(PHOTO, subsampling=0))
    assert (report.expected, report.scans) == (3 * 15 * 20, 1)
    _, _, report = walk(jpeg(PHOTO, subsampling=2))
    assert report.expected == 6 * 8 * 10  # units of 16 x 16


def scan_of(data: bytes) -> int:
    """Where the first scan's data begins."""
    place = data.index(b"\xff\xda")
    return place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")


def test_missing_data_is_counted() -> None:
    data = jpeg(subsampling=0)
    half = (scan_of(data) + len(data)) // 2
    _, faults, report = walk(data[:half] + b"\xff\xd9")
    assert faults == {"short"}
    assert 0.3 < report.missing / report.expected < 0.7
    _, faults, report = walk(data[:half])
    assert faults == {"short", "no end"}
    _, faults, report = walk(data[:-2])
    assert (faults, report.missing) == ({"no end"}, 0)
    _, faults, report = walk(data[: scan_of(data)] + b"\xff\xd9")
    assert report.missing == report.expected


def test_extra_data() -> None:
    data = jpeg()
    _, faults, _ = walk(data[:-2] + b"\x12\x34\x56" + data[-2:])
    assert faults == {"long"}
    _, faults, report = walk(data + b"behind")
    assert (faults, report.end) == (set(), len(data))


def test_restart_markers() -> None:
    data = jpeg(restart_marker_blocks=7)
    place = data.index(b"\xff\xd1")
    _, faults, _ = walk(data[:place] + b"\xff\xd2" + data[place + 2 :])
    assert faults == {"restart"}


def test_scans_that_are_missing() -> None:
    data = jpeg(progressive=True)
    last = data.rindex(b"\xff\xda")
    _, faults, _ = walk(data[:last] + b"\xff\xd9")
    assert faults == {"coarse"}


@pytest.mark.parametrize("filler", [0x00, 0x55, 0xAA])
def test_filled_gaps(filler: int) -> None:
    """What a disk or a transfer puts in place of lost bytes often is valid code."""
    data = jpeg(quality=90)
    place = (scan_of(data) + len(data)) // 2
    _, faults, _ = walk(data[:place] + bytes([filler]) * 200 + data[place + 200 :])
    assert faults


def test_coefficients_that_no_samples_have() -> None:
    """Differences of the mean that add up: the table of quantisation is made coarser."""
    data = bytearray(jpeg(np.full((16, 16), 250, np.uint8), "L", quality=50))
    place = data.index(b"\xff\xdb") + 5
    assert walk(bytes(data))[1] == set()
    data[place] = 255
    assert walk(bytes(data))[1] == {"range"}


def test_most_damage_is_told() -> None:
    rng = np.random.default_rng(5)
    for options in ({}, {"progressive": True}):
        data = jpeg(samples.astronaut(), quality=85, **options)
        start = scan_of(data)
        told = 0
        for _ in range(100):
            place = int(rng.integers(start, len(data) - 20))
            damaged = data[:place] + rng.bytes(16).replace(b"\xff", b"\0") + data[place + 16 :]
            told += bool(walk(damaged)[1])
        assert told >= 60


def test_bad_headers() -> None:
    data = jpeg()
    place = data.index(b"\xff\xc4")
    assert walk(data[: place + 4] + b"\xff" + data[place + 5 :])[0] == lib.DCN_JPEG_HEADER_WRONG
    frame = data.index(b"\xff\xc0")
    for marker in (b"\xc3", b"\xc9"):
        changed = data[: frame + 1] + marker + data[frame + 2 :]
        assert walk(changed)[0] == lib.DCN_JPEG_NOT_WALKED
    assert walk(b"")[1] == {"no end"}
    scan = data.index(b"\xff\xda")
    many = data[:scan] + data[scan : scan_of(data)] * 300
    assert walk(many)[0] == lib.DCN_JPEG_TOO_MANY_SCANS
