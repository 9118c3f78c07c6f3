"""Rate and quality of models on the Kodak images, beside JPEG and JPEG 2000.

    python -m dcncodec.bench.kodak --data DIR [--crop 512] [--model NAME|PATH ...] [--update-card]

Rates are effective payloads as in section 3.5 of the paper: of JPEG the Huffman tables and scan
data, of JPEG 2000 the tile-parts, of dcn the bit-stream of the blocks. SSIM is scikit-image's
default, mean over R, G and B.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcncodec.errors import DcnError, UsageError

Pixels = NDArray[np.uint8]

JPEG_QUALITIES = (5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 93, 95, 97)
J2K_RATIOS = (160.0, 96.0, 64.0, 48.0, 32.0, 24.0, 16.0, 12.0, 8.0, 6.0)


@dataclass(frozen=True)
class Point:
    """One image at one setting: bits per pixel of the payload, PSNR in dB, SSIM."""

    bpp: float
    psnr: float
    ssim: float


def images(folder: Path, crop: int | None) -> Iterator[tuple[str, Pixels]]:
    """Names and pixels of a folder's PNG images, or of their centre crops.

    Raises:
        UsageError: there are none.
    """
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise UsageError(f"{folder}: holds no PNG images")
    for path in paths:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        if crop is not None:
            top, left = ((side - crop) // 2 for side in pixels.shape[:2])
            pixels = pixels[top : top + crop, left : left + crop]
        yield path.stem, pixels


def jpeg_payload(data: bytes) -> int:
    """Bytes of a JPEG file's Huffman tables and scans, with their markers."""
    total, at = 0, 2
    while at < len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            return total + len(data) - 2 - at
        if marker == 0xC4:
            total += 2 + length
        at += 2 + length
    return total


def j2k_payload(data: bytes) -> int:
    """Bytes of the tile-parts of a JPEG 2000 code-stream or file."""
    return len(data) - data.index(b"\xff\x90")


def measured(original: Pixels, decoded: Pixels, payload: int) -> Point:
    """The point of one encoded image."""
    import torch

    from dcncodec.metrics import psnr, ssim, to_unit

    reference, distorted = (
        to_unit(torch.from_numpy(np.array(pixels)))[None] for pixels in (original, decoded)
    )
    area = original.shape[0] * original.shape[1]
    return Point(
        payload * 8 / area, float(psnr(reference, distorted)), float(ssim(reference, distorted))
    )


def jpeg_curve(pixels: Pixels) -> list[Point]:
    """JPEG 4:4:4 with optimised tables (libjpeg-turbo), at ``JPEG_QUALITIES``."""
    points = []
    for quality in JPEG_QUALITIES:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
        decoded = np.asarray(Image.open(buffer))
        points.append(measured(pixels, decoded, jpeg_payload(buffer.getvalue())))
    return points


def j2k_curve(pixels: Pixels) -> list[Point]:
    """Irreversible JPEG 2000 (OpenJPEG), at ``J2K_RATIOS``."""
    points = []
    for ratio in J2K_RATIOS:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(
            buffer,
            "JPEG2000",
            irreversible=True,
            mct=1,
            quality_mode="rates",
            quality_layers=[ratio],
        )
        decoded = np.asarray(Image.open(buffer))
        points.append(measured(pixels, decoded, j2k_payload(buffer.getvalue())))
    return points


def ssim_at(curve: list[Point], bpp: float) -> float:
    """A curve's SSIM at a rate, by interpolation over the rate's logarithm."""
    points = sorted(curve, key=lambda p: p.bpp)
    return float(np.interp(np.log(bpp), [np.log(p.bpp) for p in points], [p.ssim for p in points]))


def bpp_at(curve: list[Point], ssim: float) -> float:
    """A curve's rate at an SSIM, by interpolation of the rate's logarithm."""
    points = sorted(curve, key=lambda p: p.ssim)
    logs = np.interp(ssim, [p.ssim for p in points], [np.log(p.bpp) for p in points])
    return float(np.exp(logs))


def model_point(codec: object, pixels: Pixels) -> Point:
    """A model's one point of an image; the payload is the blocks' bit-stream."""
    from dcncodec.codec import Codec
    from dcncodec.formats import container

    assert isinstance(codec, Codec)
    data = codec.encode(pixels)
    payload = sum(len(block) for block in container.read(data).blocks)
    return measured(pixels, codec.decode(data).pixels, payload)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of PNGs.")
@click.option("--crop", type=click.IntRange(8), help="Side of the centre crop; else all.")
@click.option("--model", "models", multiple=True, default=("dcn-16c", "dcn-32c"))
@click.option("--update-card", is_flag=True, help="Write the results into the models' cards.")
def main(data: Path, crop: int | None, models: tuple[str, ...], update_card: bool) -> None:
    """Print a table, a line for each model."""
    from dcncodec.codec import Codec
    from dcncodec.train import export

    try:
        pictures = list(images(data, crop))
        codecs = [Codec(model) for model in models]
    except DcnError as error:
        raise click.ClickException(str(error)) from None
    jpeg = [jpeg_curve(pixels) for _, pixels in pictures]
    j2k = [j2k_curve(pixels) for _, pixels in pictures]
    click.echo(
        "model             bpp   PSNR    SSIM   SSIM at the same bpp:  JPEG   JPEG 2000"
        "   bits over JPEG's at the same SSIM"
    )
    for codec in codecs:
        points = [model_point(codec, pixels) for _, pixels in pictures]
        ratios = [p.bpp / bpp_at(curve, p.ssim) for p, curve in zip(points, jpeg, strict=True)]
        result = {
            "images": len(points),
            "bpp": float(np.mean([p.bpp for p in points])),
            "psnr": float(np.mean([p.psnr for p in points])),
            "ssim": float(np.mean([p.ssim for p in points])),
            "jpeg_ssim": _mean_ssim(jpeg, points),
            "jpeg2000_ssim": _mean_ssim(j2k, points),
            "bits_over_jpeg": float(np.median(ratios)),
        }
        click.echo(
            f"{codec.model.name:<15}{result['bpp']:7.4f} {result['psnr']:6.2f} "
            f"{result['ssim']:7.4f} {result['jpeg_ssim']:28.4f} {result['jpeg2000_ssim']:10.4f}"
            f" {result['bits_over_jpeg']:25.1%} (median)"
        )
        if update_card:
            name = "kodak" if crop is None else f"kodak{crop}"
            rounded = {key: round(value, 5) for key, value in result.items()}
            export.update_card(codec.model.path, {name: rounded})


def _mean_ssim(curves: list[list[Point]], points: list[Point]) -> float:
    """Mean SSIM of a codec at each image's rate."""
    return float(np.mean([ssim_at(c, p.bpp) for c, p in zip(curves, points, strict=True)]))


if __name__ == "__main__":
    main()
