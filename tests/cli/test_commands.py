"""Commands as users give them: results, one-line errors, exit codes, no partial files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import Runner, one_line
from PIL import Image
from skimage import data as samples

from dcncodec.formats.suffixes import WRITTEN

DCN = str(Path(sys.executable).with_name("dcn"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(samples.astronaut()[:64, :80]).save(path)
    return path


@pytest.fixture
def coded(dcn: Runner, photo: Path, tiny_model: Path) -> Path:
    assert dcn("encode", "--model", tiny_model, photo).code == 0
    return photo.with_suffix(".dcn")


def test_the_installed_command_round_trips(photo: Path, tmp_path: Path) -> None:
    coded, decoded = tmp_path / "a.dcn", tmp_path / "b.png"
    first = subprocess.run(
        [DCN, "encode", "--metrics", "--json", photo, coded],
        check=True,
        capture_output=True,
        text=True,
    )
    facts = json.loads(first.stdout)
    assert facts["bytes"] == coded.stat().st_size
    assert facts["bpp"] == pytest.approx(facts["bytes"] * 8 / (64 * 80))
    assert facts["psnr"] > 25
    assert 0.8 < facts["ssim"] < 1
    subprocess.run([DCN, "decode", coded, decoded], check=True)
    with Image.open(decoded) as image:
        assert image.size == (80, 64)


def test_streams(photo: Path) -> None:
    encoded = subprocess.run(
        [DCN, "encode", "-", "-"], input=photo.read_bytes(), check=True, capture_output=True
    )
    decoded = subprocess.run(
        [DCN, "decode", "-", "-", "--format", "ppm"],
        input=encoded.stdout,
        check=True,
        capture_output=True,
    )
    with Image.open(io.BytesIO(decoded.stdout)) as image:
        assert (image.format, image.size) == ("PPM", (80, 64))


def test_batches_go_on_after_a_failure(
    dcn: Runner, photo: Path, tmp_path: Path, tiny_model: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    Image.fromarray(samples.astronaut()[:16, :16]).save(tmp_path / "small.jpg")
    out = tmp_path / "out"
    out.mkdir()
    result = dcn("encode", "--model", tiny_model, "-d", out, tmp_path)
    assert result.code == 1
    assert {path.name for path in out.iterdir()} == {"photo.dcn", "small.dcn"}
    assert "broken.png" in result.err
    assert "1 of 3 files failed" in result.err
    back = tmp_path / "back"
    back.mkdir()
    assert dcn("decode", "--model", tiny_model, "-d", back, f"{out}/*.dcn").code == 0
    assert {path.name for path in back.iterdir()} == {"photo.png", "small.png"}


def test_outputs_of_one_run_never_replace_each_other(
    dcn: Runner, photo: Path, tmp_path: Path, tiny_model: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (8, 8)).save(other / "photo.bmp")
    out = tmp_path / "out"
    out.mkdir()
    arguments = ("--model", tiny_model, "--force", "-d", out, photo, other / "photo.bmp")
    result = dcn("encode", *arguments)
    assert result.code == 1
    assert "another input of this run has that output" in result.err


def test_bare_streams(dcn: Runner, photo: Path, tmp_path: Path, tiny_model: Path) -> None:
    bare, image = tmp_path / "x.bare", tmp_path / "x.png"
    assert dcn("encode", "--bare", "--model", tiny_model, photo, bare).code == 0
    assert bare.read_bytes()[:3] == bytes([8, 10, 4])
    assert dcn("decode", "--bare", "--model", tiny_model, bare, image).code == 0
    one_line(dcn("decode", "--bare", bare, image, "-f"), "--model", code=2)


def test_region(dcn: Runner, coded: Path, tmp_path: Path, tiny_model: Path) -> None:
    part = tmp_path / "part.png"
    assert dcn("decode", "--model", tiny_model, "--region", "8,9,40,30", coded, part).code == 0
    with Image.open(part) as image:
        assert image.size == (32, 21)
    result = dcn("decode", "--model", tiny_model, "--region", "0,0,81,5", coded, part, "-f")
    one_line(result, "photo.dcn", "does not lie inside", code=2)
    assert dcn("decode", "--region", "1,2,3", coded, part).code == 2


def test_strip(dcn: Runner, tmp_path: Path, tiny_model: Path) -> None:
    path = tmp_path / "m.png"
    Image.new("RGB", (8, 8)).save(path, icc_profile=b"profile")
    assert dcn("encode", "--model", tiny_model, path).code == 0
    assert json.loads(dcn("info", "--json", path.with_suffix(".dcn")).out)["metadata"] == {"icc": 7}
    assert dcn("encode", "--strip", "--force", "--model", tiny_model, path).code == 0
    assert json.loads(dcn("info", "--json", path.with_suffix(".dcn")).out)["metadata"] == {}


def test_info_names_what_it_cannot_read_once(dcn: Runner, tmp_path: Path) -> None:
    (tmp_path / "x.dcn").write_bytes(b"no signature")
    path = f"{tmp_path}/./x.dcn"
    result = dcn("info", path)
    one_line(result, "not a .dcn file")
    assert result.err.count("x.dcn") == 1, result.err


def test_info(dcn: Runner, coded: Path) -> None:
    result = dcn("info", "--verify", "--channels", coded)
    assert result.code == 0
    assert "80 x 64 px" in result.out
    assert "ok" in result.out
    assert result.out.count("bits per index") == 4
    facts = json.loads(dcn("info", "--json", "--channels", coded).out)
    assert len(facts["blocks"][0]["channels"]) == 4


def test_info_tells_the_rate_of_models_with_rates(dcn: Runner, coded: Path, tmp_path: Path) -> None:
    Image.effect_noise((24, 16), 50).convert("RGB").save(tmp_path / "x.png")
    for options in (["--quality", 80], ["--model", "dcn-16c", "--entropy", "context"]):
        assert dcn("encode", "-f", *options, tmp_path / "x.png").code == 0
        shown = dcn("info", tmp_path / "x.dcn").out
        assert ("\n  rate      204 of 255, about --quality 80\n" in shown) == (80 in options)
        assert ("  rate  " in shown) == (80 in options)
    assert "  rate  " not in dcn("info", coded).out


def test_damage_is_found(dcn: Runner, coded: Path, tmp_path: Path, tiny_model: Path) -> None:
    content = bytearray(coded.read_bytes())
    content[-12] ^= 1
    coded.write_bytes(content)
    one_line(dcn("info", "--verify", coded), "photo.dcn", "block 0", "checksum")
    image = tmp_path / "x.png"
    one_line(dcn("decode", "--model", tiny_model, coded, image), "photo.dcn", "checksum")
    assert not image.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n", "signature"),
        (b"\x89DCN\r\n\x1a\n", "cut short"),
    ],
)
def test_files_that_cannot_be_decoded(
    dcn: Runner, tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "x.dcn"
    path.write_bytes(content)
    one_line(dcn("decode", path), "x.dcn", words)
    assert not (tmp_path / "x.png").exists()


def test_newer_versions_are_recognised(dcn: Runner, coded: Path) -> None:
    from zlib import crc32

    content = bytearray(coded.read_bytes())
    length = content[9]
    content[10] = 2
    end = 10 + length
    content[end : end + 4] = crc32(content[8:end]).to_bytes(4, "little")
    coded.write_bytes(content)
    one_line(dcn("decode", "-f", coded), "photo.dcn", "newer")


def test_unknown_models(dcn: Runner, coded: Path, photo: Path) -> None:
    one_line(dcn("decode", "-f", coded), "photo.dcn", "needs model tiny")
    one_line(dcn("encode", "--model", "nonsense", photo, "-f"), "nonsense", "dcn-32c")


def test_missing_inputs(dcn: Runner, tmp_path: Path, tiny_model: Path) -> None:
    missing = tmp_path / "missing.png"
    one_line(dcn("encode", "--model", tiny_model, missing), "missing.png", "no such file", code=2)
    one_line(dcn("decode", missing, "x.png"), "missing.png", "no such file", code=2)
    one_line(dcn("info", missing), "missing.png", "no such file")


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n12345"])
def test_inputs_that_are_no_images(
    dcn: Runner, tmp_path: Path, tiny_model: Path, content: bytes
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    one_line(dcn("encode", "--model", tiny_model, path), "x.png")
    assert not (tmp_path / "x.dcn").exists()


def test_truncated_images(dcn: Runner, photo: Path, tiny_model: Path) -> None:
    photo.write_bytes(photo.read_bytes()[:2000])
    one_line(dcn("encode", "--model", tiny_model, photo), "photo.png")
    assert not photo.with_suffix(".dcn").exists()


def test_existing_outputs_stay(dcn: Runner, coded: Path, photo: Path, tiny_model: Path) -> None:
    before = coded.read_bytes()
    one_line(dcn("encode", "--model", tiny_model, photo), "photo.dcn", "--force", code=2)
    assert coded.read_bytes() == before
    assert dcn("encode", "--model", tiny_model, "--force", photo).code == 0


def test_missing_output_folder(dcn: Runner, photo: Path, tmp_path: Path, tiny_model: Path) -> None:
    target = tmp_path / "none" / "x.dcn"
    one_line(dcn("encode", "--model", tiny_model, photo, target), "x.dcn", "folder")
    assert dcn("encode", "--model", tiny_model, "-d", tmp_path / "new" / "er", photo).code == 0
    assert (tmp_path / "new" / "er" / "photo.dcn").exists()


def test_full_disk(dcn: Runner, photo: Path, tiny_model: Path) -> None:
    result = dcn("encode", "--model", tiny_model, photo, "/dev/full", "--force")
    one_line(result, "/dev/full", "disk is full")


def test_unreadable_folder_as_input(dcn: Runner, tmp_path: Path, tiny_model: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    result = dcn("encode", "--model", tiny_model, "-d", tmp_path, empty)
    one_line(result, "empty", "no files", code=2)
    one_line(dcn("encode", "--model", tiny_model, empty), "--output-dir", code=2)


def test_size_limit(dcn: Runner, photo: Path, coded: Path, tiny_model: Path) -> None:
    limited = ("--max-pixels", 1000, "--model", tiny_model, "--force")
    one_line(dcn("encode", *limited, photo), "photo.png", "--max-pixels")
    one_line(dcn("decode", *limited, coded), "photo.dcn", "--max-pixels")


def test_devices_that_are_not_there(dcn: Runner, photo: Path, tiny_model: Path) -> None:
    result = dcn("encode", "--model", tiny_model, "--device", "cuda:99", photo)
    one_line(result, "cuda:99", code=2)


def test_models(dcn: Runner, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCN_MODELS", str(tiny_model.parent))
    listed = dcn("models", "list")
    assert "tiny" in listed.out
    (line,) = [line for line in listed.out.splitlines() if " default " in line]
    assert line.startswith("dcn-vr ")
    assert "tiny: ok" in dcn("models", "verify").out
    assert json.loads(dcn("models", "show", "--json", "tiny").out)["name"] == "tiny"
    one_line(dcn("models", "show", "nonsense"), "no such model")


def test_a_damaged_model_does_not_stop_the_others(
    dcn: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "e\x1b[31mvil").mkdir(parents=True)
    (tmp_path / "models" / "e\x1b[31mvil" / "card.json").write_text("[" * 100_000)
    monkeypatch.setenv("DCN_MODELS", str(tmp_path / "models"))
    result = dcn("models", "list")
    assert result.code == 0
    assert "dcn-32c" in result.out
    (line,) = result.err.splitlines()
    assert line.startswith("dcn: warning: ")
    assert line.endswith(r"e\x1b[31mvil/card.json: skipped: damaged card; install the model again")
    result = dcn("models", "verify", "dcn-16c")
    assert (result.code, result.out, result.err) == (0, "dcn-16c: ok\n", "")


def test_verify_finds_replaced_weights(dcn: Runner, tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "card.json").write_bytes((tiny_model / "card.json").read_bytes())
    (copy / "model.safetensors").write_bytes(b"other weights")
    one_line(dcn("models", "verify", copy), "damaged or replaced")


def test_verify_knows_fans(dcn: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"weights"
    card = {
        "name": "some-fan",
        "classes": ["native", "jpeg"],
        "channel": "none",
        "downsample": False,
        "codec": None,
        "nip": None,
        "trainable": [],
        "patch": 128,
        "fan_sha256": hashlib.sha256(content).hexdigest(),
    }
    folder = tmp_path / "models" / "some-fan"
    folder.mkdir(parents=True)
    (folder / "forensic.json").write_text(json.dumps(card))
    (folder / "fan.safetensors").write_bytes(content)
    assert dcn("models", "verify", folder).out == f"{folder}: ok\n"
    monkeypatch.setenv("DCN_MODELS", str(folder.parent))
    assert "some-fan: ok" in dcn("models", "verify").out
    (folder / "fan.safetensors").write_bytes(b"others")
    one_line(dcn("models", "verify", "some-fan"), "damaged or replaced")


def test_options_that_contradict_each_other(dcn: Runner, photo: Path, tiny_model: Path) -> None:
    result = dcn("encode", "--quality", "high", "--model", tiny_model, photo)
    one_line(result, "quality high: model tiny has one rate; leave it out", code=2)
    for mode in ("auto", "global", "context"):
        result = dcn("encode", "--bare", "--entropy", mode, "--model", tiny_model, photo)
        one_line(result, f"leave out --entropy {mode}", code=2)
    assert not photo.with_suffix(".dcn").exists()
    assert dcn("encode", "--bare", "--entropy", "channel", "--model", tiny_model, photo).code == 0


def test_a_mode_that_the_model_does_not_have(dcn: Runner, photo: Path, tiny_model: Path) -> None:
    result = dcn("encode", "--entropy", "context", "--model", tiny_model, photo)
    one_line(result, "entropy mode context: model tiny does not have it", code=2)


def test_wrong_usage(dcn: Runner) -> None:
    assert dcn("nonsense").code == 2
    assert dcn("encode").code == 2
    assert dcn("encode", "--quality", "best", "x.png").code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(dcn: Runner, shell: str) -> None:
    assert "_DCN_COMPLETE" in dcn("completion", shell).out


def test_help_lists_every_command(dcn: Runner) -> None:
    from dcncodec.cli.group import COMMANDS

    text = dcn("--help").out
    for name in COMMANDS:
        assert f"\n  {name} " in text
        assert dcn(name, "--help").code == 0


def test_help_names_every_format_that_is_written(dcn: Runner) -> None:
    written = dcn("--help").out.split("written as")[1]
    assert all({"WEBP": "WebP"}.get(name, name) in written for name in WRITTEN.values())
    formats = dcn("decode", "--help").out.split("--format")[1].split("instead")[0]
    assert {"png", "jpg", "tif", "webp", "bmp", "ppm", "pgm", "avif"} <= set(
        re.findall("[a-z]+", formats)
    )


def test_help_states_ranges_and_keeps_lines_of_examples(dcn: Runner) -> None:
    assert "None" not in dcn("develop", "--help").out
    example = dcn("train", "forensic", "--help").out.split("--nip dnet")[1]
    assert example.splitlines()[0].endswith("\\")


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_an_empty_name_of_a_model_is_none(
    dcn: Runner, photo: Path, coded: Path, tmp_path: Path, command: str
) -> None:
    source = photo if command == "encode" else coded
    target = tmp_path / ("new.dcn" if command == "encode" else "new.png")
    one_line(dcn(command, "--model", "", source, target), "'': no such model")
    assert not target.exists()


def test_version(dcn: Runner) -> None:
    assert "0.1.0" in dcn("--version").out


def _seconds(*command: str, code: int = 0) -> float:
    """Of a processor, which other programs do not change as they do those of a clock."""
    best = float("inf")
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    for _ in range(12):
        begin = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, check=False, capture_output=True, env=environment)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == code
        best = min(best, end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime)
    return best


def test_quick_commands_do_not_load_what_they_do_not_need(coded: Path) -> None:
    nothing = _seconds(sys.executable, "-c", "pass")
    assert _seconds(DCN, "--help") < 6 * nothing
    assert _seconds(DCN, "info", str(coded)) < 6 * nothing
    for call in (["missing.png", "x.dcn"], [str(coded), "x.png"], ["--threads", "0", "x.png"]):
        assert _seconds(DCN, "encode", *call, code=2) < 6 * nothing


def test_pixels_do_not_depend_on_the_way_in(
    dcn: Runner, coded: Path, tmp_path: Path, tiny_model: Path
) -> None:
    import dcncodec

    image = tmp_path / "x.png"
    assert dcn("decode", "--model", tiny_model, coded, image).code == 0
    with Image.open(image) as opened:
        assert (np.asarray(opened) == dcncodec.decode(coded, model=tiny_model)).all()
