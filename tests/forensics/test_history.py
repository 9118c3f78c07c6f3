"""Histories, grids, conditions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dcncodec.errors import UsageError
from dcncodec.forensics.history import AS_IS, Condition, History, parse_grid, parse_history

Pixels = NDArray[np.uint8]


@pytest.mark.parametrize(
    ("text", "history"),
    [
        ("none", None),
        ("95", History(95, 95)),
        ("88-100", History(88, 100)),
        ("90:420", History(90, 90, "4:2:0")),
        ("80-90:444", History(80, 90, "4:4:4")),
    ],
)
def test_names_of_histories(text: str, history: History | None) -> None:
    assert parse_history(text) == history
    assert history is None or str(history) == text


@pytest.mark.parametrize("text", ["", "0", "101", "90-80", "90:422", "-5", "90 ", "jpeg"])
def test_what_is_no_history(text: str) -> None:
    with pytest.raises(UsageError, match="choose none, or a JPEG quality"):
        parse_history(text)


def test_grids() -> None:
    assert parse_grid("3,5") == (3, 5)
    for text in ("8,0", "3", "-1,2", "a,b"):
        with pytest.raises(UsageError, match="choose DY,DX of 0 to 7"):
            parse_grid(text)


def test_a_history_changes_a_photo_and_is_drawn(photo: Pixels) -> None:
    history = History(60, 60)
    first, again, other = (history.apply(photo, np.random.default_rng(s)) for s in (0, 0, 1))
    assert first.shape == photo.shape
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert 0 < np.abs(first.astype(int) - photo).mean() < 10


def test_conditions(photo: Pixels) -> None:
    assert AS_IS.before(photo, 0) is photo
    assert np.array_equal(AS_IS.after(photo), photo)
    shifted = Condition((3, 5), History(90, 90))
    assert np.array_equal(shifted.after(photo), photo[3:, 5:])
    assert not np.array_equal(shifted.before(photo, 0), photo)
    assert str(shifted) == "grid 3,5, history 90"
    assert str(AS_IS) == "grid 0,0, history none"
