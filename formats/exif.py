"""EXIF blocks: what depends on the pixels is read and kept right, every other byte stays.

A block begins with its TIFF header. Values are changed where they stand; whatever is added goes to
the end with a new first directory, so that addresses inside maker notes hold.
"""

from __future__ import annotations

import struct

from dcncodec.formats import ifd
from dcncodec.formats.ifd import Directory, DirectoryError, Entry, Structure
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

ORIENTATION = 0x0112
EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
X_RESOLUTION, Y_RESOLUTION, UNIT = 0x011A, 0x011B, 0x0128
_WIDTH, _HEIGHT = 0x0100, 0x0101
_PIXEL_X, _PIXEL_Y = 0xA002, 0xA003
_INDEX = 0x0001
_COLOUR_SPACE = 0xA001
DESCRIPTIVE = (0x010E, 0x010F, 0x0110, X_RESOLUTION, Y_RESOLUTION, UNIT, 0x0131, 0x0132, 0x013B,
               0x8298, 0x4746, 0x4749, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F)  # fmt: skip
"""Tags of a first directory that describe the photo and not the layout of a file: description,
maker, model, resolution, unit, software, date, artist, copyright, rating, Windows' texts."""

Density = tuple[float, float, int]


def opened(block: bytes) -> Structure | None:
    """The structure of a block; None where it has no TIFF header."""
    try:
        # Writers share values between entries, but not many times over.
        return Structure.opened(lambda at, size: block[at : at + size], 2 * len(block))
    except DirectoryError:
        return None


def first_directory(block: bytes) -> tuple[Structure | None, Directory]:
    """The structure and its first directory; an empty one where it cannot be read."""
    structure = opened(block)
    if structure is None or structure.big:
        return None, {}
    try:
        return structure, structure.directory(structure.first)[0]
    except DirectoryError:
        return structure, {}


def orientation(block: bytes) -> int | None:
    """The orientation, which may be nonsense; None without one."""
    structure, first = first_directory(block)
    found = first.get(ORIENTATION)
    if structure is None or found is None or found.count != 1:
        return None
    numbers = found.numbers(structure.order)
    return int(numbers[0]) if numbers else None


def upright(block: bytes) -> bytes:
    """The block with an orientation of 1, where it has one."""
    return _with_numbers(block, {ORIENTATION: 1}, {})


def with_size(block: bytes, width: int, height: int) -> bytes:
    """The block with the numbers of columns and rows, where it states them."""
    return _with_numbers(
        block, {_WIDTH: width, _HEIGHT: height}, {_PIXEL_X: width, _PIXEL_Y: height}
    )


def _with_numbers(block: bytes, main: dict[int, int], photo: dict[int, int]) -> bytes:
    structure, first = first_directory(block)
    if structure is None:
        return block
    changed = bytearray(block)
    for directory, numbers in ((first, main), (structure.pointed(first, EXIF), photo)):
        for tag, value in numbers.items():
            if (entry := directory.get(tag)) and entry.count == 1:
                _put(changed, structure.order, entry, value)
    return bytes(changed)


def _put(block: bytearray, order: str, entry: Entry, value: int) -> None:
    """Write a number in place of another; a type that is too narrow becomes LONG."""
    code = {1: "B", 3: "H", 4: "I", 9: "i"}.get(entry.kind)
    if code is None:
        return
    try:
        struct.pack_into(order + code, block, entry.place, value)
    except struct.error:
        struct.pack_into(order + "HI", block, entry.place - 6, 4, 1)
        struct.pack_into(order + "I", block, entry.place, value)


def colour_space(block: bytes) -> Literal["Adobe RGB", "uncalibrated", ""]:
    """What the block says about samples; "" for sRGB and for nothing.

    Adobe RGB is DCF 2.0's optional colour space.
    """
    structure, first = first_directory(block)
    if structure is None:
        return ""
    photo = structure.pointed(first, EXIF)
    index = structure.pointed(photo, INTEROPERABILITY).get(_INDEX)
    entry = photo.get(_COLOUR_SPACE)
    space = entry.numbers(structure.order)[:1] if entry else ()
    adobe = index is not None and index.value[:3] == b"R03" and space != (1,)
    # Some cameras write 2, which no edition of the standard defines.
    if adobe or space == (2,):
        return "Adobe RGB"
    return "uncalibrated" if space == (0xFFFF,) else ""


