"""The cache believes nothing that lies in its folder, and writes through no link."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcncodec.bench.cache import Cache
from dcncodec.bench.points import is_measured

KEY = {"codec": "jpeg", "setting": "50"}
RESULT = {
    "width": 8,
    "height": 9,
    "bytes_file": 70,
    "bytes_payload": 60,
    "psnr": 30.5,
    "ssim": None,
    "msssim": 0.9,
}


def place(folder: Path) -> Path:
    """Where the cache keeps the result of ``KEY``."""
    Cache(folder).put(KEY, RESULT)
    (path,) = folder.rglob("*.json")
    return path


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    path = place(tmp_path)
    assert Cache(tmp_path).get(KEY) == RESULT
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "1", "null", "{}", '{"key": 1}', "[" * 100_000, '{"key": {}, "result": 1}', "\0"],
)
def test_other_content_is_no_result(tmp_path: Path, content: str) -> None:
    place(tmp_path).write_text(content)
    assert Cache(tmp_path).get(KEY) is None


def test_large_files_and_devices_are_no_results(tmp_path: Path) -> None:
    path = place(tmp_path)
    path.write_bytes(path.read_bytes() + b" " * (1 << 20))
    assert Cache(tmp_path).get(KEY) is None
    path.unlink()
    path.symlink_to("/dev/zero")
    assert Cache(tmp_path).get(KEY) is None


def test_links_are_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    path = place(tmp_path / "cache")
    path.unlink()
    path.symlink_to(victim)
    Cache(tmp_path / "cache").put(KEY, RESULT)
    assert victim.read_text() == "mine"
    assert not path.is_symlink()
    assert Cache(tmp_path / "cache").get(KEY) == RESULT


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"width": "8"},
        {"width": True},
        {"bytes_file": -1},
        {"psnr": "high"},
        {"psnr": float("nan")},
        {"ssim": float("inf")},
        {"more": 1},
    ],
)
def test_results_of_other_types(change: dict[str, object]) -> None:
    assert is_measured(RESULT)
    assert not is_measured(RESULT | change)


def test_results_that_lack_something() -> None:
    for name in RESULT:
        assert not is_measured({key: value for key, value in RESULT.items() if key != name})
