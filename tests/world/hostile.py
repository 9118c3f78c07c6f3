"""Hostile calls of ``dcn``: odd files, names, options and combinations of them, by a seed.

``python tests/world/hostile.py 500`` prints what ended in a traceback or broke another promise.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from dcncodec.cli import main

NUMBERS = ["0", "-1", "1", "1e9", "nan", "100000", str(2**63), str(2**64), "9" * 5000, "x", ""]
WORDS = ["", " ", "-", "--", "a/b", "../..", "\x1b[31m", "ä", "\udcff", "none", "x" * 300, "nul\t"]
LISTS = ["0,0,8,8", "0,0,0,0", "-1,0,8,8", "1,2,3", "0,0,9e9,8", "a,b,c,d", ",,,", "8,8,0,0"]


def fill(folder: Path) -> None:
    """Inputs: good, damaged, of other kinds, and what is no file at all."""
    picture = Image.effect_noise((24, 16), 80).convert("RGB")
    for name in ("a.png", "b.jpg", "c.tif", "d.webp", "e.bmp", "[f].png", "g\x1b[31m.png"):
        picture.save(folder / name)
    whole = (folder / "a.png").read_bytes()
    (folder / "half.png").write_bytes(whole[: len(whole) // 2])
    (folder / "flipped.png").write_bytes(whole[:60] + b"\xff\xff" + whole[62:])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no picture")
    (folder / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "raw.nef").write_bytes(b"MM\0*" + bytes(200))
    (folder / "card.json").write_text("[" * 100_000)
    (folder / os.fsdecode(b"bytes\xff.png")).write_bytes(whole)
    (folder / "folder").mkdir()
    (folder / "folder" / "inner.png").write_bytes(whole)
    (folder / "hollow").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "dangling.png").symlink_to("nowhere")
    (folder / "soft.png").symlink_to("a.png")
    os.link(folder / "a.png", folder / "hard.dcn.png")


def inputs(folder: Path) -> list[str]:
    """What a call may name."""
    found = [str(path) for path in sorted(folder.iterdir())]
    found += [str(folder / name) for name in ("missing", "*.png", "**", "x" * 300, "a.png/b", "")]
    return [*found, "-", "/dev/null", "/dev/zero", "/dev/full", "/dev/stdin", "/dev/fd/77", *WORDS]


def calls(folder: Path, model: Path, seed: int) -> Iterator[list[str]]:
    """Calls without end."""
    rng = random.Random(seed)
    files = inputs(folder)
    outputs = [str(folder / n) for n in ("new.dcn", "new.png", "new.jpg", "new", "no/new.dcn")]
    outputs += [*files, "/dev/stdout", "/dev/fd/1", "/dev/fd/77"]
    options = {
        "encode": [
            ["--threads", NUMBERS], ["--max-pixels", NUMBERS], ["--device", WORDS],
            ["--model", [str(model), *files]], ["--strip", ["exif", "icc,xmp", *WORDS]],
            ["-d", outputs], ["--precision", WORDS], ["-f"], ["-r"], ["-q"], ["--json"],
            ["--metrics"], ["--bare"],
        ],
        "decode": [
            ["--region", LISTS], ["--format", ["png", "pgm", *WORDS]], ["-d", outputs],
            ["--threads", NUMBERS], ["--model", [str(model), *files]], ["--max-pixels", NUMBERS],
            ["--bare"], ["-f"], ["-r"], ["--json"], ["--strip"],
        ],
        "info": [["--channels"], ["--verify"], ["--json"]],
        "develop": [
            ["-o", outputs], ["--size", ["8x8", "0x0", "24x16", *NUMBERS]], ["--seed", NUMBERS],
            ["--black", NUMBERS], ["--white", NUMBERS], ["--gains", LISTS], ["--pipeline", WORDS],
            ["-f"],
        ],
        "forensics detect": [
            ["--fan", ["fan-none", *files]], ["--heatmap", outputs], ["--json"], ["-f"], ["-r"],
        ],
        "forensics localise": [
            ["--model", ["dcn-16c", *files]], ["--heatmap", outputs], ["--map", outputs],
            ["--json"], ["-f"], ["-r"], ["--threads", NUMBERS], ["--precision", WORDS],
        ],
        "models show": [["--json"]],
        "models verify": [],
        "forensics show": [["--json"]],
        "bench compare": [],
        "bench speed": [["--size", NUMBERS[:3]], ["--dataset", ["nowhere", "/dev/null"]]],
        "train": [
            ["--out", files], ["--seed", NUMBERS], ["--batch", NUMBERS], ["--patch", NUMBERS],
            ["--max-steps", NUMBERS], ["--max-minutes", NUMBERS], ["--export", files],
        ],
        "completion": [],
        "nonsense": [],
    }  # fmt: skip
    always = {
        # These would go on: what they lack ends them.
        "bench speed": ["--dataset", str(folder / "hollow")],
        "train": [str(folder / "hollow"), "--device", "cpu"],
    }
    weights = {"encode": 10, "decode": 8, "develop": 4}
    names = [name for name in options for _ in range(weights.get(name, 2))]
    while True:
        name = rng.choice(names)
        call = [*name.split(), *always.get(name, [])]
        for option in rng.sample(options[name], min(len(options[name]), rng.randrange(4))):
            call.append(option[0])
            if len(option) > 1:
                call.append(rng.choice(option[1]))
        if name in {"encode", "decode"} and rng.random() < 0.7:
            call += ["--model", str(model)]
        if name not in always:
            call += [rng.choice(files) for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
        if name in {"encode", "decode"} and rng.random() < 0.5:
            call.append(rng.choice(outputs))
        yield [word.replace("\0", "") for word in call]


def state(folder: Path) -> dict[str, str]:
    """What must not change: the inputs."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".dcn" and not path.name.startswith("new")
    }


