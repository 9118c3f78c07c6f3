"""Twelve pictures that are no photos: text, line art, flat colours.

    python -m dcncodec.bench.drawings drawings/
    dcn bench --dataset drawings/ --no-speed -c dcn-vr -c jpeg -c jpeg2000 -c webp -c avif -c jxl

They are 512 x 384 pixels and the same in every run (with one version of Pillow, whose font they
use). The command also prints bytes: of PNG and WebP, both lossless, of ``dcn-vr`` by its network
alone, and with palette tiles where those pay, and how much of the picture is exact then.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dcncodec.errors import DcnError
from dcncodec.formats.files import atomic_write, make_folder
from dcncodec.formats.inspect import info
from dcncodec.oneline import encode

Pixels = NDArray[np.uint8]
Kind = Callable[[Image.Image, np.random.Generator], None]

WIDTH, HEIGHT = 512, 384
QUALITIES = (20, 50, 71)
"""At which pictures are encoded."""
TEXT = (
    "the rate of a file is what it costs and the distortion what it loses so that a codec is a "
    "curve and not a point whoever compares two of them at one point compares their settings"
)
WORDS = TEXT.split()
INK = ("#1b1f24", "#0969da", "#cf222e", "#1a7f37", "#8250df", "#bf8700")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _line(random: np.random.Generator, words: int) -> str:
    return " ".join(random.choice(WORDS, words))


def page(image: Image.Image, random: np.random.Generator) -> None:
    """A page of text."""
    draw = ImageDraw.Draw(image)
    draw.text((24, 14), _line(random, 4), "black", _font(24))
    for row in range(21):
        draw.text((24, 52 + 15 * row), _line(random, 14), "black", _font(12))


def editor(image: Image.Image, random: np.random.Generator) -> None:
    """Program text in colours on a dark ground."""
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, WIDTH, HEIGHT), "#1e1e1e")
    for row in range(24):
        x = 40 + 18 * int(random.integers(0, 4))
        draw.text((8, 6 + 15 * row), f"{row + 1:3d}", "#858585", _font(11))
        for colour in random.choice(("#569cd6", "#d4d4d4", "#ce9178", "#6a9955", "#dcdcaa"), 4):
            word = str(random.choice(WORDS))
            draw.text((x, 6 + 15 * row), word, str(colour), _font(11))
            x += int(draw.textlength(word + "  ", _font(11)))


def sheet(image: Image.Image, random: np.random.Generator) -> None:
    """A table of numbers between lines."""
    draw = ImageDraw.Draw(image)
    for row in range(20):
        for column in range(6):
            box = (85 * column, 19 * row, 85 * column + 85, 19 * row + 19)
            draw.rectangle(box, "#e8f0fe" if row == 0 else "white", "#c0c0c0")
            draw.text((box[0] + 6, box[1] + 3), f"{random.normal(0, 900):.2f}", "black", _font(11))


def bars(image: Image.Image, random: np.random.Generator) -> None:
    """A bar chart."""
    draw = ImageDraw.Draw(image)
    for number in range(10):
        top = int(random.integers(40, 300))
        draw.rectangle((50 + 44 * number, top, 82 + 44 * number, 340), INK[number % len(INK)])
        draw.text((54 + 44 * number, 346), f"{340 - top}", "black", _font(12))
    draw.line((40, 20, 40, 340, 500, 340), "black", 2)


def curves(image: Image.Image, random: np.random.Generator) -> None:
    """A plot of lines over a grid."""
    draw = ImageDraw.Draw(image)
    for place in range(0, 500, 40):
        draw.line((30 + place, 20, 30 + place, 350), "#e0e0e0")
        draw.line((30, 20 + place, 500, 20 + place), "#e0e0e0")
    for colour in INK:
        walk = 180 + np.cumsum(random.normal(0, 7, 95))
        draw.line([(30 + 5 * i, float(y)) for i, y in enumerate(walk)], colour, 2)
    draw.rectangle((30, 20, 500, 350), None, "black")


def logos(image: Image.Image, random: np.random.Generator) -> None:
    """Discs and polygons of flat colours."""
    draw = ImageDraw.Draw(image)
    for number in range(24):
        x, y = (int(v) for v in random.integers(0, (WIDTH, HEIGHT)))
        side = int(random.integers(16, 90))
        colour = INK[number % len(INK)]
        if number % 2:
            draw.ellipse((x - side, y - side, x + side, y + side), colour)
        else:
            draw.regular_polygon((x, y, side), int(random.integers(3, 8)), 11 * number, colour)


def strokes(image: Image.Image, random: np.random.Generator) -> None:
    """Line art: black strokes on white."""
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        start = random.integers(0, (WIDTH, HEIGHT))
        path = start + np.cumsum(random.normal(0, 18, (12, 2)), 0)
        draw.line([tuple(map(float, place)) for place in path], "black", int(random.integers(1, 4)))


def regions(image: Image.Image, random: np.random.Generator) -> None:
    """A map: regions around random places, each in one colour."""
    places = random.uniform(0, (WIDTH, HEIGHT), (60, 2))
    grid = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), -1)
    nearest = np.square(grid[:, :, None] - places).sum(-1).argmin(-1)
    colours = random.integers(120, 256, (60, 3), np.uint8)[nearest]
    border = (nearest[1:, 1:] != nearest[:-1, 1:]) | (nearest[1:, 1:] != nearest[1:, :-1])
    colours[1:, 1:][border] = 40
    image.paste(Image.fromarray(colours))


def sprites(image: Image.Image, random: np.random.Generator) -> None:
    """Pixel art: symmetric figures of large pixels."""
    palette = random.integers(0, 256, (16, 3), np.uint8)
    half = random.integers(0, 16, (48, 32)) * (random.random((48, 32)) < 0.5)
    whole = np.concatenate([half, half[:, ::-1]], 1)
    image.paste(Image.fromarray(np.kron(palette[whole], np.ones((8, 8, 1), np.uint8))))


def windows(image: Image.Image, random: np.random.Generator) -> None:
    """A desktop: a gradient, windows, buttons with text."""
    draw = ImageDraw.Draw(image)
    for row in range(HEIGHT):
        draw.line((0, row, WIDTH, row), (20 + row // 4, 60 + row // 3, 140 + row // 4))
    for left, top in ((30, 40), (220, 110), (110, 210)):
        draw.rectangle((left, top, left + 250, top + 140), "#f3f3f3", "#707070")
        draw.rectangle((left, top, left + 250, top + 22), "#2b5797")
        draw.text((left + 8, top + 4), _line(random, 3), "white", _font(12))
        for row in range(4):
            draw.text((left + 10, top + 30 + 16 * row), _line(random, 5), "#202020", _font(12))
        draw.rounded_rectangle((left + 170, top + 108, left + 240, top + 130), 5, "#d9e7fd", "#888")
        draw.text((left + 186, top + 112), "Cancel", "black", _font(11))


def dither(image: Image.Image, random: np.random.Generator) -> None:
    """A gradient of two colours, dithered: single pixels of black and white."""
    ramp = np.linspace(0, 255, WIDTH)[None] * np.linspace(0.3, 1, HEIGHT)[:, None]
    image.paste(Image.fromarray(ramp.astype(np.uint8)).convert("1").convert("RGB"))


def slide(image: Image.Image, random: np.random.Generator) -> None:
    """Large text over a smooth ground of many colours."""
    draw = ImageDraw.Draw(image)
    y, x = np.mgrid[:HEIGHT, :WIDTH] / HEIGHT
    ground = np.stack([120 + 90 * np.sin(3 * x + k) * np.cos(2 * y - k) for k in range(3)], -1)
    image.paste(Image.fromarray(ground.astype(np.uint8)))
    for row in range(5):
        draw.text((40, 60 + 54 * row), _line(random, 4), "white", _font(36 - 4 * row))


PICTURES: tuple[Kind, ...] = (
    *(page, editor, sheet, bars, curves, logos),
    *(strokes, regions, sprites, windows, dither, slide),
)


def drawing(kind: Kind) -> Pixels:
    """One of ``PICTURES``, uint8 (384, 512, 3)."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    kind(image, np.random.default_rng(PICTURES.index(kind)))
    return np.asarray(image)


