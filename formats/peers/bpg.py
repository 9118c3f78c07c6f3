"""BPG files (BPG specification 0.9.5), written with x265 and read with FFmpeg's HEVC decoder.

    data = encode(pixels, qp=28)
    pixels = decode(data)

Written are 8-bit full-range YCbCr (BT.601) 4:4:4 pictures with the settings of bpgenc 0.9.8 at
its default effort; they open in bpgdec. Read are still pictures, and the first of animations, in
every pixel format, colour space and range, at 8, 9, 10 and 12 bits. Pictures with an alpha or W
plane are an error rather than a picture that lacks something; EXIF, ICC and XMP are skipped.

Files written here state their length, so that cut ones are noticed. Those of bpgenc do not: they
end with the file (picture_data_length 0), and one that lacks its last rows may still decode.

`encode_external` and `decode_external` do the same with the programs bpgenc and bpgdec.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcncodec.errors import DcnError, FormatError, ImageError, MissingLibraryError, UsageError
from dcncodec.formats.geometry import MAX_PIXELS
from dcncodec.formats.header import check_pixels
from dcncodec.formats.peers import bpg_colour, hevc_av
from dcncodec.formats.peers.hevc_bits import PPS, SPS, START_CODE, VPS, Nal, split_nals
from dcncodec.formats.peers.hevc_sets import (
    CodingTools,
    pack_tools,
    parameter_sets,
    read_sps,
    read_tools,
)

Buffer = bytes | bytearray | memoryview

MAGIC = b"BPG\xfb"
MAX_QP = 51
MAX_NUMBER = (1 << 30) - 1
"""Sizes and lengths are smaller in libbpg, so that sums of them fit its integers."""
BIT_DEPTHS = (8, 9, 10, 12)
"""What FFmpeg decodes; BPG has 8 to 14."""

_UE7_BYTES = 5
_LOG2_CB = 3
"""Smallest coding block written: pictures are padded to multiples of 8, as by bpgenc."""
_CHROMA_444 = 3
_JPEG_FORMATS, _PIXEL_FORMATS = 4, 6
"""Pixel formats from 4 on are 4:2:0 and 4:2:2 once more, with the chroma positions of MPEG-2."""
_ALPHA, _EXTENSION, _ALPHA_2, _LIMITED_RANGE = 0x10, 0x08, 0x04, 0x02
_PROGRAMS_HELP = "install libbpg (https://bellard.org/bpg), or use the built-in BPG"


@dataclass(frozen=True)
class BpgHeader:
    """What heic_file() says before the picture data (sections 3.1 and 3.2).

    Attributes:
        width, height: pixels, 1..MAX_NUMBER.
        pixel_format: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4; 4 and 5 are 1 and 2 with MPEG-2 chroma.
        bit_depth: 8..14.
        colour_space: one of the constants of `bpg_colour`.
        alpha: a plane of alpha or of W (CMYK) is there.
        limited_range: black is 16 and white 235 (at 8 bits).
        data_offset, data_size: where hevc_header_and_data() lies in the file, bytes.
    """

    width: int
    height: int
    pixel_format: int
    bit_depth: int
    colour_space: int
    alpha: bool
    limited_range: bool
    data_offset: int
    data_size: int

    @property
    def chroma_format(self) -> int:
        """chroma_format_idc of HEVC, 0..3."""
        return self.pixel_format % _JPEG_FORMATS + self.pixel_format // _JPEG_FORMATS


def encode(pixels: NDArray[np.uint8], qp: int, *, threads: int = 0) -> bytes:
    """A BPG file of RGB pixels.

    Args:
        pixels: uint8 (H, W, 3), H and W at least 1.
        qp: quantiser of bpgenc's option -q, 0 (best) to 51.
        threads: of x265; 0 for one per core. The bytes are the same whatever their number.

    Raises:
        UsageError: `qp` is not in its range.
        ImageError: x265 cannot code a picture of that size.
        MissingLibraryError: PyAV with x265 is not installed.
    """
    _check_pixels(pixels)
    _check_qp(qp)
    height, width, _ = pixels.shape
    # Larger blocks where padding to 8 would give a side that x265 refuses.
    log2_cb = _LOG2_CB + (min(height, width) <= hevc_av.SMALLEST_SIDE // 2)
    size = 1 << log2_cb
    padded = np.pad(pixels, ((0, -height % size), (0, -width % size), (0, 0)), "edge")
    stream = hevc_av.encode_444(bpg_colour.to_ycbcr(padded), qp, log2_cb, threads)
    data = _pack_picture(split_nals(stream))
    head = bytes((_CHROMA_444 << 5, bpg_colour.YCBCR_601 << 4))
    return MAGIC + head + _ue7(width) + _ue7(height) + _ue7(len(data)) + data


def decode(
    data: Buffer, *, max_pixels: int | None = MAX_PIXELS, threads: int = 0
) -> NDArray[np.uint8]:
    """The pixels of a BPG file, with the same integers as bpgdec gives.

    Args:
        data: the whole file.
        max_pixels: largest picture to decode; None for any.
        threads: of the decoder; 0 for one per core.

    Returns:
        uint8 (H, W, 3), RGB; of a grey picture three equal channels.

    Raises:
        FormatError: damaged, or a kind of picture that is not read here.
        LimitError: more than `max_pixels` pixels.
        MissingLibraryError: PyAV is not installed.
    """
    header = read_header(data)
    if header.alpha:
        raise FormatError("the BPG file has an alpha or W plane, which is not read here")
    if header.bit_depth not in BIT_DEPTHS:
        raise FormatError(f"the BPG file has {header.bit_depth} bits, which are not decoded here")
    width, height, chroma, depth = (
        header.width,
        header.height,
        header.chroma_format,
        header.bit_depth,
    )
    check_pixels(width, height, max_pixels)
    tools, nals = _read_picture(data, header)
    stream = parameter_sets(tools, width, height, chroma, depth) + b"".join(
        START_CODE + nal.data for nal in nals
    )
    planes = hevc_av.decode_picture(stream, width, height, chroma, depth, threads)
    if chroma in (1, 2):
        centred = header.pixel_format < _JPEG_FORMATS
        planes[1:] = [
            bpg_colour.upsample(plane, height, width, chroma == 1, centred, depth)
            for plane in planes[1:]
        ]
    return bpg_colour.to_rgb(planes, depth, header.colour_space, header.limited_range)


def picture_data_size(data: Buffer) -> int:
    """Bytes of hevc_header_and_data(): the file without its header and its metadata.

    Raises:
        FormatError: the header is damaged or the file cut short.
    """
    return read_header(data).data_size


def read_header(data: Buffer) -> BpgHeader:
    """Parse heic_file() up to the picture data (section 3.1).

    Raises:
        FormatError: not a BPG file, reserved values, or lengths that exceed the file.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise FormatError("not a BPG file")
    if len(data) < 6:
        raise FormatError("the BPG file is cut short")
    pixel_format, colour_space, flags = data[4] >> 5, data[5] >> 4, data[5]
    bit_depth = 8 + (data[4] & 0x0F)
    if pixel_format >= _PIXEL_FORMATS or bit_depth > 14:
        raise FormatError("the BPG file has a reserved pixel format or bit depth")
    if colour_space >= bpg_colour.COLOUR_SPACES or (colour_space and not pixel_format):
        raise FormatError("the BPG file has a reserved colour space")
    width, offset = _read_ue7(data, 6)
    height, offset = _read_ue7(data, offset)
    if not width or not height:
        raise FormatError("the BPG file has a picture without pixels")
    size, offset = _read_ue7(data, offset)
    if flags & _EXTENSION:
        extension, offset = _read_ue7(data, offset)
        offset += extension
    left = len(data) - offset
    if left < max(size, 1):
        raise FormatError("the BPG file is cut short")
    return BpgHeader(
        width,
        height,
        pixel_format,
        bit_depth,
        colour_space,
        bool(data[4] & _ALPHA or flags & _ALPHA_2),
        bool(flags & _LIMITED_RANGE),
        offset,
        size or left,
    )


