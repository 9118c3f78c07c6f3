"""From an opened Pillow image to upright 8-bit pixels: colour, depth, transparency.

`formats.image` states the rules; this module carries them out. Pictures are converted in boxes
of at most `srgb.BOX_PIXELS` pixels into arrays that were allocated once, so that a large picture
needs Pillow's own copy and the result, and nothing else of that size (16 bits per channel of colour
need a second decoded copy, because Pillow keeps only one byte of each sample).

Nothing here is turned into errors of dcn: whatever Pillow raises passes through, and
`formats.guard` words it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageFile

from dcncodec.formats import exif as exif_block
from dcncodec.formats import metadata, srgb
from dcncodec.formats.packed import Metadata
from dcncodec.formats.profiles import ADOBE_CURVE, ADOBE_PRIMARIES, Colorimetry, colour_space
from dcncodec.formats.survey import Survey, UnsupportedError

Array8 = npt.NDArray[np.uint8]

# Pillow decodes 16-bit colour to its high bytes. The same data read with the byte order swapped
# yields the low bytes. (libtiff hands over samples in the order of the machine: "N".)
_SWAPPED = "B" if sys.byteorder == "little" else "L"
_LOW_BYTES = {
    f"{bands};16{order}": f"{bands};16{other}"
    for bands in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", _SWAPPED))
}
_GREY_ALPHA_16 = "LA;16B"

# PNG scales samples of 1, 2 and 4 bits to 0..255, but gives the transparent one unscaled.
_KEY_SCALE = {"1": 255, "L;2": 85, "L;4": 17}

_PHOTOMETRIC = 0x0106
_BITS_PER_SAMPLE = 0x0102


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """Upright pixels, uint8: colour (H, W, 3), alpha (H, W) or None; and the metadata to keep."""

    colour: Array8
    alpha: Array8 | None
    grey: bool
    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None


@dataclass(frozen=True, slots=True)
class _Source:
    """What is needed beside a box of pixels to convert it."""

    rawmode: str
    white: int
    inverted: bool
    key: int | tuple[int, ...] | None
    to_srgb: ImageCms.ImageCmsTransform | None


def convert(
    image: Image.Image,
    facts: Survey,
    again: Callable[[], Image.Image] | None = None,
    upright: bool = True,
) -> Converted:
    """Decode `image` (its first frame) and convert it; notices are added to `facts`.

    `again` opens the same file a second time; without it, 16-bit colour keeps only its high bytes.
    Unless `upright`, pixels stay as the file has them, whatever its orientation.
    Raises UnsupportedError, MemoryError and whatever Pillow raises for damaged files.
    """
    rawmode = _rawmode(image)
    if again is None and (image.mode[0] == "I" or rawmode in {*_LOW_BYTES, _GREY_ALPHA_16}):
        facts.bits = 16
    facts.say_depth()
    low = None
    if again is not None and rawmode in _LOW_BYTES:
        low = again()
        _set_rawmode(low, _LOW_BYTES[rawmode])
    elif again is not None and rawmode == _GREY_ALPHA_16:
        # Four bytes per pixel: high and low byte of grey, high and low byte of alpha.
        _set_rawmode(image, "RGBA")
    elif rawmode == _GREY_ALPHA_16:
        rawmode = ""  # Pillow's reading of it: RGBA of 8 bits
    image.load()
    if low is not None:
        low.load()
    if image.mode in {"I", "F"} and not (image.mode == "I" and image.format == "PPM"):
        raise UnsupportedError(
            "samples of floating point or 32 bits are not supported, they have no defined white; "
            "convert them to 8 or 16 bits"
        )

    orientation, exif, xmp = metadata.take(image, facts)
    icc = None if facts.ignore_icc else image.info.get("icc_profile") or facts.icc
    source = _source(image, rawmode, icc, facts.white)
    colour, alpha = _fill(image, low, source, orientation if upright else 1)
    grey = rawmode == _GREY_ALPHA_16 or (image.mode[0] in "1LI" and image.mode != "LAB")
    if image.mode == "CMYK":
        facts.say("colour", _cmyk_notice(icc, source))
        icc = None
    elif image.mode == "LAB":
        facts.say("colour", "L*a*b* was converted to sRGB")
        icc = None
    else:
        icc = icc or _stated_profile(facts, exif, grey)
        _check_profile(icc, grey, facts)
    if image.mode == "P" and _beyond_palette(image):
        facts.say("damage", "has colour numbers beyond its palette")
    kept = Metadata(icc, exif, xmp).sized(colour.shape[1], colour.shape[0])
    return Converted(colour, alpha, grey, kept.icc, kept.exif, kept.xmp)


def _beyond_palette(image: Image.Image) -> bool:
    palette = image.palette
    if palette is None:
        return False
    return (image.getextrema()[1]) >= len(palette.palette) // len(palette.mode)  # type: ignore[operator]


def _stated_profile(facts: Survey, exif: bytes | None, grey: bool) -> bytes | None:
    """A profile for colours that are stated by numbers, or by EXIF."""
    if facts.colour is not None:
        profile = facts.colour.profile(grey=grey)
        if profile is None and not facts.colour.is_srgb and not grey:
            facts.say("colour", "states colours that cannot be; taken as sRGB")
        return profile
    space = exif_block.colour_space(exif) if exif and not grey and not facts.ignore_icc else ""
    if space == "uncalibrated":
        text = "its colours are uncalibrated (EXIF), without a profile; taken as sRGB"
        facts.say("colour", text)
    return Colorimetry(ADOBE_PRIMARIES, ADOBE_CURVE).profile() if space == "Adobe RGB" else None


def _check_profile(icc: bytes | None, grey: bool, facts: Survey) -> None:
    if icc is None:
        return
    space = colour_space(icc)
    if not space:
        facts.say("colour", "its colour profile is damaged; kept as it is")
    elif space not in ({"RGB", "GRAY"} if grey else {"RGB"}):
        facts.say("colour", f"its colour profile is one for {space}, its samples are not")


def _cmyk_notice(icc: bytes | None, source: _Source) -> str:
    if source.to_srgb is not None:
        return "CMYK was converted to sRGB by its profile"
    found = "its profile cannot be used" if icc else "it has no profile"
    return f"CMYK was converted to sRGB by a plain formula; {found}"


def _rawmode(image: Image.Image) -> str:
    """How Pillow is going to unpack the samples; "" once the image is loaded."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    args = tiles[0].args if tiles else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _set_rawmode(image: Image.Image, rawmode: str) -> None:
    if isinstance(image, ImageFile.ImageFile):
        image.tile = [
            tile._replace(
                args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode
            )
            for tile in image.tile
        ]


