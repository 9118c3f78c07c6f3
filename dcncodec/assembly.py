"""Pictures from what a file holds beside its latents: exact tiles, alpha, metadata.

A picture, or a part of one, all of whose tiles are exact needs neither a model nor what runs one.
"""

from __future__ import annotations

from operator import index

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import UsageError
from dcncodec.formats.container import Reader, check_pixels
from dcncodec.formats.geometry import MAX_PIXELS, STRIDE, Area
from dcncodec.formats.header import Header
from dcncodec.formats.picture import Picture, as_grey
from dcncodec.notices import Notice, Notify, warn

Region = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, half-open, inside the image."""


def decode_exact(
    file: Reader,
    *,
    region: Region | None = None,
    max_pixels: int | None = MAX_PIXELS,
    notify: Notify = warn,
) -> Picture | None:
    """The picture in a file, or a part of it, if no network is needed for it; else None.

    Args:
        file: as ``container.read`` gives it.
        region, max_pixels: as for ``Codec.decode``.
        notify: as for ``Codec``.

    Raises:
        FormatError, LimitError, UsageError: as ``Codec.decode``.
    """
    header = file.header
    region = whole_numbers(region, header)
    area = checked_area(file, region, max_pixels)
    if not all_exact(file, area):
        return None
    pixels = np.empty((area.rows * STRIDE, area.columns * STRIDE, 3), np.uint8)
    put_exact(file, pixels, area)
    return assembled(file, pixels, area, region, notify)


def whole_numbers(region: Region | None, header: Header) -> Region:
    """A region as it was asked for, of any numbers that are whole; None is the whole picture.

    Raises:
        UsageError: it is something else.
    """
    if region is None:
        return 0, 0, header.width, header.height
    try:
        left, top, right, bottom = map(index, region)
    except (TypeError, ValueError):
        raise UsageError(
            f"region {region!r}: give left, top, right and bottom in whole pixels"
        ) from None
    return left, top, right, bottom


def checked_area(file: Reader, region: Region, max_pixels: int | None) -> Area:
    """The latents under a region.

    Raises:
        LimitError: it has more than ``max_pixels``.
        UsageError: it does not lie inside the picture.
    """
    left, top, right, bottom = region
    area = file.header.region(left, top, right, bottom)
    check_pixels(right - left, bottom - top, max_pixels)
    return area


def all_exact(file: Reader, area: Area) -> bool:
    """Whether all blocks that an area of the latent plane touches are exact throughout.

    Raises:
        FormatError: the map of exact tiles is damaged.
    """
    header = file.header
    return file.palette is not None and all(
        file.exact_pixels(number) == height * width
        for number in header.blocks_in(area)
        for height, width in (header.pixels(header.block(number)),)
    )


def put_exact(file: Reader, pixels: NDArray[np.uint8], area: Area) -> None:
    """Put exact tiles in their places.

    Args:
        pixels: uint8 (STRIDE * rows, STRIDE * columns, 3) of the area; they change.
        area: of the latent plane.

    Raises:
        FormatError: exact tiles are damaged.
    """
    header = file.header
    for number in header.blocks_in(area):
        exact = file.exact(number)
        if exact is None:
            continue
        block = header.block(number)
        shared = area.grown(0, block)
        # At its right and bottom the picture may end before its latents do.
        source = shared.within(block, STRIDE)
        found, mask = exact[0][source], exact[1][source]
        place = pixels[shared.within(area, STRIDE)][: mask.shape[0], : mask.shape[1]]
        np.copyto(place, found, where=mask[..., None])


def assembled(
    file: Reader, pixels: NDArray[np.uint8], area: Area, region: Region, notify: Notify
) -> Picture:
    """A region with its alpha and metadata.

    Args:
        pixels: uint8 (STRIDE * rows, STRIDE * columns, 3) of the area.
        area: latents under the region.
        region: of the picture.
        notify: called with what is wrong with the metadata.

    Raises:
        FormatError: alpha or metadata are damaged.
    """
    left, top, right, bottom = region
    first_row, first_column = area.top * STRIDE, area.left * STRIDE
    pixels = pixels[
        top - first_row : bottom - first_row, left - first_column : right - first_column
    ]
    alpha = file.alpha_rows(top, bottom)
    if (orientation := file.wrong_orientation) is not None:
        text = f"orientation {orientation} in its metadata is reset: pixels are stored upright"
        notify(Notice("metadata", text))
    metadata = file.metadata.sized(right - left, bottom - top)
    grey = file.header.grey
    return Picture(
        pixels=as_grey(pixels) if grey else np.ascontiguousarray(pixels),
        alpha=None if alpha is None else np.ascontiguousarray(alpha[:, left:right]),
        grey=grey,
        icc=metadata.icc,
        exif=metadata.exif,
        xmp=metadata.xmp,
    )
