"""The codecs that the benchmark compares with, behind one interface.

Each works in memory, from RGB pixels to a complete file and back, with the settings of published
comparisons: JPEG with optimised Huffman tables, irreversible JPEG 2000, AVIF and BPG in 4:4:4.
A codec whose library is missing says so when it is used (``Baseline.check``).

The *effective payload* of a file (DCN paper, section 3.5) is what remains when all that a fixed
decoder could know is taken away: Huffman tables and scan data of a JPEG, the tile-parts of a
JPEG 2000 code-stream, the picture data of a BPG; for other formats the whole file counts.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from PIL import __version__ as pillow_version

from dcncodec.errors import FormatError, ImageError, MissingLibraryError
from dcncodec.formats.peers import bpg, hevc_x265

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Baseline:
    """A codec with a numeric quality setting.

    Attributes:
        name: what the command line calls it.
        title: what plots and tables call it.
        settings: of a rate-distortion curve, from the fewest to the most bits.
        span: the settings with the fewest and the most bits.
        whole: whether settings are whole numbers.
        compress: pixels, setting, threads to a file.
        decompress: a file, threads to pixels.
        payload: bytes of effective payload in a file.
        version: of the library; raises MissingLibraryError.
    """

    name: str
    title: str
    settings: tuple[float, ...]
    span: tuple[float, float]
    compress: Callable[[Pixels, float, int], bytes]
    decompress: Callable[[bytes, int], Pixels]
    version: Callable[[], str]
    payload: Callable[[bytes], int] = len
    whole: bool = True


def jpeg_payload(data: bytes) -> int:
    """Bytes of Huffman tables (DHT segments) and entropy-coded data of a baseline JPEG.

    Raises:
        FormatError: the file is damaged.
    """
    position, total = 2, 0
    while position + 4 <= len(data):
        marker = data[position + 1]
        if data[position] != 0xFF:
            break
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xC4:
            total += 2 + length
        position += 2 + length
        if marker == 0xDA:
            end = _scan_end(data, position)
            total += end - position
            position = end
        if data[position : position + 2] == b"\xff\xd9":
            return total
    raise FormatError("JPEG data without an end; encode the image again")


def _scan_end(data: bytes, position: int) -> int:
    """Where entropy-coded data end: at a marker that is neither a stuffed zero nor a restart."""
    while position + 1 < len(data):
        position = data.find(b"\xff", position)
        if position < 0:
            break
        following = data[position + 1] if position + 1 < len(data) else 0
        if following != 0 and not 0xD0 <= following <= 0xD7:
            return position
        position += 2
    raise FormatError("JPEG data without an end; encode the image again")


def jpeg2000_payload(data: bytes) -> int:
    """Bytes of the tile-parts of a code-stream: from the first SOT marker up to EOC.

    Raises:
        FormatError: the code-stream is damaged.
    """
    position = 2
    while position + 4 <= len(data) and data[position : position + 2] != b"\xff\x90":
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    if position + 4 > len(data) or data[-2:] != b"\xff\xd9":
        raise FormatError("JPEG 2000 data without tile-parts; encode the image again")
    return len(data) - position - 2


def _save(pixels: Pixels, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    try:
        Image.fromarray(pixels).save(file, kind, **options)
    except (OSError, ValueError, RuntimeError) as error:
        height, width = pixels.shape[:2]
        raise ImageError(f"{kind} cannot code {width} x {height} pixels ({error})") from None
    return file.getvalue()


def _open(data: bytes, threads: int) -> Pixels:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, RuntimeError) as error:
        raise FormatError(f"cannot be decoded ({error})") from None


def _jpeg(subsampling: str) -> Callable[[Pixels, float, int], bytes]:
    def compress(pixels: Pixels, setting: float, threads: int) -> bytes:
        return _save(pixels, "JPEG", quality=int(setting), subsampling=subsampling, optimize=True)

    return compress


def _jpeg2000(pixels: Pixels, setting: float, threads: int) -> bytes:
    # The rate control of OpenJPEG takes compression ratios; 24 bits per pixel come in.
    return _save(
        pixels,
        "JPEG2000",
        quality_mode="rates",
        quality_layers=[24 / setting],
        irreversible=True,
        mct=1,
        no_jp2=True,
    )


def _webp(pixels: Pixels, setting: float, threads: int) -> bytes:
    return _save(pixels, "WEBP", quality=int(setting), method=4)


def _avif(**advanced: str) -> Callable[[Pixels, float, int], bytes]:
    def compress(pixels: Pixels, setting: float, threads: int) -> bytes:
        return _save(
            pixels,
            "AVIF",
            quality=int(setting),
            subsampling="4:4:4",
            speed=6,
            codec="aom",
            max_threads=threads,
            advanced=advanced,
        )

    return compress


def _jxl(pixels: Pixels, setting: float, threads: int) -> bytes:
    _jxl_plugin()
    return _save(pixels, "JXL", quality=setting, effort=7, num_threads=threads)


def _jxl_open(data: bytes, threads: int) -> Pixels:
    _jxl_plugin()
    return _open(data, threads)


def _jxl_plugin() -> None:
    try:
        import pillow_jxl  # noqa: F401
    except ImportError:
        raise MissingLibraryError(
            "JPEG XL needs pillow-jxl-plugin: pip install pillow-jxl-plugin"
        ) from None


def _jxl_version() -> str:
    _jxl_plugin()
    return f"pillow-jxl-plugin {metadata.version('pillow-jxl-plugin')}"


def _av_version() -> str:
    try:
        import av

        av.CodecContext.create("libx265", "w")
    except (ImportError, ValueError):
        raise MissingLibraryError("HEVC needs PyAV with x265", extras=("bench",)) from None
    return f"PyAV {av.__version__}"


def _program_version() -> str:
    for program in ("bpgenc", "bpgdec"):
        if shutil.which(program) is None:
            raise MissingLibraryError(f"{program} is not on PATH; install libbpg, or use bpg")
    return "bpgenc"


def _pillow(library: str, title: str) -> Callable[[], str]:
    def version() -> str:
        if not features.check(library):
            raise MissingLibraryError(
                f"this Pillow lacks {title}; install a wheel of it: pip install pillow"
            )
        return f"{title} {features.version(library)}, Pillow {pillow_version}"

    return version


_TURBO = _pillow("libjpeg_turbo", "libjpeg-turbo")
_JPEG_SETTINGS = (2, 5, 9, 15, 23, 34, 48, 63, 76, 85)
_AVIF_SETTINGS = (3, 12, 22, 32, 41, 50, 59, 68, 77, 85)
_BPG_SETTINGS = (49, 44, 40, 36, 33, 30, 27, 24, 21)

_ALL = (
    Baseline(
        "jpeg", "JPEG 4:4:4", _JPEG_SETTINGS, (1, 95), _jpeg("4:4:4"), _open, _TURBO, jpeg_payload
    ),
    Baseline(
        "jpeg420",
        "JPEG 4:2:0",
        _JPEG_SETTINGS,
        (1, 95),
        _jpeg("4:2:0"),
        _open,
        _TURBO,
        jpeg_payload,
    ),
    Baseline(
        "jpeg2000",
        "JPEG 2000",
        (0.1, 0.17, 0.25, 0.4, 0.55, 0.75, 1.0, 1.3, 1.7, 2.2, 2.8),
        (0.02, 8),
        _jpeg2000,
        _open,
        _pillow("jpg_2000", "OpenJPEG"),
        jpeg2000_payload,
        whole=False,
    ),
    Baseline(
        "webp",
        "WebP",
        (0, 6, 16, 30, 46, 62, 74, 82, 88, 92),
        (0, 100),
        _webp,
        _open,
        _pillow("webp", "libwebp"),
    ),
    Baseline(
        "avif",
        "AVIF 4:4:4 (PSNR)",
        _AVIF_SETTINGS,
        (0, 100),
        _avif(tune="psnr"),
        _open,
        _pillow("avif", "libavif"),
    ),
    Baseline(
        "avif-iq",
        "AVIF 4:4:4",
        (*_AVIF_SETTINGS, 91),
        (0, 100),
        _avif(),
        _open,
        _pillow("avif", "libavif"),
    ),
    Baseline(
        "jxl",
        "JPEG XL",
        (0, 8, 15, 25, 40, 56, 70, 79, 86, 91, 94),
        (0, 99),
        _jxl,
        _jxl_open,
        _jxl_version,
    ),
    Baseline(
        "bpg",
        "BPG 4:4:4",
        _BPG_SETTINGS,
        (51, 0),
        lambda pixels, setting, threads: bpg.encode(pixels, int(setting), threads=threads),
        lambda data, threads: bpg.decode(data, threads=threads),
        _av_version,
        bpg.picture_data_size,
    ),
    Baseline(
        "bpgenc",
        "BPG 4:4:4 (bpgenc)",
        _BPG_SETTINGS,
        (51, 0),
        lambda pixels, setting, threads: bpg.encode_external(pixels, int(setting)),
        lambda data, threads: bpg.decode_external(data),
        _program_version,
        bpg.picture_data_size,
    ),
    Baseline(
        "x265",
        "x265 intra 4:4:4",
        _BPG_SETTINGS,
        (51, 0),
        hevc_x265.encode,
        hevc_x265.decode,
        _av_version,
    ),
)

BASELINES = {baseline.name: baseline for baseline in _ALL}
"""Every codec by name, in the order of tables."""
