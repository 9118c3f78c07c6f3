"""One measured point of a rate-distortion curve, and what went wrong with others."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from dcncodec.bench.metrics import IN_DECIBEL
from dcncodec.likeness import decibel

SIZES = ("width", "height", "bytes_file", "bytes_payload")
METRICS = ("psnr", "ssim", "msssim", "ssimulacra2")


@dataclass(frozen=True)
class Point:
    """An image, coded by one codec at one setting.

    Attributes:
        codec, setting, image: which.
        width, height: pixels of the image.
        bytes_file: of the complete file.
        bytes_payload: of the effective payload (DCN paper, section 3.5).
        psnr, ssim, msssim, ssimulacra2: see ``metrics.Distortion``.
    """

    codec: str
    setting: str
    image: str
    width: int
    height: int
    bytes_file: int
    bytes_payload: int
    psnr: float | None
    ssim: float | None
    msssim: float | None
    ssimulacra2: float | None = None

    @property
    def bpp_file(self) -> float:
        """Bits of the file per pixel."""
        return self.bytes_file * 8 / (self.width * self.height)

    @property
    def bpp(self) -> float:
        """Bits of the effective payload per pixel."""
        return self.bytes_payload * 8 / (self.width * self.height)

    def metric(self, name: str) -> float | None:
        """A metric as it was measured."""
        value: float | None = getattr(self, name)
        return value

    def scale(self, name: str) -> float | None:
        """A metric on the scale of BD-rates: similarities in dB."""
        value = self.metric(name)
        return decibel(value) if value is not None and name in IN_DECIBEL else value

    def measured(self) -> dict[str, Any]:
        """Sizes and metrics by name."""
        return {name: getattr(self, name) for name in (*SIZES, *METRICS)}

    def as_row(self) -> dict[str, Any]:
        """For CSV and JSON: the attributes and both rates."""
        return asdict(self) | {"bpp_payload": self.bpp, "bpp_file": self.bpp_file}


def is_measured(result: dict[str, Any]) -> bool:
    """Whether these can be a ``Point``'s sizes and metrics: what files hold may be anything."""
    if not {*SIZES, *METRICS[:3]} <= result.keys() <= {*SIZES, *METRICS}:
        return False
    sizes = (result[name] for name in SIZES)
    metrics = (result.get(name) for name in METRICS)
    return all(type(size) is int and size > 0 for size in sizes) and all(
        value is None or (type(value) in {int, float} and math.isfinite(value)) for value in metrics
    )


@dataclass(frozen=True)
class Failure:
    """A codec, or one image of it, that could not be measured.

    Attributes:
        codec: its name; empty when the image itself cannot be read.
        image: its name; empty when the codec is missing altogether.
        reason: one line.
    """

    codec: str
    image: str
    reason: str

    def __str__(self) -> str:
        who = ", ".join(part for part in (self.codec, self.image) if part)
        return f"{who}: {self.reason}"
