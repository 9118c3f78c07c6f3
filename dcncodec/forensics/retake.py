"""Photos as cameras and scanners give them at their full size: soft, noisy, interpolated.

Photographs for trainings are down-sampled, so that their own compression no longer shows, and so
sharper and cleaner than any sensor's picture. A FAN that knows only such photos takes all others
for blurred or median-filtered ones. What it has to learn is what optics, interpolation and the
removal of noise leave of fine detail and of noise, beside what a filter leaves of both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcncodec.camera.acquisition import acquire
from dcncodec.camera.camera import Floats, demosaic, from_linear, to_linear, to_mosaic
from dcncodec.forensics.operations.operation import opencv, to_pixels

Pixels = NDArray[np.uint8]

OPTICS = (0.4, 1.6)
"""Range of the standard deviation in pixels by which lens, sensor or scanner blur linear light."""
EXPOSURE = (0.1, 1.0)
"""Range of the light that a sensor gets: the less, the noisier."""
SCANNED = 1 / 3
"""Share of photos without a Bayer filter, as of scanners."""
GRAIN = (0.5, 2.5)
"""Range of the standard deviation of a scan's grain and noise, in levels of 255."""
GRAIN_SIZE = (0.0, 0.8)
"""Range of the standard deviation in pixels by which grain is blurred."""
SMALL = 0.2
"""Below this a blur does nothing."""
FAST = ("COLOR_BayerRGGB2RGB", "COLOR_BayerRGGB2RGB_EA")
"""Demosaicing of OpenCV: bilinear, and along edges. The slower one is the standard pipeline's."""
PURE = 0.5
"""Share of the photos with one kind of demosaicing; others are mixtures of two, as cameras have
kinds that nobody knows."""
SHARPENED = 1 / 3
"""Share of photos that the camera sharpens, by an unsharp mask of the optics' size at most."""
AMOUNT = (0.3, 1.0)
"""Range of the strength of that."""
CLEANED = 1 / 3
"""Share of photos from whose luminance noise is removed, before they are sharpened."""
NOISE = (2.0, 10.0)
"""Range, in levels of 255, of the differences that a bilateral filter or non-local means take for
noise."""
BILATERAL = (0.7, 2.0)
"""Range of the standard deviation in pixels over which a bilateral filter averages."""
WINDOW, SEARCHED = 5, 11
"""Sides in pixels: of a bilateral filter and of what non-local means compare, and of where these
look for it."""
COLOURS = 1 / 2
"""Share of photos whose colour differences lose resolution: cameras smooth them, and many formats
keep them at half the size."""
SMOOTHED = (0.6, 2.5)
"""Range of the standard deviation in pixels of the blur of colour differences."""


def retake(pixels: Pixels, draws: np.random.Generator) -> Pixels:
    """A picture as another camera, or a scanner, would have given it.

    Args:
        pixels: uint8 (H, W, 3), sRGB; H and W even.
        draws: of everything that is drawn.

    Returns:
        uint8 (H, W, 3).

    Raises:
        MissingLibraryError: OpenCV, scipy or colour-demosaicing is not installed.
    """
    optics = _between(OPTICS, draws)
    scanned = draws.random() < SCANNED
    taken = _scanned(pixels, optics, draws) if scanned else _developed(pixels, optics, draws)
    taken = _cleaned(taken, draws)
    if draws.random() < SHARPENED:
        soft = opencv().GaussianBlur(taken, (0, 0), optics * draws.uniform(0.5, 1.0))
        taken = taken + draws.uniform(*AMOUNT) * (taken - soft)
    return to_pixels(taken * 255)


def _between(limits: tuple[float, float], draws: np.random.Generator) -> float:
    """A number between two, of any magnitude alike."""
    return float(np.exp(draws.uniform(*np.log(limits))))


def _developed(pixels: Pixels, optics: float, draws: np.random.Generator) -> Floats:
    """Through a Bayer filter and its interpolation, float32 (H, W, 3) in [0, 1]."""
    exposure = _between(EXPOSURE, draws)
    frame = acquire(pixels, int(draws.integers(2**31)), exposure=exposure, optics=optics)
    mosaic = to_mosaic(frame.stack()).clip(0, 1)
    first, second = draws.permutation(len(FAST) + 1)[:2]
    rgb = _demosaiced(mosaic, first)
    if draws.random() >= PURE:
        rgb = rgb + np.float32(draws.random()) * (_demosaiced(mosaic, second) - rgb)
    return from_linear((rgb @ frame.to_srgb.T).clip(0, 1))


def _demosaiced(mosaic: Floats, kind: int) -> Floats:
    """(H, W) RGGB in [0, 1] to (H, W, 3)."""
    if kind == len(FAST):
        return demosaic(mosaic).astype(np.float32)
    samples = np.rint(mosaic * 65535).astype(np.uint16)
    cv2 = opencv()
    rgb: Floats = cv2.cvtColor(samples, getattr(cv2, FAST[kind])) / np.float32(65535)
    return rgb


def _scanned(pixels: Pixels, optics: float, draws: np.random.Generator) -> Floats:
    """All colours at every place, with grain, float32 (H, W, 3) in [0, 1]."""
    linear = opencv().GaussianBlur(to_linear(pixels / 255), (0, 0), optics)
    level = np.float32(_between(GRAIN, draws) / 255)
    size = draws.uniform(*GRAIN_SIZE)
    grain = draws.standard_normal(pixels.shape, np.float32)
    if draws.integers(2):
        grain[:] = grain[..., :1]
    if size >= SMALL:
        grain = opencv().GaussianBlur(grain, (0, 0), size)
    scanned: Floats = from_linear(linear.clip(0, 1)) + level * grain / grain.std()
    return scanned


def _cleaned(taken: Floats, draws: np.random.Generator) -> Floats:
    """With less noise in luminance or colours, or as it is; float32 (H, W, 3)."""
    luminance, colours = draws.random() < CLEANED, draws.random() < COLOURS
    if not (luminance or colours):
        return taken
    cv2 = opencv()
    light, *differences = cv2.split(cv2.cvtColor(taken.clip(0, 1), cv2.COLOR_RGB2YCrCb))
    if luminance:
        noise = _between(NOISE, draws)
        light = _bilateral(light, noise, draws) if draws.integers(2) else _non_local(light, noise)
    if colours:
        size = _between(SMOOTHED, draws)
        smooth = _halved if draws.integers(2) else lambda x: cv2.GaussianBlur(x, (0, 0), size)
        differences = [smooth(x) for x in differences]
    cleaned: Floats = cv2.cvtColor(cv2.merge([light, *differences]), cv2.COLOR_YCrCb2RGB)
    return cleaned


def _bilateral(plane: Floats, noise: float, draws: np.random.Generator) -> Floats:
    """(H, W) in [0, 1] without ``noise``, in levels of 255."""
    size = _between(BILATERAL, draws)
    found: Floats = opencv().bilateralFilter(plane, WINDOW, noise / 255, size)
    return found


def _non_local(plane: Floats, noise: float) -> Floats:
    """The same by non-local means, in whole levels."""
    whole = opencv().fastNlMeansDenoising(to_pixels(plane * 255), None, noise, WINDOW, SEARCHED)
    found: Floats = whole.astype(np.float32) / np.float32(255)
    return found


def _halved(plane: Floats) -> Floats:
    """(H, W) at half its size and back."""
    cv2 = opencv()
    height, width = plane.shape
    small = cv2.resize(plane, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    back: Floats = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return back
