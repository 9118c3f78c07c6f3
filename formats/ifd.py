"""TIFF directories as bytes: entries read, changed and packed without interpreting their values.

EXIF blocks are such structures, TIFF files begin with one. Values stay as they are, so that text of
any coding and numbers of any kind come back byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from dcncodec.records import record, replace

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
         16: 8, 17: 8, 18: 8}  # fmt: skip
"""Bytes of one value of each field type (TIFF 6.0, section 2; BigTIFF)."""
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I",
            16: "Q", 17: "q", 18: "Q"}  # fmt: skip
MAX_ENTRIES = 4096
"""Of one directory; those in use have fewer than 100."""

ReadAt = Callable[[int, int], bytes]
"""Bytes from an offset on: at most as many as asked for, fewer at the end."""


class DirectoryError(Exception):
    """A structure that cannot be followed."""


@record
class Entry:
    """One field of a directory.

    Attributes:
        kind: its field type.
        count: its number of values.
        value: them, in the byte order of the structure.
        place: offset of these bytes in the structure.
    """

    tag: int
    kind: int
    count: int
    value: bytes
    place: int = 0

    def numbers(self, order: str) -> tuple[float, ...]:
        """The values, where they are numbers; rationals as quotients (x / 0 as 0)."""
        if self.kind in {5, 10}:
            parts = struct.unpack(
                f"{order}{2 * self.count}{'I' if self.kind == 5 else 'i'}", self.value
            )
            pairs = zip(parts[::2], parts[1::2], strict=True)
            return tuple(above / below if below else 0.0 for above, below in pairs)
        if code := _NUMBERS.get(self.kind):
            return struct.unpack(f"{order}{self.count}{code}", self.value)
        return ()

    def swapped(self, order: str, other: str) -> Entry:
        """The entry in another byte order; bytes and text are the same in both."""
        kinds = _NUMBERS | {5: "I", 10: "i"}
        code = kinds.get(self.kind, "B")
        count = len(self.value) // struct.calcsize("=" + code)
        numbers = struct.unpack(f"{order}{count}{code}", self.value)
        return replace(self, value=struct.pack(f"{other}{count}{code}", *numbers))


Directory = dict[int, Entry]


@record
class Structure:
    """A TIFF structure in memory or on disk.

    Attributes:
        read_at: its bytes.
        order: "<" or ">".
        big: whether it is a BigTIFF.
        first: offset of the first directory.
        budget: most bytes that the values of one directory take.
    """

    read_at: ReadAt
    order: str
    big: bool
    first: int
    budget: int

    @classmethod
    def opened(cls, read_at: ReadAt, budget: int) -> Structure:
        """Read the header.

        Raises:
            DirectoryError: it is none.
        """
        head = read_at(0, 16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        if not order or len(head) < 8:
            raise DirectoryError("not a TIFF structure")
        (version,) = struct.unpack_from(order + "H", head, 2)
        if version == 43 and len(head) == 16:
            return cls(read_at, order, True, struct.unpack_from(order + "Q", head, 8)[0], budget)
        if version != 42:
            raise DirectoryError("not a TIFF structure")
        return cls(read_at, order, False, struct.unpack_from(order + "I", head, 4)[0], budget)

    def directory(self, offset: int) -> tuple[Directory, int]:
        """The entries of a directory, the first of each tag, and the offset of the next one.

        Entries of unknown type, or with values outside the structure, are left out.

        Raises:
            DirectoryError: the directory itself is cut short, too long or beyond the budget.
        """
        number, entry, link = ("Q", "HHQ8s", "Q") if self.big else ("H", "HHI4s", "I")
        width = struct.calcsize("=" + number)
        start = self.read_at(offset, width)
        if offset <= 0 or len(start) < width:
            raise DirectoryError("directory outside the file")
        (count,) = struct.unpack(self.order + number, start)
        if count > MAX_ENTRIES:
            raise DirectoryError(f"directory of {count} entries")
        each = struct.calcsize("=" + entry)
        table = self.read_at(offset + width, count * each)
        if len(table) < count * each:
            raise DirectoryError("directory is cut short")
        found: Directory = {}
        left = self.budget
        for row in range(count):
            tag, kind, values, inline = struct.unpack_from(self.order + entry, table, row * each)
            size = SIZES.get(kind, 0) * values
            if not size or tag in found:
                continue
            place = offset + width + row * each + each - len(inline)
            value = inline[:size]
            if size > len(inline):
                left -= size
                if left < 0:
                    raise DirectoryError("values of the directory are too long")
                (place,) = struct.unpack(self.order + link, inline)
                value = self.read_at(place, size)
            if len(value) == size:
                found[tag] = Entry(tag, kind, values, value, place)
        after = self.read_at(offset + width + count * each, struct.calcsize("=" + link))
        following = struct.unpack(self.order + link, after)[0] if len(after) >= len(
            struct.pack("=" + link, 0)
        ) else 0  # fmt: skip
        return found, following

    def pointed(self, directory: Directory, tag: int) -> Directory:
        """The directory to which an entry points; an empty one where there is none to be read."""
        entry = directory.get(tag)
        if entry is None or entry.kind not in {4, 13, 16, 18} or entry.count != 1:
            return {}
        try:
            return self.directory(int(entry.numbers(self.order)[0]))[0]
        except DirectoryError:
            return {}


def packed(
    order: str, offset: int, entries: Iterable[Entry], following: int = 0
) -> tuple[bytes, dict[int, int]]:
    """A directory (not of a BigTIFF) with its values behind it.

    Args:
        offset: where it is going to stand.
        following: offset of the next directory.

    Returns:
        The bytes, of even length, and where in the structure the value of each tag stands.
    """
    ordered = sorted(entries, key=lambda entry: entry.tag)
    table = struct.pack(order + "H", len(ordered))
    place = offset + 2 + 12 * len(ordered) + 4
    values = b""
    places: dict[int, int] = {}
    for entry in ordered:
        head = struct.pack(order + "HHI", entry.tag, entry.kind, entry.count)
        if len(entry.value) <= 4:
            places[entry.tag] = offset + len(table) + 8
            table += head + entry.value.ljust(4, b"\0")
        else:
            places[entry.tag] = place + len(values)
            table += head + struct.pack(order + "I", place + len(values))
            values += entry.value + b"\0" * (len(entry.value) % 2)
    return table + struct.pack(order + "I", following) + values, places


def long(order: str, tag: int, value: int) -> Entry:
    """An entry of one 32-bit number."""
    return Entry(tag, 4, 1, struct.pack(order + "I", value))


def short(order: str, tag: int, value: int) -> Entry:
    """An entry of one 16-bit number."""
    return Entry(tag, 3, 1, struct.pack(order + "H", value))
