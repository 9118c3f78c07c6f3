"""The context coder as the coder of a codec; ``formats.context`` has the model behind it."""

from __future__ import annotations

from dcncodec.errors import FormatError, ModelError
from dcncodec.formats.context import ContextModel
from dcncodec.formats.geometry import Area, Geometry
from dcncodec.formats.sections import Buffer
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dcncodec.formats.coder import Latents


class ContextCoder:
    """A context model as a ``ModelCoder``.

    Args:
        model: what predicts.
        geometry: the codec's latents; code words outside of it are refused.
        threads: that may share the work; the bytes do not depend on it.

    Raises:
        ModelError: the model has another number of channels than the codec.
    """

    def __init__(self, model: ContextModel, geometry: Geometry, threads: int = 1) -> None:
        if model.channels != geometry.channels:
            raise ModelError(
                f"context model: has {model.channels} channels, the codec has {geometry.channels}"
            )
        self.model, self.geometry, self.threads = model, geometry, threads
        self.sha256 = model.sha256

    def encode(self, latents: Latents, rate: int = 0) -> bytes:
        """See ``Coder``."""
        if latents.min() < self.geometry.first or latents.max() > self.geometry.last:
            raise ValueError(
                f"code words {latents.min()}..{latents.max()} are not in "
                f"{self.geometry.first}..{self.geometry.last}"
            )
        return self.model.encode(latents, rate, self.threads)

    def decode(self, block: Buffer, area: Area, rate: int = 0) -> Latents:
        """See ``Coder``."""
        import numpy as np

        return np.asarray(self.decode_view(block, area, rate))

    def decode_view(self, block: Buffer, area: Area, rate: int = 0) -> memoryview:
        """The same without NumPy: a view of int16 (N, rows, columns)."""
        latents = self.model.decode_view(block, area.rows, area.columns, rate, self.threads)
        least, most = self.model.range_of(latents)
        if least < self.geometry.first or most > self.geometry.last:
            raise FormatError(
                f"holds code words {least}..{most}, the model has "
                f"{self.geometry.first}..{self.geometry.last}"
            )
        return latents

    def bits(self, latents: Latents, rate: int = 0) -> NDArray[np.float32]:
        """See ``Coder``."""
        return self.model.bits(latents, rate, self.threads)

    def quantise(
        self,
        targets: NDArray[np.float32],
        curvature: float,
        rate: int = 0,
        *,
        centred: bool = False,
    ) -> Latents:
        """See ``ModelCoder``."""
        import numpy as np

        weights = np.full(len(targets), curvature, np.float32)
        first, last = self.geometry.first, self.geometry.last
        return self.model.quantise(
            targets, weights, first, last, rate, self.threads, centred=centred
        )
