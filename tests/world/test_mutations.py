"""Damaged images of every odd kind: an error of one line or a picture, soon and with little memory.

A sample runs with the other tests; `make soak` runs many more.
"""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from odd_images import all_kinds

from dcncodec.errors import ImageError, LimitError
from dcncodec.formats.image import Picture, read_image

KINDS = all_kinds()
SLOWEST = 3.0
"""Seconds for a small file; sound ones take milliseconds."""


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    mutant = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        near = min(len(mutant), int(rng.choice([32, 256, 1 << 30])))
        place = int(rng.integers(0, max(near, 1)))
        match int(rng.integers(0, 5)):
            case 0:
                mutant[place : place + 1] = rng.bytes(1)
            case 1:
                mutant[place : place + 4] = bytes([int(rng.choice([0, 127, 255]))] * 4)
            case 2:
                del mutant[place : place + int(rng.integers(1, 30))]
            case 3:
                mutant[place:place] = rng.bytes(int(rng.integers(1, 30)))
            case _:
                del mutant[max(place, 8) :]
    return bytes(mutant)


def check(data: bytes) -> None:
    begin = time.perf_counter()
    try:
        outcome: Picture | str = read_image(data, name="x", max_pixels=1_000_000)
    except (ImageError, LimitError) as error:
        outcome = str(error)
    assert time.perf_counter() - begin < SLOWEST
    if isinstance(outcome, Picture):
        assert 0 < outcome.width * outcome.height <= 1_000_000
        assert all("\n" not in notice.text for notice in outcome.notices)
    else:
        assert outcome.startswith("x: ")
        assert "\n" not in outcome


@pytest.mark.parametrize("seed", range(8))
def test_mutations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for odd in KINDS[seed::8]:
        for _ in range(4):
            check(mutated(odd.data, rng))


@pytest.mark.soak
def test_many_mutations() -> None:
    seconds = float(os.environ.get("SOAK_SECONDS", "300"))
    end = time.monotonic() + seconds
    rng = np.random.default_rng()
    while time.monotonic() < end:
        odd = KINDS[int(rng.integers(0, len(KINDS)))]
        data = mutated(odd.data, rng)
        try:
            check(data)
        except BaseException:
            print(odd.name, data.hex())
            raise
