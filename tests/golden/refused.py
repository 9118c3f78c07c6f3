"""Files and streams that must be refused, each for its own reason."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import zstandard
from contents import (
    HASH,
    bells,
    context_coder,
    context_containers,
    flat,
    joined,
    noise,
    parts,
    several,
)

from dcncodec.errors import DcnError
from dcncodec.formats import bitstream, container, packed, sections


def fixed(section: bytes) -> bytes:
    return section[:-4] + zlib.crc32(section[:-4]).to_bytes(4, "little")


def head_payload(**changes: bytes) -> bytes:
    fields = {
        "version": b"\1",
        "flags": b"\0",
        "width": b"\x2d",
        "height": b"\x1e",
        "hash": HASH,
        "blocks": b"",
        "name": b"dcn-32c",
    }
    return b"".join((fields | changes).values())


def failing_headers() -> Iterator[tuple[str, bytes]]:
    cases = {
        "empty": b"",
        "cut-after-version": b"\1",
        "cut-in-width": b"\1\0\x80",
        "cut-in-height": b"\1\0\x2d",
        "cut-in-hash": head_payload()[:9],
        "newer": head_payload(version=b"\2"),
        "version-0": head_payload(version=b"\0"),
        "reserved-flags": head_payload(flags=b"\x20"),
        "width-0": head_payload(width=b"\0"),
        "height-0": head_payload(height=b"\0"),
        "width-too-large": head_payload(width=b"\x80\x80\x80\x08"),
        "width-long-form": head_payload(width=b"\xad\0"),
        "width-6-bytes": head_payload(width=b"\x80\x80\x80\x80\x80\1"),
        "width-above-32-bits": head_payload(width=b"\xff\xff\xff\xff\x1f"),
        "no-name": head_payload(name=b""),
        "name-too-long": head_payload(name=b"a" * 33),
        "name-of-dots": head_payload(name=b".."),
        "name-capital": head_payload(name=b"DCN"),
        "name-not-ascii": head_payload(name=b"d\xffn"),
        "block-height-0": head_payload(flags=b"\4", blocks=b"\0\x20"),
        "block-width-15": head_payload(flags=b"\4", blocks=b"\x20\x0f"),
        "several-but-one": head_payload(flags=b"\4", blocks=b"\x20\x20"),
        "one-but-several": head_payload(width=b"\xf9\x0f"),
        "too-many-pixels": head_payload(
            width=b"\xc0\xb8\2", height=b"\xc0\xb8\2", flags=b"\4", blocks=b"\xff\xff"
        ),
    }
    for name, payload in cases.items():
        yield f"head-{name}", joined(sections.pack_section(sections.HEAD, payload), *parts()[1:])


def failing_files() -> Iterator[tuple[str, bytes]]:
    """Files and the reason in their name; one for each error of a reader."""
    head, block, end = parts()
    whole = joined(head, block, end)
    yield "empty", b""
    yield "png", b"\x89PNG\r\n\x1a\n" + bytes(20)
    yield "cut-signature", whole[:5]
    yield "text-signature", whole.replace(b"\r\n", b"\n", 1)
    yield "no-head", joined(block, end)
    yield "head-damaged", joined(head[:10] + b"?" + head[11:], block, end)
    yield "head-twice", joined(head, head, block, end)
    yield "cut-length", joined(head, b"\2")
    yield "cut-block", whole[:-20]
    yield "no-end", joined(head, block)
    yield "after-end", whole + b"abc"
    yield "unknown-required", joined(head, sections.pack_section(0x42, b""), block, end)
    yield "unknown-damaged", joined(head, sections.pack_section(0xC2, b"")[:-1] + b"?", block, end)
    yield (
        "unknown-too-many",
        joined(head, *[sections.pack_section(0xEE, b"")] * 65, block, end),
    )
    yield "length-long-form", joined(head, b"\2\x80\0", end)
    yield "no-block", joined(head, end)
    yield "two-blocks", joined(head, block, block, end)
    yield "block-damaged", joined(head, block[:30] + b"?" + block[31:], end)
    yield "block-of-3-bytes", joined(head, sections.pack_section(sections.BLOCK, b"abc"), end)
    yield "block-of-no-rows", joined(head, sections.pack_section(sections.BLOCK, bytes(9)), end)
    other = bitstream.encode_block(flat(3, 4, 5))
    yield "block-shape", joined(head, sections.pack_section(sections.BLOCK, other), end)
    yield "index-of-one", joined(head, block, sections.pack_section(sections.INDEX, b"abcd"), end)
    icc = sections.pack_section(sections.ICC, b"")
    yield "icc-after-block", joined(head, block, icc, end)
    yield "icc-twice", joined(head, icc, icc, block, end)
    yield "alpha-unannounced", joined(head, sections.pack_section(sections.ALPHA, b""), block, end)
    with_alpha = sections.pack_section(sections.HEAD, head_payload(flags=b"\2"))
    yield "alpha-missing", joined(with_alpha, block, end)

    many = parts(several())
    head, index, end = many[0], many[-2], many[-1]
    yield "index-missing", joined(*many[:-2], end)
    yield "index-damaged", joined(*many[:-2], index[:-1] + b"?", end)
    short = sections.pack_section(sections.INDEX, index[2:-8])
    yield "index-short", joined(*many[:-2], short, end)
    yield "index-wrong", joined(*many[:-2], fixed(index[:2] + b"\1" + index[3:]), end)
    yield "block-after-index", joined(*many[:-2], index, many[1], end)
    channels = sections.pack_section(sections.BLOCK, bitstream.encode_block(flat(2, 16, 18)))
    index = fixed(index[:6] + len(channels).to_bytes(4, "little") + index[10:])
    yield "block-channels", joined(head, many[1], channels, *many[3:-2], index, end)


def failing_codings() -> Iterator[tuple[str, bytes]]:
    """Malformed CODR sections."""
    head, coding, block, end = context_parts()
    payload = coding[2:-4]

    def coder(payload: bytes) -> bytes:
        return sections.pack_section(sections.CODING, payload)

    yield "damaged", joined(head, coding[:5] + b"?" + coding[6:], block, end)
    yield "unknown", joined(head, coder(b"\2"), block, end)
    yield "short", joined(head, coder(payload[:-1]), block, end)
    yield "empty", joined(head, coder(b""), block, end)
    yield "long", joined(head, coder(payload + b"?"), block, end)
    yield "channels-0", joined(head, coder(payload[:2] + b"\0" + payload[3:]), block, end)
    yield "twice", joined(head, coding, coding, block, end)
    yield "after-block", joined(head, block, coding, end)
    yield "other-channels", joined(head, coder(payload[:2] + b"\4" + payload[3:]), block, end)
    for name, data in {
        "block-empty": b"",
        "block-active": b"\4" + block[3:-4],
        "block-streams": block[2:3] + b"\7" + block[4:-4],
        "block-cut": block[2:-6],
        "block-trailing": block[2:-4] + b"?",
        "block-latent": beyond(),
    }.items():
        yield name, joined(head, coding, sections.pack_section(sections.BLOCK, data), end)


def beyond() -> bytes:
    """A block of noise that decodes to a code word beyond 16 bits."""
    model = context_coder().model
    for seed in range(10_000):
        data = b"\3\1" + noise(f"beyond {seed}", 100).tobytes()
        try:
            model.decode(data, 4, 6, 100)
        except DcnError as error:
            if "outside 16 bits" in str(error):
                return data
    raise AssertionError("no noise decodes to such a code word")


def context_parts() -> list[bytes]:
    """The sections of a context-coded file."""
    data = memoryview(container.write(context_containers()["context"]))
    return [bytes(data[s.start : s.end]) for s in sections.walk(data)]


def failing_means() -> Iterator[tuple[str, bytes]]:
    """Malformed MEAN sections; the picture has one region."""
    head, coding, block, end = context_parts()
    good = sections.pack_section(sections.MEANS, b"\x08\x09\x07")
    yield "damaged", joined(head, coding, good[:-1] + b"?", block, end)
    yield "twice", joined(head, coding, good, good, block, end)
    yield "after-block", joined(head, coding, block, good, end)
    payloads = {"empty": b"", "cut": b"\1", "long": bytes(4), "large": b"\0\0\x11", "fse": b"\1\2"}
    for name, payload in payloads.items():
        section = sections.pack_section(sections.MEANS, payload)
        yield name, joined(head, coding, section, block, end)


def compressed(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(content)


def failing_parts() -> Iterator[tuple[str, bytes]]:
    """Malformed metadata and alpha."""
    head, block, end = parts()
    frame = compressed(b"profile")
    wide = zstandard.ZstdCompressionParameters(window_log=24)
    windowed = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    large = windowed.compress(b"profile") + windowed.flush()
    cases = {
        "length-missing": b"",
        "length-0": b"\0" + frame,
        "length-too-large": b"\x81\x80\x80\x08" + frame,
        "not-zstandard": b"\7profile",
        "too-long": b"\6" + frame,
        "too-short": b"\x08" + frame,
        "cut": b"\7" + frame[:-2],
        "nothing": b"\7",
        "trailing": b"\7" + frame + b"?",
        "window": b"\7" + large,
    }
    for name, payload in cases.items():
        yield f"icc-{name}", joined(head, sections.pack_section(sections.ICC, payload), block, end)
    icc = sections.pack_section(sections.ICC, b"\7" + frame)
    yield "icc-damaged", joined(head, icc[:-1] + b"?", block, end)
    turned = bytes.fromhex("4d4d002a 00000008 0001 0112 0003 00000001 00060000 00000000")
    exif = sections.pack_section(sections.EXIF, packed.pack_metadata(turned, "EXIF"))
    yield "exif-orientation", joined(head, exif, block, end)
    xmp = packed.pack_metadata(b"<x tiff:Orientation='8'/>", "XMP")
    yield "xmp-orientation", joined(head, sections.pack_section(sections.XMP, xmp), block, end)
    head = sections.pack_section(sections.HEAD, head_payload(flags=b"\2"))
    row = bytes(46)
    planes = {
        "predictor": compressed(row * 29 + b"\4" + bytes(45)),
        "too-short": compressed(row * 29),
        "too-long": compressed(row * 31),
        "bomb": compressed(bytes(50_000_000)),
        "trailing": compressed(row * 30) + b"?",
        "cut": compressed(row * 30)[:-2],
    }
    for name, payload in planes.items():
        yield (
            f"alpha-{name}",
            joined(head, sections.pack_section(sections.ALPHA, payload), block, end),
        )
    plane = sections.pack_section(sections.ALPHA, planes["trailing"])
    yield "alpha-damaged", joined(head, plane[:-1] + b"?", block, end)


def failing_palettes() -> Iterator[tuple[str, bytes]]:
    """Malformed PALT sections; the picture has 6 x 4 latents and, of side 2, 3 x 2 tiles."""
    head, block, end = parts()
    map_and_count = b"\x01\x02\0"
    colours, indices = b"\x01\x02\x03\x01\0\xff\0\0\x01", bytes(256)
    good = map_and_count + colours + indices

    def area(content: bytes, length: int | None = None, side: int = 2) -> bytes:
        stated = sections.pack_varint(len(content) if length is None else length)
        return bytes((side, 0)) + stated + compressed(content)[4:]

    def packed(area: bytes, size: int | None = None) -> bytes:
        return sections.pack_varint(len(area) if size is None else size) + area

    whole = sections.pack_section(sections.PALETTE, packed(area(good)))
    yield "damaged", joined(head, whole[:-1] + b"?", block, end)
    yield "twice", joined(head, whole, whole, block, end)
    yield "after-block", joined(head, block, whole, end)
    payloads = {
        "empty": b"",
        "size-cut": b"\x80",
        "no-area": b"\0",
        "size-too-large": packed(area(good), 200),
        "trailing": packed(area(good)) + b"?",
        "form-missing": b"\1\2",
        "form-reserved": packed(b"\2\4" + area(good)[2:]),
        "length-missing": b"\2\2\0",
        "side-0": packed(area(good, side=0)),
        "too-short": packed(area(good[:5], 5)),
        "stored-too-short": packed(b"\2\2" + good[:5]),
        "stored-trailing": packed(b"\2\2" + good + b"?"),
        "too-long": packed(area(good, 6000)),
        "not-zstandard": packed(b"\2\0" + sections.pack_varint(len(good)) + good[:50]),
        "bomb": packed(area(bytes(50_000_000), len(good))),
        "other-length": packed(area(good, len(good) + 1)),
        "map-beyond": packed(area(b"\x41" + good[1:])),
        "map-of-none": packed(area(b"\0" + good[1:])),
        "indices-cut": packed(area(good[:-1])),
        "colours-cut": packed(area(b"\x01\0\1" + bytes(200))),
        "colours-equal": packed(area(map_and_count + colours[:6] + bytes(3) + indices)),
        "colours-fall": packed(area(map_and_count + colours[:6] + b"\xff\0\0" + indices)),
        "index": packed(area(good[:-1] + b"\3")),
        # The picture ends inside of the last tile: 13 x 14 pixels.
        "index-bits": packed(b"\2\2" + b"\x20\x01\0" + colours[:6] + bytes(22) + b"\x40"),
        "frame-trailing": packed(area(good) + b"?"),
    }
    for name, payload in payloads.items():
        section = sections.pack_section(sections.PALETTE, payload)
        yield name, joined(head, section, block, end)


def failing_streams() -> Iterator[tuple[str, bytes]]:
    """Malformed bare streams."""
    good = bitstream.encode_block(bells("bad", 2, 10, 10))
    yield "cut-header", good[:4]
    yield "height-0", b"\0" + good[1:]
    yield "width-0", good[:1] + b"\0" + good[2:]
    yield "channels-0", good[:2] + b"\0" + good[3:]
    yield "table-too-long", good[:3] + b"\5" + good[4:]
    yield "table-cut", good[:7]
    yield "table-damaged", good[:3] + b"\3\0\xff\xff\xff" + good[9:]
    yield "table-of-nothing", b"\2\2\1\0\0" + bytes(4)
    yield "cut", good[:-1]
    yield "trailing", good + b"?"
    yield "channel-size-0", good[:5] + b"\0\0" + good[7:]
    yield "channel-size-too-large", good[:5] + b"\x65\0" + good[7:]
    yield "fse-table", good[:9] + b"\xff" + good[10:]
    yield "fse-stream", good[:-1] + b"\0"
    prefix = bytes((10, 10, 1, 2, 0, 3, 0))
    yield "rle-count", prefix + b"\x65\0\x0f"
    yield "rle-index", prefix + b"\x64\0\x20"
    yield "raw-index", bytes((1, 2, 1, 2, 0, 2, 0)) + b"\x1f\x20"


def failing_globals() -> Iterator[tuple[str, bytes]]:
    """Malformed blocks of mode global."""
    yield "empty", b"\2\2\1\0\0"
    yield "too-long", b"\2\2\1\0\0" + bytes(5)
    yield "rle-index", b"\2\2\1\0\0\x20"
    yield "raw-index", b"\2\2\1\0\0\x20" + bytes(3)
    yield "fse", b"\2\2\1\0\0\xff\xff"


def outcome(kind: str, data: bytes) -> object:
    """Use everything in `data`, as a reader would."""
    if kind == "context":
        return container.read(data).verify(context_coder())
    if kind == "file":
        return container.read(data).verify()
    return bitstream.decode_block(data, bare=kind == "stream")


def failures() -> Iterator[tuple[str, str, bytes]]:
    """Name, kind (file, context, stream, global) and bytes of everything that must fail."""
    for cases in (failing_files, failing_headers, failing_parts):
        for name, data in cases():
            yield f"file-{name}", "file", data
    for name, data in failing_codings():
        yield f"context-{name}", "context", data
    for name, data in failing_means():
        yield f"context-means-{name}", "context", data
    head, block, end = parts()
    alone = sections.pack_section(sections.MEANS, bytes(3))
    yield "file-means-without-coding", "file", joined(head, alone, block, end)
    for name, data in failing_palettes():
        yield f"file-palette-{name}", "file", data
    for name, data in failing_streams():
        yield f"stream-{name}", "stream", data
    for name, data in failing_globals():
        yield f"global-{name}", "global", data