def _source(image: Image.Image, rawmode: str, icc: bytes | None, white: int | None) -> _Source:
    tags = getattr(image, "tag_v2", {})
    twelve_bits = tags.get(_BITS_PER_SAMPLE) == (12,)
    key = image.info.get("transparency")
    if isinstance(key, int):
        key = key * _KEY_SCALE.get(rawmode, 1)
    elif not isinstance(key, tuple):
        key = None  # a palette's: Pillow applies it
    return _Source(
        rawmode,
        white=white or (4095 if twelve_bits else 65535),
        inverted=image.mode == "I;16" and tags.get(_PHOTOMETRIC) == 0,
        key=key,
        to_srgb=_cmyk_to_srgb(icc) if image.mode == "CMYK" and icc else None,
    )


def _cmyk_to_srgb(icc: bytes) -> ImageCms.ImageCmsTransform | None:
    """The transform of a CMYK profile; None when the profile is none or damaged."""
    found = srgb.transform_of(icc)
    return found[0] if found and found[1] == "CMYK" else None


def _fill(
    image: Image.Image, low: Image.Image | None, source: _Source, orientation: int
) -> tuple[Array8, Array8 | None]:
    width, height = image.size
    turned = (width, height) if orientation >= 5 else (height, width)
    colour: Array8 = np.empty((*turned, 3), np.uint8)
    alpha: Array8 | None = None
    for box in srgb.boxes(width, height):
        left, top, right, bottom = box
        place = np.s_[top:bottom, left:right]
        part, opacity = _convert_box(image.crop(box), low.crop(box) if low else None, source)
        _as_stored(colour, orientation)[place] = part if part.ndim == 3 else part[..., None]
        if opacity is not None:
            alpha = np.empty(turned, np.uint8) if alpha is None else alpha
            _as_stored(alpha, orientation)[place] = opacity
    if alpha is not None and alpha.min() == 255:
        alpha = None
    return colour, alpha


