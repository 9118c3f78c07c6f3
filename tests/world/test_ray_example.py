"""The example for Ray encodes a folder in a local cluster, also where a worker is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data as samples

from dcncodec.oneline import decode, encode

pytest.importorskip("ray.data", reason="needs ray: pip install 'ray[data]'")

EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_encode.py"
COUNT = 24


def workers_of(name: str) -> list[int]:
    """Processes whose title has a name in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::") and name.encode() in title:
            found.append(int(path.parent.name))
    return found


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_folder_and_a_killed_worker(tmp_path: Path) -> None:
    photos, coded = tmp_path / "photos", tmp_path / "coded"
    (photos / "more").mkdir(parents=True)
    for number in range(COUNT):
        part = samples.astronaut()[8 * number : 8 * number + 64, :80]
        Image.fromarray(part).save(photos / ("more" if number % 2 else ".") / f"{number}.png")
    (photos / "broken.png").write_bytes(b"no picture")
    options = ["--workers", "2", "--quality", "30"]
    before = set(workers_of("MapWorker"))
    process = subprocess.Popen(
        [sys.executable, EXAMPLE, photos, coded, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"RAY_DATA_DISABLE_PROGRESS_BARS": "1"},
    )
    while not list(coded.rglob("*.dcn")) and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None
    workers = set(workers_of("MapWorker")) - before
    assert workers
    os.kill(min(workers), signal.SIGKILL)
    out, err = process.communicate(timeout=1000)
    assert process.returncode == 1, err
    assert f"{COUNT} of {COUNT + 1} files" in out
    assert "broken.png" in err
    found = sorted(path.relative_to(coded).as_posix() for path in coded.rglob("*.*"))
    assert len(found) == COUNT
    expected = encode(photos / "more" / "7.png", quality=30, model="dcn-vr", device="cpu")
    assert (coded / "more" / "7.dcn").read_bytes() == expected
    assert np.asarray(decode(expected)).shape == (64, 80, 3)
