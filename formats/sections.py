"""The framing of a .dcn file: signature, sections, checksums (SPEC.md, section 3).

A section is a type (1 byte), the payload's length (varint), the payload, and a CRC-32 of all
three. The end marker is a lone type byte. Nothing here knows what payloads mean, and nothing
imports numpy: `dcn info` has to start at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from dcncodec.errors import FormatError
from dcncodec.records import record

Buffer = bytes | bytearray | memoryview

SIGNATURE = b"\x89DCN\r\n\x1a\n"
"""As PNG's: a byte with the high bit set, the name, and line ends that text transfers damage."""

END, HEAD, BLOCK, INDEX, ALPHA, CODING = 0x00, 0x01, 0x02, 0x03, 0x04, 0x05
PALETTE, MEANS = 0x06, 0x07
ICC, EXIF, XMP = 0x81, 0x82, 0x83
OPTIONAL = 0x80
"""Set in types that a reader may skip."""

NAMES = {HEAD: "HEAD", BLOCK: "BLCK", INDEX: "INDX", ALPHA: "ALPH", ICC: "ICC"} | {
    EXIF: "EXIF",
    XMP: "XMP",
    CODING: "CODR",
    PALETTE: "PALT",
    MEANS: "MEAN",
    END: "END",
}

VARINT_BYTES = 5
"""7 bits each: enough for the 32 bits that a value may have."""
MAX_VARINT = 2**32 - 1
CHECKSUM_BYTES = 4
MAX_SKIPPED = 64
"""Unknown optional sections in a file: with no limit, a list of empty ones fills the memory."""


def pack_varint(value: int) -> bytes:
    """`value` (0..2**32 - 1) as unsigned LEB128, in the shortest form."""
    if not 0 <= value <= MAX_VARINT:
        raise ValueError(f"{value} does not fit a varint of 32 bits")
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)
    return bytes(packed)


def read_varint(data: Buffer, offset: int, what: str) -> tuple[int, int]:
    """The varint at `offset` and the offset behind it; `what` names it in errors.

    Raises:
        FormatError: it is cut short, longer than needed or above 2**32 - 1.
    """
    value = 0
    for count in range(VARINT_BYTES):
        if offset + count >= len(data):
            raise FormatError(f"{what} is cut short")
        byte = data[offset + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if byte == 0 and count:
                raise FormatError(f"{what} is not in its shortest form")
            if value > MAX_VARINT:
                raise FormatError(f"{what} is above {MAX_VARINT}")
            return value, offset + count + 1
    raise FormatError(f"{what} is longer than {VARINT_BYTES} bytes")


def pack_section(kind: int, payload: Buffer) -> bytes:
    """A whole section: type, length, payload, checksum."""
    body = bytes((kind,)) + pack_varint(len(payload)) + payload
    return body + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "little")


def section_bytes(length: int) -> int:
    """The size of a section whose payload has `length` bytes."""
    return 1 + len(pack_varint(length)) + length + CHECKSUM_BYTES


@record
class Section:
    """Where a section lies: its type, first byte, payload, and the byte behind its checksum."""

    kind: int
    start: int
    payload_start: int
    payload_end: int
    end: int

    @property
    def name(self) -> str:
        """The name used in SPEC.md, or the type in hexadecimal."""
        return NAMES.get(self.kind, f"0x{self.kind:02x}")

    def intact(self, data: memoryview) -> bool:
        """Whether the checksum fits."""
        if self.kind == END:
            return True
        stored = int.from_bytes(data[self.payload_end : self.end], "little")
        return zlib.crc32(data[self.start : self.payload_end]) == stored

    def payload(self, data: memoryview, what: str = "") -> memoryview:
        """The payload, its checksum verified; `what` names the section in the error.

        Raises:
            FormatError: the checksum does not fit.
        """
        if not self.intact(data):
            raise FormatError(f"damaged {what or self.name + ' section'} (checksum)")
        return data[self.payload_start : self.payload_end]


def check_signature(data: Buffer) -> None:
    """Raise FormatError unless `data` begins as a .dcn file does."""
    start = bytes(data[: len(SIGNATURE)])
    if start == SIGNATURE:
        return
    if start and SIGNATURE.startswith(start):
        raise FormatError("file ends inside the signature")
    if start[1:4] == b"DCN":
        raise FormatError("damaged signature; the file was probably transferred as text")
    raise FormatError("not a .dcn file (its signature is missing)")


def read_section(data: Buffer, start: int) -> Section:
    """The section at `start`; its checksum is not verified.

    Raises:
        FormatError: the file ends before the section does.
    """
    if start >= len(data):
        raise FormatError("file ends without an end marker; it was cut short")
    kind = data[start]
    if kind == END:
        return Section(kind, start, start + 1, start + 1, start + 1)
    name = NAMES.get(kind, f"0x{kind:02x}")
    length, payload = read_varint(data, start + 1, f"length of section {name} at byte {start}")
    end = payload + length + CHECKSUM_BYTES
    if end > len(data):
        raise FormatError(f"file ends inside section {name} at byte {start}; it was cut short")
    return Section(kind, start, payload, payload + length, end)


def walk(data: memoryview) -> Iterator[Section]:
    """All sections in order, the end marker last.

    Sections of an unknown type have their checksum verified, because a damaged type byte is
    more likely than a new type.

    Raises:
        FormatError: the signature is missing, a section is cut short, a required section is
            unknown, or bytes follow the end marker.
    """
    check_signature(data)
    offset, skipped = len(SIGNATURE), 0
    while True:
        section = read_section(data, offset)
        if section.kind not in NAMES:
            section.payload(data, f"section {section.name} at byte {section.start}")
            if section.kind < OPTIONAL:
                raise FormatError(
                    f"needs a newer dcn (unknown required section {section.name}); upgrade dcn"
                )
            skipped += 1
            if skipped > MAX_SKIPPED:
                raise FormatError(f"more than {MAX_SKIPPED} unknown optional sections")
        yield section
        if section.kind == END:
            break
        offset = section.end
    if section.end != len(data):
        raise FormatError(f"{len(data) - section.end} bytes after the end marker")
