"""Running Pillow on files that nobody vouches for: formats, limits, warnings, errors.

Used by `formats.image`, which states the rules.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError, features

from dcncodec.errors import DcnError, ImageError, LimitError, UsageError
from dcncodec.formats.suffixes import READ

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

_OPTIONAL = {"JPEG2000": "jpg_2000", "AVIF": "avif", "WEBP": "webp"}


def suffixes_read() -> set[str]:
    """Lower-case suffixes of the formats that can be read here, with their dots."""
    return {suffix for row in _readable() for suffix in row[1].split()}


def images_in(folder: Path) -> list[Path]:
    """Files in an existing folder whose suffixes are those of formats read here, by name."""
    return files_in(folder, suffixes_read())


def files_in(folder: Path, suffixes: Container[str]) -> list[Path]:
    """Files with such suffixes in an existing folder, by name; hidden ones are left out.

    Raises:
        UsageError: the folder cannot be read.
    """
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(
            f"cannot be read ({error.strerror}); check its permissions", folder
        ) from None
    return [
        file
        for file in found
        if file.suffix.lower() in suffixes and not file.name.startswith(".") and not file.is_dir()
    ]


def formats_read() -> str:
    """The formats that `read_image` accepts, one per line with their suffixes, for `--help`."""
    return "\n".join(f"{name:<14} {suffixes}" for name, suffixes, _ in _readable())


def _readable() -> list[tuple[str, str, str]]:
    return [row for row in READ if row[2] not in _OPTIONAL or features.check(_OPTIONAL[row[2]])]


def open_image(file: IO[bytes]) -> Image.Image:
    """Parse the header of the image at the beginning of `file`; decode nothing."""
    file.seek(0)
    return Image.open(file, formats=[pillow for _, _, pillow in _readable()])


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def name_of(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "image data"


@contextmanager
def opened(source: Source, label: str) -> Iterator[IO[bytes]]:
    """A seekable stream at its beginning, with at least one byte."""
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            file: IO[bytes] = io.BytesIO(source)
        elif isinstance(source, str | os.PathLike):
            file = Path(source).open("rb")  # noqa: SIM115 - closed below
            if not file.seekable():
                with file:
                    file = io.BytesIO(file.read())
        else:
            file = io.BytesIO(source.read())
    except FileNotFoundError as error:
        raise ImageError("no such file; check the name", label) from error
    except IsADirectoryError as error:
        raise ImageError("is a folder; name an image file in it", label) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise ImageError(f"cannot be opened ({reason}); check its permissions", label) from error
    with file:
        if not file.read(1):
            raise ImageError("is empty; get the file again", label)
        file.seek(0)
        yield file


@contextmanager
def explained(label: str, max_pixels: int | None) -> Iterator[None]:
    """Turn whatever Pillow raises for a file into one line."""
    # Only reading needs it: decoding is to start at once.
    from dcncodec.formats.survey import UnsupportedError

    try:
        yield
    except DcnError as error:
        error.about(label)
        raise
    except Image.DecompressionBombError as error:
        raise LimitError(
            f"more pixels than the limit of {max_pixels}; raise it with --max-pixels", label
        ) from error
    except MemoryError as error:
        raise LimitError("too large for the memory of this machine", label) from error
    except UnidentifiedImageError as error:
        known = ", ".join(name for name, _, _ in _readable())
        raise ImageError(
            f"not an image, or damaged at its beginning; formats read: {known}", label
        ) from error
    except UnsupportedError as error:
        raise ImageError(str(error), label) from error
    except Exception as error:
        # Pillow has no closed list of what its decoders raise for damaged data.
        raise ImageError(
            f"damaged or truncated ({one_line(error)}); get the file again", label
        ) from error


class _Settings:
    """Pillow's two process-wide settings while calls are under way (see `pillow_set`)."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.limits: list[int | None] = []
        self.saved: int | None = None
        self.quiet = warnings.catch_warnings()


_SETTINGS = _Settings()


@contextmanager
def pillow_set(max_pixels: int | None) -> Iterator[None]:
    """Run Pillow with our limit of pixels in place of its own, and without its warnings.

    Pillow knows both only as settings of the whole process. The first of several concurrent calls
    sets them and the last one restores them, so that threads decode side by side. The largest of
    their limits holds meanwhile; it only has to stop Pillow from allocating when it opens a
    file, each call compares the exact number of pixels itself. Warnings of other modules are
    not touched. A program that changes these same settings in another thread during a call may
    find its change undone.
    """
    s = _SETTINGS
    with s.lock:
        if not s.limits:
            s.saved = Image.MAX_IMAGE_PIXELS
            s.quiet = warnings.catch_warnings()
            s.quiet.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        s.limits.append(max_pixels)
        Image.MAX_IMAGE_PIXELS = _largest(s.limits)
    try:
        yield
    finally:
        with s.lock:
            s.limits.remove(max_pixels)
            Image.MAX_IMAGE_PIXELS = _largest(s.limits) if s.limits else s.saved
            if not s.limits:
                s.quiet.__exit__(None, None, None)


def _largest(limits: list[int | None]) -> int | None:
    numbers = [limit for limit in limits if limit is not None]
    return max(numbers) if len(numbers) == len(limits) else None
