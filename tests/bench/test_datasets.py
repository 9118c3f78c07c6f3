"""Where images come from, and what is said when they do not."""

from __future__ import annotations

import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dcncodec.bench import datasets
from dcncodec.errors import ImageError, UsageError


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data but what a test puts there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(datasets.DATA_VARIABLE, raising=False)
    return tmp_path / "cache"


def folder_of(path: Path, *names: str, side: int = 12) -> Path:
    path.mkdir(parents=True)
    for number, name in enumerate(names):
        Image.new("RGB", (side + number, side), (number, 9, 9)).save(path / name)
    return path


def test_a_folder_sorted_by_name(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", "b.png", "a.jpg")
    (folder / "notes.txt").write_text("no image")
    items = datasets.find(str(folder))
    assert [item.name for item in items] == ["a", "b"]
    assert items[1].load().shape == (12, 12, 3)


def test_one_file(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", "b.png")
    assert [item.name for item in datasets.find(str(folder / "b.png"))] == ["b"]


def test_centre_crops(tmp_path: Path) -> None:
    values = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    Image.fromarray(values).save(tmp_path / "x.png")
    (item,) = datasets.find(str(tmp_path), crop=10)
    assert np.array_equal(item.load(), values[5:15, 10:20])
    with pytest.raises(ImageError, match="30 x 20 pixels; a crop of 21"):
        datasets.find(str(tmp_path), crop=21)[0].load()


@pytest.mark.parametrize("name", ["clic", "raw"])
def test_named_sets_lie_below_data_folders(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    with pytest.raises(UsageError, match=f"{name}: no images in .*cache"):
        datasets.find(name)
    folder_of(empty_cache / "dcn" / name, "cached.png")
    assert datasets.find(name)[0].name == "cached"
    folder_of(tmp_path / "variable" / name, "variable.png")
    monkeypatch.setenv(datasets.DATA_VARIABLE, str(tmp_path / "variable"))
    assert datasets.find(name)[0].name == "variable"
    folder_of(tmp_path / "option" / name, "option.png")
    assert datasets.find(name, tmp_path / "option")[0].name == "option"


def test_unknown_and_empty_sets(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: choose kodak, clic, raw"):
        datasets.find("nowhere")
    with pytest.raises(UsageError, match="no images of a known kind"):
        datasets.find(str(tmp_path))


def test_the_hashes_are_those_of_the_set(shared_data: Path) -> None:
    items = datasets.find("kodak", shared_data)
    assert len(items) == 24
    for item, expected in zip(items, datasets.KODAK_SHA256, strict=True):
        assert hashlib.sha256(item.path.read_bytes()).hexdigest() == expected


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a server in place of the official site, with two images."""
    folder = folder_of(tmp_path / "site", "kodim01.png", "kodim02.png")
    hashes = tuple(
        hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())
    )
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setattr(datasets, "KODAK_SHA256", hashes)
    monkeypatch.setattr(datasets, "KODAK_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def test_kodak_is_fetched_into_the_cache(site: Path, empty_cache: Path) -> None:
    items = datasets.find("kodak")
    assert [item.path for item in items] == [
        empty_cache / "dcn/kodak" / name for name in ("kodim01.png", "kodim02.png")
    ]
    # Found there from now on, without the site.
    for file in site.iterdir():
        file.unlink()
    assert datasets.find("kodak") == items


def test_an_incomplete_set_is_completed(site: Path, empty_cache: Path, tmp_path: Path) -> None:
    folder_of(tmp_path / "option/kodak", "kodim01.png")
    items = datasets.find("kodak", tmp_path / "option")
    assert items[0].path.parent == empty_cache / "dcn/kodak"


def test_other_content_is_refused(site: Path, empty_cache: Path) -> None:
    (site / "kodim02.png").write_bytes(b"something else")
    with pytest.raises(ImageError, match=r"kodim02\.png: not the image expected"):
        datasets.find("kodak")
    assert not (empty_cache / "dcn/kodak/kodim02.png").exists()


def test_the_site_is_not_listened_to_for_ever(
    site: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "KODAK_BYTES", 100)
    (site / "kodim01.png").write_bytes(b"x" * 1000)
    with pytest.raises(ImageError, match=r"kodim01\.png: not the image expected"):
        datasets.find("kodak")


def test_missing_at_the_site(site: Path) -> None:
    (site / "kodim01.png").unlink()
    with pytest.raises(ImageError, match=r"cannot be fetched \([^\[]*ot found"):
        datasets.find("kodak")


def test_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(datasets, "KODAK_URL", f"http://127.0.0.1:{unused.getsockname()[1]}/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(ImageError, match="go online, or give a folder"):
            datasets.find("kodak")


def test_digests_tell_pixels_and_shapes_apart() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    assert datasets.digest(pixels) == datasets.digest(pixels.copy())
    assert datasets.digest(pixels) != datasets.digest(pixels.reshape(6, 4, 3))
    assert datasets.digest(pixels) != datasets.digest(pixels + 1)


def test_files_that_differ_in_their_suffix_are_two_images(tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert [item.name for item in datasets.find(str(tmp_path))] == ["a.bmp", "a.png", "b"]
