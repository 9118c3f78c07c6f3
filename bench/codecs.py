"""Every codec of the benchmark behind one interface, dcn's models among them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

import dcncodec
from dcncodec import encoder, formats, models, runtime
from dcncodec.bench import metrics
from dcncodec.bench.names import EFFORT_MARK, LADDER, model_of, split_effort
from dcncodec.codec import Codec
from dcncodec.encoder.effort import check_effort
from dcncodec.errors import UsageError
from dcncodec.formats import container
from dcncodec.formats.geometry import MAX_RATE
from dcncodec.formats.peers.baselines import BASELINES, Baseline
from dcncodec.models.card import ModelFolder
from dcncodec.models.registry import PAPER_MODELS, find_model, list_models
from dcncodec.runtime.devices import choose_device, choose_precision
from dcncodec.runtime.engine import choose_runtime
from dcncodec.runtime.native_engine import core_has_bf16

if TYPE_CHECKING:
    from dcncodec.runtime.engine import Precision

Pixels = NDArray[np.uint8]

RATES = (0, 36, 73, 109, 146, 182, 219, 255)
"""Settings of a rate-distortion curve of a model for all rates."""
DEFAULT_BASELINES = ("jpeg", "jpeg420", "jpeg2000", "webp", "avif", "avif-iq", "jxl", "bpg")


class BenchCodec(Protocol):
    """What the benchmark asks of a codec.

    Attributes:
        name, title: in commands; in plots and tables.
        settings: of a rate-distortion curve, from the fewest to the most bits.
    """

    name: str
    title: str
    settings: tuple[str, ...]

    def version(self, setting: str) -> str:
        """What a cached result depends on beside the image; MissingLibraryError without it."""
        ...

    def encode(self, pixels: Pixels, setting: str) -> bytes:
        """A complete file of RGB pixels, uint8 (H, W, 3)."""
        ...

    def decode(self, data: bytes) -> Pixels:
        """The pixels of such a file."""
        ...

    def payload(self, data: bytes) -> int:
        """Bytes of effective payload (DCN paper, section 3.5)."""
        ...


class BaselineCodec:
    """A codec of ``formats.baselines`` with a number of threads."""

    def __init__(self, baseline: Baseline, threads: int) -> None:
        self.baseline, self.threads = baseline, threads
        self.name, self.title = baseline.name, baseline.title
        self.settings = tuple(f"{setting:g}" for setting in baseline.settings)

    def version(self, setting: str) -> str:
        """The library's version and the code that calls it."""
        return f"{self.baseline.version()}, {sources()}"

    def encode(self, pixels: Pixels, setting: str) -> bytes:
        """See ``BenchCodec``."""
        return self.baseline.compress(pixels, float(setting), self.threads)

    def decode(self, data: bytes) -> Pixels:
        """See ``BenchCodec``."""
        return self.baseline.decompress(data, self.threads)

    def payload(self, data: bytes) -> int:
        """See ``BenchCodec``."""
        return self.baseline.payload(data)

    def encode_near(self, pixels: Pixels, bytes_payload: float) -> tuple[str, bytes]:
        """The setting whose payload is nearest to a number of bytes, and its file."""
        base = self.baseline
        worst, best = base.span
        steps = round(abs(best - worst)) if base.whole else 256

        def setting(step: int) -> str:
            # Ratios of settings that are rates, differences of all others.
            if base.whole:
                return f"{worst + (best - worst) * step / steps:g}"
            return f"{worst * (best / worst) ** (step / steps):.4g}"

        return _nearest(self, pixels, bytes_payload, steps, setting)

    @property
    def whole(self) -> bool:
        """Whether settings are whole numbers."""
        return self.baseline.whole


