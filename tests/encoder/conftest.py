"""Fixtures for what only an encoder decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcncodec.codec import Codec


@pytest.fixture(scope="session")
def codec(rated: Path) -> Codec:
    """Of the model ``rated``."""
    return Codec(rated, device="cpu", precision="fp32")