def encode_external(pixels: NDArray[np.uint8], qp: int, *, program: str = "bpgenc") -> bytes:
    """A 4:4:4 BPG file of RGB pixels, uint8 (H, W, 3), made by bpgenc at its default effort.

    Raises:
        UsageError: `qp` is not in 0..51.
        ImageError: the program fails.
        MissingLibraryError: it is not on PATH.
    """
    _check_pixels(pixels)
    _check_qp(qp)
    path = _find(program)
    with tempfile.TemporaryDirectory(prefix="dcn-bpg-") as folder:
        source, target = Path(folder, "in.png"), Path(folder, "out.bpg")
        Image.fromarray(pixels).save(source, compress_level=1)
        command = [path, "-f", "444", "-q", str(qp), "-o", str(target), str(source)]
        _run(command, target, ImageError)
        return target.read_bytes()


def decode_external(data: Buffer, *, program: str = "bpgdec") -> NDArray[np.uint8]:
    """The pixels of a BPG file, uint8 (H, W, 3), decoded by bpgdec.

    Raises:
        FormatError: not a BPG file, or the program fails.
        MissingLibraryError: it is not on PATH.
    """
    read_header(data)
    path = _find(program)
    with tempfile.TemporaryDirectory(prefix="dcn-bpg-") as folder:
        source, target = Path(folder, "in.bpg"), Path(folder, "out.png")
        source.write_bytes(data)
        _run([path, "-o", str(target), str(source)], target, FormatError)
        with Image.open(target) as image:
            return np.asarray(image.convert("RGB"))