def _nearest(
    codec: BenchCodec,
    pixels: Pixels,
    bytes_payload: float,
    steps: int,
    setting: Callable[[int], str],
) -> tuple[str, bytes]:
    """Of settings whose payload rises from step 0 to ``steps``, the nearest, and its file."""
    tried: dict[int, bytes] = {}

    def size(step: int) -> int:
        if step not in tried:
            tried[step] = codec.encode(pixels, setting(step))
        return codec.payload(tried[step])

    low, high = 0, steps
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) <= bytes_payload else (low, middle)
    nearest = min((low, high), key=lambda step: abs(size(step) - bytes_payload))
    return setting(nearest), tried[nearest]


class DcnCodec:
    """One or more dcn models; a setting is a model's name."""

    def __init__(
        self,
        name: str,
        models: Sequence[ModelFolder],
        device: str,
        precision: Precision,
        threads: int,
    ) -> None:
        self.name = self.title = name
        self.models = {model.name: model for model in models}
        self.settings = tuple(self.models)
        self.device, self.precision, self.threads = device, precision, threads
        self._loaded: dict[str, Codec] = {}

    def version(self, setting: str) -> str:
        """Package, weights, runtime, number format and the code."""
        parts = (part.sha256 for part in self.models[setting].parts.values())
        return (
            f"dcncodec {dcncodec.__version__}, {' '.join(parts)}, "
            f"{_runtime(self.device, self.precision)}, {sources()}"
        )

    def loaded(self, setting: str) -> Codec:
        """The loaded model.

        Raises:
            ModelError: it is damaged.
        """
        if setting not in self._loaded:
            self._loaded[setting] = Codec(
                self.models[setting],
                device=self.device,
                precision=self.precision,
                threads=self.threads,
            )
        return self._loaded[setting]

    def encode(self, pixels: Pixels, setting: str) -> bytes:
        """See ``BenchCodec``."""
        return self.loaded(setting).encode(pixels)

    def decode(self, data: bytes) -> Pixels:
        """See ``BenchCodec``."""
        return self.loaded(container.read_header(data).model).decode(data).pixels

    def payload(self, data: bytes) -> int:
        """The coded blocks, the paper's whole bit-stream, exact tiles and means."""
        file = container.read(data, max_pixels=None)
        sections = map(file.block_section, range(file.header.block_count))
        exact = () if file.palette is None else file.palette.areas
        coded = sum(s.payload_end - s.payload_start for s in sections)
        return coded + sum(map(len, exact)) + file.means_bytes


def _runtime(device: str, precision: Precision) -> str:
    """What runs networks, its version, where and in which number format."""
    runtime = choose_runtime(device, precision)
    if runtime == "onnx":
        return f"onnxruntime {metadata.version('onnxruntime')}, {device}"
    if runtime == "native":
        return f"native, {'bf16' if precision != 'fp32' and core_has_bf16() else 'fp32'}"
    chosen = choose_device(device)
    return f"torch {torch.__version__}, {chosen.type}, {choose_precision(precision, chosen)}"


class RatedCodec(DcnCodec):
    """A dcn model for all rates; a setting is a rate.

    Attributes:
        model: its folder.
        effort: the level with which it encodes.
    """

    whole = True

    def __init__(
        self,
        name: str,
        model: ModelFolder,
        device: str,
        precision: Precision,
        threads: int,
        effort: int,
    ) -> None:
        super().__init__(name, [model], device, precision, threads)
        self.settings = tuple(map(str, RATES))
        self.effort, self.model = effort, model

    def version(self, setting: str) -> str:
        """See ``DcnCodec``."""
        plain = super().version(self.model.name)
        return f"{plain}, effort {self.effort}" if self.effort else plain

    def loaded(self, setting: str) -> Codec:
        """The model, whatever the setting."""
        return super().loaded(self.model.name)

    def encode(self, pixels: Pixels, setting: str) -> bytes:
        """See ``BenchCodec``."""
        return self.loaded(setting).encode(pixels, rate=int(setting), effort=self.effort)

    def encode_near(self, pixels: Pixels, bytes_payload: float) -> tuple[str, bytes]:
        """The rate whose payload is nearest to a number of bytes, and its file.

        With an effort about the nearest: the search is for files without it, larger by what it
        saves at a rate nearby, because ten files with it would take as long as all of a report.
        """
        if not self.effort:
            return _nearest(self, pixels, bytes_payload, MAX_RATE, str)
        plain = copy(self)
        plain.effort = 0
        setting, data = plain.encode_near(pixels, bytes_payload)
        saved = self.payload(data) / self.payload(self.encode(pixels, setting))
        setting, _ = plain.encode_near(pixels, bytes_payload * saved)
        return setting, self.encode(pixels, setting)


