"""Notices as warnings and as text."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dcncodec.notices import DcnWarning, Notice, warn


def test_notices_name_their_file() -> None:
    assert str(Notice("frames", "3 frames", "a.gif")) == "a.gif: 3 frames"
    assert str(Notice("frames", "3 frames")) == "3 frames"


def test_notices_become_warnings() -> None:
    with pytest.warns(DcnWarning, match=r"^a\.gif: 3 frames$"):
        warn(Notice("frames", "3 frames", "a.gif"))


def test_importing_them_is_light() -> None:
    program = "import sys, dcncodec.notices; assert not {'numpy', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
