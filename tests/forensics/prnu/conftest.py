"""Fixtures for fingerprints of sensors."""

from __future__ import annotations

import pytest
from sensor_shots import CAMERA, gains, shot

from dcncodec.forensics.prnu.fingerprint import Estimator, Fingerprint


@pytest.fixture(scope="session")
def camera() -> Fingerprint:
    """Of the sensor ``gains(CAMERA)``, from a dozen photos."""
    estimator = Estimator()
    for seed in range(12):
        estimator.add(shot(gains(CAMERA), seed))
    return estimator.fingerprint()
