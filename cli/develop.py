"""``dcn develop``: camera RAW to pictures, and pictures to simulated RAW."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcncodec.cli.checks import check_pipelines
from dcncodec.cli.common import MAX_SEED, Finite, load_torch, machine_options, quiet_option
from dcncodec.cli.lines import tell
from dcncodec.cli.plan import Kind, check_source, same_file
from dcncodec.errors import ImageError, UsageError
from dcncodec.formats.files import check_output
from dcncodec.formats.geometry import MAX_DIMENSION
from dcncodec.formats.suffixes import WRITTEN

if TYPE_CHECKING:
    from dcncodec.formats.raw import Frame

LIBRAW = "libraw"
DNG = ".dng"


def _size(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) != 2 or not all(re.fullmatch("[0-9]{1,8}", part) for part in parts):
        raise click.BadParameter("give width and height: 1920x1080")
    width, height = map(int, parts)
    if not (0 < width <= MAX_DIMENSION and 0 < height <= MAX_DIMENSION):
        raise click.BadParameter(f"give 1 to {MAX_DIMENSION} pixels a side")
    return width, height


def _gains(_: click.Context, __: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        gains = tuple(float(part) for part in value.split(","))
    except ValueError:
        gains = ()
    if len(gains) != 3 or not all(0 < gain < math.inf for gain in gains):
        raise click.BadParameter("give three positive numbers: R,G,B")
    return gains


@click.command()
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Picture, or .dng for the frame itself.  [default: a PNG beside INPUT]",
)
@click.option(
    "--pipeline",
    default="standard",
    metavar="NAME|PATH",
    help="standard, libraw, or a neural pipeline: inet, dnet, or a weight folder."
    "  [default: standard]",
)
@click.option("--size", callback=_size, metavar="WxH", help="Pixels of a frame without header.")
@click.option("--black", type=Finite(0), default=0.0, help="Its sample of no light.  [default: 0]")
@click.option(
    "--white", type=Finite(0), default=65535.0, help="Its sample of saturation.  [default: 65535]"
)
@click.option("--gains", default="1,1,1", callback=_gains, help="Its white balance, R,G,B.")
@click.option(
    "--pattern",
    default="RGGB",
    type=click.Choice(["RGGB", "GRBG", "GBRG", "BGGR"], case_sensitive=False),
    help="Its Bayer filter.  [default: RGGB]",
)
@click.option(
    "--seed", default=0, type=click.IntRange(0, MAX_SEED), help="Of simulated noise and colours."
)
@click.option(
    "--sensor",
    "sensor_number",
    type=click.IntRange(0, MAX_SEED),
    metavar="NUMBER",
    help="Give the simulated camera a sensor with a fingerprint (PRNU of 1%), and its colours.",
)
@click.option("-f", "--force", is_flag=True, help="Replace an existing file.")
@quiet_option
@machine_options
def command(
    source: Path,
    target: Path | None,
    pipeline: str,
    size: tuple[int, int] | None,
    black: float,
    white: float,
    gains: tuple[float, ...],
    pattern: str,
    seed: int,
    sensor_number: int | None,
    force: bool,
    quiet: bool,
    device: str,
    threads: int | None,
    precision: Any,
) -> None:
    """Develop a RAW photo.

    With --size, INPUT is a frame without a header: little-endian 16-bit samples. Where INPUT is a
    finished picture, a camera is simulated that took it.

    \b
    Examples:
      dcn develop photo.nef -o photo.png --pipeline dnet
      dcn develop frame.raw -o frame.dng --size 1920x1080 --white 1020 --gains 1.5,1,1.1
      dcn develop picture.png -o simulated.dng --sensor 7
    """
    target = target or source.with_name(f"{source.stem}.png")
    if pipeline == LIBRAW and (size is not None or target.suffix.lower() == DNG):
        raise UsageError("--pipeline libraw makes pictures of RAW files only")
    _check_files(source, target, force)
    check_pipelines([pipeline], LIBRAW)
    if pipeline == LIBRAW:
        from dcncodec.formats.raw import develop_with_libraw

        pixels = develop_with_libraw(source)
        _write(pixels, target, force)
        tell(f"{source} -> {target}: {pixels.shape[1]} x {pixels.shape[0]} pixels")
        return
    frame = _frame(source, size, black, white, gains, pattern.upper(), seed, sensor_number)
    if target.suffix.lower() == DNG:
        from dcncodec.formats.dng import write_dng

        write_dng(frame, target, overwrite=force)
    else:
        load_torch(threads)
        from dcncodec.camera.develop import Developer

        _write(Developer(pipeline, device, precision).develop(frame), target, force)
    height, width = frame.mosaic.shape
    tell(f"{source} -> {target}: {width} x {height} samples")


def _check_files(source: Path, target: Path, force: bool) -> None:
    """Refuse what cannot be read or written, before the work begins."""
    suffix = target.suffix.lower()
    if suffix != DNG and suffix not in WRITTEN:
        raise UsageError(
            f"no format that is written is called {suffix or '(no suffix)'!r}; choose "
            f"one of {', '.join([*WRITTEN, DNG])}",
            target,
        )
    check_source(str(source), Kind(set))
    if same_file(source, target):
        raise UsageError("is input and output; name another --output", source)
    check_output(target, overwrite=force)


def _frame(
    source: Path,
    size: tuple[int, int] | None,
    black: float,
    white: float,
    gains: tuple[float, ...],
    pattern: str,
    seed: int,
    sensor_number: int | None,
) -> Frame:
    from dcncodec.formats.files import read_bytes
    from dcncodec.formats.image import suffixes_read
    from dcncodec.formats.raw import check_size, frame_from_bytes, read_raw

    simulated = size is None and source.suffix.lower() in suffixes_read()
    if sensor_number is not None and not simulated:
        raise UsageError("is what a sensor gave; --sensor simulates one for a picture", source)
    if size is not None:
        content = read_bytes(source)
        return frame_from_bytes(content, *size, black, white, gains, pattern, name=str(source))
    if simulated:
        from dcncodec.camera.acquisition import MEAN_CAMERA, acquire, sensor
        from dcncodec.formats.image import read_image

        pixels = read_image(source).pixels_alone()
        height, width = (side // 2 * 2 for side in pixels.shape[:2])
        check_size(width, height, str(source))
        if sensor_number is None:
            return acquire(pixels, seed)
        return acquire(pixels, seed, MEAN_CAMERA, sensor(sensor_number, height, width))
    if source.suffix.lower() == ".raw":
        # The name that cameras' formats and plain samples share; LibRaw knows only the first.
        try:
            return read_raw(source)
        except ImageError as error:
            reason = f"{error.reason}; if it has no header, give --size WxH"
            raise ImageError(reason, error.file) from None
    return read_raw(source)


def _write(pixels: Any, target: Path, force: bool) -> None:
    from dcncodec.formats.image import from_array, write_image

    write_image(from_array(pixels), target, overwrite=force)
