"""What runs a codec's two networks, and which of the runtimes does."""

from __future__ import annotations

import os
import re

from dcncodec.errors import MissingLibraryError, UsageError, no_torch
from dcncodec.models.families import has_programs
from dcncodec.runtime.native_engine import NativeEngine, core_has_bf16
from dcncodec.typed import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import Literal

    import numpy as np
    from numpy.typing import NDArray

    from dcncodec.formats.geometry import Area
    from dcncodec.formats.means import Means
    from dcncodec.models.card import ModelFolder

    Precision = Literal["auto", "bf16", "fp32"]

    Runtime = Literal["native", "onnx", "torch"]

DEVICE_NAMES = "auto, cpu, cuda or cuda:N"
DEVICE_RULE = f"choose {DEVICE_NAMES}"
DEVICES = r"auto|cpu|cuda(:\d{1,3})?"
GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Of the drivers of GPUs: without one of them there is no need to load torch to ask for any."""


class Memo:
    """What an analysis of a window leaves for others of the same pixels at other rates.

    Attributes:
        kept: an engine's own; None as long as there is nothing.
    """

    kept: object = None


class Engine(Protocol):
    """A codec's networks on a device, for a window at a time.

    Attributes:
        device: where they run, ``cpu`` or ``cuda:N``.
        steep_window: side in latents of the largest window that ``errors`` should be asked for;
            None for what ``synthesis`` gets.
    """

    steep_window: int | None

    @property
    def device(self) -> str:
        """See above."""
        ...

    def analysis(
        self, pixels: NDArray[np.uint8], rate: int, memo: Memo | None = None
    ) -> NDArray[np.float32]:
        """The latent, in units of the quantiser's step.

        Args:
            pixels: (H, W, 3), H and W multiples of the stride.
            rate: 0..255, ignored by networks of one rate.
            memo: of these pixels and this engine, which may use it: the latent is the same.

        Returns:
            (N, H / stride, W / stride).

        Raises:
            MemoryError, RuntimeError: there is too little memory (``errors.is_out_of_memory``).
        """
        ...

    def synthesis(
        self,
        latents: NDArray[np.int16],
        rate: int,
        part: Area | None = None,
        means: Means | None = None,
    ) -> NDArray[np.uint8]:
        """Pixels of code words.

        Args:
            latents: (N, h, w).
            rate: as in ``analysis``.
            part: of these latents, the first one at 0, 0; None for all.
            means: of the window that they are.

        Returns:
            The part's pixels, (stride * rows, stride * columns, 3).

        Raises:
            MemoryError, RuntimeError: as ``analysis``.
        """
        ...

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
        """Squared errors of a window's pixels, not rounded to whole levels.

        Args:
            latents: (N, h, w), code words.
            rate: as in ``analysis``.
            pixels: those that are wanted, (stride * h, stride * w, 3).
            counted: which of them count, (stride * h, stride * w).
            means: as in ``synthesis``.
            grey: whether the luminance is shown in all colours.
            steep: whether the gradient is asked for.

        Returns:
            Sums over the pixels and colours of every latent, (h, w), in levels of 255; and the
            gradient of the sum of all of them, of the latents' shape, or None.

        Raises:
            MemoryError, RuntimeError: as ``analysis``.
        """
        ...

    def release(self) -> None:
        """Give back memory that is kept for later."""
        ...

    def move_to_cpu(self) -> None:
        """Run there from now on."""
        ...


def choose_threads(threads: int | None) -> int:
    """CPU threads that share the work, one a core where none are asked for.

    Raises:
        UsageError: there is no such number of threads.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"threads {threads}: choose 1 or more")
    cores = len(os.sched_getaffinity(0))
    return min(threads or cores, cores)


def is_busy() -> bool:
    """Whether others use this machine, so that threads of ours that wait should not spin: that
    makes an idle machine a fifth faster and a busy one several times slower."""
    return os.getloadavg()[0] > len(os.sched_getaffinity(0)) / 2


def choose_runtime(device: str, precision: Precision) -> Runtime:
    """What runs networks: on GPUs torch, or ONNX Runtime where that is not installed; on CPUs the
    product's own C core, or torch in bfloat16 on processors that the core has no instructions for.

    Raises:
        MissingLibraryError: the C core is not built.
        UsageError: there is no such device or precision.
    """
    # The default is known without compiling the expression.
    if device != "auto" and not re.fullmatch(DEVICES, device):
        raise UsageError(f"--device {device}: {DEVICE_RULE}")
    if precision not in {"auto", "bf16", "fp32"}:
        raise UsageError(f"--precision {precision}: choose auto, bf16 or fp32")
    gpu = _runtime_of_gpu(device)
    if gpu is not None:
        return "torch" if precision == "bf16" else gpu
    return "torch" if precision == "bf16" and not core_has_bf16() else "native"


def open_engine(
    model: ModelFolder, device: str, precision: Precision, threads: int | None = None
) -> Engine:
    """A model's networks, ready to run.

    Args:
        model: a codec.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``bf16`` or ``fp32``; auto is bfloat16 where the processor or GPU
            multiplies it.
        threads: on the CPU, at most one a core; None for as many.

    Raises:
        MissingLibraryError: a runtime is not installed.
        ModelError: the weights are missing, damaged, or do not fit the card.
        UsageError: there is no such device or precision.
    """
    runtime = choose_runtime(device, precision)
    programs = has_programs(model.family)
    if runtime == "torch" or not programs:
        try:
            return _with_torch(model, device, precision, threads)
        except MissingLibraryError as error:
            what = (
                "bfloat16" if programs else f"{model.path}: family {model.family} has no programs"
            )
            error.reason = f"{what}: {error.reason}"
            raise
    if runtime == "onnx":
        from dcncodec.runtime.onnx_engine import OnnxEngine

        return OnnxEngine(model, device, choose_threads(threads))
    return NativeEngine(
        model, choose_threads(threads), bf16=precision != "fp32" and core_has_bf16()
    )


def has_gpu() -> bool:
    """Whether this machine may have a GPU: a driver is there."""
    return any(map(os.path.exists, GPU_FILES))


def _runtime_of_gpu(device: str) -> Literal["onnx", "torch"] | None:
    """What would use a GPU that is asked for, or there; None for the CPU."""
    if device == "cpu" or (device == "auto" and not has_gpu()):
        return None
    from importlib.util import find_spec

    if find_spec("torch") is not None:
        if device != "auto":
            return "torch"
        import torch

        return "torch" if torch.cuda.is_available() else None
    if device != "auto":
        return "onnx"
    if find_spec("onnxruntime") is None:
        return None
    from dcncodec.runtime.onnx_engine import has_cuda

    return "onnx" if has_cuda() else None


def load_torch(threads: int | None = None) -> None:
    """Import torch; let it use a number of threads in all of this process, as ``choose_threads``.

    On a busy machine none of them waits in vain, unless the variable, which OpenMP reads when it is
    loaded, is set.

    Raises:
        MissingLibraryError: it is not installed.
    """
    if is_busy():
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import torch
    except ModuleNotFoundError:
        raise no_torch() from None
    torch.set_num_threads(choose_threads(threads))


def _with_torch(
    model: ModelFolder, device: str, precision: Precision, threads: int | None
) -> Engine:
    load_torch(threads)
    from dcncodec.models.load import load_codec
    from dcncodec.runtime.devices import choose_device, choose_precision
    from dcncodec.runtime.torch_engine import TorchEngine

    chosen = choose_device(device)
    return TorchEngine(load_codec(model), chosen, choose_precision(precision, chosen))
