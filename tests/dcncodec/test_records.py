"""Records are what frozen dataclasses are."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import pytest

from dcncodec.records import record, replace


@record
class Record:
    first: int
    second: str = "b"

    def __post_init__(self) -> None:
        if self.first < 0:
            raise ValueError("first is negative")


@dataclass(frozen=True)
class Frozen:
    first: int
    second: str = "b"


def test_they_are_made_and_compared_as_frozen_dataclasses() -> None:
    for make in (Record, Frozen):
        own = make(1)
        assert (own.first, own.second) == (1, "b")
        assert own == make(first=1, second="b")
        assert own != make(2)
        assert own != (1, "b")
        assert hash(own) == hash(make(1, "b"))
        assert repr(own) == f"{make.__name__}(first=1, second='b')"
        assert pickle.loads(pickle.dumps(own)) == own
        match own:
            case Record(1, second) | Frozen(1, second):
                assert second == "b"
            case _:
                pytest.fail("does not match")


def test_what_is_refused() -> None:
    for make in (Record, Frozen):
        for values, named in (
            ((), {}),
            ((1, "b", 3), {}),
            ((1,), {"third": 3}),
            ((1,), {"first": 1}),
        ):
            with pytest.raises(TypeError):
                make(*values, **named)  # type: ignore[arg-type]
        own = make(1)
        with pytest.raises(AttributeError):
            own.first = 2  # type: ignore[misc]
        with pytest.raises(AttributeError):
            del own.first
    with pytest.raises(ValueError, match="negative"):
        Record(-1)


def test_replace() -> None:
    assert replace(Record(1), second="c") == Record(1, "c")
    with pytest.raises(ValueError, match="negative"):
        replace(Record(1), first=-2)
