"""A second FSE decoder, slow and plain, written from RFC 8878: the oracle of the tests.

It shares nothing with the coder in C. Bits are kept in one Python integer.
"""

from __future__ import annotations


def read_table(block: bytes) -> tuple[list[int], int, int]:
    """Parse a table description (RFC 8878, 4.1.1).

    Returns:
        Probabilities by symbol (-1: less than one), accuracy log, bytes used.
    """
    bits = int.from_bytes(block, "little")
    position = 0

    def take(count: int) -> int:
        nonlocal position
        value = bits >> position & ((1 << count) - 1)
        position += count
        return value

    log = take(4) + 5
    left = 1 << log
    probabilities: list[int] = []
    while left > 0:
        # Values 0..left + 1 are possible; the small ones take one bit less.
        width = (left + 1).bit_length()
        low_values = (1 << width) - 1 - (left + 1)
        value = take(width - 1)
        if value >= low_values:
            value += take(1) << (width - 1)
            if value >= 1 << (width - 1):
                value -= low_values
        probability = value - 1
        probabilities.append(probability)
        left -= abs(probability)
        if probability == 0:
            repeat = 3
            while repeat == 3:
                repeat = take(2)
                probabilities += [0] * repeat
    assert left == 0
    return probabilities, log, -(-position // 8)


def build_table(probabilities: list[int], log: int) -> list[tuple[int, int, int]]:
    """Symbol, bits and base of every state (RFC 8878, 4.1.1)."""
    size = 1 << log
    symbols: list[int | None] = [None] * size
    top = size
    for symbol, probability in enumerate(probabilities):
        if probability == -1:
            top -= 1
            symbols[top] = symbol
    position = 0
    for symbol, probability in enumerate(probabilities):
        for _ in range(max(0, probability)):
            symbols[position] = symbol
            position = (position + (size >> 1) + (size >> 3) + 3) % size
            while position >= top:
                position = (position + (size >> 1) + (size >> 3) + 3) % size
    table = []
    seen = [abs(p) for p in probabilities]
    for symbol in symbols:
        assert symbol is not None
        state = seen[symbol]
        seen[symbol] += 1
        bits = log - (state.bit_length() - 1)
        table.append((symbol, bits, (state << bits) - size))
    return table


def decode(block: bytes, count: int) -> bytes:
    """The ``count`` (at least 2) symbols of a block (RFC 8878, 4.2.1.2: two states)."""
    probabilities, log, used = read_table(block)
    table = build_table(probabilities, log)
    stream = int.from_bytes(block[used:], "little")
    left = stream.bit_length() - 1  # the highest set bit only marks the end

    def take(width: int) -> int:
        nonlocal left
        left -= width
        assert left >= 0
        return stream >> left & ((1 << width) - 1)

    states = [take(log), take(log)]
    symbols = bytearray()
    for i in range(count):
        symbol, bits, base = table[states[i % 2]]
        symbols.append(symbol)
        if i < count - 2:
            states[i % 2] = base + take(bits)
    assert left == 0
    return bytes(symbols)
