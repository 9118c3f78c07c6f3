"""What an encoder can be asked to reach: a size, or a likeness. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dcncodec.errors import TargetError, UsageError

TARGETS = ("target_size", "target_bpp", "min_psnr", "min_ssim", "min_msssim")
"""Options of ``Codec.encode`` and, with dashes, of ``dcn encode``."""
SIZES = TARGETS[:2]
LIKENESS = {"min_psnr": "PSNR", "min_ssim": "SSIM", "min_msssim": "MS-SSIM"}
Metric = Literal["psnr", "ssim", "msssim"]
METRICS: dict[str, Metric] = {"min_psnr": "psnr", "min_ssim": "ssim", "min_msssim": "msssim"}
SMALLEST_SIDE = {"min_psnr": 1, "min_ssim": 7, "min_msssim": 161}
"""Of pictures that have such a likeness, in pixels."""
MAX_PSNR = 100.0
RATES_TRIED = 2
"""Rates, about, at which the whole picture is tried until a target is reached."""
PASSES = 4
"""So many times, about, the pixels pass the networks until a target is reached."""


@dataclass(frozen=True)
class Target:
    """One of ``TARGETS``.

    Attributes:
        name: which.
        value: bytes or bits per pixel at most, dB or a similarity at least.

    Raises:
        UsageError: the value makes no sense.
    """

    name: str
    value: float

    def __post_init__(self) -> None:
        if self.name in SIZES:
            if not 0 < self.value < float("inf"):
                unit = "bytes" if self.name == "target_size" else "bits per pixel"
                raise UsageError(f"{self.label} {self.value:g}: give a number of {unit} above 0")
            return
        most = MAX_PSNR if self.name == "min_psnr" else 1
        if not 0 < self.value <= most:
            raise UsageError(f"{self.label} {self.value:g}: choose above 0, at most {most:g}")

    @property
    def label(self) -> str:
        """How messages call it."""
        return self.name.replace("_", " ")

    @property
    def metric(self) -> Metric:
        """The likeness that is measured."""
        return METRICS[self.name]

    def size(self, width: int, height: int) -> int:
        """The most bytes of a file, of a target in ``SIZES``."""
        if self.name == "target_size":
            return int(self.value)
        return int(self.value * width * height / 8)

    def check(self, width: int, height: int) -> None:
        """Tell whether a picture has the likeness.

        Raises:
            TargetError: it is too small.
        """
        side = SMALLEST_SIDE.get(self.name, 1)
        if min(width, height) < side:
            raise TargetError(
                f"{LIKENESS[self.name]} needs pictures of at least {side} x {side} pixels, this "
                f"one has {width} x {height}; PSNR needs one"
            )

    def too_small(self, least: int, width: int, height: int) -> TargetError:
        """The error where the smallest file, of ``least`` bytes, is larger."""
        bpp = least * 8 / (width * height)
        if self.name == "target_size":
            text = f"{least:,} bytes ({bpp:.3f} bpp)"
        else:
            text = f"{bpp:.4f} bpp ({least:,} bytes)"
        return TargetError(f"{self.label} {self.value:g} is out of reach: the least is {text}")

    def too_alike(self, most: float) -> TargetError:
        """The error where the best file has a likeness of ``most`` only."""
        text = f"{most:.2f} dB" if self.name == "min_psnr" else f"{most:.5f}"
        return TargetError(f"{self.label} {self.value:g} is out of reach: the most is {text}")
