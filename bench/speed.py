"""Encoding and decoding times, in memory, of dcn and of what people use.

All codecs take turns on every image (round, image, codec), so that a slow moment of the machine
hits all of them alike; ratios compare times of the same turn. Before the first round everything
runs once. Other codecs run at the setting whose payload is nearest to a given rate.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

import numpy as np

from dcncodec.bench.codecs import BaselineCodec, DcnCodec, RatedCodec, Spec
from dcncodec.bench.datasets import Item, Pixels
from dcncodec.bench.memory import both
from dcncodec.bench.names import called
from dcncodec.bench.points import Failure
from dcncodec.codec import Codec
from dcncodec.errors import DcnError, UsageError
from dcncodec.formats import container
from dcncodec.formats.geometry import MAX_PIXELS
from dcncodec.models.registry import find_model
from dcncodec.runtime.devices import torch_threads

ROUNDS = 3
SIZES = ("512x512", "768x512", "1920x1080")
SEARCH_IMAGES, SEARCH_SIDE = 2, 512
"""On how many crops, and of which side, the setting for a rate is looked for."""
PARTS = ("analysis", "entropy encode", "entropy decode", "synthesis")
"""What a dcn encode and decode consist of (DCN paper, Table 1)."""


@dataclass
class Timing:
    """One codec at one size; times in seconds, one for each round and image.

    Attributes:
        codec, title, setting: which; of the ladder ``dcn`` the setting is the model, of a model for
            all rates the rate.
        size: such as ``768x512``.
        rates: bits of payload per pixel, of each image.
        encode, decode: elapsed times.
        encode_cpu, decode_cpu: processor times of all threads.
        parts: of dcn, the times of ``PARTS``.
        memory: peak bytes above the image, by operation; empty unless measured.
    """

    codec: str
    title: str
    setting: str
    size: str
    rates: list[float] = field(default_factory=list)
    encode: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    encode_cpu: list[float] = field(default_factory=list)
    decode_cpu: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    @property
    def megapixels(self) -> float:
        """Of one image."""
        width, height = parse_size(self.size)
        return width * height / 1e6

    def as_row(self) -> dict[str, Any]:
        """Medians, for JSON and CSV."""
        row: dict[str, Any] = {
            "codec": self.codec,
            "title": self.title,
            "setting": self.setting,
            "size": self.size,
            "bpp_payload": fmean(self.rates),
            "encode_s": median(self.encode),
            "decode_s": median(self.decode),
            "encode_mp_s": self.megapixels / median(self.encode),
            "decode_mp_s": self.megapixels / median(self.decode),
            "encode_cores": sum(self.encode_cpu) / sum(self.encode),
            "decode_cores": sum(self.decode_cpu) / sum(self.decode),
        }
        for part, times in self.parts.items():
            row[part.replace(" ", "_") + "_s"] = median(times)
        for operation, above in self.memory.items():
            row[f"{operation}_memory"] = above
        return row


@dataclass(frozen=True)
class Ratio:
    """How often one codec works while another works once, at one size; above 1 is faster."""

    codec: str
    peer: str
    size: str
    encode: float
    decode: float


@dataclass
class Outcome:
    """What ``run`` measured.

    Attributes:
        threads: that every codec could use.
        images, rounds: how many.
        timings: by size, then codec.
        failures: codecs and images that were skipped.
    """

    threads: int
    images: int
    rounds: int
    timings: list[Timing] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def ratios(self) -> list[Ratio]:
        """Every dcn model against every other codec, the median over images and rounds."""
        found = []
        for own in self.timings:
            for peer in self.timings if own.parts else ():
                if peer.size == own.size and not peer.parts:
                    times = zip(own.encode, own.decode, peer.encode, peer.decode, strict=True)
                    pairs = [(pe / oe, pd / od) for oe, od, pe, pd in times]
                    encode, decode = (median(column) for column in zip(*pairs, strict=True))
                    name = called(own.codec, own.setting)
                    found.append(Ratio(name, peer.codec, own.size, encode, decode))
        return found


def parse_size(size: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT`` in pixels.

    Raises:
        UsageError: it is something else.
    """
    found = re.fullmatch("([0-9]{1,8})x([0-9]{1,8})", size)
    width, height = map(int, found.groups()) if found else (0, 0)
    if not 0 < width * height <= MAX_PIXELS:
        raise UsageError(
            f"--size {size}: give WIDTHxHEIGHT, such as 1920x1080, at most {MAX_PIXELS} pixels"
        )
    return width, height


