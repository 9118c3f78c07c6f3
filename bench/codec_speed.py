"""Speed of the whole codec in memory, beside codecs that people use: one run, in turns.

    python -m dcncodec.bench.codec_speed --data DIR [--model NAME] [--images N] [--threads N]

Every codec encodes and decodes the same images at a similar rate; the first image warms it up and
does not count. Medians over the images. x265 is measured inside BPG 4:4:4 (``formats.bpg``), so
its times include colour conversion, as those of all others do. Absolute times say little on a
shared machine; the ratios are between codecs of the same run.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dcncodec.bench.kodak import images
from dcncodec.codec import Codec
from dcncodec.errors import DcnError
from dcncodec.formats import bitstream, bpg, container
from dcncodec.transform import Area

Pixels = NDArray[np.uint8]
REPEATS = 3


@dataclass
class Peer:
    """A codec: functions from pixels to bytes and back, and what was measured of it."""

    name: str
    encode: Callable[[Pixels], bytes]
    decode: Callable[[bytes], object]
    encode_seconds: list[float] = field(default_factory=list)
    decode_seconds: list[float] = field(default_factory=list)
    bpp: list[float] = field(default_factory=list)


def pillow(name: str, kind: str, **options: Any) -> Peer:
    """A codec of Pillow's."""

    def encode(pixels: Pixels) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind, **options)
        return buffer.getvalue()

    def decode(data: bytes) -> object:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)

    return Peer(name, encode, decode)


def peers(codec: Codec, threads: int) -> list[Peer]:
    """dcn and the others, at settings that give about 0.5 to 1 bpp on Kodak."""
    return [
        Peer("dcn", codec.encode, codec.decode),
        pillow("libjpeg-turbo 4:4:4", "JPEG", quality=75, subsampling=0, optimize=True),
        pillow(
            "OpenJPEG",
            "JPEG2000",
            irreversible=True,
            mct=1,
            quality_mode="rates",
            quality_layers=[32],
        ),
        pillow(
            "libaom AVIF 4:4:4",
            "AVIF",
            quality=65,
            speed=6,
            subsampling="4:4:4",
            max_threads=threads,
            codec="aom",
        ),
        Peer("x265 intra 4:4:4 (BPG)", lambda pixels: bpg.encode(pixels, 30), bpg.decode),
    ]


def measure(peer: Peer, pixels: Pixels) -> None:
    """Best of ``REPEATS`` of one image, encoding and decoding."""
    best = [float("inf"), float("inf")]
    data = b""
    for _ in range(REPEATS):
        begin = time.perf_counter()
        data = peer.encode(pixels)
        middle = time.perf_counter()
        peer.decode(data)
        best[0] = min(best[0], middle - begin)
        best[1] = min(best[1], time.perf_counter() - middle)
    peer.encode_seconds.append(best[0])
    peer.decode_seconds.append(best[1])
    peer.bpp.append(len(data) * 8 / (pixels.shape[0] * pixels.shape[1]))


def shares(codec: Codec, pixels: Pixels) -> tuple[float, float]:
    """Entropy coding's time over the networks', encoding and decoding (Table 1's breakdown)."""
    transforms = codec.transforms
    rows, columns = (-(-side // 8) for side in pixels.shape[:2])
    area = Area(0, 0, rows, columns)
    indices = transforms.analyse(pixels, area)
    block = bitstream.encode_block(indices, "auto", torch.get_num_threads())
    actions: tuple[Callable[[], object], ...] = (
        lambda: transforms.analyse(pixels, area),
        lambda: bitstream.encode_block(indices, "auto", torch.get_num_threads()),
        lambda: transforms.synthesise(indices, area, area),
        lambda: bitstream.decode_block(block, torch.get_num_threads()),
    )
    seconds = []
    for action in actions:
        best = float("inf")
        for _ in range(2 * REPEATS):
            begin = time.perf_counter()
            action()
            best = min(best, time.perf_counter() - begin)
        seconds.append(best)
    return seconds[1] / seconds[0], seconds[3] / seconds[2]


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of PNGs.")
@click.option("--model", default="dcn-32c", show_default=True)
@click.option("--images", "count", type=click.IntRange(2), default=9, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
def main(data: Path, model: str, count: int, threads: int) -> None:
    """Print times, ratios to dcn, and the share of entropy coding."""
    torch.set_num_threads(threads)
    try:
        pictures = [pixels for _, pixels in images(data, None)][:count]
        codec = Codec(model)
    except DcnError as error:
        raise click.ClickException(str(error)) from None
    codecs = peers(codec, threads)
    for pixels in pictures:
        for peer in codecs:
            measure(peer, pixels)
    click.echo(f"{len(pictures) - 1} images after one to warm up, {threads} threads")
    click.echo("codec                     bpp   encode ms  over dcn   decode ms  over dcn")
    own = [float(np.median(t[1:])) for t in (codecs[0].encode_seconds, codecs[0].decode_seconds)]
    for peer in codecs:
        encode, decode = (
            float(np.median(t[1:])) for t in (peer.encode_seconds, peer.decode_seconds)
        )
        click.echo(
            f"{peer.name:<23}{np.mean(peer.bpp[1:]):6.2f} {encode * 1e3:11.1f} "
            f"{encode / own[0]:9.2f} {decode * 1e3:11.1f} {decode / own[1]:9.2f}"
        )
    coding = np.array([shares(codec, pixels) for pixels in pictures[:3]])
    encoding, decoding = np.median(coding, axis=0)
    click.echo(
        f"entropy coding over the networks: {encoding:.1%} encoding, {decoding:.1%} decoding"
    )
    file = container.read(codec.encode(pictures[0]))
    overhead = len(file.data) - sum(len(block) for block in file.blocks)
    click.echo(f"container over bare stream: {overhead} bytes")


if __name__ == "__main__":
    main()
