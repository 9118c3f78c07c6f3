"""A second decoder of context-coded blocks, written from formats/SPEC.md, section 16, alone: small,
slow, without numpy or C. It is also the oracle of the coder's tests.

A model is a dictionary of nested lists of integers under the names of section 16.2.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any

Model = dict[str, Any]
Planes = list[list[list[int]]]

ORDER = {
    "offsets": "b",
    "squash": "h",
    "neighbours.weight": "h",
    "before.weight": "h",
    "first.bias": "i",
    "first.shift": "B",
    "hidden.weight": "h",
    "hidden.bias": "i",
    "hidden.shift": "B",
    "mean.weight": "h",
    "mean.bias": "i",
    "mean.shift": "B",
    "scale.weight": "h",
    "scale.bias": "i",
    "scale.shift": "B",
    "linear_neighbours.weight": "h",
    "linear_before.weight": "h",
    "linear.shift": "B",
    "radius": "B",
    "low_bits": "B",
    "frequencies": "H",
}


def digest(model: Model) -> bytes:
    """Section 16.2."""
    total = hashlib.sha256()
    for name, kind in ORDER.items():
        rows = model[name]
        sizes = [len(rows)]
        if isinstance(rows[0], list):
            sizes.append(len(rows[0]))
            rows = [value for row in rows for value in row]
        total.update(struct.pack(f"<{len(sizes)}I", *sizes))
        total.update(struct.pack(f"<{len(rows)}{kind}", *rows))
    return total.digest()


def limited(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


def act(value: int) -> int:
    return limited(value if value >= 0 else value >> 3, -32768, 32767)


def dot(weights: list[int], values: list[int]) -> int:
    total = sum(w * v for w, v in zip(weights, values, strict=True))
    assert abs(total) < 2**31
    return total


class Network:
    """Section 16.3, for one block."""

    def __init__(self, model: Model, rate: int, planes: Planes) -> None:
        self.model, self.planes = model, planes
        self.channels, self.hidden = len(model["mean.weight"]), len(model["first.shift"])
        self.rows, self.columns = len(planes[0]), len(planes[0][0])
        self.first_bias = self.biases("first.bias", rate)
        self.scale_bias = self.biases("scale.bias", rate)
        self.degrees = [u * self.channels // self.hidden for u in range(self.hidden)]

    def biases(self, name: str, rate: int) -> list[int]:
        knots = self.model[name]
        i, f = divmod(rate * (len(knots) - 1), 255)
        after = knots[min(i + 1, len(knots) - 1)]
        return [(a * (255 - f) + b * f) // 255 for a, b in zip(knots[i], after, strict=True)]

    def begin(self, y: int, x: int) -> None:
        """Go to a place, of which nothing is known yet."""
        self.around: list[int] = []
        for dy, dx in self.model["offsets"]:
            inside = y + dy >= 0 and 0 <= x + dx < self.columns
            self.around += [p[y + dy][x + dx] if inside else 0 for p in self.planes]
        self.own = [0] * self.channels
        self.h1, self.h2 = [0] * self.hidden, [0] * self.hidden

    def clipped(self, latents: list[int]) -> list[int]:
        most = len(self.model["squash"]) - 1
        return [limited(z, -most, most) for z in latents]

    def squashed(self, latents: list[int]) -> list[int]:
        table = self.model["squash"]
        return [table[z] if z >= 0 else -table[-z] for z in self.clipped(latents)]

    def step(self, c: int) -> tuple[int, int]:
        """Mean and scale of the next channel."""
        m = self.model
        units = [u for u in range(self.hidden) if self.degrees[u] == c]
        for u in units:
            total = self.first_bias[u]
            total += dot(m["neighbours.weight"][u], self.squashed(self.around))
            total += dot(m["before.weight"][u], self.squashed(self.own))
            self.h1[u] = act(total >> m["first.shift"][u])
        for u in units:
            total = m["hidden.bias"][u] + dot(m["hidden.weight"][u], self.h1)
            self.h2[u] = limited(self.h1[u] + act(total >> m["hidden.shift"][u]), -32768, 32767)
        a = m["mean.bias"][c] + dot(m["mean.weight"][c], self.h2)
        b = dot(m["linear_neighbours.weight"][c], self.clipped(self.around))
        b += dot(m["linear_before.weight"][c], self.clipped(self.own))
        level = self.scale_bias[c] + dot(m["scale.weight"][c], self.h2)
        mean = ((a >> m["mean.shift"][c]) + (b >> m["linear.shift"][c])) >> 4
        scale = level >> m["scale.shift"][c]
        return limited(mean, -524288, 524287), limited(scale, 0, len(m["radius"]) - 1)


class Stream:
    """rANS of section 16.4."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 5
        self.state = int.from_bytes(data[:5], "little")
        assert self.state >= 2**24

    def refill(self) -> None:
        if self.state < 2**24:
            word = self.data[self.at : self.at + 2]
            assert len(word) == 2
            self.state = self.state * 2**16 + int.from_bytes(word, "little")
            self.at += 2
            assert self.state >= 2**24

    def number(self, bits: int) -> int:
        value = self.state % 2**bits
        self.state >>= bits
        self.refill()
        return value

    def symbol(self, frequencies: list[int]) -> int:
        t, start = self.state % 2**15, 0
        for i, frequency in enumerate(frequencies):
            if t < start + frequency:
                self.state = frequency * (self.state >> 15) + t - start
                self.refill()
                return i
            start += frequency
        raise AssertionError("frequencies do not add up")

    def latent(self, frequencies: list[int], low_bits: int, mean: int) -> int:
        radius = len(frequencies) // 2 - 1
        i = self.symbol(frequencies)
        j = i - radius
        if i == 2 * radius + 1:
            sign, length = self.number(1), self.number(4)
            j = radius + 2**length + self.number(length)
            j = -j if sign else j
        z = (mean >> 4) + 2**low_bits * j + self.number(low_bits)
        assert -32768 <= z <= 32767
        return z

    def finished(self) -> bool:
        return self.at == len(self.data) and self.state == 2**24


