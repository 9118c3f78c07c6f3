"""What image files say beside their pixels, and whether Pillow reads their pixels rightly.

`survey` looks at the structure of a file before Pillow decodes it. It refuses the kinds that Pillow
reads wrongly and the damage that it does not see, names what is going to be left out, and takes the
metadata and the colours that Pillow does not hand out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

from dcncodec.formats.survey import avif, bmp, gif, jp2, jpeg, png, ppm, tiff, webp
from dcncodec.formats.survey.facts import CheckSize, DamagedError, Survey, UnsupportedError
from dcncodec.formats.survey.kinds import identified

__all__ = ["CheckSize", "DamagedError", "Survey", "UnsupportedError", "survey"]

_SURVEYS: dict[str, Callable[[IO[bytes], CheckSize], Survey]] = {
    "AVIF": avif.survey,
    "BMP": bmp.survey,
    "GIF": gif.survey,
    "JPEG": jpeg.survey,
    "JPEG2000": jp2.survey,
    "PNG": png.survey,
    "PPM": ppm.survey,
    "TIFF": tiff.survey,
    "WEBP": webp.survey,
}


def survey(file: IO[bytes], check_size: CheckSize) -> Survey:
    """Survey an image file, whose stream can go back; the stream stands anywhere afterwards.

    Args:
        check_size: called with width and height before anything that takes time by them.

    Raises:
        DamagedError: pixels are missing or cannot be right.
        UnsupportedError: a kind that is not read here.
    """
    file.seek(0)
    kind = identified(file.read(64))
    file.seek(0)
    return _SURVEYS[kind](file, check_size) if kind else Survey()
