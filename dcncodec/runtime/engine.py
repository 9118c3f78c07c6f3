"""What runs a codec's two networks, and which of the runtimes does."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from dcncodec.errors import MissingLibraryError, UsageError
from dcncodec.models.families import has_graphs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dcncodec.models.card import ModelFolder

Precision = Literal["auto", "bf16", "fp32"]

DEVICES = re.compile(r"auto|cpu|cuda(:\d{1,3})?")
GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Of the drivers of GPUs: without one of them there is no need to load torch to ask for any."""


class Engine(Protocol):
    """A codec's networks on a device, for a window at a time.

    Attributes:
        device: where they run, ``cpu`` or ``cuda:N``.
    """

    @property
    def device(self) -> str:
        """See above."""
        ...

    def analysis(self, pixels: NDArray[np.uint8], rate: int) -> NDArray[np.float32]:
        """The latent, in units of the quantiser's step.

        Args:
            pixels: (H, W, 3), H and W multiples of the stride.
            rate: 0..255, ignored by networks of one rate.

        Returns:
            (N, H / stride, W / stride).

        Raises:
            MemoryError, RuntimeError: there is too little memory (``errors.is_out_of_memory``).
        """
        ...

    def synthesis(self, latents: NDArray[np.int16], rate: int) -> NDArray[np.uint8]:
        """Pixels (stride * h, stride * w, 3) of code words (N, h, w).

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
    """CPU threads that share the work, one a core where none are asked for."""
    cores = len(os.sched_getaffinity(0))
    return min(threads or cores, cores)


def is_busy() -> bool:
    """Whether others use this machine, so that threads of ours that wait should not spin: that
    makes an idle machine a fifth faster and a busy one several times slower."""
    return os.getloadavg()[0] > len(os.sched_getaffinity(0)) / 2


def choose_runtime(device: str, precision: Precision) -> Literal["onnx", "torch"]:
    """What runs networks: torch on GPUs, where it is installed, and in bfloat16.

    Raises:
        UsageError: there is no such device or precision.
    """
    if DEVICES.fullmatch(device) is None:
        raise UsageError(f"--device {device}: choose auto, cpu, cuda or cuda:N")
    if precision not in {"auto", "bf16", "fp32"}:
        raise UsageError(f"--precision {precision}: choose auto, bf16 or fp32")
    return "torch" if precision == "bf16" or _on_gpu_by_torch(device) else "onnx"


def open_engine(
    model: ModelFolder, device: str, precision: Precision, threads: int | None = None
) -> Engine:
    """A model's networks, ready to run.

    Args:
        model: a codec.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``bf16`` or ``fp32``; auto is float32 on CPUs.
        threads: on the CPU, at most one a core; None for as many.

    Raises:
        MissingLibraryError: a runtime is not installed.
        ModelError: the weights are missing, damaged, or do not fit the card.
        UsageError: there is no such device or precision.
    """
    graphs = has_graphs(model.family)
    if choose_runtime(device, precision) == "torch" or not graphs:
        try:
            return _with_torch(model, device, precision, threads)
        except MissingLibraryError as error:
            what = "bfloat16" if graphs else f"{model.path}: family {model.family} has no graphs"
            raise MissingLibraryError(f"{what}: {error}") from None
    from dcncodec.runtime.onnx_engine import OnnxEngine

    return OnnxEngine(model, device, choose_threads(threads))


def has_gpu() -> bool:
    """Whether this machine may have a GPU: a driver is there."""
    return any(Path(file).exists() for file in GPU_FILES)


def _on_gpu_by_torch(device: str) -> bool:
    if device == "cpu" or find_spec("torch") is None:
        return False
    if device != "auto":
        return True
    if not has_gpu():
        return False
    import torch

    return torch.cuda.is_available()


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
        raise MissingLibraryError("this needs torch: pip install 'dcncodec[train]'") from None
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
