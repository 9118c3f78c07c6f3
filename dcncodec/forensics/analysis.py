"""What a codec does to the spectra and to the structure of photos (Figs. 9, B.2 and B.3)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from dcncodec.forensics.djpeg import TO_YCBCR
from dcncodec.forensics.patches import cut
from dcncodec.forensics.photos import Photo
from dcncodec.forensics.transmission import Transmission
from dcncodec.metrics import ssim, to_unit

SPECTRUM_SIDE = 128
FLOOR = 1e-6
"""Of a mean power, so that its logarithm stays finite."""


def attenuation(photos: Iterable[Photo], transmission: Transmission) -> NDArray[np.float64]:
    """By how much a channel attenuates each spatial frequency of the luminance.

    Args:
        photos: received in at least ``SPECTRUM_SIDE`` pixels in either direction.
        transmission: the channel.

    Returns:
        (SPECTRUM_SIDE, SPECTRUM_SIDE), dB, frequency 0 in the middle: mean power of the patches
        received over that of the patches sent.

    Raises:
        ImageError: a photo is smaller.
    """
    powers = np.zeros((2, SPECTRUM_SIDE, SPECTRUM_SIDE))
    for photo in photos:
        received = transmission.send(photo.finished())
        for i, picture in enumerate((received.sent, received.pixels)):
            powers[i] += _power(cut(picture, SPECTRUM_SIDE)[0])
    before, after = powers + FLOOR
    ratio: NDArray[np.float64] = 10 * np.log10(after / before)
    return ratio


def _power(squares: torch.Tensor) -> NDArray[np.float64]:
    """Summed power spectra of the luminance of patches, uint8 (B, P, P, 3)."""
    luminance = (to_unit(squares) * torch.tensor(TO_YCBCR[0]).view(3, 1, 1)).sum(1)
    window = torch.hann_window(SPECTRUM_SIDE, periodic=True)
    # A window, or the jump between opposite borders would fill the spectrum's axes.
    spectra = torch.fft.fft2((luminance - luminance.mean((1, 2), True)) * window * window[:, None])
    power: NDArray[np.float64] = spectra.abs().square().sum(0).double().numpy()
    return np.fft.fftshift(power)


def ssim_changes(
    photos: Iterable[Photo], base: Transmission, tuned: Transmission
) -> dict[str, tuple[float, float]]:
    """SSIM of every photo, by name, after a codec and after its fine-tuned version."""
    found = {}
    for photo in photos:
        pixels = photo.finished()
        values = []
        for transmission in (base, tuned):
            received = transmission.send(pixels)
            x, y = (
                to_unit(torch.from_numpy(np.array(p))).unsqueeze(0)
                for p in (received.sent, received.pixels)
            )
            values.append(float(ssim(x, y)))
        found[photo.name] = (values[0], values[1])
    return found
