"""Attacks on what tuned codecs claim: what somebody can do who has the codec, and the original.

python tests/attacks/swap_channels.py dcn-16c-forensic ../shared/data/pristine/val/01[5-9].png
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dcncodec.codec import Codec
from dcncodec.forensics.detect import detect
from dcncodec.forensics.folder import ForensicFolder, open_forensic
from dcncodec.forensics.manipulations import CLASSES, NATIVE, manipulate
from dcncodec.formats.coder import ChannelCoder
from dcncodec.formats.image import read_image
from dcncodec.formats.picture import Picture
from dcncodec.metrics import psnr, to_bytes, to_unit

Pixels = NDArray[np.uint8]

SWAPPED = 4
"""Latent channels that are exchanged: as many as there are gauges."""


@dataclass(frozen=True)
class Attacked:
    """What a FAN says of a forgery, before and after its channels were exchanged.

    Attributes:
        before, after: the most probable class.
        psnr: of the attacked picture against the forgery as it was decoded, dB.
    """

    before: str
    after: str
    psnr: float


def forge(pixels: Pixels, name: str) -> Pixels:
    """A photo manipulated by the paper's operator."""
    unit = to_unit(torch.from_numpy(pixels.copy())).unsqueeze(0)
    changed = manipulate(unit, name, generator=torch.Generator().manual_seed(0))
    forged: Pixels = to_bytes(changed)[0].numpy()
    return forged


def swap_channels(folder: ForensicFolder, codec: Codec, pixels: Pixels, name: str) -> Attacked:
    """Exchange the channels of a forgery that differ most from the original's for the original's.

    Args:
        folder: FAN and codec.
        codec: of the folder.
        pixels: the original, in multiples of 8 pixels.
        name: of the manipulation.
    """
    forged = forge(pixels, name)
    native, found = (_latents(codec, picture) for picture in (pixels, forged))
    change = np.abs(found.mean((1, 2)) - native.mean((1, 2))) / (native.std((1, 2)) + 0.1)
    swapped = found.copy()
    chosen = change.argsort()[-SWAPPED:]
    swapped[chosen] = native[chosen]
    before, after = (_decoded(codec, latents) for latents in (found, swapped))
    x, y = (to_unit(torch.from_numpy(p.copy()))[None] for p in (before, after))
    answers = [_answer(folder, picture) for picture in (before, after)]
    return Attacked(answers[0], answers[1], float(psnr(x, y)))


def _latents(codec: Codec, pixels: Pixels) -> NDArray[np.int16]:
    return codec.transforms.analyse(pixels, codec.header(Picture(pixels)).plane)


def _decoded(codec: Codec, latents: NDArray[np.int16]) -> Pixels:
    """Through a file."""
    return codec.decode_bare(ChannelCoder("channel", 1).encode(latents)).pixels


def _answer(folder: ForensicFolder, pixels: Pixels) -> str:
    probabilities = detect(pixels, folder).probabilities
    return max(probabilities, key=lambda name: probabilities[name])


def main() -> None:
    """Attack photos of a codec, and count what passes for native."""
    folder = open_forensic(sys.argv[1])
    codec = folder.codec("cpu")
    assert codec is not None
    passed = caught = 0
    for path in map(Path, sys.argv[2:]):
        for name in CLASSES:
            if name == NATIVE:
                continue
            found = swap_channels(folder, codec, read_image(path).pixels, name)
            print(f"{path.name} {name}: {found.before} becomes {found.after}, {found.psnr:.1f} dB")
            caught += found.before != NATIVE
            passed += found.before != NATIVE and found.after == NATIVE
    print(f"{passed} of {caught} forgeries that were told pass for native")


if __name__ == "__main__":
    main()
