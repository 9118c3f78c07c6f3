"""Side information can be replaced: what the gauges of a codec tell is what its file says."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data
from swap_channels import forge, swap_channels

from dcncodec.codec import Codec
from dcncodec.forensics.folder import ForensicFolder, open_forensic


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = data.astronaut()[0:192, 120:312].copy()
    return pixels


@pytest.fixture(scope="module")
def tuned() -> tuple[ForensicFolder, Codec]:
    folder = open_forensic("dcn-16c-forensic")
    codec = folder.codec("cpu")
    assert codec is not None
    return folder, codec


@pytest.mark.parametrize("name", ["jpeg", "median"])
def test_four_channels_turn_the_verdict_of_a_codec_with_gauges(
    name: str, photo: NDArray[np.uint8], tuned: tuple[ForensicFolder, Codec]
) -> None:
    """The forgery is still what people see."""
    found = swap_channels(*tuned, photo, name)
    assert found.before == name
    assert found.after != name
    assert found.psnr > 30
    assert not np.array_equal(forge(photo, name), photo)