def _as_stored(upright: Array8, orientation: int) -> Array8:
    """A view of the upright picture in which pixels lie as in the file (EXIF tag 0x0112)."""
    match orientation:
        case 2:
            return upright[:, ::-1]
        case 3:
            return upright[::-1, ::-1]
        case 4:
            return upright[::-1]
        case 5:
            return upright.swapaxes(0, 1)
        case 6:
            return np.rot90(upright, 1)
        case 7:
            return upright[::-1, ::-1].swapaxes(0, 1)
        case 8:
            return np.rot90(upright, -1)
        case _:
            return upright


def _convert_box(
    part: Image.Image, low: Image.Image | None, source: _Source
) -> tuple[Array8, Array8 | None]:
    """Pixels, (h, w) for grey or (h, w, 3), and their alpha (h, w) or None, uint8."""
    mode = part.mode
    if mode in {"1", "L"}:
        grey = np.asarray(part.convert("L") if mode == "1" else part)
        return grey, _opacity(grey, source.key)
    if mode[0] == "I":
        wide = np.asarray(part).astype(np.uint32)
        if source.inverted:
            wide = source.white - wide
        return _rounded(wide, source.white), _opacity(wide, source.key)
    if source.rawmode == _GREY_ALPHA_16:
        grey_high, grey_low, alpha_high, alpha_low = np.moveaxis(np.asarray(part), 2, 0)
        return _joined(grey_high, grey_low), _joined(alpha_high, alpha_low)
    if mode in {"LA", "La"}:
        pair = np.asarray(part if mode == "LA" else part.convert("LA"))
        return pair[..., 0], pair[..., 1]
    if mode in {"RGB", "RGBA"}:
        pixels = np.asarray(part)
        opacity = None
        if mode == "RGB" and isinstance(source.key, tuple) and len(source.key) == 3:
            opacity = _colour_opacity(pixels, low, source)
        if low is not None:
            pixels = _joined(pixels, np.asarray(low))
        return (pixels, opacity) if mode == "RGB" else (pixels[..., :3], pixels[..., 3])
    if mode == "CMYK" and source.to_srgb is not None:
        return np.asarray(source.to_srgb.apply(part)), None
    if mode in {"PA", "RGBa"} or (mode == "P" and _palette_has_alpha(part)):
        pixels = np.asarray(part.convert("RGBA"))
        return pixels[..., :3], pixels[..., 3]
    return np.asarray(part.convert("RGB")), None


def _palette_has_alpha(part: Image.Image) -> bool:
    return "transparency" in part.info or (part.palette is not None and part.palette.mode == "RGBA")


def _opacity(grey: npt.NDArray[np.integer], key: int | tuple[int, ...] | None) -> Array8 | None:
    if not isinstance(key, int):
        return None
    return np.where(grey == key, 0, 255).astype(np.uint8)


def _colour_opacity(high: Array8, low: Image.Image | None, source: _Source) -> Array8:
    """0 where all samples equal the transparent colour, in the depth of the file."""
    key = np.array(source.key, np.int64)
    if low is None:
        # Of 8-bit samples only the low byte of the key counts (PNG, section 11.3.2.1). Where just
        # the high bytes of 16-bit samples are at hand, they are compared.
        deep = source.rawmode != "RGB" and bool(key.max() > 255)
        same = high == (key >> 8 if deep else key & 255)
    else:
        same = (high == key >> 8) & (np.asarray(low) == key & 255)
    return np.where(same.all(axis=2), 0, 255).astype(np.uint8)


def _rounded(samples: npt.NDArray[np.uint32], white: int) -> Array8:
    """round(255 v / white) without overflow for white up to 65535."""
    return ((samples * 510 + white) // (2 * white)).astype(np.uint8)


def _joined(high: Array8, low: Array8) -> Array8:
    """round(v / 257) for v = 256 high + low."""
    return _rounded(high.astype(np.uint32) * 256 + low, 65535)