def tables(model: Model) -> list[list[list[int]]]:
    """Frequencies by scale and fraction."""
    at, found = 0, []
    for radius in model["radius"]:
        size = 2 * radius + 2
        found.append([model["frequencies"][at + f * size : at + (f + 1) * size] for f in range(16)])
        at += 16 * size
    return found


def streams(data: bytes) -> list[Stream]:
    """The table of streams."""
    at, sizes = 2, []
    for _ in range(data[1] - 1):
        size = shift = 0
        while data[at] > 127:
            size |= (data[at] & 127) << shift
            shift += 7
            at += 1
        sizes.append(size | data[at] << shift)
        at += 1
    found = []
    for size in [*sizes, len(data) - at - sum(sizes)]:
        found.append(Stream(data[at : at + size]))
        at += size
    return found


def block(model: Model, data: bytes, rows: int, columns: int, rate: int) -> Planes:
    """Latents (N, rows, columns) of a block (section 16.4)."""
    planes = [[[0] * columns for _ in range(rows)] for _ in model["mean.weight"]]
    if data[0] == 0:
        assert len(data) == 1
        return planes
    network, frequencies, coded = Network(model, rate, planes), tables(model), streams(data)
    for y in range(rows):
        stream = coded[y % len(coded)]
        for x in range(columns):
            network.begin(y, x)
            for c in range(data[0]):
                mean, scale = network.step(c)
                z = stream.latent(frequencies[scale][mean % 16], model["low_bits"][scale], mean)
                planes[c][y][x] = network.own[c] = z
    assert all(stream.finished() for stream in coded)
    return planes


def predictions(model: Model, planes: Planes, rate: int) -> tuple[Planes, Planes]:
    """Means and scales of latents that are all known."""
    network = Network(model, rate, planes)
    means = [[[0] * network.columns for _ in rows] for rows in planes]
    scales = [[[0] * network.columns for _ in rows] for rows in planes]
    for y in range(network.rows):
        for x in range(network.columns):
            network.begin(y, x)
            for c, plane in enumerate(planes):
                means[c][y][x], scales[c][y][x] = network.step(c)
                network.own[c] = plane[y][x]
    return means, scales
