"""The manipulations that a forensic analysis network tells apart (DCN paper, section 4.1).

All of them take float RGB (B, 3, H, W) in [0, 1] and return the same shape and range, on any
device, with gradients. Filters repeat the border by reflection.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from dcncodec.errors import UsageError
from dcncodec.forensics.djpeg import DJPEG

NATIVE = "native"
"""The class of photos that nothing was done to."""
CLASSES = (NATIVE, "sharpen", "resample", "gaussian", "jpeg", "awgn", "median")
"""Classes of the DCN paper, in the order of its confusion matrices."""

DEFAULTS = {
    NATIVE: 0.0,
    "sharpen": 1.0,
    "resample": 0.5,
    "gaussian": 0.83,
    "jpeg": 80.0,
    "awgn": 0.02,
    "median": 3.0,
    "gamma": 0.8,
}
"""Strengths: share of the unsharp mask, scale, sigma in pixels, quality, standard deviation in
[0, 1], side of the window in pixels, exponent."""
RANGES = {
    NATIVE: (0.0, 0.0),
    "sharpen": (0.5, 1.5),
    "resample": (0.3, 0.8),
    "gaussian": (0.5, 2.0),
    "jpeg": (50.0, 95.0),
    "awgn": (0.005, 0.05),
    "median": (3.0, 5.0),
    "gamma": (0.5, 2.0),
}
"""Strengths worth drawing from when a network must know more than one."""

UNSHARP = ((-1, -4, -1), (-4, 26, -4), (-1, -4, -1))
"""Times 1/6: the unsharp kernel of the NIP paper; its sum is one."""
GAUSSIAN_SIZE = 5
BLACK = 1e-4
"""Values of HSV below it are black: their colour cannot be scaled."""


def sharpen(pixels: Tensor, strength: float = DEFAULTS["sharpen"]) -> Tensor:
    """Unsharp masking of the value channel of HSV; hue and saturation stay.

    With hue and saturation fixed, RGB is proportional to the value.
    """
    value = pixels.amax(1, keepdim=True)
    kernel = torch.tensor(UNSHARP, dtype=pixels.dtype, device=pixels.device) / 6
    sharp = value + strength * (_filter(value, kernel) - value)
    sharp = sharp.clamp(0, 1)
    scaled = pixels * (sharp / value.clamp_min(BLACK))
    return torch.where(value < BLACK, sharp, scaled).clamp(0, 1)


def resample(pixels: Tensor, strength: float = DEFAULTS["resample"]) -> Tensor:
    """Bilinear down-sampling by the scale ``strength`` (below 1) and up-sampling to full size."""
    size = (pixels.shape[-2], pixels.shape[-1])
    small = [max(1, round(side * strength)) for side in size]
    reduced = functional.interpolate(pixels, small, mode="bilinear", align_corners=False)
    return functional.interpolate(reduced, size, mode="bilinear", align_corners=False)


def gaussian(pixels: Tensor, strength: float = DEFAULTS["gaussian"]) -> Tensor:
    """5x5 Gaussian filter with a standard deviation of ``strength`` pixels."""
    place = torch.arange(GAUSSIAN_SIZE, dtype=pixels.dtype, device=pixels.device)
    line = torch.exp(-((place - GAUSSIAN_SIZE // 2) ** 2) / (2 * strength**2))
    line = line / line.sum()
    return _filter(pixels, line.unsqueeze(1) * line)


def jpeg(pixels: Tensor, strength: float = DEFAULTS["jpeg"]) -> Tensor:
    """JPEG 4:4:4 of quality ``strength``, rounded to a whole number."""
    compressed: Tensor = DJPEG(round(strength)).to(pixels.device)(pixels)
    return compressed


def awgn(
    pixels: Tensor,
    strength: float = DEFAULTS["awgn"],
    generator: torch.Generator | None = None,
) -> Tensor:
    """Additive white Gaussian noise with a standard deviation of ``strength``.

    The noise is drawn on the generator's device: a CPU generator gives the same everywhere.
    """
    device = generator.device if generator is not None else pixels.device
    noise = torch.randn(pixels.shape, generator=generator, device=device, dtype=pixels.dtype)
    return (pixels + strength * noise.to(pixels.device)).clamp(0, 1)


def median(pixels: Tensor, strength: float = DEFAULTS["median"]) -> Tensor:
    """Median over a square window of side ``strength``, rounded to an odd number."""
    side = 2 * (round(strength) // 2) + 1
    padded = functional.pad(pixels, (side // 2,) * 4, mode="reflect")
    # Colour by colour: every pixel's window takes memory.
    windows = (plane.unfold(-2, side, 1).unfold(-2, side, 1) for plane in padded.unbind(1))
    return torch.stack([window.flatten(-2).median(-1).values for window in windows], 1)


def gamma(pixels: Tensor, strength: float = DEFAULTS["gamma"]) -> Tensor:
    """Pixels to the power of ``strength``; below ``BLACK`` a straight line: its slope is finite."""
    return pixels.clamp_min(BLACK).pow(strength) * (pixels / BLACK).clamp_max(1)


def manipulate(
    pixels: Tensor,
    name: str,
    strength: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """One manipulation of a batch.

    Args:
        pixels: float (B, 3, H, W) in [0, 1].
        name: a key of ``DEFAULTS``; ``native`` leaves the pixels alone.
        strength: None for the default.
        generator: of the noise.

    Returns:
        The shape of ``pixels``, in [0, 1].

    Raises:
        UsageError: there is no such manipulation.
    """
    if name not in DEFAULTS:
        raise UsageError(f"{name}: no such manipulation; choose {', '.join(DEFAULTS)}")
    value = DEFAULTS[name] if strength is None else strength
    if name == NATIVE:
        return pixels
    if name == "awgn":
        return awgn(pixels, value, generator)
    operators = {
        "sharpen": sharpen,
        "resample": resample,
        "gaussian": gaussian,
        "jpeg": jpeg,
        "median": median,
        "gamma": gamma,
    }
    return operators[name](pixels, value)


def draw_strength(name: str, generator: torch.Generator | None = None) -> float:
    """A strength drawn uniformly from the range of a manipulation."""
    low, high = RANGES[name]
    return low + (high - low) * float(torch.rand((), generator=generator))


def manipulate_all(
    pixels: Tensor,
    classes: Sequence[str] = CLASSES,
    generator: torch.Generator | None = None,
    vary_strengths: bool = False,
) -> tuple[Tensor, Tensor]:
    """Every class of a batch.

    Args:
        pixels: float (B, 3, H, W) in [0, 1].
        classes: K names of manipulations.
        generator: of the noise and of the strengths.
        vary_strengths: draw each photo's from ``RANGES`` instead of taking ``DEFAULTS``.

    Returns:
        (K * B, 3, H, W), class by class, and its labels (K * B,), int64.
    """
    if vary_strengths:
        versions = [
            manipulate(photo, name, draw_strength(name, generator), generator)
            for name in classes
            for photo in torch.split(pixels, 1)
        ]
    else:
        versions = [manipulate(pixels, name, None, generator) for name in classes]
    labels = torch.arange(len(classes), device=pixels.device).repeat_interleave(len(pixels))
    return torch.cat(versions), labels


def _filter(images: Tensor, kernel: Tensor) -> Tensor:
    """The same odd kernel (K, K) over every channel of (B, C, H, W)."""
    channels, side = images.shape[1], kernel.shape[0]
    padded = functional.pad(images, (side // 2,) * 4, mode="reflect")
    return functional.conv2d(padded, kernel.expand(channels, 1, side, side), groups=channels)
