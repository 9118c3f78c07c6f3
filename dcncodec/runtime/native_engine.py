"""A codec's networks on the CPU, by the product's own C (``csrc/net``)."""

from __future__ import annotations

import mmap
from functools import cache

from dcncodec.errors import MissingLibraryError, ModelError
from dcncodec.formats.geometry import STRIDE, Area
from dcncodec.models.arrays import not_finite
from dcncodec.models.families import find_codec
from dcncodec.models.program import COLOURS, KNOTS, Transform
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Literal

    import numpy as np
    from numpy.typing import NDArray

    from dcncodec.formats.means import Means
    from dcncodec.formats.tensors import Tensor
    from dcncodec.models.card import ModelFolder
    from dcncodec.models.program import Program
    from dcncodec.runtime.engine import Memo

    Path = Literal["auto", "plain", "avx2", "avx512"]

FLAGS = ("depthwise", "side", "stride", "padding", "shuffle", "leaky", "wide", "compared")
"""What a layer has in Python and in C alike, besides its buffers."""


@cache
def _extension() -> Any:
    try:
        from dcncodec import _net
    except ImportError as error:
        raise MissingLibraryError(
            f"the networks' C core is not built ({error}); install dcncodec with pip, which needs "
            "a C compiler"
        ) from None
    return _net