def _pack_picture(nals: list[Nal]) -> bytes:
    """hevc_header_and_data() of an encoder's picture: its VPS and SPS are replaced."""
    sets = [nal for nal in nals if nal.kind == SPS]
    if len(sets) != 1 or not any(nal.first_slice for nal in nals):
        raise ImageError("x265 did not give a single picture")
    header = pack_tools(read_sps(sets[0].payload()))
    # As bpgenc leaves x265's output: the first start code missing, short ones before slices.
    kept = b"".join(
        (START_CODE if nal.kind == PPS else START_CODE[1:]) + nal.data
        for nal in nals
        if nal.kind not in (VPS, SPS)
    )
    return _ue7(len(header)) + header + kept.removeprefix(START_CODE)


def _read_picture(data: Buffer, header: BpgHeader) -> tuple[CodingTools, list[Nal]]:
    """The coding tools and the NAL units of the first picture."""
    picture = bytes(data[header.data_offset : header.data_offset + header.data_size])
    length, offset = _read_ue7(picture, 0)
    if offset + length >= len(picture):
        raise FormatError("the BPG file is cut short")
    tools = read_tools(picture[offset : offset + length])
    nals: list[Nal] = []
    started = False
    for nal in split_nals(picture[offset + length :]):
        if nal.kind in (VPS, SPS):
            raise FormatError("the HEVC data hold parameter sets that BPG forbids")
        if nal.first_slice and started:
            break
        started = started or nal.first_slice
        nals.append(nal)
    return tools, nals


def _ue7(value: int) -> bytes:
    """ue7(32) (section 2): 7 bits a byte, high bits first, all but the last byte marked."""
    packed = bytearray((value & 0x7F,))
    while value := value >> 7:
        packed.append(value & 0x7F | 0x80)
    return bytes(reversed(packed))


def _read_ue7(data: Buffer, offset: int) -> tuple[int, int]:
    """The number at `offset` and the offset behind it."""
    value = 0
    for byte in data[offset : offset + _UE7_BYTES]:
        value = value << 7 | byte & 0x7F
        offset += 1
        if value == 0 and byte == 0x80:
            raise FormatError("the BPG file has a number that is longer than needed")
        if byte < 0x80:
            if value > MAX_NUMBER:
                raise FormatError(f"the BPG file has a number above {MAX_NUMBER}")
            return value, offset
    raise FormatError("the BPG file has a number without end")


def _check_pixels(pixels: NDArray[np.uint8]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"pixels of {pixels.dtype} {pixels.shape}, not uint8 (H, W, 3)")


def _check_qp(qp: int) -> None:
    if not 0 <= qp <= MAX_QP:
        raise UsageError(f"BPG quantiser {qp} is not in 0..{MAX_QP}")


def _find(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise MissingLibraryError(f"{program} is not on PATH; {_PROGRAMS_HELP}")
    return path


def _run(command: Sequence[str], target: Path, kind: type[DcnError]) -> None:
    """Run a program that writes `target`; raise `kind` with its last line when it does not."""
    try:
        result = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise MissingLibraryError(f"{command[0]} cannot be run ({error.strerror})") from error
    if result.returncode or not target.is_file():
        lines = (result.stderr or result.stdout).split("\n")
        reason = next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")
        raise kind(f"{Path(command[0]).name} failed: {reason}")
