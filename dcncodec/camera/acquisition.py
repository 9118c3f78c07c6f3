"""Simulated acquisition: RAW frames of finished pictures (Brooks et al., CVPR 2019, section 3).

A pristine picture goes backwards through the standard pipeline: out of sRGB's curve, into a
camera's colours, out of its white balance; then a Bayer filter, shot and read noise, and 14 bits.
Three things differ from Brooks et al.: there is no tone curve and no digital gain, because the
standard pipeline (``camera.develop``) applies none; optics blur the picture; and noise is that of
photos by daylight, like those on which the NIP paper's pipelines learn. A sensor may have its
fingerprint: a gain of its own for every photo-site (PRNU; NIP paper, section 3.3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcncodec.camera.camera import to_linear
from dcncodec.errors import TOOLBOX, MissingLibraryError
from dcncodec.formats.raw import Frame, camera_to_srgb, check_size

BLACK, WHITE = 512, 16_383
"""Of the simulated sensor, 14 bits."""
RED_GAINS, BLUE_GAINS = (1.9, 2.4), (1.5, 1.9)
"""Ranges of the white balance, green being 1."""
SHOT_NOISE = (2e-5, 2e-4)
"""Range of the variance that a saturated sample (1) has: a full well of 50,000 electrons at ISO 100
to ISO 1000. Brooks et al. go from 1e-4 to 1.2e-2."""
OPTICS = 0.7
"""Standard deviation in pixels by which lens, anti-aliasing filter and the pixels' area blur.
Pictures that were down-sampled are sharper than anything that a sensor sees."""
HIGHLIGHTS = 0.9
"""Lightness above which pixels tend to saturation in all channels alike."""
CAMERAS = np.array(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
    ]
)
"""XYZ to camera RGB of the four cameras of the Darmstadt Noise Dataset, as Brooks et al. use."""
MEAN_CAMERA = camera_to_srgb(CAMERAS.mean(0))
"""The ``to_srgb`` of a camera amid those four."""
PRNU_STRENGTH = 0.01
"""Standard deviation of the gains of a simulated sensor's photo-sites; real ones: 0.5% to 1.5%."""


def sensor(
    seed: int, height: int, width: int, strength: float = PRNU_STRENGTH
) -> NDArray[np.float64]:
    """The gains of a sensor's photo-sites: its fingerprint K, and 1.

    Args:
        seed: which sensor, 0 or more; a sensor has one size, and others are other sensors.
        height, width: of the frame.
        strength: standard deviation of K, which is normal.

    Returns:
        (height, width), about 1, for ``acquire``.
    """
    # A stream of its own: the same number also seeds the noise of photos.
    stream = np.random.SeedSequence(seed, spawn_key=(1,))
    return 1 + strength * np.random.default_rng(stream).standard_normal((height, width))


def acquire(
    pixels: NDArray[np.uint8],
    seed: int,
    to_srgb: NDArray[np.float64] | None = None,
    gains: NDArray[np.float64] | None = None,
    exposure: float = 1.0,
    optics: float = OPTICS,
) -> Frame:
    """What a camera would have recorded where it now gives a picture.

    Args:
        pixels: (H, W, 3), sRGB; an odd last row or column is left out.
        seed: of camera, white balance and noise, 0 or more; the same seed gives the same frame.
        to_srgb: (3, 3), the camera's colours; by default a random mixture of ``CAMERAS``.
        gains: of the photo-sites, of the frame's size (``sensor``); by default all alike.
        exposure: share of the light, above 0 and up to 1. The frame's white falls with it, so that
            what is developed is as bright, and noisier.
        optics: standard deviation in pixels of the blur, above 0.

    Returns:
        An RGGB frame. ``Frame.stack`` is what pipelines start from, its ``to_srgb`` what
        ``camera.develop`` needs besides.

    Raises:
        ImageError: the picture is smaller than a frame can be (``formats.raw.SMALLEST``).
        MissingLibraryError: scipy is not installed.
    """
    try:
        from scipy.ndimage import gaussian_filter
    except ImportError:
        raise MissingLibraryError(
            "a simulated camera needs scipy", extras=("raw", *TOOLBOX)
        ) from None
    height, width = (side // 2 * 2 for side in pixels.shape[:2])
    check_size(width, height, "simulated frame")
    rng = np.random.default_rng(seed)
    if to_srgb is None:
        to_srgb = camera_to_srgb(np.tensordot(rng.dirichlet(np.ones(len(CAMERAS))), CAMERAS, 1))
    balance = (float(rng.uniform(*RED_GAINS)), 1.0, float(rng.uniform(*BLUE_GAINS)))
    linear = to_linear(pixels[:height, :width] / 255)
    linear = gaussian_filter(linear, (optics, optics, 0), mode="nearest")
    camera = (linear @ np.linalg.inv(to_srgb).T).clip(0, 1)
    light = _mosaic(_without_gains(camera, np.array(balance))) * exposure
    if gains is not None:
        light = light * gains
    shot = np.exp(rng.uniform(*np.log(SHOT_NOISE)))
    read = np.exp(rng.normal(2.18 * np.log(shot) + 1.20, 0.26))
    noisy = light + rng.standard_normal(light.shape) * np.sqrt(shot * light + read)
    samples = np.rint(BLACK + noisy * (WHITE - BLACK)).clip(0, WHITE)
    white = BLACK + round((WHITE - BLACK) * exposure)
    return Frame(samples.astype(np.uint16), "RGGB", (BLACK,) * 4, white, balance, to_srgb)


def _without_gains(camera: NDArray[np.float64], gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Undo the white balance, but leave highlights saturated (Brooks et al., section 3.4)."""
    lightness = camera.mean(-1, keepdims=True)
    saturated = (np.maximum(lightness - HIGHLIGHTS, 0) / (1 - HIGHLIGHTS)) ** 2
    factors: NDArray[np.float64] = np.maximum(saturated + (1 - saturated) / gains, 1 / gains)
    return camera * factors


def _mosaic(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W, 3) to the samples (H, W) behind an RGGB filter."""
    mosaic = rgb[..., 1].copy()
    mosaic[::2, ::2] = rgb[::2, ::2, 0]
    mosaic[1::2, 1::2] = rgb[1::2, 1::2, 2]
    return mosaic