def core_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16, in instructions that the C core has."""
    return bool(_extension().lib.dcn_net_has_bf16())


class NativeEngine:
    """See ``engine.Engine``.

    Args:
        model: a codec whose family has programs.
        threads: at most 16 of them work.
        bf16: whether factors are rounded to bfloat16, as the processor must be able to multiply.
        path: which instructions work; results differ by rounding.

    Raises:
        MissingLibraryError: the C core is not built.
        ModelError: the weights are missing or damaged.
    """

    steep_window: int | None = None

    def __init__(
        self, model: ModelFolder, threads: int, *, bf16: bool = False, path: Path = "auto"
    ) -> None:
        self._model, self._threads, self._bf16, self._path = model, threads, bf16, path
        # Damaged weights are told before the first picture is read.
        _ = model.content
        self._nets: dict[Transform, _Net] = {}
        self._gradient: _Net | None = None
        self._workspace: mmap.mmap | None = None

    @property
    def device(self) -> str:
        """See ``Engine``."""
        return "cpu"

    def analysis(
        self, pixels: NDArray[np.uint8], rate: int, memo: Memo | None = None
    ) -> NDArray[np.float32]:
        """See ``Engine``."""
        import numpy as np

        pixels = np.ascontiguousarray(pixels)
        rows, columns = pixels.shape[0] // STRIDE, pixels.shape[1] // STRIDE
        net = self._net(Transform.ANALYSIS)
        latent = np.empty((net.channels, rows, columns), np.float32)
        work, size = self._work(net, rows, columns)
        kept = None if memo is None else memo.kept
        known = kept is not None
        if memo is not None and not known:
            kept = _spare(net.check(net.lib.dcn_net_memo_size(net.net, rows, columns)))
        own = (net.ffi.NULL, 0, False)
        if isinstance(kept, mmap.mmap):
            own = (net.ffi.from_buffer(kept), len(kept), known)
        net.check(
            net.lib.dcn_net_analyse(
                net.net,
                net.ffi.from_buffer("float[]", latent),
                net.ffi.from_buffer("uint8_t[]", pixels),
                pixels.strides[0],
                *(rows, columns, own, rate, self._threads, work, size),
            )
        )
        if memo is not None:
            memo.kept = kept
        return latent

    def synthesis(
        self,
        latents: NDArray[np.int16],
        rate: int,
        part: Area | None = None,
        means: Means | None = None,
    ) -> NDArray[np.uint8]:
        """See ``Engine``."""
        import numpy as np

        latents = np.ascontiguousarray(latents)
        part = part or Area(0, 0, *latents.shape[1:])
        pixels = np.empty((part.rows * STRIDE, part.columns * STRIDE, COLOURS), np.uint8)
        self.synthesise(latents.data, rate, part, pixels, means)
        return pixels

    def synthesise(
        self, latents: memoryview, rate: int, part: Area, pixels: Any, means: Means | None = None
    ) -> None:
        """``synthesis`` without NumPy.

        Args:
            latents: int16 (N, h, w), contiguous.
            rate, part, means: as there.
            pixels: a writable buffer for those of the part.

        Raises:
            MemoryError: as ``Engine.synthesis``.
        """
        assert latents.shape is not None
        _, rows, columns = latents.shape
        net = self._net(Transform.SYNTHESIS)
        work, size = self._work(net, rows, columns)
        net.check(
            net.lib.dcn_net_synthesise(
                net.net,
                net.ffi.from_buffer("uint8_t[]", pixels),
                part.columns * STRIDE * COLOURS,
                (part.top, part.left, part.rows, part.columns),
                net.ffi.from_buffer("int16_t[]", latents),
                rows * columns,
                columns,
                *(rows, columns, net.means(means), rate, self._threads, work, size),
            )
        )

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
        """See ``Engine``."""
        import numpy as np

        net = self._gradient_net()
        latents, pixels = np.ascontiguousarray(latents), np.ascontiguousarray(pixels)
        counted = np.ascontiguousarray(counted)
        _, rows, columns = latents.shape
        scale = net.scale
        places = np.empty((rows, scale, columns, scale), np.float32)
        gradient = np.empty(latents.shape, np.float32) if steep else None
        work, size = self._work(net, rows, columns)
        net.check(
            net.lib.dcn_net_gradient(
                net.net,
                net.ffi.NULL if gradient is None else net.ffi.from_buffer("float[]", gradient),
                net.ffi.from_buffer("float[]", places),
                net.ffi.from_buffer("uint8_t[]", pixels),
                pixels.strides[0],
                net.ffi.from_buffer("uint8_t[]", counted),
                grey,
                net.ffi.from_buffer("int16_t[]", latents),
                rows * columns,
                columns,
                *(rows, columns, net.means(means), rate, self._threads, work, size),
            )
        )
        return places.sum((1, 3), dtype=np.float64), gradient

    def prepare(self, transform: Transform, rows: int, columns: int) -> None:
        """Make a network and its memory ready for a window of so many latents, as its first use
        would.

        Raises:
            MemoryError: there is too little.
            ModelError: its weights are damaged.
        """
        self._work(self._net(transform), rows, columns)

    def release(self) -> None:
        """See ``Engine``."""
        self._workspace = None

    def move_to_cpu(self) -> None:
        """See ``Engine``: it is there."""

    def _net(self, transform: Transform) -> _Net:
        if transform not in self._nets:
            program = find_codec(self._model.family).program(self._model, transform)
            self._nets[transform] = _Net(self._model, program, self._bf16, self._path)
        return self._nets[transform]

    def _gradient_net(self) -> _Net:
        if self._gradient is None:
            from dcncodec.models.gradient import gradient_of

            synthesis = find_codec(self._model.family).program(self._model, Transform.SYNTHESIS)
            program = gradient_of(synthesis)
            self._gradient = _Net(self._model, program, self._bf16, self._path)
        return self._gradient

    def _work(self, net: _Net, rows: int, columns: int) -> tuple[Any, int]:
        """The workspace, kept from window to window, and its size."""
        size = net.lib.dcn_net_workspace_size(net.net, rows, columns, self._threads)
        net.check(size)
        if self._workspace is None or len(self._workspace) < size:
            self._workspace = None
            self._workspace = _memory(size)
        return net.ffi.from_buffer("uint8_t[]", self._workspace), len(self._workspace)


class _Net:
    """A program as the C core has it."""

    def __init__(self, model: ModelFolder, program: Program, bf16: bool, path: Path) -> None:
        extension = _extension()
        self.ffi, self.lib = extension.ffi, extension.lib
        self.channels = program.channels
        compared = (layer.output for layer in program.layers if layer.compared)
        self.scale = program.buffers[next(compared, 0)].scale
        self._tensors: list[tuple[Tensor, Any]] = []
        parameters = self._parameters(program, bf16)
        chosen = getattr(self.lib, f"DCN_NET_{path.upper()}")
        try:
            self._memory = _memory(self.check(self.lib.dcn_net_size(parameters, chosen)))
            made = self.ffi.new("dcn_net **")
            memory = self.ffi.from_buffer("uint8_t[]", self._memory)
            self.check(self.lib.dcn_net_init(made, memory, len(self._memory), parameters, chosen))
        except ModelError as error:
            for tensor, own in self._tensors:
                if not self.lib.dcn_net_is_finite(own):
                    raise not_finite(model, tensor.name) from None
            error.about(model.weights)
            raise
        finally:
            # The C core has its own copies.
            del self._tensors
        self.net = made[0]

    def means(self, means: Means | None) -> Any:
        """As the C core takes them, which stay valid as long as these do."""
        if means is None:
            # All of them: what an initialiser leaves out would be anything.
            return (self.ffi.NULL, 0, 0, 0, 0)
        values = self.ffi.from_buffer("int8_t[]", means.values)
        return (values, means.rows, means.columns, means.top, means.left)

    def check(self, result: int) -> int:
        """What a function gives, if that is no error."""
        if self.lib.dcn_net_is_error(result):
            code = self.lib.dcn_net_error_code(result)
            name: bytes = self.ffi.string(self.lib.dcn_net_error_name(code))
            raise ModelError(f"networks: {name.decode()}")
        return result

    def _parameters(self, program: Program, bf16: bool) -> Any:
        ffi = self.ffi
        buffers = ffi.new("dcn_net_buffer[]", len(program.buffers))
        for own_buffer, buffer in zip(buffers, program.buffers, strict=True):
            own_buffer.channels, own_buffer.scale = buffer.channels, buffer.scale
            own_buffer.local = buffer.local
        layers = ffi.new("dcn_net_layer[]", len(program.layers))
        for own, layer in zip(layers, program.layers, strict=True):
            for name in ("input", "output", "add", "gate", "outputs", "inputs", *FLAGS):
                setattr(own, name, getattr(layer, name))
            for name in ("input_map", "output_map"):
                setattr(own, name, ffi.from_buffer("uint32_t[]", getattr(layer, name)))
            self._set_tensor(own.weight, layer.weight)
            self._set_tensor(own.bias, layer.bias)
            self._set_tensor(own.rate_bias, layer.rate_bias)
        parameters = ffi.new("dcn_net_parameters *")
        parameters.layer_count, parameters.buffer_count = len(layers), len(buffers)
        parameters.layers, parameters.buffers = layers, buffers
        transform = "gradient" if program.gradient else program.transform.value
        parameters.transform = getattr(self.lib, f"DCN_NET_{transform.upper()}")
        parameters.channels, parameters.stride = program.channels, STRIDE
        parameters.slope, parameters.gain = program.slope, program.gain
        parameters.knots, parameters.bf16 = KNOTS, bf16
        self._set_tensor(parameters.log_gains, program.log_gains)
        # What the structure points to must outlive it.
        self._kept = (program, buffers, layers)
        return parameters

    def _set_tensor(self, own: Any, tensor: Tensor | None) -> None:
        if tensor is None:
            return
        own.data = self.ffi.from_buffer(tensor.data)
        own.count = tensor.count
        own.type = getattr(self.lib, f"DCN_NET_{tensor.kind}")
        self._tensors.append((tensor, self.ffi.addressof(own)))


def _spare(size: int) -> mmap.mmap | None:
    """Memory that can be done without: None where there is too little, or nothing to keep."""
    try:
        return _memory(size) if size else None
    except MemoryError:
        return None


def _memory(size: int) -> mmap.mmap:
    """Fresh memory, all of it at once: page by page, as they are touched, takes twice as long, a
    third of what a small window's network takes."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)
    try:
        return mmap.mmap(-1, size, flags=flags)
    except OSError as error:
        raise MemoryError(str(error)) from None
