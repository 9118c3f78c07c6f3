"""Decoded images of all codecs at equal rate, for the report's viewer."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dcncodec.bench import metrics
from dcncodec.bench.codecs import BaselineCodec, DcnCodec, RatedCodec, Spec
from dcncodec.bench.datasets import Item, Pixels
from dcncodec.errors import DcnError
from dcncodec.models.registry import PAPER_MODELS

COUNT = 2
"""Images in a report: each adds about 4 MB for each rate."""
SIDE = 512
"""Images are cut to this many pixels a side around their middle, as in the paper."""
TOLERANCE = 0.1
"""Rates count as equal up to this part; codecs that come no closer are left out."""
FALLBACK_BPP = 0.5
"""The rate to compare at when there is no dcn model."""


@dataclass(frozen=True)
class Version:
    """An image as one codec shows it.

    Attributes:
        label: the codec or model.
        bpp: of the effective payload.
        psnr: dB; None for identical pixels.
        ssim: None below 7 x 7 pixels.
        source: the pixels as a ``data:`` URI.
    """

    label: str
    bpp: float
    psnr: float | None
    ssim: float | None
    source: str


@dataclass(frozen=True)
class Rate:
    """Versions with as many bits as one of dcn's models takes, up to ``TOLERANCE``."""

    title: str
    versions: list[Version]


@dataclass(frozen=True)
class Scene:
    """One image of the viewer, from the fewest bits to the most."""

    name: str
    width: int
    height: int
    original: Version
    rates: list[Rate]


def scenes(
    specs: Sequence[Spec],
    items: Sequence[Item],
    progress: Callable[[str], None] = lambda step: None,
) -> list[Scene]:
    """A few images, coded by every codec at the rate of each dcn model.

    Codecs and images that fail are left out; the run has reported them.
    """
    step = max(1, len(items) // COUNT)
    found = []
    for item in items[::step][:COUNT]:
        progress(f"viewer: {item.name}")
        with suppress(DcnError):
            found.append(_scene(specs, item.name, _middle(item.load())))
    return found


def reference(specs: Sequence[Spec]) -> tuple[DcnCodec, str] | None:
    """The middle one of the paper's models, or of the first dcn codec."""
    codecs = [codec for spec in specs if isinstance(codec := spec.open(), DcnCodec)]
    for codec in codecs:
        if PAPER_MODELS[1] in codec.settings:
            return codec, PAPER_MODELS[1]
    return (codecs[0], codecs[0].settings[len(codecs[0].settings) // 2]) if codecs else None


def data_uri(pixels: Pixels) -> str:
    """RGB pixels as a lossless WebP inside a URI, which every browser shows."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, quality=50, method=2, exact=True)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def _middle(pixels: Pixels) -> Pixels:
    height, width = min(pixels.shape[0], SIDE), min(pixels.shape[1], SIDE)
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _scene(specs: Sequence[Spec], name: str, pixels: Pixels) -> Scene:
    height, width = pixels.shape[:2]
    original = Version("original", 24.0, None, None, data_uri(pixels))
    own = sorted(_models(specs, pixels), key=lambda version: version.bpp)
    rates: list[tuple[str, float]] = []
    for version in own:
        if not rates or not _equal(version.bpp, rates[-1][1]):
            rates.append((version.label, version.bpp))
    found = []
    for title, bpp in rates or [(f"{FALLBACK_BPP:g} bpp", FALLBACK_BPP)]:
        versions = [version for version in own if _equal(version.bpp, bpp)]
        versions += _at_rate(specs, pixels, bpp)
        found.append(Rate(title, versions))
    return Scene(name, width, height, original, found)


def _equal(bpp: float, wanted: float) -> bool:
    return abs(bpp / wanted - 1) <= TOLERANCE


def _models(specs: Sequence[Spec], pixels: Pixels) -> Iterator[Version]:
    for spec in specs:
        with suppress(DcnError):
            codec = spec.open()
            if isinstance(codec, BaselineCodec | RatedCodec):
                continue
            for setting in codec.settings:
                yield _version(setting, codec, pixels, codec.encode(pixels, setting))


def _at_rate(specs: Sequence[Spec], pixels: Pixels, bpp: float) -> Iterator[Version]:
    area = pixels.shape[0] * pixels.shape[1]
    for spec in specs:
        with suppress(DcnError):
            codec = spec.open()
            if isinstance(codec, BaselineCodec | RatedCodec):
                _, data = codec.encode_near(pixels, bpp * area / 8)
                version = _version(codec.title, codec, pixels, data)
                if _equal(version.bpp, bpp):
                    yield version


def _version(label: str, codec: BaselineCodec | DcnCodec, pixels: Pixels, data: bytes) -> Version:
    decoded = codec.decode(data)
    distortion = metrics.measure(pixels, decoded)
    bpp = codec.payload(data) * 8 / (pixels.shape[0] * pixels.shape[1])
    return Version(label, bpp, distortion.psnr, distortion.ssim, data_uri(decoded))
