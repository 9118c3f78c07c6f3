"""Measures every codec at every setting on every image, in several processes.

Each measurement runs on one thread, so that results do not depend on the number of processes, and
is kept in a cache under all that it depends on: the codec's version, the setting, the image's
pixels and the metrics.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

import torch

from dcncodec.bench import metrics
from dcncodec.bench.cache import Cache
from dcncodec.bench.codecs import Spec
from dcncodec.bench.datasets import Item, Pixels, digest
from dcncodec.bench.points import Failure, Point, is_measured
from dcncodec.errors import DcnError
from dcncodec.runtime.devices import torch_threads

METRICS_VERSION = 1
"""To be raised when a metric's values change: part of what cached results depend on."""


@dataclass
class Outcome:
    """What a run gave.

    Attributes:
        points: in the order of codecs, images and settings.
        failures: what was skipped.
        cached: how many points came from the cache.
    """

    points: list[Point] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    cached: int = 0


@dataclass(frozen=True)
class Job:
    """One measurement."""

    spec: Spec
    item: Item
    setting: str
    perceptual: bool


def run(
    specs: Sequence[Spec],
    items: Sequence[Item],
    *,
    workers: int = 1,
    cache: Cache | None = None,
    perceptual: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Measure codecs on images.

    Args:
        workers: processes.
        cache: where results are looked up and kept.
        perceptual: also SSIMULACRA 2.
        progress: called with the points that are done and their total.

    Raises:
        DcnError: nothing can be measured at all (no memory, cache that cannot be written, the
            library of a metric is missing).
    """
    cache = cache or Cache(None)
    if perceptual:
        metrics.check_perceptual()
    outcome = Outcome()
    keys: dict[Job, dict[str, Any]] = {}
    digests = _digests(items, outcome.failures)
    for spec in specs:
        try:
            codec = spec.open()
            versions = {setting: codec.version(setting) for setting in codec.settings}
        except DcnError as error:
            outcome.failures.append(Failure(spec.name, "", str(error)))
            continue
        for item in items:
            for setting in codec.settings if item in digests else ():
                keys[Job(spec, item, setting, perceptual)] = {
                    "codec": spec.name,
                    "version": versions[setting],
                    "setting": setting,
                    "image": digests[item],
                    "metrics": [METRICS_VERSION, perceptual],
                }
    results: dict[Job, dict[str, Any] | str] = {}
    for job, key in keys.items():
        if (known := cache.get(key)) is not None and is_measured(known):
            results[job] = known
    outcome.cached = len(results)
    progress(len(results), len(keys))
    for job, result in _measure_all([job for job in keys if job not in results], workers):
        results[job] = result
        if not isinstance(result, str):
            cache.put(keys[job], result)
        progress(len(results), len(keys))
    _collect(outcome, {job: results[job] for job in keys})
    return outcome


def _digests(items: Sequence[Item], failures: list[Failure]) -> dict[Item, str]:
    found = {}
    for item in items:
        try:
            found[item] = digest(item.load())
        except DcnError as error:
            failures.append(Failure("", item.name, error.reason))
    return found


def _collect(outcome: Outcome, results: dict[Job, dict[str, Any] | str]) -> None:
    failed: dict[tuple[Spec, str, str], list[str]] = {}
    for job, result in results.items():
        if isinstance(result, str):
            failed.setdefault((job.spec, job.item.name, result), []).append(job.setting)
        else:
            outcome.points.append(Point(job.spec.name, job.setting, job.item.name, **result))
    for (spec, image, reason), settings in failed.items():
        # An image that a codec refuses mostly fails at every setting alike.
        where = ""
        if len(settings) < len(spec.open().settings):
            where = f"setting {', '.join(settings)}: "
        outcome.failures.append(Failure(spec.name, image, where + reason))


def _measure_all(jobs: list[Job], workers: int) -> Iterator[tuple[Job, dict[str, Any] | str]]:
    if workers == 1 or len(jobs) < 2:
        with torch_threads(1):
            for job in jobs:
                yield job, measure(job)
        return
    # Not forked: torch's threads do not survive it.
    context = multiprocessing.get_context("spawn")
    count = min(workers, len(jobs))
    with ProcessPoolExecutor(count, context, torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(measure, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise DcnError(
                "a worker process was killed, probably for lack of memory; run again with fewer "
                "--workers: what is done is kept"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def measure(job: Job) -> dict[str, Any] | str:
    """The fields of a ``Point``, or why it failed, in one line."""
    try:
        pixels = _pixels(job.item)
        codec = job.spec.open()
        data = codec.encode(pixels, job.setting)
        decoded = codec.decode(data)
        distortion = metrics.measure(pixels, decoded, perceptual=job.perceptual)
    except DcnError as error:
        return str(error)
    except MemoryError:
        return "not enough memory; use fewer --workers"
    height, width = pixels.shape[:2]
    return {
        "width": width,
        "height": height,
        "bytes_file": len(data),
        "bytes_payload": codec.payload(data),
        **asdict(distortion),
    }


@lru_cache(maxsize=2)
def _pixels(item: Item) -> Pixels:
    return item.load()
