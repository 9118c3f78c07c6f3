"""Full disks, or files that may not grow: one line, no partial output, the old file is kept."""

from __future__ import annotations

import resource
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from commands import Runner, one_line
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import dcncodec

SMALL_DISK, LIMIT = "a small disk", "a limit of files"
DISK = 20_480
LARGEST = 8192
"""Bytes of a file where its size is limited: more than a command prints."""


TOO_LARGE = "the file is too large for this disk"


@contextmanager
def limited(size: bool) -> Iterator[None]:
    """No file grows beyond ``LARGEST``: only for a while, for the tests' own report may be one."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    if size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its metadata alone, which does not compress, is larger than what the disks hold."""
    path: Path = tmp_path_factory.mktemp("photo") / "photo.png"
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", f"<x:xmpmeta>{secrets.token_hex(DISK)}</x:xmpmeta>")
    noise = np.random.default_rng(1).integers(0, 256, (160, 200, 3), np.uint8)
    Image.fromarray(noise).save(path, pnginfo=info)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("photos")
    for name in "ab":
        Image.effect_noise((128, 128), 60).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def coded(photo: Path, tiny_model: Path) -> Path:
    path = photo.with_suffix(".dcn")
    dcncodec.encode(photo, path, model=tiny_model)
    return path


@pytest.fixture
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder in which nothing large can be written, and what is said then."""
    folder = tmp_path / "small"
    folder.mkdir()
    if request.param == LIMIT:
        yield folder, TOO_LARGE
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, check=False, capture_output=True)
    except OSError:
        pytest.skip("mount is not installed")
    if done.returncode:
        pytest.skip("mounting a small disk is not permitted")
    try:
        yield folder, "the disk is full"
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


COMMANDS = {
    "encode": ["encode", "-qf", "{photo}", "{small}/old.dcn"],
    "encode into a folder": ["encode", "-qf", "-d", "{small}", "{photo}"],
    "encode to an open file": ["encode", "-qf", "{photo}", "/dev/fd/{number}"],
    "decode to PNG": ["decode", "-qf", "{coded}", "{small}/old.png"],
    "decode to TIFF": ["decode", "-qf", "{coded}", "{small}/old.tif"],
    "decode to WebP": ["decode", "-qf", "{coded}", "{small}/old.webp"],
    "decode to JPEG": ["decode", "-qf", "{coded}", "{small}/old.jpg"],
    "decode to PPM": ["decode", "-qf", "{coded}", "{small}/old.ppm"],
    "decode to AVIF": ["decode", "-qf", "{coded}", "{small}/old.avif"],
    "recode": ["recode", "-qf", "{coded}", "{small}/old.dcn"],
    "develop": ["develop", "-qf", "{photo}", "-o", "{small}/old.png"],
    "develop to DNG": ["develop", "-qf", "{photo}", "-o", "{small}/old.dng"],
    "heat map": [
        *("forensics", "detect", "-qf", "--fan", "fan-none"),
        *("{photo}", "--heatmap", "{small}/old.png"),
    ],
}


@pytest.mark.parametrize(
    ("small", "name"),
    [(SMALL_DISK, name) for name in COMMANDS]
    + [(LIMIT, name) for name in ("encode", "decode to PNG", "decode to TIFF", "develop to DNG")],
    indirect=["small"],
)
def test_the_old_file_stays_and_nothing_else_is_left(
    dcn: Runner,
    photo: Path,
    coded: Path,
    tiny_model: Path,
    small: tuple[Path, str],
    name: str,
) -> None:
    folder, words = small
    command = COMMANDS[name]
    target = "photo.dcn" if "{small}" in command else Path(command[-1]).name
    if "open" in name:
        target = "open"
    old = folder / target
    old.write_bytes(b"old")
    with old.open("ab") as file:
        values = {"photo": photo, "coded": coded, "small": folder, "number": file.fileno()}
        model = ["--model", str(tiny_model)] if command[0] in {"encode", "decode", "recode"} else []
        with limited(words == TOO_LARGE):
            result = dcn(*[word.format(**values) for word in command], *model)
    one_line(result, words)
    assert [path.name for path in folder.iterdir()] == [target]
    if "open" not in name:
        assert old.read_bytes() == b"old"


@pytest.mark.parametrize(
    "command",
    [
        ["forensics", "prnu", "fingerprint", "-q", "{photos}", "-o", "{small}/camera"],
        ["train", "{photos}", "--out", "{small}/run", "--max-steps", "1", "--patch", "64"],
    ],
    ids=["fingerprint", "train"],
)
@pytest.mark.parametrize("small", [SMALL_DISK], indirect=True)
def test_folders(dcn: Runner, photos: Path, small: tuple[Path, str], command: list[str]) -> None:
    folder, words = small
    result = dcn(*[word.format(photos=photos, small=folder) for word in command])
    assert result.code == 1
    assert words in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert not list(folder.rglob(".dcn-*"))
