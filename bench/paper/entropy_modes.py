"""Entropy coding by channel or of all channels together, by size of the image (Table A.2).

    python -m dcncodec.bench.paper.entropy_modes --data DIR [--model NAME|PATH ...]

Every image is cut into as many patches of 128, 256 and 512 pixels as fit; the table gives the mean
bits per pixel of their bit-streams in either mode, and what the smaller of both (``auto``) saves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from dcncodec.bench.datasets import find
from dcncodec.codec import Codec
from dcncodec.errors import DcnError, UsageError
from dcncodec.formats.coder import ChannelCoder
from dcncodec.formats.geometry import STRIDE, Area

if TYPE_CHECKING:
    from dcncodec.formats.bitstream import Mode

SIDES = (128, 256, 512)
MODES: tuple[Mode, Mode] = ("channel", "global")


@dataclass(frozen=True)
class Row:
    """One line of the table: mean bytes and bits per pixel of ``count`` patches, by mode.

    ``auto_bytes`` is the mean of the smaller one of each patch.
    """

    model: str
    side: int
    count: int
    channel_bytes: float
    global_bytes: float
    auto_bytes: float

    def bpp(self, size: float) -> float:
        """Bytes of a patch as bits per pixel."""
        return size * 8 / self.side**2


def patches(pixels: NDArray[np.uint8], side: int) -> Iterator[NDArray[np.uint8]]:
    """The whole squares of an image (H, W, 3), row by row."""
    height, width = pixels.shape[:2]
    for top in range(0, height - side + 1, side):
        for left in range(0, width - side + 1, side):
            yield pixels[top : top + side, left : left + side]


def measure(codec: Codec, pictures: Sequence[NDArray[np.uint8]], side: int) -> Row:
    """Both modes on all patches of a size.

    Raises:
        UsageError: no picture is large enough.
    """
    area = Area(0, 0, side // STRIDE, side // STRIDE)
    sizes = []
    for picture in pictures:
        for patch in patches(picture, side):
            latents = codec.transforms.analyse(patch, area)
            sizes.append([len(ChannelCoder(mode).encode(latents)) for mode in MODES])
    if not sizes:
        raise UsageError(f"--data: no image holds a patch of {side} x {side} pixels")
    table = np.array(sizes, dtype=np.float64)
    by_channel, together = table.mean(0)
    smaller = float(table.min(1).mean())
    return Row(codec.model.name, side, len(table), float(by_channel), float(together), smaller)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of images.")
@click.option("--model", "models", multiple=True, default=("dcn-16c", "dcn-32c", "dcn-64c"))
@click.option("--side", "sides", multiple=True, type=click.IntRange(8), default=SIDES)
def main(data: Path, models: tuple[str, ...], sides: tuple[int, ...]) -> None:
    """Print the table."""
    try:
        for side in sides:
            if side % STRIDE:
                raise UsageError(f"--side {side}: choose a multiple of {STRIDE}")
        pictures = [item.load() for item in find(str(data))]
        codecs = [Codec(model) for model in models]
        click.echo("model       patch  count  channel: bytes   bpp  global: bytes   bpp  auto: bpp")
        for codec in codecs:
            for side in sides:
                row = measure(codec, pictures, side)
                click.echo(
                    f"{row.model:<12}{row.side:5d}{row.count:7d}"
                    f"{row.channel_bytes:16.0f}{row.bpp(row.channel_bytes):6.3f}"
                    f"{row.global_bytes:15.0f}{row.bpp(row.global_bytes):6.3f}"
                    f"{row.bpp(row.auto_bytes):11.3f}"
                )
    except DcnError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
