"""The plain decoding that loads next to nothing gives what the command as a whole gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import Runner
from PIL import Image

import dcncodec
from dcncodec.cli import quick
from dcncodec.formats import container

LOADED = """
import sys
# An editable installation has loaded them.
for name in ("pathlib", "typing"):
    sys.modules.pop(name, None)
from dcncodec.cli.main import main
sys.argv = ["dcn", "decode", *sys.argv[1:]]
main()
names = ("numpy", "PIL", "click", "rich", "torch", "onnxruntime", "inspect", "json.tool")
names += ("pathlib", "typing")
print(*(name for name in names if name in sys.modules))
"""


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with a profile's and other metadata, whose sides are no multiples of 8."""
    folder = tmp_path_factory.mktemp("plain")
    random = np.random.default_rng(3)
    pixels = Image.fromarray(random.integers(0, 256, (5, 7, 3), np.uint8)).resize((83, 61))
    exif = Image.Exif()
    exif[0x010E], exif[0x011A], exif[0x011B], exif[0x0128] = "text", 72.0, 72.0, 2
    pixels.save(folder / "photo.png", exif=exif)
    (folder / "photo.dcn").write_bytes(dcncodec.encode(folder / "photo.png"))
    return folder / "photo.dcn"


@pytest.mark.parametrize("threads", [(), ("--threads", "1"), ("--threads", "2")])
def test_the_same_file(
    coded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    threads: tuple[str, ...],
) -> None:
    target, other = tmp_path / "quick.png", tmp_path / "whole.png"
    line = str(quick.decode(["decode", *threads, str(coded), str(target)]))
    assert line == f"{coded} -> {target}: 83 x 61 px"
    done = Runner(monkeypatch, capfd)("decode", "--format", "png", coded, other)
    assert done.out == line.replace("quick.png", "whole.png") + "\n"
    assert target.read_bytes() == other.read_bytes()
    with Image.open(target) as image:
        assert image.getexif()[0x010E] == "text"


def test_what_is_loaded(coded: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(coded), "out.png"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{coded} -> out.png: 83 x 61 px\n\n"


def test_the_name_of_the_output(
    coded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.b.dcn").write_bytes(coded.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert quick.decode(["decode", "a.b.dcn"]) == "a.b.dcn -> a.b.png: 83 x 61 px"
    assert (tmp_path / "a.b.png").is_file()
    assert quick.decode(["decode", "a.b.dcn"]) is None
    assert quick.decode(["decode", "-f", "-q", "a.b.dcn"]) is not None


def damaged(data: bytes) -> bytes:
    """With a checksum that does not fit."""
    return data[:-9] + bytes((data[-9] ^ 1,)) + data[-8:]


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "encode photo.dcn x.png",
        "decode",
        "decode photo.dcn x.jpg",
        "decode photo.dcn -",
        "decode - x.png",
        "decode photo.dcn x.png y.png",
        "decode --json photo.dcn x.png",
        "decode --region 0,0,8,8 photo.dcn x.png",
        "decode --threads 0 photo.dcn x.png",
        "decode --threads many photo.dcn x.png",
        "decode photo.dcn x.png --threads",
        "decode missing.dcn x.png",
        "decode photo.dcn there.png",
        "decode photo.dcn missing/x.png",
        "decode photo.dcn /dev/stdout",
        "decode -f photo.dcn coded.png",
        "decode -f coded.png coded.png",
        "decode damaged.dcn x.png",
        "decode cut.dcn x.png",
        "decode text.dcn x.png",
        "decode grey.dcn x.png",
        "decode alpha.dcn x.png",
        "decode channel.dcn x.png",
        "decode foreign.dcn x.png",
    ],
)
def test_what_is_left_to_the_whole(
    coded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str
) -> None:
    monkeypatch.chdir(tmp_path)
    data = coded.read_bytes()
    picture = Image.new("RGB", (16, 16), "teal")
    files = {
        "photo.dcn": data,
        "coded.png": data,
        "there.png": b"old",
        "damaged.dcn": damaged(data),
        "cut.dcn": data[:-40],
        "text.dcn": b"no file of ours",
        "foreign.dcn": data.replace(container.read(data).header.model_hash, bytes(8)),
    }
    name = Path(arguments.split()[1]).stem if len(arguments.split()) > 1 else ""
    others = {
        "grey": lambda: dcncodec.encode(picture.convert("L")),
        "alpha": lambda: dcncodec.encode(Image.new("RGBA", (16, 16), (1, 2, 3, 4))),
        "channel": lambda: dcncodec.encode(picture, model="dcn-16c", entropy="channel"),
    }
    if name in others:
        files[f"{name}.dcn"] = others[name]()
    for path, content in files.items():
        Path(path).write_bytes(content)
    assert quick.decode(arguments.split()) is None
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_large_pictures_are_left_to_the_whole(
    coded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dcncodec.decoding.MAX_LATENTS", 80)
    assert quick.decode(["decode", str(coded), str(tmp_path / "x.png")]) is None


@pytest.mark.parametrize("threads", ["1", "2"])
def test_memory_that_runs_out_is_left_to_the_whole(
    coded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("dcncodec.runtime.native_engine.mmap.mmap", none)
    call = ["decode", "--threads", threads, str(coded), str(tmp_path / "x.png")]
    assert quick.decode(call) is None
    assert not list(tmp_path.iterdir())
