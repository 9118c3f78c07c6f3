"""The coder of latents alone beside x265 and FFmpeg's decoder of the same images at their rates.

One thread, processor time, in memory. Both take turns on every image, so that a slow moment of the
machine hits both alike; ratios compare times of the same turn. x265 is that of the benchmark
(``formats.peers.hevc_x265``), colours included, as without them there would be no image.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from dcncodec.bench import codecs, speed
from dcncodec.bench.codecs import BaselineCodec, DcnCodec, RatedCodec, Spec
from dcncodec.bench.datasets import Pixels
from dcncodec.entropy import coder_of
from dcncodec.errors import UsageError
from dcncodec.formats import container
from dcncodec.formats.context import ContextModel
from dcncodec.formats.context_coder import ContextCoder
from dcncodec.pages import Table

if TYPE_CHECKING:
    from dcncodec.formats.context import Path

PEER = "x265"

Action = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One model: medians over images and rounds.

    Attributes:
        model: its name.
        bpp: mean bits of payload per pixel.
        encode, decode: processor time of its coder, seconds.
        encode_share, decode_share: that time over x265's and FFmpeg's.
    """

    model: str
    bpp: float
    encode: float
    decode: float
    encode_share: float
    decode_share: float


def run(
    specs: Sequence[Spec],
    images: Sequence[Pixels],
    *,
    bpp: float,
    rounds: int,
    instructions: Path = "auto",
    progress: Callable[[str], None] = lambda step: None,
) -> list[Row]:
    """Time the coders of models.

    Args:
        images: at least one.
        bpp: bits of payload per pixel of models for all rates; others have their own.
        instructions: that evaluate context models; the peer takes what there is.
        progress: told what comes next.

    Raises:
        ModelError: this processor does not have the instructions.
        UsageError: one of the codecs is none of dcn's.
        MissingLibraryError: PyAV is not installed.
    """
    rows = []
    with speed.limited(1):
        peer = codecs.specs([PEER])[0].open()
        assert isinstance(peer, BaselineCodec)
        peer.version(peer.settings[0])
        for spec in specs:
            codec = spec.with_threads(1).open()
            if not isinstance(codec, DcnCodec):
                raise UsageError(f"--codec {spec.name}: has no coder of latents; name models")
            names = [codec.model.name] if isinstance(codec, RatedCodec) else codec.settings
            for name in names:
                progress(f"coder of {name}")
                rows.append(_row(name, codec, peer, images, bpp, rounds, instructions))
    return rows


def _row(
    name: str,
    codec: DcnCodec,
    peer: BaselineCodec,
    images: Iterable[Pixels],
    bpp: float,
    rounds: int,
    instructions: Path,
) -> Row:
    rates, turns = [], []
    for pixels in images:
        count = pixels.shape[0] * pixels.shape[1]
        if isinstance(codec, RatedCodec):
            _, data = codec.encode_near(pixels, bpp * count / 8)
        else:
            data = codec.encode(pixels, name)
        rates.append(codec.payload(data) * 8 / count)
        own = _coding(codec, name, data, instructions)
        actions = [*own, *_peer_coding(peer, pixels, codec.payload(data))]
        turns += list(_times(actions, rounds))
    encode, decode = (median(column) for column in list(zip(*turns, strict=True))[:2])
    shares = [(own[0] / own[2], own[1] / own[3]) for own in turns]
    encode_share, decode_share = (median(column) for column in zip(*shares, strict=True))
    return Row(name, fmean(rates), encode, decode, encode_share, decode_share)


def _coding(codec: DcnCodec, name: str, data: bytes, instructions: Path) -> tuple[Action, Action]:
    """Encoding and decoding the latents of a file by the coder that it names."""
    file = container.read(data, max_pixels=None)
    coder = coder_of(file, codec.loaded(name).model, 1)
    if isinstance(coder, ContextCoder):
        coder = ContextCoder(ContextModel(coder.model.tensors, instructions), coder.geometry)
    numbers = range(file.header.block_count)
    blocks = [file.latents(number, coder) for number in numbers]
    return (
        lambda: [coder.encode(block, file.rate) for block in blocks],
        lambda: [file.latents(number, coder) for number in numbers],
    )


def _peer_coding(peer: BaselineCodec, pixels: Pixels, payload: int) -> tuple[Action, Action]:
    """Encoding and decoding an image by the peer, at the setting nearest to a payload."""
    setting, data = peer.encode_near(pixels, payload)
    return lambda: peer.encode(pixels, setting), lambda: peer.decode(data)


def _times(actions: Sequence[Action], rounds: int) -> Iterator[tuple[float, ...]]:
    """Processor seconds of each action in every round, after one that warms up."""
    for number in range(rounds + 1):
        times = []
        for action in actions:
            begin = time.process_time()
            action()
            times.append(time.process_time() - begin)
        if number:
            yield tuple(times)


def table(rows: Sequence[Row]) -> Table:
    """The rows as text."""
    head = ("model", "bpp", "encode ms", "decode ms", "of x265's encode", "of FFmpeg's decode")
    return Table(
        "The coder of latents alone, one thread, processor time",
        head,
        [
            (
                row.model,
                f"{row.bpp:.2f}",
                f"{row.encode * 1e3:.1f}",
                f"{row.decode * 1e3:.1f}",
                f"{row.encode_share:.3f}",
                f"{row.decode_share:.2f}",
            )
            for row in rows
        ],
        "x265 (preset medium, 4:4:4) and FFmpeg code and decode the same images at the same rate.",
    )
