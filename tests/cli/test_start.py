"""Mistakes that can be told at once are told before torch is loaded, whatever the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from PIL import Image

import dcncodec

SCRIPT = textwrap.dedent(
    """
    import json, sys

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "torch":
                raise AssertionError("torch is loaded")

    sys.meta_path.insert(0, Finder())
    from dcncodec.cli.main import main

    for call in json.load(sys.stdin):
        sys.argv = ["dcn", *call]
        code = 0
        sys.stderr.write("\\x1e")
        try:
            main()
        except SystemExit as end:
            code = end.code
        sys.stderr.write(f"\\x1f{code}")
    """
)
"""Commands in one process in which torch cannot be loaded."""

CALLS = {
    "train missing --out run": (1, "missing: no such folder or tar shard"),
    "train text.png --out run": (1, "text.png: not a folder or whole tar shard"),
    "train photos --out a.png": (2, "'a.png' is a file"),
    "train photos --out run --export a.png": (2, "--export a.png: is a file"),
    "train photos --out run --init nothing": (1, "nothing: no such model"),
    "train forensic missing --out run --model dcn-16c": (1, "missing: no such folder"),
    "train forensic photos --out run --model nothing": (1, "nothing: no such model"),
    "train forensic photos --out run --model dcn-16c --fan no": (1, "no: no such forensic network"),
    "train forensic photos --out run --nip nothing": (1, "nothing: no such camera pipeline"),
    "train nip missing --out run": (1, "missing: no such folder"),
    "train nip photos --out run --init nothing": (1, "nothing: no such camera pipeline"),
    "train context missing --model dcn-16c --out run": (1, "missing: no such folder"),
    "train context photos --model nothing --out run": (1, "nothing: no such model"),
    "train vr missing --out run": (1, "missing: no such folder"),
    "develop missing.nef": (2, "missing.nef: no such file"),
    "develop a.png -o x.png --pipeline nothing": (1, "nothing: no such camera pipeline"),
    "develop text.png -o x.png": (1, "text.png: not an image"),
    "forensics detect --fan nothing a.png": (1, "nothing: no such forensic network"),
    "forensics detect a.png": (2, "a.png: no .dcn file; say with --fan"),
    "forensics detect text.png --fan fan-none": (1, "text.png: not an image"),
    "forensics evaluate nothing --data photos": (1, "nothing: no such forensic network"),
    "forensics evaluate fan-none --data hollow": (2, "hollow: holds no photos"),
    "forensics prnu match a.png --camera nothing": (1, "nothing: no such sensor fingerprint"),
    "forensics prnu fingerprint missing -o camera": (2, "missing: no such folder"),
    "forensics prnu predictor photos --camera nothing": (1, "no such sensor fingerprint"),
    "forensics prnu localise a.png --camera nothing": (1, "no such sensor fingerprint"),
    "forensics prnu survive missing --report r": (2, "missing: no such folder"),
    "forensics prnu survive photos --codec nothing --report r": (2, "nothing: choose jpeg"),
    "forensics prnu transfer photos --pipelines x --report r": (1, "x: no such camera pipeline"),
    "bench -c nothing --dataset photos": (2, "--codec nothing: choose dcn, jpeg"),
    "bench --dataset missing": (2, "--dataset missing: choose kodak"),
    "bench speed -c nothing --dataset photos": (2, "--codec nothing: choose dcn, jpeg"),
    "encode a.png x.dcn --model nothing": (1, "nothing: no such model"),
    "encode text.png x.dcn": (1, "text.png: not an image"),
    "encode a.png x.dcn --quality 50 --model dcn-16c": (2, "model dcn-16c has one rate"),
    "decode text.png x.png": (1, "text.png: not a .dcn file"),
    "decode a.dcn x.png --model nothing": (1, "nothing: no such model"),
    "decode a.dcn x.png --region 0,0,900,900": (2, "does not lie inside the picture"),
    "decode --bare a.dcn x.png --model dcn-16c": (2, "no bare stream; leave out --bare"),
    "recode a.dcn x.dcn --model nothing": (1, "nothing: no such model"),
}


def test_mistakes_are_told_before_torch_is_loaded(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / "hollow").mkdir()
    picture = Image.effect_noise((40, 32), 60).convert("RGB")
    for path in (tmp_path / "a.png", *(photos / f"{name}.png" for name in "abcde")):
        picture.save(path)
    (tmp_path / "text.png").write_text("no picture")
    dcncodec.encode(tmp_path / "a.png", tmp_path / "a.dcn", model="dcn-16c")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps([call.split() for call in CALLS]),
        text=True,
        capture_output=True,
        cwd=tmp_path,
        check=True,
    )
    told = done.stderr.split("\x1e")[1:]
    assert len(told) == len(CALLS)
    wrong = []
    for (call, (code, words)), text in zip(CALLS.items(), told, strict=True):
        line, _, number = text.partition("\x1f")
        if number != str(code) or line.count("\n") != 1 or words not in line:
            wrong.append((call, text))
    assert not wrong
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("target", ["x.dng"])
def test_simulating_a_camera_takes_no_torch(tmp_path: Path, target: str) -> None:
    Image.effect_noise((40, 32), 60).convert("RGB").save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps([["develop", "a.png", "-o", target]]),
        text=True,
        capture_output=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stderr.endswith("\x1f0"), done.stderr
    assert (tmp_path / target).stat().st_size > 1000


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_numpy_keeps_to_the_threads(tmp_path: Path) -> None:
    """Of a process that has loaded NumPy with the library behind its products."""
    Image.effect_noise((16, 16), 50).convert("RGB").save(tmp_path / "x.png")
    program = (
        "import os, sys\n"
        "from dcncodec.cli.encode import command\n"
        "command(['--threads', '1', '--effort', '1', sys.argv[1]], standalone_mode=False)\n"
        "assert 'numpy' in sys.modules\n"
        "assert len(os.listdir('/proc/self/task')) == 1\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "x.png")], check=True, env=environment
    )
