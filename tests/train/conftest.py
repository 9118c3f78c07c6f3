"""Fixtures for training: few small pictures, one thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch_threads import one_torch_thread

from dcncodec.train.engine.data import Dataset, load_images


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So that sums are made in the same order here and in sub-processes."""
    with one_torch_thread():
        yield


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five smooth pictures, 40 x 48 pixels, one of them in a sub-folder."""
    folder: Path = tmp_path_factory.mktemp("pictures")
    (folder / "sub").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png", "d.bmp", "sub/e.png"):
        small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
        small.resize((48, 40), Image.Resampling.BICUBIC).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def dataset(pictures: Path) -> Dataset:
    return load_images([pictures], 16)
