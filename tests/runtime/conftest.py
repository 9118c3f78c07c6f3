"""Fixtures for networks on devices."""

from __future__ import annotations

import pytest

from dcncodec.models.card import ModelFolder


@pytest.fixture(scope="session")
def vr(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A model of the family vr with random weights."""
    from alike import write_random_vr

    return write_random_vr(tmp_path_factory.mktemp("models") / "vr")
