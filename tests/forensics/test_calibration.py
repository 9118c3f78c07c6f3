"""Where thresholds of verdicts are measured."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dcncodec.codec import Codec
from dcncodec.forensics.calibration import NATIVE_DRAWS, measure
from dcncodec.forensics.folder import open_forensic
from dcncodec.forensics.photos import Photos
from dcncodec.models.registry import open_folder


def test_over_the_rates_that_the_fan_has_seen(
    forensic_folder: Callable[..., Path],
    rated: Path,
    photo: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sha256 = open_folder(rated).sha256
    codec = {"name": "my-vr", "sha256": sha256}
    path = forensic_folder("seen", channel="dcn", codec=codec, rates=[60, 70])
    shutil.copytree(rated, path, dirs_exist_ok=True)
    asked: list[int] = []
    encode = Codec.encode

    def spy(self: Codec, *args: Any, rate: int, **options: Any) -> bytes:
        asked.append(rate)
        return encode(self, *args, rate=rate, **options)

    monkeypatch.setattr(Codec, "encode", spy)
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo).save(tmp_path / "photos" / "a.png")
    measure(open_forensic(path), Photos(tmp_path / "photos"), "one")
    assert len(asked) == NATIVE_DRAWS + 1
    assert set(asked) <= set(range(60, 71))
    assert len(set(asked)) > 1
