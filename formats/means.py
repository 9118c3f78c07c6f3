"""Finer means of regions: what rounding takes from colours in flat areas (SPEC.md, section 18).

In some models the first three channels tell the mean colour under each latent. Where latents beside
each other are alike, they are rounded alike, and a whole sky has one colour too light. A region's
mean error is therefore told in parts of a code word. Importing this module does not import numpy.
"""

from __future__ import annotations

from dcncodec.errors import FormatError
from dcncodec.formats.geometry import Area
from dcncodec.records import record, replace
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHANNELS = 3
"""Those of the means, the first ones."""
SIDE = 8
"""Latents along a side of a region."""
PARTS = 8
"""Of a code word. With lambda D as it is where files have the least R + lambda D, a squared step of
one code word is worth 6 / ln 2 bits, and the means of the 64 latents of a region as many times 64:
with steps of an eighth, what rounding loses and what it saves are in the same balance."""
MOST = 8
"""Parts in either direction."""

_TO_SYMBOLS = bytes((value + MOST) & 0xFF for value in range(256))
_FROM_SYMBOLS = bytes((symbol - MOST) & 0xFF for symbol in range(256))


@record
class Means:
    """What is added to the first three channels of a window of latents.

    Attributes:
        values: int8 (CHANNELS, rows, columns), -MOST..MOST parts, by channel and region.
        rows, columns: of regions in the latent plane.
        top, left: the window's first latent in the plane.
    """

    values: bytes
    rows: int
    columns: int
    top: int = 0
    left: int = 0

    def within(self, window: Area) -> Means:
        """Those of a window of the latent plane."""
        return replace(self, top=window.top, left=window.left)

    def added(self, latents: NDArray[np.int16]) -> NDArray[np.float32]:
        """Code words of the window with their means: (N, rows, columns)."""
        import numpy as np

        values = np.frombuffer(self.values, np.int8).reshape(CHANNELS, self.rows, self.columns)
        _, height, width = latents.shape
        rows = np.arange(self.top, self.top + height) // SIDE
        columns = np.arange(self.left, self.left + width) // SIDE
        exact = latents.astype(np.float32, order="C")
        exact[:CHANNELS] += values[:, rows[:, None], columns] * np.float32(1 / PARTS)
        return exact


def with_means(latents: NDArray[np.int16], means: Means | None) -> NDArray[np.float32]:
    """Code words of a window (N, rows, columns) as synthesis sees them, contiguous."""
    import numpy as np

    return latents.astype(np.float32, order="C") if means is None else means.added(latents)


def regions(plane: Area) -> tuple[int, int]:
    """Rows and columns of regions in a latent plane."""
    return -(-plane.rows // SIDE), -(-plane.columns // SIDE)


def pack_means(means: Means) -> bytes:
    """The payload of the section."""
    from dcncodec.formats import fse

    symbols = means.values.translate(_TO_SYMBOLS)
    return fse.compress(symbols) or symbols


def parse_means(payload: memoryview, plane: Area) -> Means:
    """The content of the section, whose checksum has been verified.

    Raises:
        FormatError: it is malformed.
    """
    rows, columns = regions(plane)
    count = CHANNELS * rows * columns
    if not 2 <= len(payload) <= count:
        raise FormatError(f"means have {len(payload)} bytes, not 2 to {count}")
    symbols = bytes(payload)
    if len(payload) < count:
        # Most files have no means, and are to be decoded at once.
        from dcncodec.formats import fse

        try:
            symbols = fse.decompress(payload, count, 2 * MOST)
        except FormatError as error:
            raise FormatError(f"means: {error}") from error
    if max(symbols) > 2 * MOST:
        raise FormatError(f"means hold {max(symbols)}, above {2 * MOST}")
    return Means(symbols.translate(_FROM_SYMBOLS), rows, columns)
