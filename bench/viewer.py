"""Decoded images of all codecs at equal rate, for the report's viewer."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from dcncodec.bench import metrics
from dcncodec.bench.codecs import BaselineCodec, DcnCodec, Spec
from dcncodec.bench.datasets import Item, Pixels
from dcncodec.errors import DcnError
from dcncodec.models.registry import QUALITIES

COUNT = 3
"""Images in a report: each codec adds about 0.4 MB for each."""
FALLBACK_BPP = 0.5
"""The rate to compare at when there is no dcn model."""


def data_uri(pixels: Pixels) -> str:
    """RGB pixels as a lossless WebP inside a URI, which every browser shows."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, quality=50, method=2, exact=True)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def scenes(
    specs: Sequence[Spec],
    items: Sequence[Item],
    progress: Callable[[str], None] = lambda step: None,
) -> list[dict[str, Any]]:
    """A few images, each coded by every codec with as many bits as the reference model takes.

    The reference is the model of medium quality, or the middle one of the first dcn codec. Other
    dcn models keep their own rate. Codecs and images that fail are left out; the run has
    reported them.

    Returns:
        Per image its name and size, and per codec the label, bits per pixel, PSNR, SSIM and the
        pixels as URI; the original comes first.
    """
    step = max(1, len(items) // COUNT)
    found = []
    for item in items[::step][:COUNT]:
        progress(f"viewer: {item.name}")
        try:
            pixels = item.load()
        except DcnError:
            continue
        found.append(_scene(specs, item.name, pixels))
    return found


def reference(specs: Sequence[Spec]) -> tuple[DcnCodec, str] | None:
    """The model whose rate the others meet."""
    codecs = [codec for spec in specs if isinstance(codec := spec.open(), DcnCodec)]
    for codec in codecs:
        if QUALITIES["medium"] in codec.settings:
            return codec, QUALITIES["medium"]
    return (codecs[0], codecs[0].settings[len(codecs[0].settings) // 2]) if codecs else None


def _scene(specs: Sequence[Spec], name: str, pixels: Pixels) -> dict[str, Any]:
    height, width = pixels.shape[:2]
    original = {"label": "original", "bpp": 24.0, "psnr": None, "ssim": None}
    versions = [original | {"source": data_uri(pixels)}]
    target = FALLBACK_BPP * width * height / 8
    chosen = reference(specs)
    if chosen is not None:
        model, setting = chosen
        target = model.payload(model.encode(pixels, setting))
    for spec in specs:
        try:
            for label, data, codec in _coded(spec.open(), pixels, target):
                decoded = codec.decode(data)
                distortion = metrics.measure(pixels, decoded)
                versions.append(
                    {
                        "label": label,
                        "bpp": codec.payload(data) * 8 / (width * height),
                        "psnr": distortion.psnr,
                        "ssim": distortion.ssim,
                        "source": data_uri(decoded),
                    }
                )
        except DcnError:
            continue
    return {"name": name, "width": width, "height": height, "versions": versions}


def _coded(
    codec: BaselineCodec | DcnCodec, pixels: Pixels, target: float
) -> list[tuple[str, bytes, BaselineCodec | DcnCodec]]:
    if isinstance(codec, BaselineCodec):
        return [(codec.title, codec.encode_near(pixels, target)[1], codec)]
    return [(setting, codec.encode(pixels, setting), codec) for setting in codec.settings]