@dataclass(frozen=True)
class Spec:
    """Which codec, in a form that other processes open again.

    Attributes:
        name: of a baseline, ``dcn``, or of a model.
        models: the weight folders of a dcn codec.
        device, precision: of a dcn codec.
        threads: of the processor.
        effort: of a model for all rates.
    """

    name: str
    models: tuple[str, ...] = ()
    device: str = "cpu"
    precision: Precision = "auto"
    threads: int = 1
    effort: int = 0

    def open(self) -> BaselineCodec | DcnCodec | RatedCodec:
        """The codec; each process opens it once."""
        return _open(self)

    def with_threads(self, threads: int) -> Spec:
        """The same codec with another number of threads."""
        return replace(self, threads=threads)


@lru_cache(maxsize=32)
def _open(spec: Spec) -> BaselineCodec | DcnCodec | RatedCodec:
    if not spec.models:
        return BaselineCodec(BASELINES[spec.name], spec.threads)
    models = [find_model(path) for path in spec.models]
    if models[0].geometry.rates:
        return RatedCodec(
            spec.name, models[0], spec.device, spec.precision, spec.threads, spec.effort
        )
    return DcnCodec(spec.name, models, spec.device, spec.precision, spec.threads)


def specs(
    names: Sequence[str], *, device: str = "cpu", precision: Precision = "auto"
) -> list[Spec]:
    """The codecs of a run.

    Args:
        names: baselines, ``dcn`` (the paper's models), names or folders of models,
            of those for all rates also with a level of effort (``dcn-vr@6``); none means dcn, every
            other installed model and ``DEFAULT_BASELINES``.
        device, precision: of dcn's networks.

    Raises:
        UsageError: there is no codec or model of a name.
    """
    installed = {model.name: model for model in list_models()}
    ladder = [installed[name] for name in PAPER_MODELS if name in installed]
    if not names:
        others = [name for name in installed if name not in PAPER_MODELS]
        names = [*([LADDER] if ladder else []), *others, *DEFAULT_BASELINES]
    found: dict[str, Spec] = {}
    for name in names:
        if name in BASELINES:
            spec = Spec(name)
        else:
            plain, level = split_effort(name)
            models = ladder if plain == LADDER and ladder else [model_of(plain)]
            title = LADDER if plain == LADDER else models[0].name
            if level:
                check_effort(int(level), models[0])
                title += f"{EFFORT_MARK}{int(level)}"
            paths = tuple(str(model.path) for model in models)
            spec = Spec(title, paths, device, precision, effort=int(level or 0))
        if found.setdefault(spec.name, spec) != spec:
            raise UsageError(f"--codec {name}: another model is called {spec.name}; rename one")
    return list(found.values())


@cache
def sources() -> str:
    """A hash of all code that decides a result, so that the cache follows edits."""
    content = hashlib.sha256()
    for path in sorted(code()):
        content.update(path.read_bytes())
    return content.hexdigest()[:16]


def code() -> set[Path]:
    """The files of the package, C extensions too, below and in what the benchmark measures with.

    Trainings, forensics and commands change neither a file's bytes nor a figure.
    """
    root = Path(dcncodec.__file__).parent
    found = {*root.glob("*.py"), *root.glob("_*.so"), *map(Path, (metrics.__file__, __file__))}
    for package in (encoder, formats, models, runtime):
        for folder in package.__path__:
            found |= set(Path(folder).rglob("*.py"))
    return found
