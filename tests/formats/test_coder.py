"""Latents through the paper's coder, and files whose blocks another coder has made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from dcncodec.errors import FormatError, UsageError
from dcncodec.formats import container, sections
from dcncodec.formats.bitstream import encode_block
from dcncodec.formats.channels import decode_channels
from dcncodec.formats.coder import ChannelCoder, from_indices, to_indices
from dcncodec.formats.coding import Coding, pack_coding, parse_coding
from dcncodec.formats.container import Container, Header
from dcncodec.formats.geometry import Area
from dcncodec.formats.inspect import info
from dcncodec.formats.sections import Buffer

if TYPE_CHECKING:
    from dcncodec.formats.bitstream import Mode

DIGEST = bytes(range(8))


def words(shape: tuple[int, int, int], low: int = -15, high: int = 16) -> NDArray[np.int16]:
    return np.random.default_rng(3).integers(low, high + 1, shape).astype(np.int16)


@pytest.mark.parametrize("mode", ["channel", "global", "auto"])
def test_the_bit_stream_holds_code_words(mode: Mode) -> None:
    latents = words((3, 5, 7))
    coder = ChannelCoder(mode)
    block = coder.encode(latents)
    assert block == encode_block((latents + 15).astype(np.uint8), mode)
    found = coder.decode(block, Area(10, 20, 15, 27))
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, latents)
    with pytest.raises(FormatError, match="has 7 x 5 latents, 6 x 5 belong there"):
        coder.decode(block, Area(0, 0, 5, 6))


def test_words_outside_the_codebook_are_refused() -> None:
    for word in (-16, 17, 2000, -32768, 32767):
        latents = words((1, 2, 2))
        latents[0, 1, 1] = word
        with pytest.raises(ValueError, match="not in the codebook"):
            ChannelCoder().encode(latents)
    every = np.arange(-15, 17, dtype=np.int16)
    np.testing.assert_array_equal(from_indices(to_indices(every)), every)


def test_bits_are_those_of_each_channels_histogram() -> None:
    latents = np.zeros((2, 4, 4), np.int16)
    latents[1, 0] = 5
    bits = ChannelCoder().bits(latents)
    np.testing.assert_allclose(bits[0], 0)
    np.testing.assert_allclose(bits[1, 0], 2)
    np.testing.assert_allclose(bits[1, 1:], np.log2(4 / 3), rtol=1e-6)
    noise = words((4, 100, 100))
    payload = 8 * len(ChannelCoder("channel").encode(noise))
    assert ChannelCoder().bits(noise).sum() == pytest.approx(payload, rel=0.01)


class Plain:
    """A coder with a model of its own: two bytes a latent."""

    def encode(self, latents: NDArray[np.int16], rate: int) -> bytes:
        return (latents + np.int16(rate)).tobytes()

    def decode(self, block: Buffer, area: Area, rate: int) -> NDArray[np.int16]:
        if len(block) != 4 * area.rows * area.columns:
            raise FormatError("of another length")
        latents = np.frombuffer(block, np.int16).reshape(2, area.rows, area.columns)
        return latents - np.int16(rate)

    def bits(self, latents: NDArray[np.int16], rate: int) -> NDArray[np.float32]:
        return np.full(latents.shape, 16, np.float32)


def coded(rate: int = 200) -> tuple[bytes, NDArray[np.int16]]:
    """A file of several blocks, and its latent plane."""
    header = Header(300 * 8, 20 * 8, "my-own", bytes(8))
    plane = words((2, 20, 300), -2000, 2000)
    blocks = []
    for number in range(header.block_count):
        part = plane[(slice(None), *header.block(number).within(header.plane))]
        blocks.append(Plain().encode(part, rate))
    assert header.block_count > 1
    return container.write(Container(header, blocks=blocks, coding=Coding(rate, 2, DIGEST))), plane


def test_a_file_of_another_coder() -> None:
    data, plane = coded()
    file = container.read(data)
    assert file.coding == Coding(200, 2, DIGEST)
    assert (file.rate, file.latent_channels) == (200, 2)
    for number in range(file.header.block_count):
        part = plane[(slice(None), *file.header.block(number).within(file.header.plane))]
        np.testing.assert_array_equal(file.latents(number, Plain()), part)
    file.verify(Plain())
    facts = info(data, channels=True)
    assert facts["rate"] == 200
    assert facts["latent"]["channels"] == 2
    assert {block["mode"] for block in facts["blocks"]} == {"context"}
    assert "CODR" in {section["type"] for section in facts["sections"]}
    with pytest.raises(UsageError, match="only its model can decode them"):
        file.decode_block(0)
    with pytest.raises(UsageError, match="only its model can decode them"):
        decode_channels(data, [0])
    with pytest.raises(UsageError, match="only its model can decode them"):
        file.verify()


def test_a_damaged_block_is_named() -> None:
    data, _ = coded()
    file = container.read(data)
    with pytest.raises(FormatError, match="block 1: of another length"):
        file.latents(1, Narrow())


class Narrow(Plain):
    def decode(self, block: Buffer, area: Area, rate: int) -> NDArray[np.int16]:
        return super().decode(block[1:], area, rate)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "CODR section has 0 bytes, not 11"),
        (pack_coding(Coding(0, 1, DIGEST))[:-1], "CODR section has 10 bytes, not 11"),
        (pack_coding(Coding(0, 1, DIGEST)) + b"x", "CODR section has 12 bytes, not 11"),
        (b"\x02" + bytes(10), r"needs a newer dcn \(coder 2, this one reads 1\); upgrade dcn"),
        (b"\x02", r"needs a newer dcn \(coder 2, this one reads 1\); upgrade dcn"),
        (b"\x01\x00\x00" + DIGEST, "CODR section states 0 channels"),
    ],
)
def test_malformed_sections(payload: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_coding(payload)
    data, _ = coded()
    file = container.read(data)
    section = next(s for s in file.sections if s.kind == sections.CODING)
    changed = data[: section.start] + sections.pack_section(sections.CODING, payload)
    with pytest.raises(FormatError, match=message):
        container.read(changed + data[section.end :])


def test_a_damaged_section() -> None:
    data, _ = coded()
    section = next(s for s in container.read(data).sections if s.kind == sections.CODING)
    damaged = bytearray(data)
    damaged[section.payload_start + 1] ^= 1
    with pytest.raises(FormatError, match=r"damaged CODR section \(checksum\)"):
        container.read(bytes(damaged))