def picture(images: Sequence[Pixels], first: int, width: int, height: int) -> Pixels:
    """An image of a given size: the middle of a larger one, or several side by side.

    Args:
        images: any number, any sizes.
        first: which one stands at the top left.
    """
    source = images[first]
    rows, columns = source.shape[:2]
    if rows >= height and columns >= width:
        top, left = (rows - height) // 2, (columns - width) // 2
        return np.ascontiguousarray(source[top : top + height, left : left + width])
    canvas = np.empty((height, width, 3), np.uint8)
    number, top = first, 0
    while top < height:
        left, tallest = 0, height - top
        while left < width:
            tile = images[number % len(images)][: height - top, : width - left]
            tallest = min(tallest, tile.shape[0])
            canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
            left, number = left + tile.shape[1], number + 1
        top += tallest
    return canvas


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Keep this process on ``threads`` processors; libraries could take more but on Linux."""
    with torch_threads(threads):
        if sys.platform != "linux":
            yield
            return
        processors = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(processors)[:threads])
        try:
            yield
        finally:
            os.sched_setaffinity(0, processors)


def parts(codec: Codec, pixels: Pixels, data: bytes) -> dict[str, float]:
    """Seconds of each of ``PARTS``, one by one: what ``Codec.encode`` and ``decode`` consist of.

    Args:
        codec: loaded.
        pixels: uint8 (H, W, 3).
        data: their file.
    """
    file = container.read(data, max_pixels=None)
    header, plane = file.header, file.header.plane
    areas = [header.block(number) for number in range(header.block_count)]
    coders = codec.coders("auto")
    times = [time.perf_counter()]
    blocks = [codec.transforms.analyse(pixels, area, file.rate) for area in areas]
    times.append(time.perf_counter())
    for coder in coders:
        for block in blocks:
            coder.encode(block, file.rate)
    times.append(time.perf_counter())
    latents = codec.latents(file, plane)
    times.append(time.perf_counter())
    codec.transforms.synthesise(latents, plane, plane, file.rate, file.means)
    times.append(time.perf_counter())
    return {part: times[i + 1] - times[i] for i, part in enumerate(PARTS)}


@dataclass
class _Runner:
    """A codec at a setting, with all that its turns need."""

    codec: BaselineCodec | DcnCodec
    timing: Timing

    def turn(self, pixels: Pixels) -> None:
        """Encode and decode once."""
        wall, cpu = time.perf_counter(), time.process_time()
        data = self.codec.encode(pixels, self.timing.setting)
        self.timing.encode.append(time.perf_counter() - wall)
        self.timing.encode_cpu.append(time.process_time() - cpu)
        wall, cpu = time.perf_counter(), time.process_time()
        self.codec.decode(data)
        self.timing.decode.append(time.perf_counter() - wall)
        self.timing.decode_cpu.append(time.process_time() - cpu)
        if isinstance(self.codec, DcnCodec):
            loaded = self.codec.loaded(self.timing.setting)
            for part, seconds in parts(loaded, pixels, data).items():
                self.timing.parts.setdefault(part, []).append(seconds)
        height, width = pixels.shape[:2]
        self.timing.rates.append(self.codec.payload(data) * 8 / (width * height))

    def forget(self) -> None:
        """Drop the times of the warm-up."""
        timing = self.timing
        self.timing = Timing(timing.codec, timing.title, timing.setting, timing.size)


def run(
    specs: Sequence[Spec],
    items: Sequence[Item],
    *,
    threads: int,
    bpp: float,
    sizes: Sequence[str] = SIZES,
    rounds: int = ROUNDS,
    memory: bool = True,
    progress: Callable[[str], None] = lambda step: None,
) -> Outcome:
    """Time codecs.

    Args:
        items: the images that are timed, or of which larger ones are put together.
        threads: processors that may be used.
        bpp: bits of payload per pixel at which other codecs than dcn run.
        sizes: ``WIDTHxHEIGHT`` of what is timed.
        memory: whether the peak memory is measured too, at the last size.
        progress: told what comes next.

    Raises:
        DcnError: no image can be read, or a size makes no sense.
    """
    shapes = [parse_size(size) for size in sizes]
    failures: list[Failure] = []
    images = list(_load(items, failures))
    if not images:
        raise DcnError(f"nothing was timed ({failures[0] if failures else 'no images'})")
    outcome = Outcome(threads, len(images), rounds, failures=failures)
    with limited(threads):
        settings = list(_settings(specs, images, threads, bpp, failures, progress))
        for size, (width, height) in zip(sizes, shapes, strict=True):
            progress(f"timing at {size}")
            pictures = [picture(images, i, width, height) for i in range(len(images))]
            outcome.timings += _time_size(settings, size, pictures, rounds, failures)
    if memory and shapes:
        for timing in outcome.timings:
            if timing.size == sizes[-1]:
                progress(f"memory of {called(timing.codec, timing.setting)}")
                _add_memory(timing, specs, failures)
    return outcome


def _load(items: Sequence[Item], failures: list[Failure]) -> Iterator[Pixels]:
    for item in items:
        try:
            yield item.load()
        except DcnError as error:
            failures.append(Failure("", item.name, error.reason))


def _settings(
    specs: Sequence[Spec],
    images: Sequence[Pixels],
    threads: int,
    bpp: float,
    failures: list[Failure],
    progress: Callable[[str], None],
) -> Iterator[tuple[BaselineCodec | DcnCodec, str]]:
    """Which settings of which codecs are timed."""
    crops = [image[:SEARCH_SIDE, :SEARCH_SIDE] for image in images[:SEARCH_IMAGES]]
    for spec in specs:
        progress(f"setting of {spec.name} for {bpp:g} bpp")
        try:
            codec = spec.with_threads(threads).open()
            if not isinstance(codec, BaselineCodec | RatedCodec):
                for setting in codec.settings:
                    codec.loaded(setting)
                    yield codec, setting
                continue
            codec.version(codec.settings[0])
            found = [
                codec.encode_near(
                    np.ascontiguousarray(crop), bpp * crop.shape[0] * crop.shape[1] / 8
                )[0]
                for crop in crops
            ]
        except DcnError as error:
            failures.append(Failure(spec.name, "", str(error)))
            continue
        middle = fmean(map(float, found))
        yield codec, f"{round(middle) if codec.whole else middle:g}"


def _time_size(
    settings: Sequence[tuple[BaselineCodec | DcnCodec, str]],
    size: str,
    pictures: Sequence[Pixels],
    rounds: int,
    failures: list[Failure],
) -> list[Timing]:
    """A codec that fails once is left out: ratios need all its turns."""
    runners = [
        _Runner(codec, Timing(codec.name, codec.title, setting, size))
        for codec, setting in settings
    ]
    for number, pixels in enumerate([pictures[0], *list(pictures) * rounds]):
        for runner in list(runners):
            try:
                runner.turn(pixels)
            except DcnError as error:
                failures.append(Failure(runner.codec.name, "", f"timing at {size}: {error}"))
                runners.remove(runner)
                continue
            if number == 0:
                runner.forget()
    return [runner.timing for runner in runners]


def _add_memory(timing: Timing, specs: Sequence[Spec], failures: list[Failure]) -> None:
    width, height = parse_size(timing.size)
    spec = next(spec for spec in specs if spec.name == timing.codec)
    name, setting = spec.name, timing.setting
    if spec.models:
        folders = {find_model(path).name: path for path in spec.models}
        # Of a model for all rates the setting is not a model's name, but the rate.
        name = folders.get(setting, spec.models[0])
        setting = "" if setting in folders else setting
    try:
        usages = both(name, setting, width, height, spec.effort)
    except DcnError as error:
        failures.append(Failure(timing.codec, "", str(error)))
        return
    timing.memory = {operation: usage.above for operation, usage in usages.items()}
