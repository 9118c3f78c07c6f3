"""The context coder in C (``csrc/context``) for Python: integer latents to bytes and back.

    model = ContextModel.from_bytes(weight_file)       # a safetensors file, names `context.*`
    block = model.encode(latents, rate)                # int16 (N, rows, columns)
    latents = model.decode(block, rows, columns, rate)
    bits = model.bits(latents, rate)                   # estimate for searches

Everything is integers and the same on every machine (SPEC.md, section 16). Torch is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from dcncodec.errors import FormatError, MissingLibraryError, ModelError
from dcncodec.formats.context_tensors import PREFIX, TENSORS, checked, digest, parse, sizes_of
from dcncodec.formats.geometry import MAX_RATE, MAX_SIDE
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Literal

    import numpy as np
    from numpy.typing import NDArray

    from dcncodec.formats.sections import Buffer

    Latents = NDArray[np.int16]

    Path = Literal["auto", "plain", "avx2", "vnni"]


@cache
def _extension() -> Any:
    try:
        from dcncodec import _context
    except ImportError as error:
        raise MissingLibraryError(
            f"the context coder is not built ({error}); install dcncodec with pip, which needs a "
            "C compiler"
        ) from None
    return _context


class ContextModel:
    """A checked model; it may be used by several threads at once.

    Args:
        tensors: every tensor of ``TENSORS`` by its name, without prefix, in anything with the
            buffer protocol.
        path: which instructions evaluate the network; all give the same results.

    Attributes:
        tensors: as given, in read-only views.
        channels: N.
        sha256: of all tensors, see ``digest``.

    Raises:
        ModelError: a tensor is missing, or its type, shape or values are not valid.
    """

    def __init__(self, tensors: Mapping[str, Any], path: Path = "auto") -> None:
        self.tensors = checked(tensors)
        sizes = sizes_of(self.tensors)
        self.channels = sizes["N"]
        self.sha256 = digest(self.tensors)
        extension = _extension()
        self._ffi, self._lib = extension.ffi, extension.lib
        parameters = self._parameters(sizes)
        size = self._valid(self._lib.dcn_context_model_size(parameters))
        self._memory = self._ffi.new("uint8_t[]", size)
        model = self._ffi.new("dcn_context **")
        self._valid(
            self._lib.dcn_context_init(
                model,
                self._memory,
                size,
                parameters,
                getattr(self._lib, f"DCN_CONTEXT_{path.upper()}"),
            )
        )
        self._model = model[0]

    @classmethod
    def from_bytes(cls, content: bytes, path: Path = "auto") -> ContextModel:
        """The model in a weight file, beside whatever else the file holds.

        Args:
            content: a safetensors file.

        Raises:
            ModelError: the file is damaged or has no valid context model.
        """
        return cls(parse(content), path)

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """All tensors under the names that a weight file has."""
        import numpy as np

        return {PREFIX + name: np.asarray(tensor) for name, tensor in self.tensors.items()}

    def encode(self, latents: Latents, rate: int = 0, threads: int = 1) -> bytes:
        """A block of any code words.

        Args:
            latents: int16 (N, rows, columns), rows and columns 1..255.
            rate: 0..255; models of one rate ignore it.
            threads: how many threads may share the work; the bytes do not depend on it.

        Raises:
            ValueError: latents of another type or shape, or a rate out of range.
        """
        import numpy as np

        latents, rows, columns = self._block(latents)
        bound = self._lib.dcn_context_bound(self._model, rows, columns)
        # Hardly a block needs a byte per latent; the bound allows for seven.
        for capacity in (latents.size + 4096, bound):
            block = np.empty(capacity, np.uint8)
            result = self._run(
                "encode",
                rows,
                columns,
                rate,
                threads,
                self._ffi.from_buffer("uint8_t[]", block),
                capacity,
                self._ffi.from_buffer("int16_t[]", latents),
            )
            if not self._lib.dcn_context_is_error(result):
                return block[:result].tobytes()
        raise ValueError(self._message(result))

    def decode(
        self,
        block: Buffer,
        rows: int,
        columns: int,
        rate: int = 0,
        threads: int = 1,
    ) -> Latents:
        """The code words of a block, int16 (N, rows, columns).

        Arguments and errors are those of ``decode_view``.
        """
        import numpy as np

        return np.asarray(self.decode_view(block, rows, columns, rate, threads))

    def decode_view(
        self,
        block: Buffer,
        rows: int,
        columns: int,
        rate: int = 0,
        threads: int = 1,
    ) -> memoryview:
        """The same without NumPy: a view of (N, rows, columns).

        Args:
            block: all of its bytes and no more.
            rows, columns: of the block, 1..255.
            rate: as it was encoded, 0..255.
            threads: how many threads may share the work.

        Raises:
            FormatError: the block is damaged.
            ValueError: rows, columns or rate out of range.
        """
        if not (1 <= rows <= MAX_SIDE and 1 <= columns <= MAX_SIDE):
            raise ValueError(f"a block of {rows} x {columns} latents; sides are 1 to {MAX_SIDE}")
        latents = bytearray(2 * self.channels * rows * columns)
        result = self._run(
            "decode",
            rows,
            columns,
            rate,
            threads,
            self._ffi.from_buffer("int16_t[]", latents),
            self._ffi.from_buffer("uint8_t[]", block),
            len(block),
        )
        if self._lib.dcn_context_is_error(result):
            raise FormatError(f"context-coded data: {self._message(result)}")
        return memoryview(latents).cast("h", (self.channels, rows, columns))

    def predict(
        self, latents: Latents, rate: int = 0, threads: int = 1
    ) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """What the network says of every latent, for counting.

        Returns:
            Means in 1/16 code words, int32, and indices of scales, uint8, both (N, rows, columns).

        Raises:
            ValueError: as ``encode``.
        """
        import numpy as np

        latents, rows, columns = self._block(latents)
        means = np.empty(latents.shape, np.int32)
        scales = np.empty(latents.shape, np.uint8)
        self._run(
            "predict",
            rows,
            columns,
            rate,
            threads,
            self._ffi.from_buffer("int32_t[]", means),
            self._ffi.from_buffer("uint8_t[]", scales),
            self._ffi.from_buffer("int16_t[]", latents),
        )
        return means, scales

    def bits(self, latents: Latents, rate: int = 0, threads: int = 1) -> NDArray[np.float32]:
        """Bits that every latent takes, float32 (N, rows, columns), without the streams' ends.

        Channels behind the last one that is not all zero take none.

        Raises:
            ValueError: as ``encode``.
        """
        import numpy as np

        latents, rows, columns = self._block(latents)
        bits = np.empty(latents.shape, np.float32)
        self._run(
            "bits",
            rows,
            columns,
            rate,
            threads,
            self._ffi.from_buffer("float[]", bits),
            self._ffi.from_buffer("int16_t[]", latents),
        )
        return bits

    def quantise(
        self,
        targets: NDArray[np.float32],
        weights: NDArray[np.float32],
        least: int,
        most: int,
        rate: int = 0,
        threads: int = 1,
        *,
        centred: bool = False,
    ) -> Latents:
        """Code words for latents that are not whole yet, with less bits for their distance.

        In the order of coding, each takes the code word between the nearest and its mean that is
        least in bits + weight * distance^2, given those before it.

        Args:
            targets: float32 (N, rows, columns), rows and columns 1..255.
            weights: float32 (N,), bits for a distance of one code word in each channel.
            least, most: the code words that there are, of 16 bits, 0 among them.
            rate: 0..255; models of one rate ignore it.
            threads: how many threads may share the work; the result does not depend on it.
            centred: distances are from the centre of mass of what rounds to a code word, which
                decoders that have learned restore, instead of from the code word.

        Returns:
            int16 (N, rows, columns).

        Raises:
            ValueError: arrays of another type or shape, or a rate or code words out of range.
        """
        import numpy as np

        targets, rows, columns = self._block(targets, "float32")
        if weights.dtype != np.float32 or weights.shape != (self.channels,):
            raise ValueError(f"weights are {weights.dtype} {weights.shape}, not float32 (N,)")
        latents = np.empty(targets.shape, np.int16)
        result = self._run(
            "quantise",
            rows,
            columns,
            rate,
            threads,
            self._ffi.from_buffer("int16_t[]", latents),
            self._ffi.from_buffer("float[]", targets),
            self._ffi.from_buffer("float[]", np.ascontiguousarray(weights)),
            centred,
            least,
            most,
        )
        if self._lib.dcn_context_is_error(result):
            raise ValueError(f"code words {least}..{most}: {self._message(result)}")
        return latents

    def range_of(self, latents: Any) -> tuple[int, int]:
        """The least and the largest of code words.

        Args:
            latents: int16, contiguous, at least one.
        """
        words = self._ffi.from_buffer("int16_t[]", latents)
        found = self._ffi.new("int16_t[2]")
        self._lib.dcn_context_range(found, words, len(words))
        return found[0], found[1]

    def _parameters(self, sizes: dict[str, int]) -> Any:
        """The C structure over the tensors, which outlive it."""
        parameters = self._ffi.new("dcn_context_parameters *")
        fields = {"channels": "N", "hidden": "H", "neighbours": "K", "knots": "Q"} | {
            "scales": "S",
            "squash_size": "T",
            "frequency_count": "F",
        }
        for field, letter in fields.items():
            setattr(parameters, field, sizes[letter])
        for name, (kind, _) in TENSORS.items():
            field = name.replace("neighbours.", "neighbour_").replace(".", "_")
            pointer = self._ffi.from_buffer(f"{kind}_t[]", self.tensors[name])
            setattr(parameters, field, pointer)
        return parameters

    def _block(self, latents: NDArray[Any], kind: str = "int16") -> tuple[NDArray[Any], int, int]:
        import numpy as np

        if latents.dtype != kind or latents.ndim != 3 or latents.shape[0] != self.channels:
            raise ValueError(
                f"latents are {latents.dtype} {latents.shape}, not {kind} ({self.channels}, H, W)"
            )
        _, rows, columns = latents.shape
        if not (1 <= rows <= MAX_SIDE and 1 <= columns <= MAX_SIDE):
            raise ValueError(f"latents of shape {latents.shape}; sides are 1 to {MAX_SIDE}")
        return np.ascontiguousarray(latents), rows, columns

    def _run(
        self, name: str, rows: int, columns: int, rate: int, threads: int, *arguments: Any
    ) -> int:
        """Call a function of the library with its workspace."""
        if not 0 <= rate <= MAX_RATE:
            raise ValueError(f"rate {rate} is not in 0..{MAX_RATE}")
        threads = min(max(1, threads), 16)
        size = self._lib.dcn_context_workspace_size(self._model, rows, columns, threads)
        workspace = bytearray(size)
        return int(
            getattr(self._lib, f"dcn_context_{name}")(
                self._model,
                *arguments,
                rows,
                columns,
                rate,
                threads,
                self._ffi.from_buffer("uint8_t[]", workspace),
                size,
            )
        )

    def _valid(self, result: int) -> int:
        if self._lib.dcn_context_is_error(result):
            raise ModelError(f"context model: {self._message(result)}")
        return result

    def _message(self, result: int) -> str:
        code = self._lib.dcn_context_error_code(result)
        name: bytes = self._ffi.string(self._lib.dcn_context_error_name(code))
        return name.decode()
