"""Plain facts of the format, and rectangles of its latent plane (SPEC.md, sections 1 and 11).

Everything else may import this module; it imports nothing but the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dcncodec.records import record

STRIDE = 8
"""Pixels per latent in each direction, the same for every model (DCN paper, Fig. 2)."""

CODEBOOK_MIN, CODEBOOK_MAX = -15, 16
"""Ends of the paper's codebook of integers (DCN paper, section 3.2)."""
CODEBOOK_SIZE = CODEBOOK_MAX - CODEBOOK_MIN + 1
"""Code words; an index, 0..31, is a code word less ``CODEBOOK_MIN``."""

MAX_SIDE = 255
"""Latents per side of a block and channels of a block: the bit-stream's uint8."""

MAX_RATE = 255
"""Of models with variable rate; 0 is the fewest bits."""
SINGLE_RATE = 128
"""What stands for the rate of models that have one; nothing depends on it."""

MAX_DIMENSION = 2**24 - 1
"""Pixels per side of an image: 4 bytes as a varint, and a product that fits 48 bits."""
MAX_PIXELS = 400_000_000
"""Pixels per image unless told otherwise: 20,000 x 20,000, 1.2 GB of RGB, 2.8 GB while read."""

HASH_BYTES = 8
"""Bytes of a weight file's SHA-256 that a file records."""

MAX_NAME = 32
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
"""Names of models, at most ``MAX_NAME`` characters."""
NAME_RULE = f"1 to {MAX_NAME} of the characters a-z 0-9 . _ - with a letter or digit first"


@record
class Geometry:
    """What a model's latents are; its card says so, without any network.

    Attributes:
        channels: N, 1..255.
        halo: latents around a window that can influence it, for either transform.
        first: the smallest code word.
        words: number of code words.
        stride: pixels per latent in each direction.
        rates: whether the model has one rate for each of 0..255, or a single one.
        means: whether the first channels tell the mean colours (``formats.means``).
    """

    channels: int
    halo: int
    first: int = CODEBOOK_MIN
    words: int = CODEBOOK_SIZE
    stride: int = STRIDE
    rates: bool = False
    means: bool = False

    @property
    def last(self) -> int:
        """The largest code word."""
        return self.first + self.words - 1

    @property
    def has_codebook(self) -> bool:
        """Whether the code words are those of the paper's codebook, which the bit-stream codes."""
        return (self.first, self.words) == (CODEBOOK_MIN, CODEBOOK_SIZE)


@record
class Area:
    """A rectangle of the latent plane: rows top..bottom, columns left..right (half-open)."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def rows(self) -> int:
        """From top to bottom."""
        return self.bottom - self.top

    @property
    def columns(self) -> int:
        """From left to right."""
        return self.right - self.left

    def grown(self, margin: int, limit: Area) -> Area:
        """The area with ``margin`` on all sides, cut at ``limit``."""
        return Area(
            max(self.top - margin, limit.top),
            max(self.left - margin, limit.left),
            min(self.bottom + margin, limit.bottom),
            min(self.right + margin, limit.right),
        )

    def windows(self, side: int) -> Iterator[Area]:
        """Areas of at most ``side`` x ``side``, of about equal size, that partition this one."""
        for top, bottom in _spans(self.top, self.bottom, side):
            for left, right in _spans(self.left, self.right, side):
                yield Area(top, left, bottom, right)

    def seen_from(self, outer: Area) -> Area:
        """The same area where the first latent of ``outer`` is at 0, 0."""
        return Area(
            self.top - outer.top,
            self.left - outer.left,
            self.bottom - outer.top,
            self.right - outer.left,
        )

    def within(self, outer: Area, scale: int = 1) -> tuple[slice, slice]:
        """Slices of this area in an array that holds ``outer``, ``scale`` elements a latent."""
        area = self.seen_from(outer)
        return (
            slice(area.top * scale, area.bottom * scale),
            slice(area.left * scale, area.right * scale),
        )

    def latents_in(self, outer: Area) -> tuple[slice, slice, slice]:
        """Slices of this area in latents (N, rows, columns) of ``outer``."""
        return (slice(None), *self.within(outer))


def _spans(start: int, stop: int, side: int) -> Iterator[tuple[int, int]]:
    count = -(-(stop - start) // side)
    for i in range(count):
        yield start + (stop - start) * i // count, start + (stop - start) * (i + 1) // count
