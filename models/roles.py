"""What models are for."""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    """The role of a family's models; its value is what messages call them."""

    CODEC = "codec"
    PIPELINE = "camera pipeline"
    FAN = "forensic network"
    FINGERPRINT = "sensor fingerprint"
    LOCALISER = "localising network"
