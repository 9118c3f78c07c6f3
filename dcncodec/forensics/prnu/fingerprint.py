"""Maximum-likelihood estimates of a sensor's fingerprint (Chen et al. 2008, equation 6).

A photo I has the residual W; then K = sum(W I) / sum(I^2) over the photos, colour by colour,
without saturated samples. Both sums are additive: photos come in any order, in parts, years later.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from dcncodec.errors import ImageError, UsageError
from dcncodec.forensics.prnu.residual import (
    Block,
    Floats,
    Pixels,
    inner,
    residual_blocks,
    to_grey,
    wiener,
    zero_mean,
)

SATURATED = 250
"""Samples from here on tell nothing of the gain behind them."""
CENTRE = 1024
"""Side of the part in the middle whose halves of the photos are compared."""
DIGEST_BYTES = 8


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What a sensor leaves in its photos.

    Attributes:
        values: float32 (H, W), K in grey, zero-meaned and filtered.
        photos: how many it was estimated from.
        source: where they lay.
        pipeline: which camera pipeline developed them; "" for finished photos.
        consistency: NCC of the fingerprints of two halves of the photos, in the middle part; None
            where a half is empty.
    """

    values: Floats
    photos: int
    source: str = ""
    pipeline: str = ""
    consistency: float | None = None

    @property
    def expected_pce(self) -> float | None:
        """The PCE that a photo like those it was estimated from will have, roughly.

        With a share 1 / (1 + c) of one photo's residual being fingerprint, n photos correlate with
        K as n / (n + c) (squared), and the consistency of n / 2 tells c.
        """
        if self.consistency is None or not 0 < self.consistency < 1:
            return None
        c = self.photos / 2 * (1 - self.consistency) / self.consistency
        return self.values.size / (1 + c) * self.photos / (self.photos + c)