def density(block: bytes | None) -> Density | None:
    """Pixels per unit in x and y, and the unit's number (1 none, 2 inch, 3 centimetre)."""
    structure, first = first_directory(block or b"")
    if structure is None:
        return None
    values = []
    for tag in (X_RESOLUTION, Y_RESOLUTION):
        entry = first.get(tag)
        numbers = entry.numbers(structure.order) if entry else ()
        if len(numbers) != 1 or not 0 < numbers[0] < 2**31:
            return None
        values.append(float(numbers[0]))
    unit = first[UNIT].numbers(structure.order)[:1] if UNIT in first else ()
    return values[0], values[1], int(unit[0]) if unit and unit[0] in {1, 2, 3} else 2


def with_density(block: bytes | None, given: Density) -> bytes:
    """The block, or a new one, with a density; a block that cannot be read stays as it is."""
    block = block or b"II*\0\x08\0\0\0" + bytes(6)
    structure, first = first_directory(block)
    if structure is None or density(block) == given:
        return block
    x, y, unit = given
    order = structure.order
    entries = dict(first)
    for tag, value in ((X_RESOLUTION, x), (Y_RESOLUTION, y)):
        entries[tag] = Entry(tag, 5, 1, _rational(order, value))
    entries[UNIT] = ifd.short(order, UNIT, unit)
    return _with_directory(block, structure, entries)


def without_orientation(block: bytes) -> bytes:
    """The block without an entry for the orientation."""
    structure, first = first_directory(block)
    if structure is None or ORIENTATION not in first:
        return block
    entries = {tag: entry for tag, entry in first.items() if tag != ORIENTATION}
    return _with_directory(block, structure, entries)


def _with_directory(block: bytes, structure: Structure, entries: Directory) -> bytes:
    """The block with another first directory, at its end."""
    try:
        _, following = structure.directory(structure.first)
    except DirectoryError:
        return block
    block += b"\0" * (len(block) % 2)
    directory, _ = ifd.packed(structure.order, len(block), entries.values(), following)
    place = struct.pack(structure.order + "I", len(block))
    return block[:4] + place + block[8:] + directory


def _rational(order: str, value: float) -> bytes:
    scale = next(s for s in (1, 100, 10_000) if abs(value * s - round(value * s)) < 1e-6 or s > 100)
    return struct.pack(order + "II", min(round(value * scale), 2**32 - 1), scale)


def packed(structure: Structure, first: Directory) -> bytes | None:
    """A block of the descriptive tags, the Exif and the GPS directory of a TIFF file.

    Raises:
        DirectoryError: BigTIFF numbers, which EXIF blocks do not have.
    """
    order = structure.order
    photo = structure.pointed(first, EXIF)
    inner = structure.pointed(photo, INTEROPERABILITY)
    position = structure.pointed(first, GPS)
    entries = {tag: first[tag] for tag in DESCRIPTIVE if tag in first}
    return block_of(order, entries, photo, inner, position)


def block_of(
    order: str, main: Directory, photo: Directory, inner: Directory, position: Directory
) -> bytes | None:
    """A block made of directories: first, Exif, interoperability and GPS."""
    if not main and not photo and not position:
        return None
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + directories(order, 8, main, photo, inner, position)


def directories(
    order: str,
    offset: int,
    main: Directory,
    photo: Directory,
    inner: Directory,
    position: Directory,
    following: int = 0,
) -> bytes:
    """The bytes of directories that point to each other, from `offset` on, the first one first."""
    main, photo = dict(main), dict(photo)
    for directory in (main, photo, inner, position):
        for entry in directory.values():
            if entry.kind > 13:
                raise DirectoryError("64-bit numbers have no place in an EXIF block")
    photo.pop(INTEROPERABILITY, None)
    if photo or inner:
        main[EXIF] = ifd.long(order, EXIF, 0)
    if inner:
        photo[INTEROPERABILITY] = ifd.long(order, INTEROPERABILITY, 0)
    if position:
        main[GPS] = ifd.long(order, GPS, 0)
    body, places = ifd.packed(order, offset, main.values(), following)
    whole = bytearray(body)
    children = [(EXIF, photo, places), (GPS, position, places)]
    # The interoperability directory joins the list once its pointer has a place.
    for tag, directory, pointers in children:
        if not directory:
            continue
        struct.pack_into(order + "I", whole, pointers[tag] - offset, offset + len(whole))
        part, inside = ifd.packed(order, offset + len(whole), directory.values())
        whole += part
        if INTEROPERABILITY in directory:
            children.append((INTEROPERABILITY, inner, inside))
    return bytes(whole)
