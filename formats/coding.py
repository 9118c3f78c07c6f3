"""The CODR section: how blocks are coded, if not as the bit-stream says (SPEC.md, section 16.1)."""

from __future__ import annotations

from dcncodec.errors import FormatError
from dcncodec.formats.geometry import HASH_BYTES, MAX_RATE, MAX_SIDE
from dcncodec.formats.sections import Buffer
from dcncodec.records import record

CONTEXT = 1
"""The only coder so far, which has a model of its own."""
CODING_BYTES = 3 + HASH_BYTES

MAX_CODED_BYTES = MAX_SIDE * (MAX_SIDE * MAX_SIDE * 7 + 16) + 512
"""The longest block of that coder (``dcn_context_bound``): 50 bits a latent and streams' ends."""


@record
class Coding:
    """What the section says.

    Attributes:
        rate: 0..255; what it means is the model's.
        channels: N, 1..255.
        digest: first bytes of the SHA-256 of the coder's model.

    Raises:
        FormatError: a value is out of range.
    """

    rate: int
    channels: int
    digest: bytes

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= MAX_SIDE:
            raise FormatError(f"CODR section states {self.channels} channels")
        if not 0 <= self.rate <= MAX_RATE or len(self.digest) != HASH_BYTES:
            raise FormatError(f"rate {self.rate} or a digest of {len(self.digest)} bytes")


def pack_coding(coding: Coding) -> bytes:
    """The payload of the section."""
    return bytes((CONTEXT, coding.rate, coding.channels)) + coding.digest


def parse_coding(payload: Buffer) -> Coding:
    """The content of the section, whose checksum has been verified.

    Raises:
        FormatError: it is malformed, or its coder is a newer one.
    """
    if len(payload) and payload[0] != CONTEXT:
        raise FormatError(
            f"needs a newer dcn (coder {payload[0]}, this one reads {CONTEXT}); upgrade dcn"
        )
    if len(payload) != CODING_BYTES:
        raise FormatError(f"CODR section has {len(payload)} bytes, not {CODING_BYTES}")
    return Coding(payload[1], payload[2], bytes(payload[3:]))
