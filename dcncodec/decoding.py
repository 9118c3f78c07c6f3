"""Pictures of .dcn files without NumPy, which takes longer to load than a small one to decode.

``codec.Codec`` decodes whatever there is; this what is plain: colour without alpha and exact tiles,
coded by a context model, of at most ``MAX_LATENTS``, on the CPU.
"""

from __future__ import annotations

from threading import Thread

from dcncodec.entropy import check_model, coder_of, means_of
from dcncodec.formats.geometry import STRIDE
from dcncodec.models.coders import CONTEXT
from dcncodec.models.program import Transform
from dcncodec.runtime.engine import choose_runtime, choose_threads
from dcncodec.runtime.native_engine import NativeEngine, core_has_bf16
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from dcncodec.formats.geometry import Area
    from dcncodec.formats.png import Samples
    from dcncodec.formats.reader import Reader
    from dcncodec.models.card import ModelFolder

MAX_LATENTS = 2**14
"""A window's worth (``runtime.windows``), of a megapixel."""


def is_plain(file: Reader, model: ModelFolder) -> bool:
    """Whether ``decode`` can do it, and nothing has to be told about the picture."""
    header = file.header
    return (
        not header.grey
        and not header.alpha
        and file.palette is None
        and file.coding is not None
        and header.plane.rows * header.plane.columns <= MAX_LATENTS
        and header.block_count == 1
        and file.wrong_orientation is None
        and choose_runtime("auto", "auto") == "native"
        and CONTEXT in model.parts
    )


def decode(file: Reader, model: ModelFolder, threads: int | None = None) -> Samples:
    """The pixels of a plain picture.

    Args:
        file: as ``container.read`` gives it.
        model: that it names.
        threads: at most one a core; None for as many.

    Raises:
        FormatError: the file is damaged.
        MemoryError: there is too little.
        ModelError: the file was encoded with another model, or the model is damaged.
    """
    check_model(file.header, model)
    count = choose_threads(threads)
    header, plane = file.header, file.header.plane
    engine = _Engine(model, count, plane)
    if count > 1:
        engine.start()
    # While the engine's thread works, what it does not need is loaded.
    from dcncodec.formats.context_coder import ContextCoder
    from dcncodec.formats.png import Samples

    coder = coder_of(file, model, count)
    assert isinstance(coder, ContextCoder)
    latents = coder.decode_view(file.block(0), plane, file.rate)
    pitch = plane.columns * STRIDE * 3
    pixels = bytearray(plane.rows * STRIDE * pitch)
    means = means_of(file, model)
    engine.ready().synthesise(latents, file.rate, plane, pixels, means)
    return Samples(pixels, header.width, header.height, 3, pitch)


class _Engine(Thread):
    """A model's synthesis, made ready beside the decoding of latents once the thread is started."""

    def __init__(self, model: ModelFolder, threads: int, plane: Area) -> None:
        super().__init__()
        self._model, self._threads, self._plane = model, threads, plane
        self._engine: NativeEngine | None = None
        self._error: Exception | None = None

    def run(self) -> None:
        """Make it ready."""
        try:
            self._engine = NativeEngine(self._model, self._threads, bf16=core_has_bf16())
            self._engine.prepare(Transform.SYNTHESIS, self._plane.rows, self._plane.columns)
        except Exception as error:
            self._error = error

    def ready(self) -> NativeEngine:
        """The engine.

        Raises:
            MemoryError, ModelError: as it does.
        """
        if self.ident is None:
            self.run()
        else:
            self.join()
        if self._error is not None:
            raise self._error
        assert self._engine is not None
        return self._engine