def attempt(call: list[str]) -> tuple[int, str]:
    """Exit code and standard error of one call; whatever escapes is an error of its own."""
    error = io.StringIO()
    streams = (
        contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), errors="backslashreplace")),
        contextlib.redirect_stderr(error),
    )
    before, sys.argv = (sys.argv, sys.stdin), ["dcn", *call]
    sys.stdin = io.TextIOWrapper(io.BytesIO(b"no picture"))
    try:
        with streams[0], streams[1]:
            main.main()
    except SystemExit as end:
        return int(end.code or 0), error.getvalue()
    except BaseException as escaped:
        return -1, f"{error.getvalue()}Traceback: {escaped!r}"
    finally:
        sys.argv, sys.stdin = before
    return 0, error.getvalue()


def broken_promises(count: int, model: Path, seed: int) -> list[str]:
    """What went wrong in so many calls, one line each."""
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fill(folder)
        here = Path.cwd()
        os.chdir(folder / "hollow")
        try:
            source = calls(folder, model, seed)
            for _ in range(count):
                call = next(source)
                before = state(folder)
                code, error = attempt(call)
                after = state(folder)
                lost = [name for name, content in before.items() if after.get(name) != content]
                doubts = {
                    "traceback": "Traceback" in error or "please report" in error,
                    "exit code": code not in {0, 1, 2},
                    "no word": code != 0 and not error.startswith(("dcn: ", "{")),
                    "control characters": not error.replace("\n", "").isprintable(),
                    f"lost {lost}": bool(lost),
                    "left behind": bool(list(folder.rglob(".dcn-*"))),
                }
                found += [
                    f"{doubt}: {call!r}: {code} {error[-300:]!r}"
                    for doubt, true in doubts.items()
                    if true
                ]
        finally:
            os.chdir(here)
    return found


if __name__ == "__main__":
    from dcncodec.models.registry import find_model

    number = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    problems = broken_promises(number, find_model("dcn-16c").path, chosen)
    print("\n".join(problems) or f"{number} calls: no traceback, nothing lost")
    sys.exit(bool(problems))
