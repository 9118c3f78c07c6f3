"""Work in several processes."""

from __future__ import annotations

import operator
from pathlib import Path

import pytest

from dcncodec.errors import UsageError
from dcncodec.forensics.prnu.parallel import cores, each
from dcncodec.formats.files import read_bytes


def test_results_keep_their_order() -> None:
    expected = [-i for i in range(9)]
    assert list(each(operator.neg, range(9))) == expected
    assert list(each(operator.neg, range(9), 2)) == expected
    assert list(each(operator.neg, [], 2)) == []
    assert cores() >= 1


@pytest.mark.parametrize("processes", [1, 2])
def test_errors_come_through(processes: int) -> None:
    with pytest.raises(UsageError, match="missing: no such file"):
        list(each(read_bytes, [Path("missing"), Path("gone")], processes))
