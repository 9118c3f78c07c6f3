"""A codec's networks in ONNX Runtime, from graphs that are made of the weights on the spot.

They take a hundredth of a second to make, so that none need to be bundled, kept or trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import MissingLibraryError, UsageError, is_out_of_memory
from dcncodec.formats.geometry import STRIDE, Area
from dcncodec.formats.means import with_means
from dcncodec.models.families import write_graph
from dcncodec.models.program import Transform
from dcncodec.runtime.engine import is_busy
from dcncodec.runtime.native_engine import NativeEngine, core_has_bf16

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from dcncodec.formats.means import Means
    from dcncodec.models.card import ModelFolder
    from dcncodec.runtime.engine import Memo

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
WHOLE = Area(0, 0, 0, 0)
"""Where parts of a window are counted from."""
SILENT = 4
"""Of the levels on which ONNX Runtime writes to standard error; what fails is raised, too."""


class OnnxEngine:
    """See ``engine.Engine``.

    Args:
        model: a codec.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        threads: on the CPU.

    Raises:
        MissingLibraryError: ONNX Runtime is not installed.
        ModelError: the weights are missing or damaged.
        UsageError: it has no provider for the device.
    """

    steep_window: int | None = None

    def __init__(self, model: ModelFolder, device: str, threads: int) -> None:
        self._model, self._threads = model, threads
        # Damaged weights are told before the first picture is read.
        _ = model.content
        self._device = _choose(device)
        self._rated = model.geometry.rates
        self._sessions: dict[Transform, InferenceSession] = {}
        self._native: NativeEngine | None = None

    @property
    def device(self) -> str:
        """See ``Engine``."""
        return self._device

    def analysis(
        self, pixels: NDArray[np.uint8], rate: int, memo: Memo | None = None
    ) -> NDArray[np.float32]:
        """See ``Engine``; a memo stays empty."""
        feed = {"pixels": np.ascontiguousarray(pixels[None])}
        latent: NDArray[np.float32] = self._run(Transform.ANALYSIS, feed, rate)
        return latent

    def synthesis(
        self,
        latents: NDArray[np.int16],
        rate: int,
        part: Area | None = None,
        means: Means | None = None,
    ) -> NDArray[np.uint8]:
        """See ``Engine``."""
        feed = {"latent": with_means(latents, means)[None]}
        pixels: NDArray[np.uint8] = self._run(Transform.SYNTHESIS, feed, rate)
        return pixels if part is None else pixels[part.within(WHOLE, STRIDE)]

    def errors(
        self,
        latents: NDArray[np.int16],
        rate: int,
        pixels: NDArray[np.uint8],
        counted: NDArray[np.bool_],
        means: Means | None = None,
        *,
        grey: bool,
        steep: bool,
    ) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
        """See ``Engine``: graphs have no gradients, the C core has, on the CPU."""
        if self._native is None:
            self._native = NativeEngine(self._model, self._threads, bf16=core_has_bf16())
        return self._native.errors(latents, rate, pixels, counted, means, grey=grey, steep=steep)

    def release(self) -> None:
        """See ``Engine``: sessions keep memory for later."""
        self._sessions.clear()
        self._native = None

    def move_to_cpu(self) -> None:
        """See ``Engine``."""
        self._device = "cpu"
        self._sessions.clear()

    def _run(self, transform: Transform, feed: dict[str, Any], rate: int) -> Any:
        if self._rated:
            feed["rate"] = np.array([rate], np.float32)
        try:
            if transform not in self._sessions:
                self._sessions[transform] = self._open(transform)
            return self._sessions[transform].run(None, feed)[0][0]
        except Exception as error:
            # ONNX Runtime's own classes are no RuntimeError.
            if is_out_of_memory(RuntimeError(str(error))):
                raise MemoryError(str(error)) from None
            raise

    def _open(self, transform: Transform) -> InferenceSession:
        ort = _library()
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = SILENT
        # Windows differ in size; patterns of memory kept for each take more of it, and time.
        options.enable_mem_pattern = False
        if is_busy():
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        content = write_graph(self._model, transform)
        return ort.InferenceSession(content, options, providers=self._providers())

    def _providers(self) -> list[Any]:
        if self._device == "cpu":
            return [CPU]
        return [(CUDA, {"device_id": self._device.partition(":")[2] or "0"}), CPU]


def _library() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise MissingLibraryError(
            "networks need ONNX Runtime: pip install onnxruntime, or onnxruntime-gpu"
        ) from None
    return onnxruntime


def has_cuda() -> bool:
    """Whether ONNX Runtime, which is installed, can use a GPU."""
    return CUDA in _library().get_available_providers()


def _choose(device: str) -> str:
    there = device != "cpu" and has_cuda()
    if device == "auto":
        return "cuda:0" if there else "cpu"
    if device != "cpu" and not there:
        raise UsageError(
            f"--device {device}: neither torch nor onnxruntime-gpu is installed; use --device cpu, "
            "or pip install 'dcncodec[train]'"
        )
    return device
