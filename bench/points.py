"""One measured point of a rate-distortion curve, and what went wrong with others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dcncodec.bench.metrics import IN_DECIBEL, decibel


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

    def as_row(self) -> dict[str, Any]:
        """For CSV and JSON: the attributes and both rates."""
        return asdict(self) | {"bpp_payload": self.bpp, "bpp_file": self.bpp_file}


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
