"""Noise, its strength in grey levels of 255 (numpy's distributions; impulses by scikit-image)."""

from __future__ import annotations

import numpy as np

from dcncodec.forensics.operations.operation import Pixels, skimage, to_pixels

Generator = np.random.Generator


def gaussian_noise(pixels: Pixels, generator: Generator, strength: float) -> Pixels:
    """Independent normal noise in every colour, with a standard deviation of ``strength``."""
    return to_pixels(pixels + generator.normal(0, strength, pixels.shape))


def grey_noise(pixels: Pixels, generator: Generator, strength: float) -> Pixels:
    """Normal noise, the same in all colours of a pixel."""
    return to_pixels(pixels + generator.normal(0, strength, (*pixels.shape[:2], 1)))


def uniform_noise(pixels: Pixels, generator: Generator, strength: float) -> Pixels:
    """Uniform noise of -strength to strength."""
    return to_pixels(pixels + generator.uniform(-strength, strength, pixels.shape))


def poisson_noise(pixels: Pixels, generator: Generator, strength: float) -> Pixels:
    """Shot noise, with a standard deviation of ``strength`` where a colour is full."""
    photons = (255 / strength) ** 2
    return to_pixels(generator.poisson(pixels * (photons / 255)) * (255 / photons))


def impulse_noise(pixels: Pixels, generator: Generator, strength: float) -> Pixels:
    """Salt and pepper on ``strength`` in 255 of all values."""
    noisy = skimage().util.random_noise(pixels, "s&p", rng=generator, amount=strength / 255)
    return to_pixels(255 * noisy)


def skimage_noise(pixels: Pixels, generator: Generator, strength: float) -> Pixels:
    """As ``gaussian_noise``, by scikit-image."""
    variance = (strength / 255) ** 2
    noisy = skimage().util.random_noise(pixels, "gaussian", rng=generator, var=variance)
    return to_pixels(255 * noisy)