@dataclass(eq=False)
class Estimator:
    """The sums over the photos of one camera.

    Attributes:
        products, squares: float32 (H, W, 3), sums of W I and of I^2; empty before the first photo.
        halves: the same two of every second photo, in the middle part.
        digests: what tells photos apart, hexadecimal, in the order in which they came.
    """

    products: Floats = field(default_factory=lambda: np.zeros((0, 0, 3), np.float32))
    squares: Floats = field(default_factory=lambda: np.zeros((0, 0, 3), np.float32))
    halves: tuple[Floats, Floats] = field(
        default_factory=lambda: (np.zeros((0, 0, 3), np.float32), np.zeros((0, 0, 3), np.float32))
    )
    digests: list[str] = field(default_factory=list)

    @property
    def photos(self) -> int:
        """How many were added."""
        return len(self.digests)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width; (0, 0) before the first photo."""
        height, width, _ = self.products.shape
        return height, width

    def add(self, pixels: Pixels) -> bool:
        """Add a photo, uint8 (H, W, 3), as the sensor gave it: not scaled, cropped or turned.

        Returns:
            Whether it counts; a photo that was added before does not.

        Raises:
            ImageError: it has another size than those before, is too small, or is saturated
                everywhere.
        """
        self.check_size(*pixels.shape[:2])
        digest = digest_of(pixels)
        if digest in self.digests:
            return False
        if pixels.min() >= SATURATED:
            raise ImageError("is saturated everywhere: nothing of the sensor is left")
        blocks = residual_blocks(pixels)
        first = next(blocks)
        if not self.photos:
            self.allocate(*pixels.shape[:2])
        second_half = self.photos % 2 == 1
        middle = self._middle()
        for place, noise in chain([first], blocks):
            light = pixels[place].astype(np.float32)
            light[pixels[place] >= SATURATED] = 0
            product = np.multiply(noise, light, out=noise)
            square = np.square(light, out=light)
            self.products[place] += product
            self.squares[place] += square
            if second_half:
                for half, part in zip(self.halves, (product, square), strict=True):
                    _add_shared(half, middle, part, place)
        self.digests.append(digest)
        return True

    def merge(self, other: Estimator) -> None:
        """Add all photos of another one.

        Raises:
            ImageError: they have another size.
            UsageError: both know some photo, which would count twice.
        """
        if not other.photos:
            return
        self.check_size(*other.size)
        common = set(self.digests) & set(other.digests)
        if common:
            raise UsageError(f"{len(common)} photos are in both; each may count once only")
        if not self.photos:
            self.allocate(*other.size)
        self.products += other.products
        self.squares += other.squares
        place = self._middle()
        sums = zip(self.halves, other.halves, (other.products, other.squares), strict=True)
        for half, more, whole in sums:
            # Halves take turns; after an odd number of photos those of the other one change places.
            np.add(half, whole[place] - more if self.photos % 2 else more, out=half)
        self.digests += other.digests

    def check_size(self, height: int, width: int) -> None:
        """ImageError where photos of a size cannot be added to those before."""
        if self.photos and (height, width) != self.size:
            raise ImageError(
                f"has {width} x {height} pixels, those before {self.size[1]} x {self.size[0]}: a "
                "fingerprint needs whole photos of one size, as the sensor gave them"
            )

    def fingerprint(self, source: str = "", pipeline: str = "") -> Fingerprint:
        """What the photos tell of the sensor.

        Raises:
            ImageError: fewer than two photos were added.
        """
        values = finished(self.estimate())
        return Fingerprint(values, self.photos, source, pipeline, self.consistency())

    def estimate(self) -> Floats:
        """K in grey, (H, W), before it is filtered; raises as ``fingerprint``."""
        if self.photos < 2:
            raise ImageError("one photo is all content: a fingerprint needs two, better 20 or more")
        return _maximum_likelihood(self.products, self.squares)

    def consistency(self) -> float:
        """``Fingerprint.consistency``."""
        products, squares = self.halves
        place = self._middle()
        first = finished(_maximum_likelihood(products, squares))
        others = self.products[place] - products, self.squares[place] - squares
        return ncc(first, finished(_maximum_likelihood(*others)))

    def allocate(self, height: int, width: int) -> None:
        """Sums of no photo yet, of photos of a size."""
        whole, half = sum_shapes(height, width)
        self.products, self.squares = np.zeros(whole, np.float32), np.zeros(whole, np.float32)
        self.halves = np.zeros(half, np.float32), np.zeros(half, np.float32)

    def clear(self) -> None:
        """Forget all photos, and give the memory back."""
        self.allocate(0, 0)
        self.digests = []

    def _middle(self) -> Block:
        """The part in the middle: rows and columns, the first ones even."""
        rows, columns = (
            slice(first := (side - min(side, CENTRE)) // 4 * 2, first + min(side, CENTRE))
            for side in self.size
        )
        return rows, columns


def sum_shapes(height: int, width: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Of an estimator's sums, and of those of the halves."""
    return (height, width, 3), (min(height, CENTRE), min(width, CENTRE), 3)


def finished(values: Floats) -> Floats:
    """A fingerprint of an estimate of K in grey, (H, W)."""
    return wiener(zero_mean(values))


def ncc(first: Floats, second: Floats) -> float:
    """Normalised correlation of two planes (H, W), in [-1, 1]; 0 where one of them is constant."""
    count = first.size
    x, y = (float(plane.sum(dtype=np.float64)) / count for plane in (first, second))
    energies = (inner(p, p) - count * m**2 for p, m in ((first, x), (second, y)))
    scale = math.sqrt(max(math.prod(energies), 0))
    return (inner(first, second) - count * x * y) / scale if scale > 0 else 0.0


def digest_of(pixels: Pixels) -> str:
    """What tells a photo apart from all others, hexadecimal."""
    content = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=DIGEST_BYTES)
    return content.hexdigest()


def _add_shared(half: Floats, middle: Block, part: Floats, place: Block) -> None:
    """Add what a block of the photo has in common with the part in the middle."""
    inside, outside = [], []
    for target, source, size in zip(middle, place, part.shape[:2], strict=True):
        low, high = max(target.start, source.start), min(target.stop, source.start + size)
        if low >= high:
            return
        inside.append(slice(low - target.start, high - target.start))
        outside.append(slice(low - source.start, high - source.start))
    half[tuple(inside)] += part[tuple(outside)]


def _maximum_likelihood(products: Floats, squares: Floats) -> Floats:
    """(H, W, 3) sums to K in grey; 1 added to the squares keeps photo-sites without light at 0."""
    values = np.empty(products.shape[:2], np.float32)
    # Row by row: temporary copies of large sums would not fit.
    for row, product, square in zip(values, products, squares, strict=True):
        row[:] = to_grey(product / (square + 1))
    return values