def _coded(pixels: Pixels, quality: float) -> tuple[str, str, str]:
    """Bytes without palette tiles and with them, and the share of the picture that is exact."""
    alone, data = (encode(pixels, quality=quality, palette=given) for given in (False, True))
    palette = info(data)["palette"]
    return f"{len(alone):,}", f"{len(data):,}", f"{palette['share'] if palette else 0:.0%}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=Path, help="folder for the pictures")
    folder = parser.parse_args().output
    titles = ["picture", "PNG", "WebP, lossless"]
    for quality in QUALITIES:
        titles += [f"{quality}: network", "with palettes", "exact"]
    print(f"| {' | '.join(titles)} |\n" + "| --- " * len(titles) + "|")
    try:
        make_folder(folder)
        for number, kind in enumerate(PICTURES):
            pixels = drawing(kind)
            files = {}
            for name, options in (("PNG", {"optimize": True}), ("WEBP", {"lossless": True})):
                file = io.BytesIO()
                Image.fromarray(pixels).save(file, name, **options)
                files[name] = file.getvalue()
            path = folder / f"{number + 1:02d}-{kind.__name__}.png"
            with atomic_write(path, overwrite=True) as target:
                target.write(files["PNG"])
            cells = [kind.__name__, f"{len(files['PNG']):,}", f"{len(files['WEBP']):,}"]
            for quality in QUALITIES:
                cells += _coded(pixels, quality)
            print(f"| {' | '.join(cells)} |")
    except DcnError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
